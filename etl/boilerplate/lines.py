"""The table of lines: every boilerplate step reads it and marks rows in it.

Columns: doc u32 (row of the document in the batch), line u32 (number in the document, blank lines counted), start and
end u32 (code points in the repaired text, end exclusive, newline not included), text. Only lines with a visible
character are rows. One splitter for the whole project, on the newline alone: `str.splitlines` also splits on form feed
and U+2028.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from etl.boilerplate import native

LINES: Final = pl.Schema({"doc": pl.UInt32, "line": pl.UInt32, "start": pl.UInt32, "end": pl.UInt32, "text": pl.String})

VISIBLE: Final = r"[^\s\p{C}\p{Z}]"
"""A character that can be seen."""

MARKS: Final = pl.Schema(
    {
        "doc": pl.UInt32,
        "line": pl.UInt32,
        "start": pl.UInt32,
        "end": pl.UInt32,
        "unit": pl.String,
        "rule": pl.String,
        "score": pl.Float32,
        "reason": pl.String,
    }
)
"""What a step returns: the part to cut (a whole line's start and end, or a span inside it), and why."""

READER: Final = ThreadPoolExecutor(1, thread_name_prefix="reader")
"""The thread in which titles, bylines, dates and captions are looked for. Polars keeps the last 32 compiled patterns of each
thread; there these are compiled once, and not again for every batch."""


def split_lines(texts: pl.Series) -> pl.DataFrame:
    """The lines of `texts`, a string column with one repaired text a row, as a table with the schema LINES."""
    if native.available():
        return native.split_lines(texts, VISIBLE)
    return (
        texts.to_frame("text")
        .with_row_index("doc")
        .lazy()
        .with_columns(pl.col("text").str.split("\n"))
        .with_columns(line=pl.int_ranges(0, pl.col("text").list.len(), dtype=pl.UInt32))
        .explode("text", "line")
        .with_columns(chars=pl.col("text").str.len_chars())
        .with_columns(end=(pl.col("chars") + 1).cum_sum().over("doc") - 1)
        .with_columns(start=pl.col("end") - pl.col("chars"))
        .filter(pl.col("text").str.contains(VISIBLE))
        .select(pl.col(name).cast(kind) for name, kind in LINES.items())
        .collect()
    )


Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Edges:
    """How texts begin and end, an entry a text: cheap conditions, before any pattern sees the text.

    first: its first four bytes as one number, zeros where it has no more. size: how many bytes it has.
    """

    first: npt.NDArray[np.uint32]
    size: npt.NDArray[np.int32]
    _views: npt.NDArray[np.int32]
    _held: tuple[npt.NDArray[np.uint8], ...]

    def open_blank(self) -> Flags:
        """Whether each text may begin with white space; true where it is empty or begins with a control character too."""
        one = self.first & 0xFF
        return (one <= 0x20) | _blank(one, self.first >> 8 & 0xFF, self.first >> 16 & 0xFF)

    def close_blank(self, rows: npt.NDArray[np.int64]) -> Flags:
        """The same of the ends of those texts."""
        one = self.last(rows)
        blank = one <= 0x20
        beyond = np.flatnonzero(one >= 0x80)
        three, two, one = self.last(rows[beyond], 2), self.last(rows[beyond], 1), one[beyond]
        blank[beyond] = _blank(three, two, one) | ((two == _LATIN) & _blank(two, one, one))
        return blank

    def last(self, rows: npt.NDArray[np.int64], back: int = 0) -> npt.NDArray[np.uint8]:
        """The last byte of each of those texts, or one so many before it; 0 where there is none."""
        views, at = self._views[rows], self.size[rows] - 1 - back
        last = np.zeros(len(rows), np.uint8)
        inside = np.flatnonzero((at >= 0) & (self.size[rows] <= _INSIDE_BYTES))
        last[inside] = views[inside].view(np.uint8)[np.arange(len(inside)), at[inside] + 4]
        apart = self.size[rows] > _INSIDE_BYTES
        for number, held in enumerate(self._held):
            here = np.flatnonzero(apart & (views[:, 2] == number))
            last[here] = held[views[here, 3].astype(np.int64) + at[here]]
        return last


_INSIDE_BYTES: Final = 12  # Arrow keeps a text of this size inside its view; of a longer one, where it lies
_LATIN: Final = 0xC2
_BLANKS: Final = [char.encode() for char in map(chr, range(0x3001)) if char.isspace() and not char.isascii()]
_BLANK_LEADS: Final = sorted({char[0] for char in _BLANKS})
_LATIN_BLANKS: Final = [char[1] for char in _BLANKS if len(char) == 2]
_LONG_BLANKS: Final = [int.from_bytes(char, "big") for char in _BLANKS if len(char) == 3]


def _blank(one: npt.NDArray[Any], two: npt.NDArray[Any], three: npt.NDArray[Any]) -> Flags:
    """Whether those bytes begin with white space beyond ASCII."""
    blank = np.zeros(len(one), np.bool_)
    rows = np.flatnonzero(np.isin(one, _BLANK_LEADS))
    one, two, three = (some[rows].astype(np.int64) for some in (one, two, three))
    is_latin = (one == _LATIN) & np.isin(two, _LATIN_BLANKS)
    blank[rows] = is_latin | np.isin(one << 16 | two << 8 | three, _LONG_BLANKS)
    return blank


def edges(texts: pl.Series) -> Edges:
    """The edges of `texts`, a string column without nulls, out of Arrow's views of them: no text is read or copied."""
    n = len(texts)
    if not n:
        return Edges(np.zeros(0, np.uint32), np.zeros(0, np.int32), np.zeros((0, 4), np.int32), ())
    arrow = texts.rechunk().to_arrow(compat_level=pl.CompatLevel.newest()).cast(pa.string_view())
    _, told, *held = arrow.buffers()
    views = np.frombuffer(told, np.int32).reshape(-1, 4)[arrow.offset : arrow.offset + n]
    return Edges(
        views[:, 1].view(np.uint32), views[:, 0], views, tuple(np.frombuffer(buffer, np.uint8) for buffer in held)
    )


def replace_rows(texts: pl.Series, rows: npt.NDArray[np.int64], others: pl.Series) -> pl.Series:
    """`texts` with `others` at those rows."""
    if not len(rows):
        return texts
    where = np.arange(len(texts))
    where[rows] = len(texts) + np.arange(len(rows))
    return pl.concat([texts, others.alias(texts.name)], rechunk=True).gather(where)  # which copies no text


def matching(texts: pl.Series, rows: npt.NDArray[np.int64], pattern: str) -> npt.NDArray[np.int64]:
    """Those of `rows` whose text the pattern matches."""
    met: npt.NDArray[np.int64] = rows[texts.gather(rows).str.contains(pattern).to_numpy()]
    return met
