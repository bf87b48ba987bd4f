"""How the lines that a pattern matches can begin: a cheap test that most lines fail before any pattern sees them.

A line's head is its first letter and the few characters after it, case folded. `heads_of` reads a pattern in the syntax
of Rust's engine and returns every head, or beginning of one, of a line that the whole pattern can match. It may return
too many; what it does not understand it takes for anything. Heads are as long as their number stays small.

Reading all of the product's own patterns takes seconds, so what comes out is kept beside the model's weights: `make tables`
writes it anew, and a test says when that is due.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cache, lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
import xxhash

from etl import packed
from etl.boilerplate.patterns import Chars, Choice, Node, Place, Repeat, Sequence, Unknown, read_pattern

HEAD_CHARS: Final = 6
HEAD: Final = rf"\p{{L}}[\s\S]{{0,{HEAD_CHARS - 1}}}"  # of a line, for Polars
KNOWN: Final = "heads.json.zst"
_FEW_CHARS: Final = 3
_MANY_HEADS: Final = 400  # longer heads are only worth while when there are no more of them than this,
_MOST_HEADS: Final = 4000  # and with more than this even of short ones, a line may begin with anything
_MOST_ROUNDS: Final = 8  # of a repetition: each letter lengthens a head, so later ones add nothing
_CASED: Final = ((0x41, 0x3400), (0xA640, 0xAC00), (0xFB00, 0x10000), (0x10400, 0x11000), (0x11800, 0x11900))
_CASED_BEYOND: Final = ((0x16E00, 0x16F00), (0x1E000, 0x1EA00))
# Folded by Unicode 15.1, which is newer than Python's.
_ALIKE: Final = {"\u1fd3": "\u0390", "\u1fe3": "\u03b0", "\ufb06": "\ufb05"}
ANYTHING: Final = frozenset([""])

_Heads = frozenset[str]
"""The heads, not yet full, of all ways to get to a place in a pattern."""


def heads_of(pattern: str) -> frozenset[str]:
    """The heads of the lines that `pattern` matches from end to end; one shorter than HEAD_CHARS stands for all that begin so."""
    for chars in range(HEAD_CHARS, _FEW_CHARS - 1, -1):
        try:
            heads = _Walk(chars, _MOST_HEADS if chars == _FEW_CHARS else _MANY_HEADS).of(pattern)
        except _TooMany:
            continue
        except (_Anything, Unknown):
            break
        return ANYTHING if "" in heads else heads
    return ANYTHING


def known_heads(pattern: str) -> frozenset[str]:
    """`heads_of(pattern)`, looked up when the pattern is the product's own."""
    found = kept().get(_name(pattern))
    return heads_of(pattern) if found is None else frozenset(found)


def pack(heads: Mapping[str, Collection[str]]) -> bytes:
    """The file KNOWN, from the heads of patterns."""
    named = {_name(pattern): sorted(found) for pattern, found in heads.items()}
    return packed.pack(dict(sorted(named.items())))


@cache
def kept() -> dict[str, list[str]]:
    """What the file KNOWN holds: heads by the name of their pattern."""
    read: dict[str, list[str]] = packed.unpack(packed.read("etl.boilerplate", "weights", KNOWN))
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
            return _ALIKE.get(other, other)
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
    table[list(map(ord, _ALIKE))] = list(map(ord, _ALIKE.values()))
    table.flags.writeable = False
    return table


class _Anything(Exception):
    """A pattern whose matches can begin with anything."""


class _TooMany(Exception):
    """More heads than are worth while."""


class _Walk:
    """Walks a pattern once, carrying the heads that can still grow; those that are done are in `full`."""

    def __init__(self, chars: int, most: int) -> None:
        self.chars = chars
        self.most = most
        self.full: set[str] = set()

    def of(self, pattern: str) -> frozenset[str]:
        rest = self.after(read_pattern(pattern), frozenset([""]))
        self.check(rest)
        return rest | self.full

    def after(self, node: Node, heads: _Heads) -> _Heads:
        """The heads after `node`, from those before it."""
        match node:
            case Chars():
                return self.extend(heads, node)
            case Place():
                return heads
            case Sequence(parts):
                for part in parts:
                    heads = self.after(part, heads)
                    self.check(heads)
                return heads
            case Choice(parts):
                found: set[str] = set()
                for part in parts:
                    found |= self.after(part, heads)
                    self.check(found)
                return frozenset(found)
            case Repeat():
                return self.repeated(node, heads)

    def repeated(self, node: Repeat, heads: _Heads) -> _Heads:
        found: _Heads = frozenset() if node.low else heads
        after = heads
        for done in range(1, min(node.high if node.high is not None else _MOST_ROUNDS, _MOST_ROUNDS) + 1):
            more = self.after(node.part, after)
            self.check(more)
            if more == after:
                return found | more
            after = more
            found = after if done <= node.low else found | after
            if not after:
                break
        return found

    def check(self, heads: Collection[str]) -> None:
        if "" in self.full:
            raise _Anything
        if len(heads) + len(self.full) > self.most:
            raise _TooMany

    def extend(self, heads: _Heads, chars: Chars) -> _Heads:
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
