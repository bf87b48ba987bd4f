# One environment for everything: .venv, from requirements.lock (pins and hashes). `make help` lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
UV_VERSION := $(shell sed -n 's/^uv==\([^ ]*\).*/\1/p' requirements.lock)

# Python's compiled files are kept, whatever the shell says: without them each process compiles all it imports anew, 0.7 s
# each. uv leaves them out when it installs; the first run makes those that a run needs.
unexport PYTHONDONTWRITEBYTECODE

DATA ?= ../shared/data

# Who can install the services, must: no test of the stack is left out then.
NEED_SERVICES := $(if $(filter 0,$(shell id -u)),$(if $(shell command -v apt-get),WINNOW_REQUIRE_SERVICES=1))

.PHONY: help setup demo test services check lint types contracts bench bench-peers profile tables quality screenshots airflow lock clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

setup: $(READY)  ## make the environment

$(READY): requirements.lock pyproject.toml $(wildcard kernels/*.* kernels/etl_kernels/*.[ch])
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed; name it with make PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip sync --quiet --require-hashes requirements.lock
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable .
	@if command -v $${CC:-cc} >/dev/null; then \
	  VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --quiet --no-deps --no-build-isolation --reinstall ./kernels; \
	else echo "no C compiler: without the compiled kernels everything works, several times more slowly"; fi
	@$(BIN)/etl run tests/pages/news --out $(VENV)/.first-run --run-key first >/dev/null 2>&1; rm -rf $(VENV)/.first-run
	touch $(READY)

demo: $(READY)  ## clean the five sample pages; show three removals with their reasons, and where the Parquet is
	@$(BIN)/etl run tests/pages/news --out out/demo --run-key demo
	@$(BIN)/etl report --out out/demo --run-key demo

test: $(READY) services  ## run every check and every test
	$(MAKE) check
	$(NEED_SERVICES) $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

services:  ## install what the tests of the whole stack need, where it is missing (as root, from Debian's packages)
	@tests/dags/install_services.sh

check: lint types contracts  ## format, lint, types, import contracts

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(READY)
	$(BIN)/mypy

contracts: $(READY)
	$(BIN)/lint-imports --no-logo 2>/dev/null || $(BIN)/lint-imports

bench: $(READY)  ## time the whole job and the I/O floor on generated corpora (DOCS="20000 100000")
	$(BIN)/python benchmarks/run.py

bench-peers: $(READY)  ## time datatrove, text-dedup, datasketch, rensa and dolma beside Winnow (DOCS=5000)
	$(BIN)/python benchmarks/peers.py

profile: $(READY)  ## draw docs/benchmarks/profile.svg anew: where the time goes, on a generated corpus
	$(BIN)/python benchmarks/profile_stages.py --svg docs/benchmarks/profile.svg

tables: $(READY)  ## write anew what the package keeps of its rules and of characters (after a rule changed)
	$(BIN)/python benchmarks/pack_tables.py

quality: $(READY)  ## score every track on the labelled pages, where they are there (DATA=../shared/data)
	@$(BIN)/python benchmarks/quality.py --data $(DATA)

screenshots: $(READY) services  ## draw docs/airflow/*.png anew, from the whole stack and a browser
	WINNOW_SCREENSHOTS=docs/airflow $(NEED_SERVICES) $(BIN)/python -m pytest -n 0 tests/dags/test_twin.py

airflow: $(READY)  ## start a local Airflow with the DAG on 127.0.0.1
	$(BIN)/python -m etl.airflow.standalone

lock:  ## resolve requirements.lock anew
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --extra airflow --extra celery --extra spark --extra dev pyproject.toml --output-file requirements.lock

clean:  ## remove the environment and what tools left
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache out
