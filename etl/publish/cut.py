"""The one place that cuts: marks become removals that, with the kept text, are the whole repaired text.

A mark covers words; a removal also takes the white space that would be left over. Of the gaps around a run of removed
pieces the one with the most line breaks stays, so that paragraphs keep their breaks and no line ends in a space.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

Span = tuple[int, int]

_GAP: Final = re.compile(r"\s*")

_CJK: Final = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
WORD: Final = rf"[\p{{L}}\p{{N}}\p{{M}}&&[^{_CJK}]]"
"""A character of a word, in the syntax of Polars' engine."""

WORD_ALONE: Final = rf"[{_CJK}]"
"""A character that is a word by itself."""


@dataclass(frozen=True, slots=True)
class Cut:
    """What became of one text. spans: code points removed, one for each mark, in order, end exclusive."""

    kept: str
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Cuts:
    """What became of a batch of texts. starts, ends: of the spans that go, one a mark, in code points; pieces: their texts."""

    kept: pa.LargeStringArray
    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    pieces: pa.LargeStringArray


OUTSIDE: Final = 0
FILLS: Final = 1
PART: Final = 2


@dataclass(frozen=True, slots=True)
class Around:
    """What is around spans. kind: OUTSIDE of the text, FILLS its lines but for blanks, or a PART of them; lines: the lines
    that a span stands in; starts: where it begins in there, in code points."""

    kind: npt.NDArray[np.uint8]
    lines: pl.Series
    starts: npt.NDArray[np.int64]


def lines_around(
    texts: pl.Series, owners: npt.NDArray[Any], starts: npt.NDArray[Any], ends: npt.NDArray[Any]
) -> Around:
    """The lines around spans of `texts`. owners: which text each is of, in order; starts, ends: in code points."""
    kinds, lines, places = [], [], []
    text, last = "", -1
    for owner, start, end in zip(owners.tolist(), starts.tolist(), ends.tolist(), strict=True):  # few: some go
        if owner != last:
            text, last = texts[owner], owner
        begin = text.rfind("\n", 0, start) + 1
        stop = text.find("\n", end)
        line = text[begin : stop if stop >= 0 else len(text)]
        alone = not line[: start - begin].strip() and not line[end - begin :].strip()
        kinds.append(OUTSIDE if not start < end <= len(text) else FILLS if alone else PART)
        lines.append(line)
        places.append(min(start, len(text)) - begin)
    return Around(np.array(kinds, np.uint8), pl.Series(lines, dtype=pl.String), np.array(places, np.int64))


def cut_all(
    texts: pl.Series, bounds: npt.NDArray[Any], starts: npt.NDArray[Any], ends: npt.NDArray[Any]
) -> tuple[Cuts, int]:
    """`texts` without their marks, and the number of the first that would lose or gain a character; -1 when none does.

    bounds: where each text's marks begin in starts and ends (code points, in order, no overlap), and one more.
    """
    kept: list[str] = texts.to_list()
    pieces: list[str] = []
    spans: list[Span] = []
    wrong = -1
    for number in np.flatnonzero(np.diff(bounds)).tolist():  # texts with a mark; measured 4 µs a mark
        low, high = int(bounds[number]), int(bounds[number + 1])
        text = kept[number]
        done = cut(text, list(zip(starts[low:high].tolist(), ends[low:high].tolist(), strict=True)))
        gone = [text[start:end] for start, end in done.spans]
        if wrong < 0 and not is_whole(text, done.kept, list(zip(done.spans, gone, strict=True))):
            wrong = number
        kept[number] = done.kept
        spans += done.spans
        pieces += gone
    edges = np.array(spans, dtype=np.int64).reshape(-1, 2)
    made = [pl.Series(some, dtype=pl.String).to_arrow(compat_level=pl.CompatLevel.oldest()) for some in (kept, pieces)]
    return Cuts(made[0], edges[:, 0], edges[:, 1], made[1]), wrong


def spans(texts: pl.Series, owners: npt.NDArray[Any], starts: npt.NDArray[Any], ends: npt.NDArray[Any]) -> pl.Series:
    """The text of each span. owners: the text each is of, best one after the other; starts, ends: in code points."""
    of = pl.DataFrame({"text": texts.gather(owners), "start": starts, "end": ends})
    return of.select(pl.col("text").str.slice("start", pl.col("end") - pl.col("start")))["text"]


def count_words(texts: pl.Series) -> pl.Series:
    """How many words each text has: runs of letters, marks and digits, but each character of Chinese and Japanese."""
    return texts.str.count_matches(rf"{WORD_ALONE}|{WORD}+").cast(pl.Int64).alias("n_words")


def cut(text: str, marks: Sequence[Span]) -> Cut:
    """`text` without `marks`, which are in order, not empty and don't overlap."""
    spans: list[Span] = []
    first = 0
    while first < len(marks):
        last = first
        gaps = [(_gap_before(text, marks[first][0], spans[-1][1] if spans else 0), marks[first][0])]
        while True:
            end = marks[last][1]
            after = _gap_end(text, end)
            gaps.append((end, after))
            if last + 1 == len(marks) or marks[last + 1][0] > after:
                break
            gaps[-1] = (end, marks[last + 1][0])
            last += 1
        spans.extend(_spans(text, marks[first : last + 1], gaps))
        first = last + 1
    pieces: list[str] = []
    at = 0
    for start, end in spans:
        pieces.append(text[at:start])
        at = end
    pieces.append(text[at:])
    return Cut("".join(pieces), tuple(spans))


def is_whole(text: str, kept: str, removed: Sequence[tuple[Span, str]]) -> bool:
    """Whether `kept` with `removed` put back is `text`, character for character."""
    pieces: list[str] = []
    whole = taken = 0
    for (start, end), piece in removed:
        if start < whole or end - start != len(piece):
            return False
        pieces.append(kept[taken : taken + start - whole])
        pieces.append(piece)
        taken += start - whole
        whole = end
    pieces.append(kept[taken:])
    return "".join(pieces) == text


def _spans(text: str, marks: Sequence[Span], gaps: Sequence[Span]) -> list[Span]:
    """The spans that cover `marks` and all but one of the `gaps` before, between and after them."""
    at_start, at_end = gaps[0][0] == 0, gaps[-1][1] == len(text)
    if at_start:
        stays = 0
    elif at_end:
        stays = len(marks)
    else:
        stays = max(range(len(gaps)), key=lambda n: (text.count("\n", *gaps[n]), -n))
    spans = [(gaps[n][0], mark[1]) if n < stays else (mark[0], gaps[n + 1][1]) for n, mark in enumerate(marks)]
    if at_start:
        spans[0] = (0, spans[0][1])
    if at_end:
        spans[-1] = (spans[-1][0], len(text))
    return spans


def _gap_before(text: str, start: int, floor: int) -> int:
    while start > floor and text[start - 1].isspace():
        start -= 1
    return start


def _gap_end(text: str, end: int) -> int:
    found = _GAP.match(text, end)
    return found.end() if found else end
