"""The table of lines: every boilerplate step reads it and marks rows in it.

Columns: doc u32 (row of the document in the batch), line u32 (number in the document, blank lines counted), start and
end u32 (code points in the repaired text, end exclusive, newline not included), text. Only lines with a visible
character are rows. One splitter for the whole project, on the newline alone: `str.splitlines` also splits on form feed
and U+2028.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

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


@dataclass(frozen=True, slots=True)
class Edges:
    """How texts begin and end, an entry a text: cheap conditions, before any pattern sees the text.

    first: its first four bytes as one number, zeros where it has no more. size: how many bytes it has.
    """

    first: npt.NDArray[np.uint32]
    size: npt.NDArray[np.int32]
    _views: npt.NDArray[np.int32]
    _held: tuple[npt.NDArray[np.uint8], ...]

    def may_open_blank(self) -> npt.NDArray[np.bool_]:
        """Whether each text can begin with white space: true wherever it does."""
        blank = _BLANK_BYTES[0][self.first & 0xFF]
        general = np.flatnonzero((self.first & 0xFF) == _GENERAL_PUNCTUATION)  # quotation marks too, which are many
        blank[general] = _BLANK_BYTES[2][self.first[general] >> 16 & 0xFF]
        return blank

    def last(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        """The last byte of each of those texts, 0 of an empty one."""
        views, size = self._views[rows], self.size[rows]
        last = np.zeros(len(rows), np.uint8)
        inside = np.flatnonzero((size > 0) & (size <= _INSIDE_BYTES))
        last[inside] = views[inside].view(np.uint8)[np.arange(len(inside)), size[inside] + 3]
        apart = size > _INSIDE_BYTES
        for number, held in enumerate(self._held):
            here = np.flatnonzero(apart & (views[:, 2] == number))
            last[here] = held[views[here, 3].astype(np.int64) + size[here] - 1]
        return last


_INSIDE_BYTES: Final = 12  # Arrow keeps a text of this size inside its view; of a longer one, where it lies
_GENERAL_PUNCTUATION: Final = 0xE2
_BLANK_CHARS: Final = [char.encode() for char in map(chr, range(0x3001)) if char.isspace()]
_BLANK_BYTES: Final = [
    np.isin(np.arange(256), [*(char[at] for char in _BLANK_CHARS if len(char) > at), *range(0x21 if not at else 0)])
    for at in range(3)
]
"""The first, second and third bytes of white space; control characters among the first."""


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
