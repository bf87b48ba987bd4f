"""Patterns in the syntax of Rust's regex engine, read into a small tree: for what can be told of a match beforehand.

What heads.py and literals.py say of a pattern may be too much and never too little: they take letters of either case for the
same, and know of no places but a text's two ends. For programs.py, which must know exactly, a character keeps how it was written.
Groups and laziness are forgotten: neither changes which texts match.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import Final, NamedTuple

_MOST_MEMBERS: Final = 40  # letters of a class that are spelled out
_LETTERS: Final = "L"


class Unknown(Exception):
    """Syntax that isn't read here."""


class Chars(NamedTuple):
    """One character of a set: those listed, or all that aren't, and more than those listed (a range too long, \\w).

    written: the set exactly, as a pattern with its flags.
    """

    members: frozenset[str]
    negated: bool
    letters: bool  # letters other than the members may be in it (before negation)
    others: bool  # the same for characters that are no letters
    all_letters: bool  # \p{L} is in it
    written: str = ""


class Place(NamedTuple):
    """A place between characters. start: nothing can stand before it; end: nothing after it.

    written: another condition, as a pattern with its flags; "" for a place that asks for nothing else.
    """

    start: bool = False
    end: bool = False
    written: str = ""


class Sequence(NamedTuple):
    """One after the other."""

    parts: tuple[Node, ...]


class Choice(NamedTuple):
    """One of several."""

    parts: tuple[Node, ...]


class Repeat(NamedTuple):
    """`part`, `low` times or more, and `high` times at most where that is known."""

    part: Node
    low: int
    high: int | None


Node = Chars | Place | Sequence | Choice | Repeat

ANY: Final = Chars(frozenset(), True, False, False, False)
_FLAGS: Final = "isu"  # those that change what a character matches
_IGNORING_CASE: Final = frozenset("iu")
_COUNT: Final = re.compile(r"\{(\d+)(?:(,)(\d*))?\}")


@lru_cache(maxsize=4)
def read_pattern(pattern: str) -> Node:
    """The tree of `pattern`, which ignores case unless it says otherwise. Raises Unknown for what this doesn't read, be it right or wrong."""
    try:
        return _Parser(pattern).parse()
    except (IndexError, ValueError, OverflowError, RecursionError) as error:
        raise Unknown from error


class _Parser:
    def __init__(self, pattern: str) -> None:
        self.text = pattern
        self.at = 0
        self.flags = _IGNORING_CASE

    def parse(self) -> Node:
        node = self.alternatives()
        if self.at != len(self.text):
            raise Unknown
        return node

    def alternatives(self) -> Node:
        found = [self.sequence()]
        while self.accept("|"):
            found.append(self.sequence())
        return found[0] if len(found) == 1 else Choice(tuple(found))

    def sequence(self) -> Node:
        parts: list[Node] = []
        while self.at < len(self.text) and self.text[self.at] not in "|)":
            part = self.atom()
            low, high = self.quantifier()
            parts.append(part if low == high == 1 else Repeat(part, low, high))
        return parts[0] if len(parts) == 1 else Sequence(tuple(parts))

    def quantifier(self) -> tuple[int, int | None]:
        low: int
        high: int | None
        low, high = 1, 1
        if self.accept("?"):
            low = 0
        elif self.accept("*"):
            low, high = 0, None
        elif self.accept("+"):
            high = None
        elif self.text[self.at : self.at + 1] == "{":
            found = _COUNT.match(self.text, self.at)
            if found is None:
                raise Unknown
            first, comma, last = found.groups()
            low = int(first)
            high = low if not comma else int(last) if last else None
            self.at = found.end()
        self.accept("?")  # lazy: matches the same
        return low, high

    def atom(self) -> Node:
        begin = self.at
        char = self.text[begin]
        if char == "(":
            return self.group()
        self.at += 1
        if char in "^$":
            return Place(start=char == "^", end=char == "$")
        if char in "*+?{":
            raise Unknown
        found = ANY if char == "." else self.klass() if char == "[" else self.escape() if char == "\\" else _one(char)
        if isinstance(found, Place) and (found.start or found.end):
            return found
        return found._replace(written=self.with_flags(self.text[begin : self.at]))

    def with_flags(self, written: str) -> str:
        """`written` as it is meant here, wherever it stands."""
        return f"{_opened(self.flags)}{written})"

    def group(self) -> Node:
        self.at += 1
        flags = self.flags
        if self.accept("?"):
            if self.accept("P<") or self.accept("<"):
                self.at = self.text.index(">", self.at) + 1
            else:
                begin = self.at
                while self.text[self.at] not in ":)":
                    self.at += 1
                given, _, taken = self.text[begin : self.at].partition("-")
                if set(given + taken) - set("isUu"):
                    raise Unknown
                self.flags = (self.flags | set(given) & set(_FLAGS)) - set(taken)
                if self.accept(")"):
                    return Place()  # and the flags stay, to the end of the group around
                self.at += 1
        found = self.alternatives()
        if not self.accept(")"):
            raise Unknown
        self.flags = flags
        return found

    def escape(self) -> Chars | Place:
        char = self.text[self.at]
        self.at += 1
        if char in "bBAz":
            return Place(start=char == "A", end=char == "z")
        if char in "xu":
            return _one(self.code_point(char))
        if char in "dsDSwWpP":
            return self.property(char)
        if char in "nrtfv":
            return _one({"n": "\n", "r": "\r", "t": "\t", "f": "\f", "v": "\v"}[char])
        if char.isalnum() or char in "<>":  # those two are places: a word's start and end
            raise Unknown
        return _one(char)

    def code_point(self, kind: str) -> str:
        if self.accept("{"):
            end = self.text.index("}", self.at)
            digits, self.at = self.text[self.at : end], end + 1
        else:
            size = 2 if kind == "x" else 4
            digits = self.text[self.at : self.at + size]
            self.at += size
        return chr(int(digits, 16))

    def property(self, kind: str) -> Chars:
        if kind in "pP":
            if self.accept("{"):
                end = self.text.index("}", self.at)
                name, self.at = self.text[self.at : end], end + 1
            else:
                name = self.text[self.at]
                self.at += 1
            if kind == "P":
                # Everything but a property: no letter if it is all letters, else perhaps anything.
                return Chars(frozenset(), False, name != _LETTERS, True, False)
            letters = name[:1] == _LETTERS or name[:1] not in "NPSZCM" or len(name) > 2
            return Chars(frozenset(), False, letters, name[:1] != _LETTERS or len(name) > 2, name == _LETTERS)
        if kind in "ds":
            return Chars(frozenset(), False, False, True, False)
        return Chars(frozenset(), False, kind != "W", True, kind == "w")

    def klass(self) -> Chars:
        negated = self.accept("^")
        members: set[str] = set()
        letters = others = all_letters = False
        first = True
        while first or self.text[self.at] != "]":
            first = False
            char = self.text[self.at]
            if char == "[" or self.text.startswith(("&&", "--", "~~"), self.at):
                raise Unknown
            self.at += 1
            if char == "\\":
                inner = self.escape()
                if isinstance(inner, Place):
                    raise Unknown
                if inner.negated or len(inner.members) != 1:
                    letters, others = letters or inner.letters, others or inner.others
                    all_letters = all_letters or inner.all_letters
                    continue
                (char,) = inner.members
            if self.text.startswith(("--", "&&", "~~"), self.at):
                raise Unknown
            if self.text[self.at] == "-" and self.text[self.at + 1] != "]":
                self.at += 1
                last = self.text[self.at]
                self.at += 1
                if last == "\\":
                    inner = self.escape()
                    if isinstance(inner, Place) or inner.negated or len(inner.members) != 1:
                        raise Unknown
                    (last,) = inner.members
                span = range(ord(char), ord(last) + 1)
                if len(span) > _MOST_MEMBERS:
                    letters = others = True
                else:
                    members.update(map(chr, span))
                continue
            members.add(char)
        self.at += 1
        return Chars(frozenset(members), negated, letters, others, all_letters)

    def accept(self, text: str) -> bool:
        if self.text.startswith(text, self.at):
            self.at += len(text)
            return True
        return False


@cache
def _opened(flags: frozenset[str]) -> str:
    off = "".join(flag for flag in _FLAGS if flag not in flags)
    return f"(?{''.join(sorted(flags))}{off and '-' + off}:"


def _one(char: str) -> Chars:
    return Chars(frozenset([char]), False, False, False, False)
