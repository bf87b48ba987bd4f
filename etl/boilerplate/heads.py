"""How the lines that a pattern matches can begin: a cheap test that most lines fail before any pattern sees them.

A line's head is its first letter and the few characters after it, case folded. `heads_of` reads a pattern in the syntax
of Rust's engine and returns every head, or beginning of one, of a line that the whole pattern can match. It may return
too many; what it does not understand it takes for anything. Heads are as long as their number stays small.

Reading all of the product's own patterns takes seconds, so what comes out is kept beside the model's weights, with the
passes that the rules make of it: `make tables` writes both anew, and a test says when that is due.
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Collection, Mapping
from functools import cache, lru_cache
from importlib import resources
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import xxhash

HEAD_CHARS: Final = 6
HEAD: Final = rf"\p{{L}}[\s\S]{{0,{HEAD_CHARS - 1}}}"  # of a line, for Polars
KNOWN: Final = "heads.json.xz"
_FEW_CHARS: Final = 3
_MANY_HEADS: Final = 400  # longer heads are only worth while when there are no more of them than this,
_MOST_HEADS: Final = 4000  # and with more than this even of short ones, a line may begin with anything
_MOST_MEMBERS: Final = 40  # letters of a class that are spelled out
_MOST_ROUNDS: Final = 8  # of a repetition: each letter lengthens a head, so later ones add nothing
_CASED: Final = ((0x41, 0x3400), (0xA640, 0xAC00), (0xFB00, 0x10000), (0x10400, 0x11000), (0x11800, 0x11900))
_CASED_BEYOND: Final = ((0x16E00, 0x16F00), (0x1E000, 0x1EA00))
ANYTHING: Final = frozenset([""])
_LETTERS: Final = "L"

_Heads = frozenset[str]
"""The heads, not yet full, of all ways to get to a place in a pattern."""


def heads_of(pattern: str) -> frozenset[str]:
    """The heads of the lines that `pattern` matches from end to end; one shorter than HEAD_CHARS stands for all that begin so."""
    for chars in range(HEAD_CHARS, _FEW_CHARS - 1, -1):
        try:
            heads = _Parser(pattern, chars, _MOST_HEADS if chars == _FEW_CHARS else _MANY_HEADS).parse()
        except _TooMany:
            continue
        except (_Unknown, IndexError, ValueError, OverflowError):
            break
        return ANYTHING if "" in heads else heads
    return ANYTHING


def known_heads(pattern: str) -> frozenset[str]:
    """`heads_of(pattern)`, looked up when the pattern is the product's own."""
    found = kept()["heads"].get(_name(pattern))
    return heads_of(pattern) if found is None else frozenset(found)


def pack(heads: Mapping[str, Collection[str]], passes: Mapping[str, Any]) -> bytes:
    """The file KNOWN, from the heads of patterns and from what rules.py keeps with them."""
    named = {_name(pattern): sorted(found) for pattern, found in heads.items()}
    text = json.dumps({"heads": dict(sorted(named.items())), "passes": passes}, ensure_ascii=False)
    return lzma.compress(text.encode(), format=lzma.FORMAT_XZ, preset=9)


@cache
def kept() -> dict[str, Any]:
    """What the file KNOWN holds: heads by the name of their pattern, and passes."""
    packed = resources.files("etl.boilerplate").joinpath("weights", KNOWN).read_bytes()
    read: dict[str, Any] = json.loads(lzma.decompress(packed))
    return read


def _name(pattern: str) -> str:
    return xxhash.xxh3_64_hexdigest(pattern.encode())


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


@cache
def fold_table() -> npt.NDArray[np.uint32]:
    """What `folded` makes of each code point."""
    table = np.arange(0x110000, dtype=np.uint32)
    codes = np.concatenate([np.arange(first, last, dtype=np.uint32) for first, last in _CASED + _CASED_BEYOND])
    apart = "\0".join(map(chr, codes.tolist()))  # all in one call, none beside another
    for fold in (str.lower, str.casefold):
        found = np.frombuffer(f"{fold(apart)}\0".encode("utf-32-le"), np.uint32)
        ends = np.flatnonzero(found == 0)
        starts = np.append(0, ends[:-1] + 1)
        to_one = ends - starts == 1
        table[codes[to_one]] = found[starts[to_one]]
    table.flags.writeable = False
    return table


class _Unknown(Exception):
    """Syntax that isn't read here, or a pattern that can begin with anything."""


class _TooMany(Exception):
    """More heads than are worth while."""


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

    def __init__(self, pattern: str, chars: int, most: int) -> None:
        self.text = pattern
        self.chars = chars
        self.most = most
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
            self.check(found)
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
                self.check(after)
                self.at = begin
                more = self.atom(after)
                if more == after:
                    break
                after = more
                found = after if done < low else found | after
            self.at = end
            heads = found
            self.check(heads)
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

    def check(self, heads: Collection[str]) -> None:
        if "" in self.full:
            raise _Unknown
        if len(heads) + len(self.full) > self.most:
            raise _TooMany

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
                (self.full if len(head) + 1 == self.chars else found).add(head + char)
        return frozenset(found)


def _one(char: str) -> _Class:
    return _Class(frozenset([char]), False, False, False, False)
