"""Where the body of each document begins, and the lines above it: what titles, bylines and dates are looked for in."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from etl.boilerplate.lines import Edges, edges, replace_rows

Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

LONG_CHARS: Final = 140  # a line of this length is prose, not a heading
LONG_WIDE_CHARS: Final = 60  # the same in scripts of three bytes a letter, where words are short
SHORT_COST: Final = 70  # a line adds to the body what it has above this length
BODY_LINES: Final = 5  # lines of the body that are compared with a title
HEAD_LINES: Final = 6  # the head of a document that has no prose
HEAD_CHARS: Final = 240  # longest line that is looked at


def read_heads(lines: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The short lines down to where each document's body begins, and all lines there whatever their length.

    Added columns: row (in `lines`), chars, idx (number of the line among the document's lines), body (idx of the first line
    of prose), prose (whether there is any), above and below (blank lines next to it), spaced (whether blank lines stand
    between most paragraphs, so that they tell nothing), on_site (whether most other pages of the site have it), ascii; of
    the short lines also bare, the stripped text.
    """
    if lines.is_empty():
        row = pl.Series("row", [], dtype=pl.UInt32)
        numbers = [pl.lit(0, pl.Int32).alias(name) for name in ("chars", "idx", "body", "above", "below")]
        empty = lines.select("doc", "line", "start", "end", "text", bare="text").with_columns(
            row, *numbers, **dict.fromkeys(("spaced", "prose", "on_site", "ascii"), pl.lit(False))
        )
        return empty, empty
    doc = lines["doc"].to_numpy()
    at = lines["line"].to_numpy().astype(np.int64)
    chars = lines["end"].to_numpy().astype(np.int64) - lines["start"].to_numpy()
    edge = edges(lines["text"])
    n = len(doc)
    is_first = np.r_[True, doc[1:] != doc[:-1]]
    firsts = np.flatnonzero(is_first)
    sizes = np.diff(np.r_[firsts, n])
    idx = np.arange(n) - np.repeat(firsts, sizes)
    size = np.repeat(sizes, sizes)
    wide = edge.size > 2.3 * chars
    long = chars >= np.where(wide, LONG_WIDE_CHARS, LONG_CHARS)
    of_length = np.flatnonzero(long)
    long[of_length] = _end_sentences(lines["text"], edge, of_length)
    if "p_boilerplate" in lines.columns:
        long &= ~(lines["p_boilerplate"].fill_null(0.0).to_numpy() > 0.5)
    recurs = _on_most_pages(lines)
    long &= ~recurs
    late = idx * 10 > size * 7
    body = _body_starts(np.where(wide, chars * 5 // 2, chars), long, late, firsts=firsts, sizes=sizes)
    body_of_row = np.repeat(body, sizes)
    gap = np.where(is_first, at, at - np.r_[0, at[:-1]] - 1)
    below = np.where(np.r_[is_first[1:], True], 0, np.r_[gap[1:], 0])
    of_body = idx > body_of_row
    gaps = np.add.reduceat(((gap > 0) & of_body).astype(np.int64), firsts)
    pairs = np.add.reduceat(of_body.astype(np.int64), firsts)
    spaced = gaps * 3 >= np.maximum(pairs, 1)
    reach = np.flatnonzero(idx <= body_of_row + BODY_LINES)
    every = lines.select("doc", "line", "start", "end", "text")[reach].with_columns(
        pl.Series("row", reach, dtype=pl.UInt32),
        pl.Series("chars", chars[reach], dtype=pl.Int32),
        pl.Series("idx", idx[reach], dtype=pl.Int32),
        pl.Series("body", body_of_row[reach], dtype=pl.Int32),
        pl.Series("above", gap[reach], dtype=pl.Int32),
        pl.Series("below", below[reach], dtype=pl.Int32),
        pl.Series("spaced", np.repeat(spaced, sizes)[reach], dtype=pl.Boolean),
        pl.Series("prose", (body_of_row < size)[reach], dtype=pl.Boolean),
        pl.Series("on_site", recurs[reach], dtype=pl.Boolean),
        pl.Series("ascii", (edge.size == chars)[reach], dtype=pl.Boolean),
    )
    head = every.filter(pl.Series(chars[reach] <= HEAD_CHARS))
    return head.with_columns(
        _stripped(head["text"], edge, head["row"].to_numpy().astype(np.int64)).alias("bare")
    ), every


def _stripped(texts: pl.Series, edge: Edges, rows: Ints) -> pl.Series:
    """`texts` without white space at their ends. edge, rows: the edges of all lines, and which of them these are."""
    blank = np.flatnonzero(edge.open_blank()[rows] | edge.close_blank(rows))
    return replace_rows(texts, blank, texts.gather(blank).str.strip_chars())


def _end_sentences(texts: pl.Series, edge: Edges, rows: Ints) -> Bools:
    """Whether the lines of those rows end as a sentence does; most tell by their last byte."""
    told = _AT_END[edge.last(rows)]
    unsure = np.flatnonzero(told == _UNSURE)
    ends: Bools = told == _ENDS
    ends[unsure] = texts.gather(rows[unsure]).str.tail(4).str.contains(SENTENCE_END).to_numpy()
    return ends


def _on_most_pages(lines: pl.DataFrame) -> Bools:
    """Which lines most of the other pages of their site have, where that is known: its furniture."""
    if not {"site_seen", "site_pages", "site"} <= set(lines.columns):
        return np.zeros(lines.height, bool)
    seen, pages = (lines[name].to_numpy().astype(np.int64) for name in ("site_seen", "site_pages"))
    recurs = (seen >= 1) & (seen * 2 >= pages - 1)
    rows = np.flatnonzero(recurs)
    recurs[rows] = (lines["site"].gather(rows) != "").to_numpy()
    return recurs


SENTENCE_END: Final = r"[.!?。！？…:：;؟।]['\"”’»)\]】」』]*\s*$"
_GOES_ON, _ENDS, _UNSURE = range(3)
_AT_END: Final = np.full(256, _UNSURE, np.uint8)
_AT_END[[byte for byte in range(0x21, 0x7F) if chr(byte) not in "'\")]"]] = _GOES_ON
_AT_END[[ord(char) for char in ".!?:;"]] = _ENDS
"""What the last byte of a line tells of its end: closing quotation marks, white space and letters beyond ASCII leave it open."""


def _body_starts(weight: Ints, long: Bools, late: Bools, *, firsts: Ints, sizes: Ints) -> Ints:
    """Where each document's body begins: the first long line of the stretch with most prose and fewest short lines.

    The stretch of greatest sum, where a line is worth its length less SHORT_COST (both bounded): teasers among
    navigation don't add up, and a few short lines don't end an article. The document's size where nothing is long.
    """
    n = len(weight)
    worth = np.clip(weight, 0, 400) - SHORT_COST
    worth = np.where(long, worth, np.clip(worth, -SHORT_COST // 2, 0))
    worth = np.where(late & long, worth // 2, worth)
    apart = np.repeat(np.arange(len(firsts)) * -(1 << 40), sizes)  # keeps each document's sums below those before it
    total = np.cumsum(worth)
    before = total - worth + apart  # the sum before each line
    lowest = np.minimum.accumulate(before)
    gain = total + apart - lowest
    best = np.maximum.reduceat(gain, firsts)
    at = np.arange(n)
    end = np.minimum.reduceat(np.where(gain == np.repeat(best, sizes), at, n), firsts)
    begin = np.minimum.reduceat(np.where(before == np.repeat(lowest[end], sizes), at, n), firsts)
    in_stretch = long & (at >= np.repeat(begin, sizes))
    first_long = np.minimum.reduceat(np.where(in_stretch, at - np.repeat(firsts, sizes), n), firsts)
    return np.where(first_long >= sizes, sizes, first_long)


def above_body(head: pl.DataFrame) -> Bools:
    """Whether a line stands above the body; among the first few lines, where a document has no prose to go by."""
    idx = head["idx"].to_numpy()
    return (idx < head["body"].to_numpy()) & (head["prose"].to_numpy() | (idx < HEAD_LINES))
