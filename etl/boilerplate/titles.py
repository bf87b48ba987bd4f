"""Lines that say a title which is known: in the head with or without the site, or anywhere word for word."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
from rapidfuzz import fuzz, process

from etl.boilerplate import native
from etl.boilerplate.body import HEAD_CHARS
from etl.boilerplate.lines import replace_rows

Array = npt.NDArray[Any]

TITLE_CHARS_MIN: Final = 8
REPEAT_LINES: Final = 60  # further down only a line that is the title word for word goes
TOP_LINES: Final = 3  # below these a line must begin as the title does
TITLE_CHARS_SLACK: Final = 3  # a repeat below the head may differ by a space or a quotation mark
NEAR_TITLE: Final = 92.0  # rapidfuzz ratio of two normalised titles that differ by a comma, a quote, a word's ending


def title_keys(texts: pl.Series) -> pl.Series:
    """`texts`, without nulls, as titles are compared: lower case, one space for whatever is neither letter nor number."""
    if not native.available():
        return _keys(texts)
    keys, unsure = native.title_keys(texts)
    if not len(unsure):
        return keys
    return replace_rows(keys, unsure, native.title_keys(texts.gather(unsure).str.to_lowercase())[0])


def _keys(texts: pl.Series) -> pl.Series:
    return texts.str.to_lowercase().str.replace_all(f"{native.WORD}+".replace("[", "[^", 1), " ").str.strip_chars()


@dataclass(frozen=True, slots=True)
class Known:
    """The titles that are known, at most one a document.

    titles: stripped. chars: of each as it was given. place: of each document up to the last one, -1 without a title.
    """

    titles: pl.Series
    keys: pl.Series
    chars: Array
    place: Array


def known_titles(doc: pl.Series, titles: pl.Series) -> Known:
    """`titles` of the documents `doc`, to be looked up."""
    rows = doc.to_numpy()
    place = np.full(1 + int(rows.max(initial=0)), -1)
    place[rows] = np.arange(len(rows))
    chars = titles.str.len_chars().to_numpy().astype(np.int64)
    return Known(titles.str.strip_chars(), title_keys(titles), chars, place)


def repeats(head: pl.DataFrame, known: Known) -> pl.DataFrame:
    """Lines of the head that say the known title, with or without the site: row, doc, title, site, rule, score, idx."""
    idx, chars = head["idx"].to_numpy(), head["chars"].to_numpy().astype(np.int64)
    place = _places(head["doc"].to_numpy(), known.place)
    rows = np.flatnonzero((place >= 0) & (idx <= REPEAT_LINES))
    place = place[rows]
    room, own = known.titles.str.len_chars().to_numpy().astype(np.int64)[place], chars[rows]
    of_length = (own * 10 >= room * 6) & (own <= room + 60) & (own <= room * 3)
    rows, place = rows[of_length], place[of_length]
    near_top = idx[rows] <= TOP_LINES
    below = np.flatnonzero(~near_top)
    begins = known.titles.gather(place[below]).str.head(4).str.to_lowercase()
    near_top[below] = (head["bare"].gather(rows[below]).str.head(4).str.to_lowercase() == begins).to_numpy()
    rows, place = rows[near_top], place[near_top]
    return _judged(head.select("row", "doc", "idx", "bare")[rows], known, place)


def _judged(rows: pl.DataFrame, known: Known, place: Array) -> pl.DataFrame:
    """Those of `rows` that repeat the title at their `place`, with what `repeats` tells of them."""
    rows = rows.with_columns(
        key=title_keys(rows["bare"]),
        title_key=known.keys.gather(place),
        title=known.titles.gather(place),
    )
    key, title = pl.col("key"), pl.col("title_key")
    key_chars, title_key_chars = key.str.len_chars(), title.str.len_chars()
    pairs = rows["key"].to_list(), rows["title_key"].to_list()
    ratios = process.cpdist(*pairs, scorer=fuzz.ratio, score_cutoff=NEAR_TITLE, dtype=np.float32)
    rows = rows.with_columns(
        pl.Series("ratio", ratios, dtype=pl.Float32),
        starts=key.str.starts_with(title) & (key != title),
        contained=title.str.starts_with(key) & (key_chars >= TITLE_CHARS_MIN) & (key_chars * 2 >= title_key_chars),
    ).filter((pl.col("ratio") > 0) | pl.col("starts") | pl.col("contained"))
    starts = rows["starts"].arg_true()
    suffix = r"(?:\s*[|｜_–—»›-]+\s*|\s+[:•·/]\s+)([^|｜»›]{2,60})$"
    sites = rows["bare"].gather(starts).str.extract(suffix).str.strip_chars()
    site_chars = title_keys(sites.fill_null("")).str.len_chars()
    rows = rows.with_columns(
        site=pl.Series([None], dtype=pl.String).new_from_index(0, rows.height).scatter(starts, sites),
        site_chars=pl.zeros(rows.height, pl.UInt32, eager=True).scatter(starts, site_chars),
    )
    with_site = (
        pl.col("starts") & pl.col("site").is_not_null() & (key_chars <= title_key_chars + 1 + pl.col("site_chars"))
    )
    rest = pl.col("title").str.slice(pl.col("bare").str.len_chars())
    without_site = pl.col("contained") & rest.str.contains(r"^\s*[|｜_–—»›:·-]\s*\S.{0,60}$|^\s*(?:…|\.\.\.)$")
    cut_short = pl.col("contained") & pl.col("bare").str.contains(r"(?:…|\.\.\.)$")
    near = (pl.col("ratio") >= NEAR_TITLE) & ((pl.col("idx") <= 15) | (key == title))
    return (
        rows.with_columns(near=near, with_site=with_site)
        .filter(pl.col("near") | pl.col("with_site") | without_site | cut_short)
        .select(
            "row",
            "doc",
            "title",
            site=pl.when("with_site").then(pl.col("site")),
            rule=pl.when("with_site").then(pl.lit("title-site-suffix")).otherwise(pl.lit("repeated-title")),
            score=pl.when("near").then(pl.col("ratio") / 100).otherwise(pl.lit(0.95)).cast(pl.Float32),
            idx="idx",
        )
    )


def later_repeats(lines: pl.DataFrame, known: Known) -> pl.DataFrame:
    """Whole lines anywhere that are the title, word for word: row, rule, score."""
    chars = lines["end"].to_numpy().astype(np.int64) - lines["start"].to_numpy()
    wanted = np.append(np.where(known.chars >= TITLE_CHARS_MIN, known.chars, -HEAD_CHARS), -HEAD_CHARS)
    place = _places(lines["doc"].to_numpy(), known.place)
    rows = np.flatnonzero(np.abs(chars - wanted[place]) <= TITLE_CHARS_SLACK)
    same = (title_keys(lines["text"].gather(rows)) == known.keys.gather(place[rows])).to_numpy()
    return pl.DataFrame({"row": pl.Series(rows[same], dtype=pl.UInt32)}).with_columns(
        rule=pl.lit("repeated-title"), score=pl.lit(1.0, pl.Float32)
    )


def _places(doc: Array, place: Array) -> Array:
    """The place of the title of each of those documents, which are in order; -1 without one."""
    inside = int(np.searchsorted(doc, len(place)))
    return np.append(place[doc[:inside]], np.full(len(doc) - inside, -1))
