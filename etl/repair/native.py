"""Which texts and lines are to be repaired, by the compiled kernels: what the patterns of mojibake.py match, a batch at a time."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from etl import kernels

Array = npt.NDArray[Any]

SPACE: Final = r"\s"
WORD: Final = r"[\p{L}\p{N}_]"  # what ftfy, that is Python, takes for a character of a word

IS_BAD: Final = 1
IS_MISREAD: Final = 2
IS_ODD: Final = 4

_LINES: Final = (("text", np.int64), ("start", np.int64), ("end", np.int64))
_READINGS: Final = (("evidence", np.int64), ("text", np.uint8), ("offsets", np.int64))
_MENDED: Final = (
    ("ask", np.uint8),
    ("mojibake", np.uint8),
    ("entities", np.int64),
    ("control", np.int64),
    ("text", np.uint8),
    ("past", np.int64),
    *((f"_{name}", np.uint8) for name in ("plain", "chars", "read", "other", "words")),
)
_SPLICED: Final = (("text", np.uint8), ("past", np.int64))
_SIGNED: Final = 0x20000  # code points; those beyond are in no class
_PLACES: Final = 128
_MOST_ASCII: Final = 2  # places in a row that ASCII can stand at; the kernel looks no further around other characters
_ATOM: Final = re.compile(r"\[\^?[^\[\]]+\]|\\[sw]|[^\\\[\](){}*+?^$|]", re.DOTALL)


class _Suspects(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("kind", "low", "high", "misread", "alone")),
        *((name, ctypes.c_uint64 * 2) for name in ("first", "anchored", "last")),
    )


@dataclass(frozen=True, slots=True)
class Signs:
    """The tables of suspicious characters. keep: what they point into."""

    tables: _Suspects
    keep: tuple[Array, ...]


class _Charsets(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("kind", "bytes", "has", "lead", "tail", "signs")),
        ("evidence", ctypes.c_int64),
    )


@dataclass(frozen=True, slots=True)
class Charsets:
    """The tables of the legacy charsets that UTF-8 is read in by mistake. keep: what they point into."""

    tables: _Charsets
    keep: tuple[Array, ...]


class _Entities(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("names", "names_end", "values", "values_end")),
        ("n", ctypes.c_int64),
    )


@dataclass(frozen=True, slots=True)
class Entities:
    """The table of entities that have names. keep: what it points into."""

    table: _Entities
    keep: tuple[Array, ...]


class Mended(NamedTuple):
    """What was made of some lines: `text` is UTF-8, line i of it between starts[i] and ends[i].

    ask: the lines that the kernel isn't certain of; it says nothing of those. mojibake: whether a line was that. entities,
    control: how many entities and control characters were in it.
    """

    ask: Array
    mojibake: Array
    entities: Array
    control: Array
    text: Array
    starts: Array
    ends: Array


class Lines(NamedTuple):
    """Lines in texts: number of the text; where line and text begin and end, as places in `data`, which is UTF-8."""

    text: Array
    start: Array
    end: Array
    first: Array
    past: Array
    data: Array


def available() -> bool:
    """Whether the kernels can be used."""
    return kernels.library() is not None


def untidy(texts: pl.Series) -> pl.Series:
    """Whether each text has line ends, control characters or blanks that the repair does away with."""
    library = kernels.library()
    assert library is not None
    views = kernels.TextViews(texts)
    found = np.zeros(len(texts), np.uint8)
    library.winnow_untidy.restype = None
    library.winnow_untidy(views.pointer, ctypes.c_int64(len(texts)), kernels.pointer(found))
    return pl.Series(found.view(np.bool_))


def suspicious_lines(texts: pl.Series, signs: Signs) -> Lines:
    """The suspicious lines of `texts`, in their order."""
    library = kernels.library()
    assert library is not None
    views = kernels.TextViews(texts)
    library.winnow_suspicious.restype = ctypes.c_void_p
    made = library.winnow_suspicious(ctypes.byref(signs.tables), views.pointer, ctypes.c_int64(len(texts)))
    found = kernels.take_arrays("winnow_suspicious", made, _LINES)
    rows, place = np.unique(found["text"], return_inverse=True)
    data, offsets = kernels.text_buffers(texts.gather(rows))
    first, past = offsets[place], offsets[place + 1]
    return Lines(found["text"], first + found["start"], first + found["end"], first, past, data)


def is_bad(text: str, signs: Signs) -> bool:
    """Whether the pattern of badness matches in `text`, as if it were one line."""
    library = kernels.library()
    assert library is not None
    data = text.encode("utf-8", "surrogatepass")
    return bool(library.winnow_is_bad(ctypes.byref(signs.tables), data, ctypes.c_int64(len(data))))


def strange(texts: Sequence[str], signs: Signs, charsets: Charsets) -> Array:
    """For each text, as if it were one line, the sum of IS_BAD, IS_MISREAD (always with IS_BAD) and IS_ODD."""
    library = kernels.library()
    assert library is not None
    text, offsets = _joined(texts)
    found = np.zeros(len(texts), np.uint8)
    library.winnow_strange.restype = None
    library.winnow_strange(
        ctypes.byref(signs.tables),
        ctypes.c_void_p(charsets.tables.signs),
        *map(kernels.pointer, (text, offsets)),
        ctypes.c_int64(len(texts)),
        kernels.pointer(found),
    )
    return found


def by_words(texts: Sequence[str], charsets: Charsets, *, layers: int) -> tuple[list[int], list[str]]:
    """The evidence left, and the text read, for each of `texts`, as `mojibake._by_words` tells them; in at most so many layers."""
    library = kernels.library()
    assert library is not None
    text, offsets = _joined(texts)
    library.winnow_by_words.restype = ctypes.c_void_p
    made = library.winnow_by_words(
        ctypes.byref(charsets.tables),
        *map(kernels.pointer, (text, offsets)),
        ctypes.c_int64(len(texts)),
        ctypes.c_int64(layers),
    )
    found = kernels.take_arrays("winnow_by_words", made, _READINGS)
    read, edges = found["text"].tobytes(), found["offsets"].tolist()
    return found["evidence"].tolist(), [read[a:b].decode() for a, b in pairwise(edges)]


def mend(lines: Lines, signs: Signs, charsets: Charsets, entities: Entities) -> Mended:
    """The repair of each of `lines`, where it is certain."""
    library = kernels.library()
    assert library is not None
    library.winnow_mend.restype = ctypes.c_void_p
    made = library.winnow_mend(
        *map(ctypes.byref, (signs.tables, charsets.tables, entities.table)),
        *map(kernels.pointer, (lines.data, lines.start, lines.end)),
        ctypes.c_int64(len(lines.start)),
    )
    found = kernels.take_arrays("winnow_mend", made, _MENDED)
    ends = found.pop("past")
    ask = found.pop("ask").view(np.bool_)
    return Mended(ask=ask, starts=np.concatenate([np.zeros(1, np.int64), ends])[:-1], ends=ends, **found)


def spliced(lines: Lines, mended: Mended) -> pl.Series:
    """The texts that `lines` are of, with these replaced."""
    library = kernels.library()
    assert library is not None
    library.winnow_splice.restype = ctypes.c_void_p
    made = library.winnow_splice(
        *map(kernels.pointer, (lines.data, lines.first, lines.past, lines.start, lines.end)),
        ctypes.c_int64(len(lines.start)),
        *map(kernels.pointer, (mended.text, mended.starts, mended.ends)),
    )
    found = kernels.take_arrays("winnow_splice", made, _SPLICED)
    return kernels.text_series(found["text"], np.concatenate([np.zeros(1, np.int64), found["past"]]))


def entities_of(named: Mapping[str, str]) -> Entities:
    """The table for entities, such as "&amp;", and what they stand for."""
    pairs = sorted((name[1:].encode(), value.encode()) for name, value in named.items())
    keep: list[Array] = []
    for column in zip(*pairs, strict=True):
        keep += [np.frombuffer(b"".join(column), np.uint8), np.cumsum([*map(len, column)], dtype=np.int64)]
    return Entities(_Entities(*map(kernels.pointer, keep), len(pairs)), tuple(keep))


def _joined(texts: Sequence[str]) -> tuple[Array, Array]:
    """(bytes, offsets) of some texts: UTF-8, and where each begins, and one more."""
    parts = [text.encode() for text in texts]
    return np.frombuffer(b"".join(parts) or b"\0", np.uint8), np.cumsum([0, *map(len, parts)], dtype=np.int64)


def charsets_of(codecs: Sequence[str], signs: Sequence[str], *, evidence_min: int) -> Charsets:
    """The tables for charsets and for classes of characters, each of which becomes a bit, in the order of the kernel's names."""
    every = np.arange(_SIGNED, dtype="<u4").tobytes().decode("utf-32-le", "surrogatepass")
    told = np.zeros(kernels.CODE_POINTS, np.uint8)
    for bit, members in enumerate(signs):
        for run in re.finditer(f"[{members}]+", every):
            told[run.start() : run.end()] |= 1 << bit
    values = [
        {chars: byte for byte in range(256) if (chars := bytes((byte,)).decode(codec, "ignore"))} for codec in codecs
    ]
    rows = sorted({char for of in values for char in of})
    kind = np.zeros(kernels.CODE_POINTS, np.uint16)
    kind[[ord(char) for char in rows]] = np.arange(1, len(rows) + 1)
    held = np.array([[0] * len(codecs), *([of.get(char, 0) for of in values] for char in rows)], np.uint8)
    has, lead, tail = (np.zeros(len(rows) + 1, np.uint16) for _ in range(3))
    for codec, of in enumerate(values):
        there = np.array([False, *(char in of for char in rows)])
        bits = np.uint16(1 << codec)
        has += there * bits
        lead += (there & (held[:, codec] >= 0xC2) & (held[:, codec] <= 0xF4)) * bits
        tail += (there & (held[:, codec] >= 0x80) & (held[:, codec] <= 0xBF)) * bits
    keep: tuple[Array, ...] = (kind, np.ascontiguousarray(held), has, lead, tail, told)
    return Charsets(_Charsets(*map(kernels.pointer, keep), evidence_min), keep)


def signs_of(badness: str, misread: Sequence[tuple[str, str, str]]) -> Signs | None:
    """The tables for a pattern of badness, and for the leads of two and three bytes and the later bytes of each charset.

    None when the pattern has something that the kernel doesn't know.
    """
    runs = _runs(badness)
    if runs is None:
        return None
    first, anchored, last = [0, 0], [0, 0], [0, 0]
    stands: dict[str, int] = {}  # atom -> the places where it stands
    place = 0
    bare = 0  # the places with ASCII, or nothing, on both sides
    for run, at_start in runs:
        (anchored if at_start else first)[place // 64] |= 1 << place % 64
        plain = [True, *map(_may_be_ascii, run), True]
        for atom, before, after in zip(run, plain, plain[2:], strict=False):
            stands[atom] = stands.get(atom, 0) | 1 << place
            bare |= (before and after) << place
            place += 1
        last[(place - 1) // 64] |= 1 << (place - 1) % 64
    if place > _PLACES:
        return None
    return _tables(stands, misread, bare, (first, anchored, last))


def is_local(pattern: str) -> bool:
    """Whether the alternatives of a pattern are as simple as the kernel wants them, and close around characters beyond ASCII."""
    return _runs(pattern) is not None


def _tables(
    stands: Mapping[str, int],
    misread: Sequence[tuple[str, str, str]],
    bare: int,
    ends: tuple[list[int], ...],
) -> Signs:
    space, word = kernels.character_table(SPACE), kernels.character_table(WORD)
    classes = word.astype(np.uint16) + 2 * space.astype(
        np.uint16
    )  # what is in no set of its own is a word's, a space, or neither
    places: dict[int, int] = {}
    roles: dict[int, int] = {}
    inverse: list[tuple[frozenset[int], int]] = []
    for atom, at in stands.items():
        chars, outside = _characters(atom)
        if outside:
            inverse.append((chars, at))
        for char in chars:
            places[char] = places.get(char, 0) | (0 if outside else at)
    for charset, sets in enumerate(misread):
        for role, members in enumerate(sets):
            for char in map(ord, members):
                roles[char] = roles.get(char, 0) | 1 << (5 * role + charset)
    numbers: dict[tuple[int, int], int] = {}
    for of_word in range(4):
        at = sum(at for atom, at in stands.items() if (atom == WORD and of_word & 1) or (atom == SPACE and of_word & 2))
        numbers[at | sum(at for _, at in inverse), -of_word - 1] = of_word  # kept apart from those of single characters
    kinds = list(numbers)
    for char in sorted({*places, *roles}):
        at = places.get(char, 0) | sum(at for chars, at in inverse if char not in chars)
        at |= sum(at for atom, at in stands.items() if (atom == WORD and word[char]) or (atom == SPACE and space[char]))
        key = (at, roles.get(char, 0))
        if key not in numbers:
            numbers[key] = len(kinds)
            kinds.append(key)
        classes[char] = numbers[key]
    low = np.array([at & (1 << 64) - 1 for at, _ in kinds], np.uint64)
    high = np.array([at >> 64 for at, _ in kinds], np.uint64)
    told = np.array([max(each, 0) for _, each in kinds], np.uint32)
    alone = np.array([at & bare != 0 for at, _ in kinds], np.uint8)
    keep: tuple[Array, ...] = (np.ascontiguousarray(classes), low, high, told, alone)
    pairs = [(ctypes.c_uint64 * 2)(*each) for each in ends]
    return Signs(_Suspects(*map(kernels.pointer, keep), *pairs), keep)


def _runs(pattern: str) -> list[tuple[list[str], bool]] | None:
    """The alternatives of a pattern as runs of atoms, and whether each begins at the line's start; None when it isn't as simple."""
    found: list[tuple[list[str], bool]] = []
    for alternative in _alternatives(pattern):
        at_start = alternative.startswith("^")
        runs: list[list[str]] = [[]]
        end = int(at_start)
        while end < len(alternative):
            atom = _ATOM.match(alternative, end)
            if atom is None:
                return None
            end = atom.end()
            longer = [[*run, atom[0]] for run in runs]
            maybe = alternative.startswith("?", end)
            end += maybe
            runs = [*runs, *longer] if maybe else longer
        if not all(map(_is_near, runs)):
            return None
        found += [(run, at_start) for run in runs]
    return found


def _alternatives(pattern: str) -> list[str]:
    """The pattern cut at the bars outside of classes."""
    return re.findall(r"(?:\[[^\[\]]*\]|\\.|[^\[\]|\\])+", pattern, re.DOTALL)


def _is_near(run: Sequence[str]) -> bool:
    """Whether ASCII can stand only at so few places in a row that the kernel sees what it must, and not at all of them."""
    plain = [_may_be_ascii(atom) for atom in run]
    longest = max(len(part) for part in "".join("x" if each else " " for each in plain).split(" "))
    return not all(plain) and longest <= _MOST_ASCII


def _may_be_ascii(atom: str) -> bool:
    if atom in (SPACE, WORD):
        return True
    chars, outside = _characters(atom)
    return outside or min(chars) < 128


@cache
def _characters(atom: str) -> tuple[frozenset[int], bool]:
    """The code points that an atom names, and whether it stands for all others; of \\s and \\w none, which have tables."""
    if atom in (SPACE, WORD):
        return frozenset(), False
    if atom == ".":
        return frozenset({10}), True
    if not atom.startswith("["):
        return frozenset({ord(atom)}), False
    outside = atom.startswith("[^")
    body = re.sub(r"\\x([0-9a-fA-F]{2})", lambda m: chr(int(m[1], 16)), atom[1 + outside : -1])
    chars: set[int] = set()
    place = 0
    while place < len(body):  # once a process, over some 2,000 characters
        a = ord(body[place])
        if body[place + 1 : place + 2] == "-" and place + 2 < len(body):
            chars.update(range(a, ord(body[place + 2]) + 1))
            place += 3
        else:
            chars.add(a)
            place += 1
    return frozenset(chars), outside
