#!/bin/sh
# Installs from Debian's packages what the tests of the whole stack need, where it is missing: PostgreSQL's server, redis and
# Chromium. As root, and where there is apt; elsewhere it says what is missing and does nothing.
set -eu
missing=""
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null 2>&1 || missing="$missing postgresql"
command -v redis-server >/dev/null 2>&1 || missing="$missing redis-server"
test -x /usr/bin/chromium || missing="$missing chromium"
test -n "$missing" || exit 0
if test "$(id -u)" != 0 || ! command -v apt-get >/dev/null 2>&1; then
    echo "the tests of the whole stack need$missing; install with: apt-get install$missing" >&2
    exit 0
fi
echo "installing$missing" >&2
export DEBIAN_FRONTEND=noninteractive
# Run level 1: a package's service isn't started, the tests start their own.
export RUNLEVEL=1
for try in 1 2 3; do
    # shellcheck disable=SC2086  a list of packages
    if apt-get update -qq && apt-get install -qq -y --no-install-recommends $missing fonts-dejavu-core >/dev/null; then
        exit 0
    fi
    echo "apt-get failed, try $try of 3" >&2
done
exit 1
