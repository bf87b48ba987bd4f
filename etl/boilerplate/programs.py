"""Patterns as programs for the kernel: which lines a pattern matches, without an engine for regular expressions.

A program is a list of steps. Two kinds take a character of a set; the others take none: go on at two places, or at another
one, go on where a condition holds, and the end. The kernel follows all ways at once, character by character, so that no line
costs more than its length times the program's.

What characters there are is told by Rust's engine itself: a set is written as a pattern (`Chars.written`), the engine
says which code points that matches (`kernels.matching_ranges`), and what the engine understands by letters, digits or letters of either case
holds here too. Code points that no set tells apart are one class, and the kernel sees classes alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Sequence as Row
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from etl import kernels, packed
from etl.boilerplate import heads
from etl.boilerplate.patterns import Chars, Choice, Node, Place, Repeat, Sequence, Unknown, read_pattern

Array = npt.NDArray[Any]
Ranges = Row[tuple[int, int]]

KNOWN: Final = "rules.zst"
MOST_STEPS: Final = 20_000  # of one program
WORD: Final = r"(?-u:\w)"  # the characters that its \b stands between
TAKE, TAKE_SET, SPLIT, JUMP, CHECK, DONE = range(6)
"""What a step does, in its lowest bits; the rest is its argument: a class, a set, how far away the other place is, a condition."""
STEP_BITS: Final = 3
AT_START, AT_END, AT_WORD, NOT_AT_WORD = 1, 2, 4, 8
"""Conditions of a place, as bits."""
_PLACES: Final = {
    "": 0,
    r"(?i-su:\b)": AT_WORD,
    r"(?-isu:\b)": AT_WORD,
    r"(?i-su:\B)": NOT_AT_WORD,
    r"(?-isu:\B)": NOT_AT_WORD,
}
_FAR: Final = 1 << 27  # distances are counted from here


class Program(NamedTuple):
    """Steps, in which a set of characters is told by its place in `sets`."""

    steps: tuple[int, ...]
    sets: tuple[Chars, ...]


@dataclass(frozen=True, slots=True)
class Linked:
    """Programs one after the other, made for the kernel.

    first, klass: the code points at which another class begins, and that class. word: whether its characters are those of WORD.
    sets: of each set a bit for each class, 64 in a word. begin: of each program its first step, and one more.
    """

    steps: Array
    begin: Array
    first: Array
    klass: Array
    word: Array
    sets: Array


def program_of(pattern: str) -> Program | None:
    """The program of a pattern that ignores case unless it says otherwise; None when that can't be told, or is too long."""
    try:
        return _Writer().program(read_pattern(pattern))
    except (Unknown, RecursionError):
        return None


class _Writer:
    def __init__(self) -> None:
        self.steps: list[int] = []
        self.sets: dict[Chars, int] = {}

    def program(self, node: Node) -> Program:
        self.write(node)
        self.add(DONE, 0)
        return Program(tuple(self.steps), tuple(self.sets))

    def add(self, step: int, argument: int) -> int:
        """Where the step is."""
        if len(self.steps) >= MOST_STEPS:
            raise Unknown
        self.steps.append(argument << STEP_BITS | step)
        return len(self.steps) - 1

    def lead(self, step: int) -> None:
        """Have the step at `step` lead to where the next one will be."""
        self.steps[step] = (self.steps[step] & (1 << STEP_BITS) - 1) | _FAR + len(self.steps) - step << STEP_BITS

    def write(self, node: Node) -> None:
        match node:
            case Chars():
                if not node.written:
                    raise Unknown
                self.add(TAKE_SET, self.sets.setdefault(node, len(self.sets)))
            case Place(start, end, written):
                if written not in _PLACES:
                    raise Unknown
                if condition := _PLACES[written] | AT_START * int(start) | AT_END * int(end):
                    self.add(CHECK, condition)
            case Sequence(parts):
                for part in parts:
                    self.write(part)
            case Choice(parts):
                ends = []
                for part in parts[:-1]:
                    other = self.add(SPLIT, 0)
                    self.write(part)
                    ends.append(self.add(JUMP, 0))
                    self.lead(other)
                self.write(parts[-1])
                for step in ends:
                    self.lead(step)
            case Repeat(part, low, high):
                self.repeat(part, low, high)

    def repeat(self, part: Node, low: int, high: int | None) -> None:
        for _ in range(low):
            self.write(part)
        if high is None:
            out = self.add(SPLIT, 0)
            self.write(part)
            self.add(JUMP, _FAR + out - len(self.steps))
            self.lead(out)
            return
        outs = []
        for _ in range(high - low):
            outs.append(self.add(SPLIT, 0))
            self.write(part)
        for out in outs:
            self.lead(out)


def ranges_of(chars: Chars, kept: Mapping[str, Ranges]) -> Ranges:
    """The code points of a set, as ranges, last one included. kept: of sets that only the engine can tell, what it told."""
    flags = chars.written[2 : chars.written.index(":")].partition("-")[0]
    if chars.letters or chars.others or "u" not in flags:
        return kept.get(chars.written) or kernels.matching_ranges(f"^{chars.written}$")
    newline = chars.written.endswith(":.)") and "s" not in flags
    codes = np.array(sorted(map(ord, chars.members)) + [ord("\n")] * newline, np.int64)
    if "i" in flags and len(codes):
        folded, order = _by_fold()
        asked = np.unique(heads.fold_table()[codes])
        low, high = np.searchsorted(folded, asked, "left"), np.searchsorted(folded, asked, "right")
        codes = np.sort(np.concatenate([order[a:b] for a, b in zip(low.tolist(), high.tolist(), strict=True)]))
    if not chars.negated:
        return [(code, code) for code in codes.tolist()]
    edges = [-1, *codes.tolist(), kernels.CODE_POINTS]
    return [(low + 1, high - 1) for low, high in pairwise(edges) if high - low > 1]


@cache
def _by_fold() -> tuple[Array, Array]:
    """(what code points fold to, the code points), sorted by the first."""
    fold = heads.fold_table()
    order = np.argsort(fold, kind="stable")
    return fold[order], order


def link(programs: Row[Program], kept: Mapping[str, Ranges]) -> Linked:
    """`programs`, in their order, with classes of characters in place of sets. kept: as `ranges_of` takes it."""
    numbers: dict[Chars, int] = {}
    for program in programs:
        for chars in program.sets:
            numbers.setdefault(chars, len(numbers))
    ranges = [ranges_of(chars, kept) for chars in numbers]
    ranges.append(kept.get(WORD) or kernels.matching_ranges(f"^{WORD}$"))
    first, klass, members = _classes(ranges)
    alone = np.array([len(held) == 1 for held in members])
    step_of = np.where(alone, TAKE, TAKE_SET)
    wide = np.cumsum(~alone) - 1
    argument = np.array(
        [held[0] if one else place for held, one, place in zip(members, alone, wide, strict=True)], np.int64
    )
    n_classes = int(klass.max()) + 1
    bits = np.zeros((int((~alone).sum()), -(-n_classes // 64) * 64), np.bool_)
    for place, held in zip(wide[~alone], (held for held in members if len(held) != 1), strict=True):
        bits[place, held] = True
    made = []
    for program in programs:
        steps = np.array(program.steps, np.int64)
        taken = np.flatnonzero(steps & (1 << STEP_BITS) - 1 == TAKE_SET)
        named = np.array([numbers[chars] for chars in program.sets], np.int64)[steps[taken] >> STEP_BITS]
        steps[taken] = argument[named] << STEP_BITS | step_of[named]
        made.append(steps.astype(np.uint32))
    word = np.zeros(n_classes, np.uint8)
    word[members[-1]] = 1
    return Linked(
        steps=np.concatenate([*made, np.zeros(0, np.uint32)]),
        begin=np.cumsum([0, *map(len, made)]),
        first=first,
        klass=klass,
        word=word,
        sets=np.packbits(bits, axis=1, bitorder="little").view(np.uint64),
    )


def _classes(ranges: Row[Ranges]) -> tuple[Array, Array, list[Array]]:
    """(where another class begins, that class, for each set the classes in it) for the coarsest classes that tell the sets apart."""
    names = np.random.default_rng(0).integers(1, 1 << 63, len(ranges), np.int64)
    edges = np.unique(
        [0, *(edge for one in ranges for low, high in one for edge in (low, high + 1) if edge < kernels.CODE_POINTS)]
    )
    inside = np.zeros(
        len(edges) + 1, np.int64
    )  # the sum of the names of the sets that hold the code points from an edge on
    places = []
    for name, one in zip(names, ranges, strict=True):
        lows, highs = np.array(one, np.int64).reshape(-1, 2).T
        low, high = np.searchsorted(edges, lows), np.searchsorted(edges, highs + 1)
        np.add.at(inside, low, name)
        np.add.at(inside, high, -name)
        places.append((low, high))
    _, index, klass = np.unique(np.cumsum(inside[:-1]), return_index=True, return_inverse=True)
    klass = np.argsort(np.argsort(index))[klass]  # those of the first characters, which are in most texts, come first
    members = [
        np.unique(np.concatenate([klass[a:b] for a, b in zip(low.tolist(), high.tolist(), strict=True)] or [klass[:0]]))
        for low, high in places
    ]
    return edges.astype(np.uint32), klass.astype(np.uint16), members


def told_by_engine(sets: Iterable[Chars]) -> dict[str, Ranges]:
    """The code points of those of `sets` that only the engine can tell, and of WORD, by how they are written."""
    asked = sorted({chars.written for chars in sets if chars.letters or chars.others} | {WORD})
    return {written: kernels.matching_ranges(f"^{written}$") for written in asked}


def pack(of: str, tables: Mapping[str, Array], told: Mapping[str, Ranges]) -> bytes:
    """The file KNOWN: the tables that rules.py makes of the product's own rules, and what `told_by_engine` gave for their sets.

    of: a name for the rules.
    """
    arrays: dict[str, Any] = {
        "of": np.frombuffer(of.encode(), np.uint8),
        "asked": np.frombuffer("\0".join(told).encode(), np.uint8),
        "told_of": np.cumsum([0, *map(len, told.values())]),
        "told": np.array([pair for one in told.values() for pair in one], np.uint32),
        **tables,
    }
    return packed.pack_arrays(arrays)


@cache
def kept() -> Mapping[str, Array]:
    """What the file KNOWN holds."""
    return packed.unpack_arrays(packed.read("etl.boilerplate", "weights", KNOWN))


@cache
def kept_ranges() -> dict[str, Ranges]:
    """What `told_by_engine` gave for the sets of the product's own rules."""
    asked, told = kept()["asked"].tobytes().decode().split("\0"), kept()["told"].tolist()
    ends = kept()["told_of"].tolist()
    return {one: told[low:high] for one, (low, high) in zip(asked, pairwise(ends), strict=True)}
