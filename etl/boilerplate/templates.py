"""Site templates: lines that recur on a site's pages. What a shard contributes, and what the counts then mark.

The counting itself is `templates.sql`, over all shards and earlier runs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import chain, pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
import xxhash

from etl.boilerplate import heads, native
from etl.boilerplate.lines import MARKS, VISIBLE, split_lines
from etl.config import Templates

Lines = npt.NDArray[Any]

PAGES: Final = pl.Schema({"site": pl.String, "doc": pl.Int64, "mass": pl.Int64, "run": pl.String})
PAGE_LINES: Final = pl.Schema({"site": pl.String, "doc": pl.Int64, "line": pl.Int64, "weight": pl.Int32})
LINE_KEYS: Final = pl.Schema({"line": pl.Int64, "near": pl.Int64})
SITE_LINES: Final = pl.Schema({"site": pl.String, "line": pl.Int64, "pages": pl.Int64})
DRIFTED_SITES: Final = pl.Schema({"site": pl.String, "habits": pl.Int64, "kept": pl.Int64})
SITE_PAGES: Final = pl.Schema({"site": pl.String, "pages": pl.Int64})
TABLES: Final = {"pages": PAGES, "page_lines": PAGE_LINES}
"""What `prepare` leaves for barrier 1."""
HASHES: Final = {"page_lines": ("line",)}
"""Columns of which all bits are a hash's."""

KEPT_PAGES: Final = pl.Schema(
    {"site": pl.String, "doc": pl.Int64, "page_group": pl.Int64, "mass": pl.Int64, "run": pl.String}
)
HABITS: Final = pl.Schema({"site": pl.String, "line": pl.Int64, "had": pl.Int64})
STATE: Final = {"kept_pages": KEPT_PAGES, "kept_lines": PAGE_LINES, "habits": HABITS}
"""What a run leaves for barrier 1 of later runs, which reads it as known_…: a sample of each site's pages, their lines
(looked up by `line`), and what most of them had. page_group: the page that a page is a copy of, or itself."""

KNOWN: Final = {"known_pages": "kept_pages", "known_lines": "kept_lines", "known_habits": "habits"}
"""The names by which barrier 1 reads what earlier runs left."""

SURE_PAGES: Final = 6  # groups of pages of which no article can be in so many: the terms of use below a short report

KEPT_UNKNOWN_SITE: Final = 20  # times as many pages are kept where no site is known: a line must be on more of them

TEXT_LINE_CHARS: Final = 60  # shorter lines are furniture more often than text: they don't say whose copy a page is
TEXT_PAGE_CHARS: Final = 200  # a page with less than this in such lines is judged by all its lines

PART_ROWS: Final = 6_000_000  # lines in memory at once while they are sorted

NUMBER: Final = r"\d+(?:[.,:/]\d+)*"
WORDS: Final = (
    r"\p{L}\P{L}*\p{L}\P{L}*\p{L}\P{L}*\p{L}|\p{Han}.*\p{Han}"  # four letters, or two where a letter is a word
)

_SPACES: Final = re.compile(
    "[\\t-\\r \\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]+"
)  # Unicode's white space

SITE_RULE: Final = "site-template"
NEAR_RULE: Final = "site-template-near"
UNKNOWN_SITE_RULE: Final = "corpus-template"


def line_keys(texts: pl.Series) -> pl.DataFrame:
    """LINE_KEYS, two 64-bit keys for each line's text: `line`, the same for lines that differ in case and spacing alone, and `near`.

    Lines with words that differ in numbers too (a date, a time, a count) have `near` in common; it is no line's own key.
    For a line without numbers, and for a line of numbers, both are the same: rows of a table say something.
    """
    keys, near = native.line_keys(texts, VISIBLE) if native.available() else _line_keys(texts)
    return pl.DataFrame({"line": keys, "near": near}, schema=LINE_KEYS)


def _line_keys(texts: pl.Series) -> tuple[list[int], list[int]]:
    numbered = (texts.str.contains(r"\d") & texts.str.contains(WORDS)).to_list()
    masked = texts.str.replace_all(NUMBER, "\x00").to_list()
    keys = [_key(text) for text in texts.to_list()]
    return keys, [_key(text) if some else key for text, some, key in zip(masked, numbered, keys, strict=True)]


def _key(text: str) -> int:
    plain = heads.folded(" ".join(_SPACES.split(text)).strip(" "))
    return int.from_bytes(xxhash.xxh64_digest(plain.encode("utf-32-le", "surrogatepass")), "big", signed=True)


def evidence(texts: pl.Series, docs: pl.DataFrame, *, run_key: str) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """What `page_evidence` gives for the lines of `texts`, the documents of `docs` in their order; and their `line_keys`."""
    if not native.available() or docs["key"].n_unique() < docs.height:
        lines = split_lines(texts)
        keys = line_keys(lines["text"])
        return *page_evidence(lines, keys, docs, run_key=run_key), keys
    order = docs.select(pl.arg_sort_by("site", "key"))["site"]
    found = native.evidence(texts, order.to_numpy(), VISIBLE, line_chars=TEXT_LINE_CHARS, page_chars=TEXT_PAGE_CHARS)
    pages = docs.select("site", doc="key")[order].with_columns(mass=pl.Series(found["mass"], dtype=pl.Int64))
    owner = np.repeat(np.arange(docs.height), np.diff(found["lines"], prepend=0))
    page_lines = (
        pages.select("site", "doc")[owner]
        .with_columns(line=pl.Series(found["line"], dtype=pl.Int64), weight=pl.Series(found["weight"], dtype=pl.Int32))
        .select(PAGE_LINES.names())
    )
    pages = pages.filter(pl.col("mass") >= 0).with_columns(run=pl.lit(run_key)).select(PAGES.names())
    place = np.argsort(np.repeat(order.to_numpy(), found["visible"]), kind="stable")
    keys = pl.DataFrame({"line": found["key"][place], "near": found["near"][place]}, schema=LINE_KEYS)
    return pages, page_lines, keys


def page_evidence(
    lines: pl.DataFrame, keys: pl.DataFrame, docs: pl.DataFrame, *, run_key: str
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(pages, page_lines) that a batch contributes to the counts. A line with numbers counts twice, as it is and without.

    keys: the `line_keys` of the lines. docs: doc (as in lines), key (a signed 64-bit name of the document, the same in every run) and site ("" if unknown).
    """
    chars = pl.col("end") - pl.col("start")
    known = docs.lazy().select("doc", "site", key=pl.col("key"))
    by_line = (
        lines.lazy()
        .select("doc", chars.cast(pl.Int32).alias("chars"))
        .with_columns(keys["line"])
        .unique(["doc", "line"], maintain_order=True)
        .with_columns(long=pl.when(pl.col("chars") >= TEXT_LINE_CHARS).then("chars").otherwise(0))
        .with_columns(long_mass=pl.col("long").sum().over("doc"))
        .with_columns(weight=pl.when(pl.col("long_mass") >= TEXT_PAGE_CHARS).then("long").otherwise("chars"))
        .join(known, on="doc", how="inner", maintain_order="left")
        .select("site", pl.col("key").alias("doc"), "line", "weight")
        .collect()
    )
    numbered = (
        lines.lazy()
        .select("doc", keys["near"].alias("line"))
        .filter(keys["near"] != keys["line"])
        .unique(maintain_order=True)
        .join(known, on="doc", how="inner", maintain_order="left")
        .select("site", pl.col("key").alias("doc"), "line", weight=pl.lit(0, pl.Int32))
        .collect()
    )
    pages = (
        by_line.group_by("site", "doc")
        .agg(mass=pl.col("weight").sum().cast(pl.Int64), run=pl.lit(run_key))
        .sort("site", "doc")
    )
    return pages.select(PAGES.names()), pl.concat([by_line, numbered]).select(PAGE_LINES.names()).sort(
        "site", "doc", "line"
    )


def repeated_lines(
    read: Callable[[], Iterator[Lines]], known: Lines, *, rows: int, part_rows: int = PART_ROWS
) -> pl.Series:
    """The table repeated_lines of templates.sql: `line` of page_lines and known_lines that is there more than once, in order.

    read: gives the column of page_lines, so many `rows`, some at a time, each time the same. Lines are hashes, so those between two bounds
    are a part of about the same size each time; sorting them takes a seventh of the time of a table of counts.
    """
    parts = (rows + len(known)) // part_rows + 1
    found = []
    for low, past in pairwise(-(2**63) + 2**64 * part // parts for part in range(parts + 1)):
        some = (
            lines if parts == 1 else lines[(lines >= low) & (lines <= past - 1)] for lines in chain(read(), [known])
        )
        lines = np.concatenate([*some, np.zeros(0, np.int64)])
        lines.sort()
        again = lines[1:][lines[1:] == lines[:-1]]
        found.append(again[np.append(True, again[1:] != again[:-1])[: len(again)]])
    return pl.Series("line", np.concatenate(found))


def params(limits: Templates, *, run_key: str) -> pl.DataFrame:
    """The table `params` of templates.sql."""
    told = {
        "copy_share": limits.copy_share,
        "half_life_runs": float(limits.half_life_runs),
        "kept_pages": limits.kept_pages,
        "kept_pages_unknown_site": limits.kept_pages * KEPT_UNKNOWN_SITE,
        "run": run_key,
    }
    return pl.DataFrame({name: [value] for name, value in told.items()})


def kept_lines(page_lines: pl.DataFrame, kept_pages: pl.DataFrame) -> pl.DataFrame:
    """The lines of the pages that are kept for later runs, sorted by the hash by which those look them up."""
    docs = page_lines["doc"].to_numpy()
    heads = np.flatnonzero(np.append(True, docs[1:] != docs[:-1])[: len(docs)])  # the lines of a page stand together
    sizes = np.diff(heads, append=len(docs))
    pages = page_lines.select("site", "doc")[heads].with_row_index("page")
    kept = np.zeros(pages.height, np.bool_)
    kept[pages.join(kept_pages, on=["site", "doc"], how="semi")["page"].to_numpy()] = True
    return page_lines.filter(pl.Series(np.repeat(kept, sizes))).sort("line", "site", "doc")


def add_evidence(
    lines: pl.DataFrame, keys: pl.DataFrame, docs: pl.DataFrame, site_lines: pl.DataFrame, site_pages: pl.DataFrame
) -> pl.DataFrame:
    """`lines`, of which `keys` are the `line_keys`, with `site` and what other groups of its pages say.

    site_seen: groups with this line. site_near: groups with it or one that differs in numbers alone. site_pages: groups.
    """
    known = docs.select("doc", "site").join(
        site_pages.select("site", site_pages="pages"), on="site", how="left", maintain_order="left"
    )
    place = np.zeros(1 + int(docs["doc"].to_numpy().max(initial=0)), np.int64)
    place[docs["doc"].to_numpy()] = np.arange(docs.height)
    told = known.select("site", "site_pages")[place[lines["doc"].to_numpy()]]
    line, near = keys["line"], keys["near"]
    numbered = (near != line).arg_true()
    seen = _seen(told["site"], line, site_lines)
    seen_near = seen.clone().scatter(numbered, _seen(told["site"].gather(numbered), near.gather(numbered), site_lines))
    return lines.with_columns(
        told["site"],
        site_seen=seen,
        site_near=seen_near,
        site_pages=told["site_pages"].fill_null(1).cast(pl.UInt32),
    )


def _seen(site: pl.Series, keys: pl.Series, site_lines: pl.DataFrame) -> pl.Series:
    """How many other groups of pages of its `site` have each line: looked up for those that any site has, which are few."""
    rows = keys.is_in(site_lines["line"].implode()).arg_true()
    asked = pl.DataFrame({"site": site.gather(rows), "line": keys.gather(rows)})
    found = asked.join(site_lines, on=["site", "line"], how="left", maintain_order="left")["pages"] - 1
    return pl.zeros(len(keys), pl.UInt32, eager=True).scatter(rows, found.fill_null(0).cast(pl.UInt32))


def mark_templates(lines: pl.DataFrame, limits: Templates) -> pl.DataFrame:
    """Marks on lines that enough other pages of their site show. `lines` carry the columns of `add_evidence`.

    A line that others show with other numbers (a date, a count of comments) needs more of them, and a share of the site.

    A page whose text lines would mostly go is a page that the site repeats, not a template: its long lines stay, unless
    SURE_PAGES have them.
    """
    chars = (pl.col("end") - pl.col("start")).cast(pl.Int64)
    is_long = chars >= limits.long_chars
    seen = pl.col("site_seen") + 1
    known = pl.col("site") != ""
    enough = (
        pl.when(~known)
        .then((seen >= limits.min_pages_unknown_site) & ~is_long)
        .when(is_long)
        .then((seen >= limits.min_pages_long) & (seen >= limits.min_share_long * pl.col("site_pages")))
        .otherwise(seen >= limits.min_pages)
    )
    near = pl.col("site_near") + 1
    enough_near = (
        known
        & (chars < TEXT_LINE_CHARS)
        & (near >= limits.min_pages_near)
        & (near >= limits.min_share_near * pl.col("site_pages"))
    )
    exact = enough & (pl.col("site_seen") > 0)
    pages = pl.when(exact).then(seen).otherwise(near)
    goes = lines.select(go=(exact | enough_near).fill_null(False))["go"].to_numpy()
    body, body_gone = _masses(lines, goes)
    rows = np.flatnonzero(goes)
    some = lines.select("doc", "line", "start", "end", "site", "site_seen", "site_near", "site_pages")[rows]
    return (
        some.lazy()
        .with_columns(body=pl.Series(body[rows]), body_gone=pl.Series(body_gone[rows]))
        .filter((chars < TEXT_LINE_CHARS) | (seen >= SURE_PAGES) | (pl.col("body_gone") <= pl.col("body") * 0.5))
        .select(
            "doc",
            "line",
            "start",
            "end",
            unit=pl.lit("line"),
            rule=pl.when(~known)
            .then(pl.lit(UNKNOWN_SITE_RULE))
            .when(exact)
            .then(pl.lit(SITE_RULE))
            .otherwise(pl.lit(NEAR_RULE)),
            score=(1 - 1 / pages).cast(pl.Float32),
            # not pl.format: Polars 2.1 panics where a piece of a stream has no rows
            reason=pl.concat_str(
                pl.lit("on "),
                pages.cast(pl.String),
                pl.lit(" of "),
                pl.col("site_pages").cast(pl.String),
                pl.lit(" pages seen of "),
                pl.when(known).then("site").otherwise(pl.lit("no known site")),
                pl.when(exact).then(pl.lit("")).otherwise(pl.lit(", numbers aside")),
            ),
        )
        .collect()
        .select(pl.col(name).cast(kind) for name, kind in MARKS.items())
    )


def _masses(lines: pl.DataFrame, goes: npt.NDArray[np.bool_]) -> tuple[Lines, Lines]:
    """Of each line the characters in long lines of its page, which stands together, and in those of them that go."""
    doc = lines["doc"].to_numpy()
    chars = lines["end"].to_numpy().astype(np.int64) - lines["start"].to_numpy()
    mass = np.where(chars >= TEXT_LINE_CHARS, chars, 0)
    heads = np.flatnonzero(np.append(True, doc[1:] != doc[:-1])[: len(doc)])
    sizes = np.diff(heads, append=len(doc))
    whole, gone = (
        np.repeat(np.add.reduceat(each, heads) if len(heads) else each, sizes) for each in (mass, mass * goes)
    )
    return whole, gone
