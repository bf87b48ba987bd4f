"""Patterns that are compiled when they are first asked something: all of them take each process 0.04 s, and few pages need all."""

from __future__ import annotations

import re
from typing import Any, Final, cast

_waiting: Final[list[re.Pattern[str]]] = []


def late(pattern: str, flags: int = 0) -> re.Pattern[str]:
    """What `re.compile` gives, for its methods' use alone."""
    made = cast("re.Pattern[str]", _Late(pattern, flags))
    _waiting.append(made)
    return made


def compile_all() -> None:
    """Compile what waits, for processes that are forked from this one."""
    for one in _waiting:
        one.match("")


class _Late:
    def __init__(self, pattern: str, flags: int) -> None:
        self.pattern = pattern
        self._flags = flags

    def __reduce__(self) -> tuple[Any, ...]:
        return late, (self.pattern, self._flags)

    def __getattr__(self, name: str) -> Any:
        """A method of the compiled pattern, which then stands for itself."""
        compiled = re.compile(self.pattern, self._flags)
        for method in ("match", "search", "fullmatch", "finditer", "findall", "sub", "split"):
            setattr(self, method, getattr(compiled, method))
        return getattr(compiled, name)
