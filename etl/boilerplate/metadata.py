"""Title, site, authors and date out of a page's text, and the marks on the lines that say nothing else.

The front of five modules: body.py finds where a page's body begins, titles.py the lines that say a known title, headlines.py
the title where the input gave none, bylines.py and dates.py the rest. A value that the input gave always wins.

Rules: title, title-site-suffix, repeated-title, byline, dateline (whole lines) and date-prefix (a span).
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import polars as pl

from etl.boilerplate import bylines, dates, headlines, titles
from etl.boilerplate.body import read_heads
from etl.boilerplate.dates import LATEST
from etl.boilerplate.lines import MARKS, READER

FOUND: Final = pl.Schema(
    {
        "doc": pl.UInt32(),
        "title": pl.String(),
        "site": pl.String(),
        "authors": pl.List(pl.String()),
        "published_at": pl.Datetime("us", "UTC"),
    }
)

REASONS: Final = {
    "title": "the title, which is in the title column",
    "title-site-suffix": "the title with the site's name, both in their columns",
    "repeated-title": "the title once more",
    "byline": "names the authors, who are in the authors column",
    "dateline": "says when the page was published or updated",
    "date-prefix": "a date saved in front of the first sentence",
}


def extract(lines: pl.DataFrame, docs: pl.DataFrame, *, latest: datetime = LATEST) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Marks (schema MARKS, sorted) on title, byline and date lines, and what they say (schema FOUND, a row a document).

    lines: the table of lines; where a line model left `p_boilerplate`, it helps to find the body. docs: doc, title, site,
    authors, published_at as the input gave them, null where it didn't; also url, lang and fetched_at where there are such
    columns. latest: no later date is believed; nor, by more than a day, one after the page was fetched.
    """
    return READER.submit(_extract, lines, docs, latest).result()


def _extract(lines: pl.DataFrame, docs: pl.DataFrame, latest: datetime) -> tuple[pl.DataFrame, pl.DataFrame]:
    head, every = read_heads(lines)
    known = docs.select("doc", "title").filter(pl.col("title").str.contains(r"[\p{L}\p{N}]"))
    named = titles.known_titles(known["doc"], known["title"])
    dated = dates.date_lines(head, docs, latest=latest)
    prefixes = dates.date_prefixes(every, docs, latest=latest)
    signed = bylines.byline_lines(head)
    repeats = titles.repeats(head, named)
    untitled = docs.filter(~pl.col("doc").is_in(known["doc"].implode())) if known.height < docs.height else docs.clear()
    told = headlines.title_lines(head, every, untitled, dates=dated, bylines=signed)
    going = told.filter("cut").drop("cut")
    if going.height:
        every_title = pl.concat([known, going.select("doc", "title").unique("doc")])
        named = titles.known_titles(every_title["doc"], every_title["title"])
    later = titles.later_repeats(lines, named)
    names = bylines.bare_names(head, titles=pl.concat([repeats, going]), bylines=signed)
    decided = [going, repeats, later, signed.filter("cut"), names, dated.filter("cut")]
    marks = _marks(lines, pl.concat([rows.select("row", "rule", "score") for rows in decided]), prefixes)
    found = _found(
        docs,
        titles=pl.concat([told.drop("cut"), repeats]),
        bylines=pl.concat([signed, names]),
        dates=pl.concat([dated, prefixes.select(dated.columns)]),
    )
    return marks, found


def _marks(lines: pl.DataFrame, whole: pl.DataFrame, prefixes: pl.DataFrame) -> pl.DataFrame:
    """The marks on whole lines (`whole`: row, rule, score; the first decision on a row counts) and on prefixes."""
    whole = whole.unique("row", keep="first", maintain_order=True)
    spots = lines.select("doc", "line", "start", "end")[whole["row"]]
    marks = pl.concat(
        [
            pl.concat([spots, whole.select("rule", "score")], how="horizontal").with_columns(unit=pl.lit("line")),
            prefixes.select("doc", "line", "start", "end", "rule", "score").with_columns(unit=pl.lit("span")),
        ],
        how="vertical_relaxed",
    )
    reason = pl.col("rule").replace_strict(REASONS, return_dtype=pl.String)
    return (
        marks.with_columns(reason=reason)
        .select(pl.col(name).cast(kind) for name, kind in MARKS.items())
        .sort("doc", "start", "end", "rule")
    )


# ---- what was found ------------------------------------------------------------------------------------------------------


def _found(docs: pl.DataFrame, *, titles: pl.DataFrame, bylines: pl.DataFrame, dates: pl.DataFrame) -> pl.DataFrame:
    """One row a document (schema FOUND): the input's values, and what its text says where the input said nothing."""
    far = (pl.col("body") - pl.col("idx")).abs()
    title = titles.sort("doc", "rule", "idx").filter(pl.col("rule") != "repeated-title")
    site = titles.drop_nulls("site").sort("doc", "idx")
    authors = bylines.with_columns(far=far).sort("doc", "far", "idx")
    if "fetched_at" in docs.columns:
        dates = dates.join(docs.select("doc", "fetched_at"), on="doc", how="left", maintain_order="left").filter(
            (pl.col("published_at") <= pl.col("fetched_at") + pl.duration(days=1)).fill_null(True)
        )
    best_first = ["doc", "is_update", "labelled", "alone", "far", "idx"]
    date = dates.with_columns(far=far).sort(best_first, descending=[False, False, True, True, False, False])
    rows = docs.select("doc", "title", "site", "authors", "published_at")
    for part, column in ((title, "title"), (site, "site"), (authors, "authors"), (date, "published_at")):
        first = part.select("doc", pl.col(column).alias(f"told_{column}")).unique(
            "doc", keep="first", maintain_order=True
        )
        rows = rows.join(first, on="doc", how="left", maintain_order="left")
    return rows.select(
        "doc",
        title=_given_or_told("title", pl.col("title").str.contains(r"[\p{L}\p{N}]")),
        site=_given_or_told("site", pl.col("site") != ""),
        authors=_given_or_told("authors", pl.col("authors").list.len() > 0),
        published_at=pl.coalesce("published_at", "told_published_at"),
    ).select(pl.col(name).cast(kind) for name, kind in FOUND.items())


def _given_or_told(column: str, is_given: pl.Expr) -> pl.Expr:
    return pl.when(is_given.fill_null(False)).then(column).otherwise(f"told_{column}")
