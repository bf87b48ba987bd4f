"""How the lines that a pattern matches can begin: a cheap test that most lines fail before any pattern sees them.

A line's head is its first letter and the two characters after it, case folded. `heads_of` reads a pattern in the syntax
of Rust's engine and returns every head, or beginning of one, of a line that the whole pattern can match. It may return
too many; what it does not understand it takes for anything.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

HEAD_CHARS: Final = 3
HEAD: Final = r"\p{L}[\s\S]{0,2}"  # of a line, for Polars
_MOST_HEADS: Final = 4000  # of one pattern; more, and it counts as one that can begin with anything
_MOST_MEMBERS: Final = 40  # letters of a class that are spelled out
_MOST_ROUNDS: Final = 8  # of a repetition: each letter lengthens a head, so later ones add nothing
ANYTHING: Final = frozenset([""])
_LETTERS: Final = "L"

_Heads = frozenset[str]
"""The heads, not yet full, of all ways to get to a place in a pattern."""


def heads_of(pattern: str) -> frozenset[str]:
    """The heads of the lines that `pattern` matches from end to end; one shorter than HEAD_CHARS stands for all that begin so."""
    try:
        heads = _Parser(pattern).parse()
    except (_Unknown, IndexError, ValueError, OverflowError):
        return ANYTHING
    return ANYTHING if "" in heads else heads


@lru_cache(maxsize=1 << 16)
def folded(text: str) -> str:
    """`text` with each character folded by itself, as a pattern that ignores case compares it."""
    return "".join(map(_fold, text))


@lru_cache(maxsize=1 << 14)
def _fold(char: str) -> str:
    for other in (char.casefold(), char.lower()):
        if len(other) == 1:
            return other
    return char


class _Unknown(Exception):
    """Syntax that isn't read here."""


class _Class(NamedTuple):
    """A set of characters: those listed, or all that aren't; whole: more than those listed (a range too long, \\w)."""

    members: frozenset[str]
    negated: bool
    letters: bool  # letters other than the members may be in it (before negation)
    others: bool  # the same for characters that are no letters
    all_letters: bool  # \p{L} is in it


_DOT: Final = _Class(frozenset(), True, False, False, False)


class _Parser:
    """Walks a pattern once, carrying the heads that can still grow; those that are done are in `full`."""

    def __init__(self, pattern: str) -> None:
        self.text = pattern
        self.at = 0
        self.full: set[str] = set()

    def parse(self) -> frozenset[str]:
        rest = self.alternatives(frozenset([""]))
        if self.at != len(self.text):
            raise _Unknown
        return rest | self.full

    def alternatives(self, heads: _Heads) -> _Heads:
        found: set[str] = set()
        while True:
            found |= self.sequence(heads)
            if len(found) + len(self.full) > _MOST_HEADS or "" in self.full:
                raise _Unknown
            if not self.accept("|"):
                return frozenset(found)

    def sequence(self, heads: _Heads) -> _Heads:
        while self.at < len(self.text) and self.text[self.at] not in "|)":
            begin = self.at
            after = self.atom(heads)
            low, high = self.quantifier()
            end = self.at
            found = after if low else heads | after
            for done in range(1, _MOST_ROUNDS if high is None else min(high, _MOST_ROUNDS)):
                if not after:
                    break
                self.at = begin
                more = self.atom(after)
                if more == after:
                    break
                after = more
                found = after if done < low else found | after
            self.at = end
            heads = found
            if len(heads) > _MOST_HEADS:
                raise _Unknown
        return heads

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
            end = self.text.index("}", self.at)
            first, comma, last = self.text[self.at + 1 : end].partition(",")
            low = int(first or 0)
            high = low if not comma else int(last) if last else None
            self.at = end + 1
        self.accept("?")  # lazy: matches the same
        return low, high

    def atom(self, heads: _Heads) -> _Heads:
        char = self.text[self.at]
        if char == "(":
            return self.group(heads)
        self.at += 1
        if char in "^$":
            return heads
        if char == ".":
            return self.extend(heads, _DOT)
        if char == "[":
            return self.extend(heads, self.klass())
        if char == "\\":
            escaped = self.escape()
            return heads if escaped is None else self.extend(heads, escaped)
        if char in "*+?{":
            raise _Unknown
        return self.extend(heads, _one(char))

    def group(self, heads: _Heads) -> _Heads:
        self.at += 1
        if self.accept("?"):
            if self.accept("P<") or self.accept("<"):
                self.at = self.text.index(">", self.at) + 1
            else:
                begin = self.at
                while self.text[self.at] not in ":)":
                    self.at += 1
                if set(self.text[begin : self.at]) - set("imsU-u"):
                    raise _Unknown
                if self.accept(")"):
                    return heads
                self.at += 1
        found = self.alternatives(heads)
        if not self.accept(")"):
            raise _Unknown
        return found

    def escape(self) -> _Class | None:
        """The class of characters that an escape stands for; None for one that matches a place."""
        char = self.text[self.at]
        self.at += 1
        if char in "bBAz":
            return None
        if char in "xu":
            return _one(self.code_point(char))
        if char in "dsDSwWpP":
            return self.property(char)
        if char in "nrtfv":
            return _one({"n": "\n", "r": "\r", "t": "\t", "f": "\f", "v": "\v"}[char])
        if char.isalnum():
            raise _Unknown
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

    def property(self, kind: str) -> _Class:
        if kind in "pP":
            if self.accept("{"):
                end = self.text.index("}", self.at)
                name, self.at = self.text[self.at : end], end + 1
            else:
                name = self.text[self.at]
                self.at += 1
            if kind == "P":
                # Everything but a property: no letter if it is all letters, else perhaps anything.
                return _Class(frozenset(), False, name != _LETTERS, True, False)
            letters = name[:1] == _LETTERS or name[:1] not in "NPSZCM" or len(name) > 2
            return _Class(frozenset(), False, letters, name[:1] != _LETTERS or len(name) > 2, name == _LETTERS)
        if kind in "ds":
            return _Class(frozenset(), False, False, True, False)
        return _Class(frozenset(), False, kind != "W", True, kind == "w")

    def klass(self) -> _Class:
        negated = self.accept("^")
        members: set[str] = set()
        letters = others = all_letters = False
        first = True
        while first or self.text[self.at] != "]":
            first = False
            char = self.text[self.at]
            if char == "[" or self.text.startswith(("&&", "--", "~~"), self.at):
                raise _Unknown
            self.at += 1
            if char == "\\":
                inner = self.escape()
                if inner is None:
                    raise _Unknown
                if inner.negated or len(inner.members) != 1:
                    letters, others = letters or inner.letters, others or inner.others
                    all_letters = all_letters or inner.all_letters
                    continue
                (char,) = inner.members
            if self.text[self.at] == "-" and self.text[self.at + 1] != "]":
                self.at += 1
                last = self.text[self.at]
                self.at += 1
                if last == "\\":
                    inner = self.escape()
                    if inner is None or inner.negated or len(inner.members) != 1:
                        raise _Unknown
                    (last,) = inner.members
                span = range(ord(char), ord(last) + 1)
                if len(span) > _MOST_MEMBERS:
                    letters = others = True
                else:
                    members.update(map(chr, span))
                continue
            members.add(char)
        self.at += 1
        return _Class(frozenset(members), negated, letters, others, all_letters)

    def accept(self, text: str) -> bool:
        if self.text.startswith(text, self.at):
            self.at += len(text)
            return True
        return False

    def extend(self, heads: _Heads, chars: _Class) -> _Heads:
        """The heads after one character of the class."""
        found: set[str] = set()
        for head in heads:
            if head and (chars.negated or chars.letters or chars.others):
                self.full.add(head)
                continue
            if not head:  # no letter yet
                if chars.negated or chars.others or any(not char.isalpha() for char in chars.members):
                    found.add("")
                if not chars.all_letters if chars.negated else chars.letters or chars.all_letters:
                    self.full.add("")
                if chars.negated:
                    continue
            for char in {_fold(char) for char in chars.members if head or char.isalpha()}:
                (self.full if len(head) + 1 == HEAD_CHARS else found).add(head + char)
        return frozenset(found)


def _one(char: str) -> _Class:
    return _Class(frozenset([char]), False, False, False, False)
