"""The table of lines: every boilerplate step reads it and marks rows in it.

Columns: doc u32 (row of the document in the batch), line u32 (number in the document, blank lines counted), start and
end u32 (code points in the repaired text, end exclusive, newline not included), text. Only lines with a visible
character are rows. One splitter for the whole project, on the newline alone: `str.splitlines` also splits on form feed
and U+2028.
"""

from __future__ import annotations

from typing import Final

import polars as pl

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
