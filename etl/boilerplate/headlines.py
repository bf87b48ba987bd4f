"""Which line is the title, of a document whose title the input didn't give.

What the title *is* (a guess is better than nothing) is decided apart from whether its line *goes* (only on structural
evidence: a repeat, a site suffix, a byline or date below it, the address of the page).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from etl.boilerplate.body import SENTENCE_END
from etl.boilerplate.lines import edges, matching, replace_rows
from etl.boilerplate.titles import TITLE_CHARS_MIN, title_keys

Bools = npt.NDArray[np.bool_]

TITLE_CHARS_MIN_WIDE: Final = 4  # in Chinese and Japanese
TITLE_CHARS_MAX: Final = 180
CANDIDATES: Final = 80  # lines above the body that can be its title
TITLE_POINTS_MIN: Final = 3.5  # weaker guesses are dropped: 0.4 % of the right ones, near half of those without one
STANDFIRST_MARGIN: Final = 0.75  # points by which a standfirst may beat the title above it
LEAD_REST_CHARS: Final = 15  # what is left of a title without its lead must be a title
STEM_CHARS: Final = 5
BODY_LINE_CHARS: Final = (
    400  # of each of the first BODY_LINES lines of the body, which a title's words are looked for in
)

WEIGHTS: Final[dict[str, float]] = {
    # its words come again in the body, in the address, in a longer line
    "recurs": 2.4, "hits": 2.8, "slug": 4.0, "slug_2": 2.8, "in_crumbs": 2.2, "like_first": 0.7,
    # its own form
    "shaped": 1.7, "sentence": -1.8, "stop": -0.5, "cut_off": -0.8, "quoted": -0.4, "chain": -0.9, "tags": -2.5,
    "credit": -1.5, "numbered": -2.9, "capitals": 0.5, "one_word": -1.4, "few_words": -1.3, "medium": 0.9,
    "big": -1.3, "own_suffix": -0.6, "is_site": -2.5, "on_site": -2.0, "said": -1.5, "dated": -3.0,
    # where it stands
    "first": 1.6, "second": 1.1, "at_0": -1.8, "at_1": 0.6, "at_2": 0.7, "at_4": 0.6, "at_8": 0.3, "at_16": -0.4,
    # what stands around it
    "said_1": 0.7, "said_2": 1.2, "said_more": 1.5, "dated_1": 1.2, "dated_2": 1.0, "dated_more": 0.3,
    "said_before": 0.5, "above_date": 0.8, "good_after": -0.3, "fair_before": -0.7, "fair_before_2": -0.9,
    "fair_before_3": -0.5, "brief_before_2": 0.5, "brief_after": -0.5, "brief_after_2": 0.4, "bulk": -1.0,
}  # fmt: skip
"""What each piece of evidence adds to a line's points as a title (columns of `_candidates`).

Fitted by conditional logit, one page a choice, on 754 labelled pages of 589 sites (full and light text, each with and
without its address), then rounded; dated, is_site, tags and credit are set by hand, too rare there to be fitted.
"""

_SEPARATOR: Final = r"\s*[|｜]\s*|\s+[-–—»›•·:/]+\s+|\s*[»›]\s*"
_TIGHT_SEPARATOR: Final = r"\s*[|｜_–—»›>-]+\s*"  # where words aren't spaced, no mark needs spaces either
_CONTENT_WORD: Final = (
    r"[\p{Han}\p{Katakana}\p{Hangul}\p{Thai}ー]{2}|"
    r"[\p{Latin}\p{Greek}\p{Cyrillic}\p{Arabic}\p{Hebrew}\p{Devanagari}\p{N}]{4,}"
)
_CLOCK: Final = (
    r"\b(?:[01]?\d|2[0-3])[:.][0-5]\d\b.*[12]\d{3}|\b\d+ (?:hours?|minutes?|days?) ago\b|^\d{1,2} min(?:ute)? read"
)
_HAN: Final = r"[\p{Han}\p{Hiragana}\p{Katakana}]"
_MARKS: Final = " \t|｜_–—»›:·•/-"
_SPLIT: Final = "\x1f"


TOLD: Final = pl.Schema(
    {
        "row": pl.UInt32,
        "doc": pl.UInt32,
        "title": pl.String,
        "site": pl.String,
        "rule": pl.String,
        "score": pl.Float32,
        "idx": pl.Int32,
        "cut": pl.Boolean,
    }
)


def title_lines(
    head: pl.DataFrame, every: pl.DataFrame, docs: pl.DataFrame, *, dates: pl.DataFrame, bylines: pl.DataFrame
) -> pl.DataFrame:
    """The title line of each document whose title the input didn't give, and its repeats (schema TOLD).

    cut is set where the page's structure says so; elsewhere the title is told and its line stays.
    """
    if docs.is_empty():
        return TOLD.to_frame()
    sites, slugs = docs.select("doc", host=_host(docs)), _slugs(docs)
    return _THREAD.submit(_title_lines, head, every, sites, slugs, dates, bylines).result()


_THREAD: Final = ThreadPoolExecutor(1, thread_name_prefix="headlines")
"""Where lines are read. Polars keeps the last 32 compiled patterns of each thread: these and those of the other modules are more."""


def _title_lines(
    head: pl.DataFrame,
    every: pl.DataFrame,
    sites: pl.DataFrame,
    slugs: pl.DataFrame,
    dates: pl.DataFrame,
    bylines: pl.DataFrame,
) -> pl.DataFrame:
    rows = _candidates(head, every, sites, slugs, dates=dates, bylines=bylines)
    if rows.is_empty():
        return TOLD.to_frame()
    points = pl.sum_horizontal(pl.col(name).cast(pl.Float64) * weight for name, weight in WEIGHTS.items())
    return _choose(rows.with_columns(points=points))


def _candidates(
    head: pl.DataFrame,
    every: pl.DataFrame,
    sites: pl.DataFrame,
    slugs: pl.DataFrame,
    *,
    dates: pl.DataFrame,
    bylines: pl.DataFrame,
) -> pl.DataFrame:
    """The lines that can be a title, with the evidence for each: the columns that WEIGHTS names, and those it needs."""
    idx, body, key = (pl.col(name) for name in ("idx", "body", "key"))
    rows = _in_reach(head, sites)
    rows = rows.with_columns(
        key=title_keys(rows["bare"]),
        said=pl.col("row").is_in(bylines["row"].implode())
        | pl.col("row").is_in(dates.filter("alone")["row"].implode()),
        dated=pl.col("row").is_in(dates["row"].implode()),
    ).filter(key != "")
    if rows.is_empty():
        return rows
    rows = rows.with_columns(_signs(rows["bare"]))
    rows = rows.with_columns(
        pl.col("dated") | pl.col("clock"),
        parts=_parts(rows["bare"], rows["wide"]),
        times=pl.len().over("doc", "key"),
    )
    for extra in (_in_longer(rows), _slug_share(rows, slugs), _body_share(rows, every)):
        rows = rows.join(extra, on="row", how="left", maintain_order="left")
    rows = rows.join(sites, on="doc", how="left", maintain_order="left")
    flat = key.str.replace_all(" ", "", literal=True)
    last = pl.lit(title_keys(rows["parts"].list.last()))
    last_flat = last.str.replace_all(" ", "", literal=True)
    host = pl.col("host")
    many = pl.col("parts").list.len() > 1
    names_site = (
        (host.str.len_chars() >= 3)
        & (last_flat.str.len_chars() >= 3)
        & (last_flat.str.contains(host, literal=True) | host.str.contains(last_flat, literal=True))
    )
    site_behind = _met(rows["bare"], (rows["idx"] == 0).to_numpy(), r"\s[|｜]\s[^|｜]{2,40}$")
    short_end = pl.lit(pl.Series(site_behind)) & (last.str.count_matches(" ", literal=True) <= 4)
    chars = pl.col("bare_chars")
    size = pl.when("wide").then(chars * 5 // 2).otherwise(chars)
    words = pl.when("wide").then(chars // 2).otherwise(key.str.count_matches(" ", literal=True) + 1)
    rows = rows.with_columns(
        pl.col("slug", "recurs", "hits").fill_null(0.0),
        pl.col("in_longer", "in_crumbs").fill_null(False),
        own_suffix=(many & (names_site | short_end)).fill_null(False),
        size=size,
        words=words,
        distance=body - idx,
        is_site=(host.str.len_chars() >= 3)
        & flat.str.contains(host, literal=True)
        & (flat.str.len_chars() <= host.str.len_chars() + 8),
    )
    shaped = (
        (pl.col("size") >= 20)
        & ~pl.col("sentence")
        & ~pl.col("stop")
        & ~pl.col("chain")
        & ~pl.col("dated")
        & ~pl.col("low")
    )
    rows = rows.with_columns(
        good=shaped & (pl.col("hits") >= 2),
        fair=shaped & (pl.col("hits") >= 1) & (pl.col("words") >= 3),
        shaped=shaped,
        brief=(pl.col("words") <= 2) & ~pl.col("said") & ~pl.col("dated"),
        sayer=pl.col("said") | pl.col("dated"),
    )
    doc = pl.col("doc")

    def near(name: str, *steps: int) -> pl.Expr:
        """Whether one of the lines so many steps on (back, where negative) has `name`, in the same document."""
        return pl.any_horizontal(
            *(((pl.col(name).shift(-k).cast(pl.Float64) > 0) & (doc == doc.shift(-k))).fill_null(False) for k in steps)
        )

    distance = pl.col("distance")
    return rows.with_columns(
        like_first=(
            (pl.col("times") > 1) & (idx.min().over("doc", "key") <= 1) & pl.col("shaped") & (pl.col("words") >= 4)
        ),
        first=idx == 0,
        second=idx == 1,
        said_1=near("said", 1),
        said_2=near("said", 2),
        said_more=near("said", 3, 4, 5),
        dated_1=near("dated", 1),
        dated_2=near("dated", 2),
        dated_more=near("dated", 3, 4, 5),
        said_before=near("said", -1) | near("dated", -1),
        good_before_2=near("good", -2),
        good_after=near("good", 1),
        fair_before=near("fair", -1),
        fair_before_2=near("fair", -2),
        fair_before_3=near("fair", -3),
        brief_before_2=near("brief", -2),
        brief_after=near("brief", 1),
        brief_after_2=near("brief", 2),
        bulk=near("shaped", -1) & near("shaped", -2) & near("shaped", 1) & near("shaped", 2),
        above_date=near("sayer", 1, 2, 3) & ~near("fair", 1, 2, 3),
        at_0=distance <= 0,
        at_1=distance == 1,
        at_2=distance.is_between(2, 3),
        at_4=distance.is_between(4, 7),
        at_8=distance.is_between(8, 15),
        at_16=distance >= 16,
        tiny=pl.col("size") < 20,
        small=pl.col("size").is_between(20, 29),
        medium=pl.col("size").is_between(30, 99),
        big=pl.col("size") > 130,
        one_word=pl.col("words") <= 2,
        few_words=pl.col("words").is_between(3, 4),
        hits=pl.col("hits").clip(0, 6) / 6,
        slug_2=pl.col("slug") ** 2,
    ).filter("fits")


def _in_reach(head: pl.DataFrame, docs: pl.DataFrame) -> pl.DataFrame:
    """The lines of the head that may be a title of `docs`, or tell by standing beside one."""
    doc, idx, body = (head[name].to_numpy() for name in ("doc", "idx", "body"))
    near = np.isin(doc, docs["doc"].to_numpy()) & (idx <= body + 3) & ((idx >= body - CANDIDATES) | (idx < 8))
    rows = np.flatnonzero(near)
    return head[rows[~_met(head["bare"].gather(rows), idx[rows] >= body[rows], SENTENCE_END)]]


def _met(texts: pl.Series, read: Bools, pattern: str) -> Bools:
    """Which of `texts` the pattern matches. read: which of them to look at; the others don't count."""
    met = np.zeros(len(texts), np.bool_)
    met[matching(texts, np.flatnonzero(read), pattern)] = True
    return met


def _signs(texts: pl.Series) -> list[pl.Series]:
    """What each text's own form says, a column a sign. Most texts tell by a byte that a pattern does not match.

    bare_chars: its length. fits: whether that is a title's; what tells of the line itself alone is only looked for then.
    """
    edge, chars = edges(texts), texts.str.len_chars().cast(pl.Int32)
    n_chars = chars.to_numpy()
    beyond_ascii = edge.size != n_chars
    first, last = edge.first & 0xFF, edge.last(np.arange(len(texts)))
    wide = _met(texts, beyond_ascii, _HAN)
    fits = (n_chars <= TITLE_CHARS_MAX) & (n_chars >= np.where(wide, TITLE_CHARS_MIN_WIDE, TITLE_CHARS_MIN))
    open_end = np.flatnonzero(_AT_END[last])
    tails = texts.gather(open_end).str.tail(3)
    at_end = {}
    for name, pattern in _END_SIGNS.items():
        at_end[name] = np.zeros(len(texts), np.bool_)
        at_end[name][open_end] = tails.str.contains(pattern).to_numpy()
    small = _met(texts, fits, r"\p{Ll}")
    digit_first, digit = (first >= 0x30) & (first <= 0x39), _met(texts, ~beyond_ascii, "[0-9]") | beyond_ascii
    colon = _met(texts, fits, ":|：")
    signs = {
        "wide": wide,
        "fits": fits,
        "clock": _met(texts, digit, _CLOCK),
        "tags": _met(texts, colon, r"^[^:：]{3,25}[:：]\s[^,;、]*[,;、].*[,;、]|^[^:：]{3,25}[:：][^;]*;"),
        "credit": _met(
            texts,
            _met(texts, fits, _MAYBE_CREDIT),
            r"(?i)\b(?:photos?|photograph|foto|фото|φωτο|picture|getty|shutterstock|alamy|image \d)\b",
        ),
        "sentence": at_end["stopped"] & ~at_end["dots"],
        "stop": at_end["stop"],
        "cut_off": at_end["cut_off"],
        "quoted": at_end["quoted"],
        "low": _LOW[first] | _met(texts, digit_first | (first >= 0x80), r"^\p{Ll}|^[•·>»*+(\[©@#-]|^\d+\.?$"),
        "chain": _met(texts, _met(texts, np.ones(len(texts), np.bool_), _MAYBE_CHAIN), _CHAIN),
        "capitals": _met(texts, fits & ~small, r"\p{Lu}"),
        "numbered": _met(texts, digit_first | (first >= 0x80), r"^\d{1,3}[.)] "),
    }
    return [chars.alias("bare_chars"), *(pl.Series(name, met) for name, met in signs.items())]


_END_SIGNS: Final = {
    "stopped": r"[.。]$", "dots": r"\.\.\.$", "stop": r"[;:,；：，、]$|[»>]$", "cut_off": r"…$|\.\.\.$",
    "quoted": r"[?？!！\"”»’']$",
}  # fmt: skip
_AT_END: Final = np.isin(np.arange(256), [*b".;:,>?!\"'", *range(0x80, 0x100)])
"""Last bytes that those signs can end with."""
_LOW: Final = np.isin(np.arange(256), [*range(0x61, 0x7B), *b">*+([@#-"])
_MAYBE_CREDIT: Final = r"(?i)photo|foto|фото|φωτο|picture|getty|shutterstock|alamy|image "
_CHAIN: Final = r"[|｜>»›/\\].*[|｜>»›/\\]|https?://|@|\.com\b|©"
_MAYBE_CHAIN: Final = r"[|｜>»›/\\@©]|\.com"


def _parts(texts: pl.Series, wide: pl.Series) -> pl.Series:
    """Each text parted where a site's name or a page's place is set off from a title."""
    for of, pattern in ((wide, _TIGHT_SEPARATOR), (~wide, _SEPARATOR)):
        rows = np.flatnonzero(_met(texts, of.to_numpy(), pattern))
        texts = replace_rows(texts, rows, texts.gather(rows).str.replace_all(pattern, _SPLIT))
    return texts.str.split(_SPLIT)


def _in_longer(rows: pl.DataFrame) -> pl.DataFrame:
    """Which lines another line repeats with something behind it ("… | Site"), or ends with: row, in_longer, in_crumbs."""
    parts = pl.col("parts")
    longer = rows.filter(parts.list.len() > 1).select(
        "doc",
        first=parts.list.first(),
        most=parts.list.slice(0, parts.list.len() - 1).list.join(" "),
        last=parts.list.last(),
    )
    heads = pl.concat([longer.select("doc", key=title_keys(longer[name])) for name in ("first", "most")])
    ends = longer.select("doc", key=title_keys(longer["last"]))
    cut_off = longer.filter(pl.col("last").str.contains(r"(?:…|\.\.\.)$"))
    cut_off = cut_off.select("doc", start=title_keys(cut_off["last"]))
    cut_off = cut_off.filter(pl.col("start").str.len_chars() >= 2 * TITLE_CHARS_MIN)
    whole = rows.select("doc", "key").join(cut_off, on="doc").filter(pl.col("key").str.starts_with(pl.col("start")))
    ends = pl.concat([ends, whole.filter(pl.col("key") != pl.col("start")).select("doc", "key")])
    told = pl.concat(
        [heads.with_columns(in_longer=True, in_crumbs=False), ends.with_columns(in_longer=False, in_crumbs=True)]
    )
    return (
        rows.select("row", "doc", "key")
        .filter(pl.col("key").str.len_chars() >= TITLE_CHARS_MIN_WIDE)
        .join(told, on=["doc", "key"])
        .group_by("row")
        .agg(pl.col("in_longer", "in_crumbs").any())
    )


def _choose(rows: pl.DataFrame) -> pl.DataFrame:
    """One title a document out of the scored candidates, its repeats, and which of those lines go (schema TOLD)."""
    doc, idx, points = pl.col("doc"), pl.col("idx"), pl.col("points")
    top = points.max().over("doc")
    is_top = points == top
    # A line almost as good right above the best is the title, and the best its standfirst, which repeats the body more.
    under = (is_top & (doc == doc.shift(1)) & (idx == idx.shift(1) + 1)).shift(-1).fill_null(False)
    opens = ~(pl.col("shaped").shift(1) & (doc == doc.shift(1)) & (idx == idx.shift(1) + 1)).fill_null(False)
    margin = pl.when(opens & (pl.col("words") >= 4)).then(2 * STANDFIRST_MARGIN).otherwise(STANDFIRST_MARGIN)
    leads = under & pl.col("shaped") & ~pl.col("is_site") & (points >= top - margin)
    below_shaped = (
        pl.col("shaped").shift(1) & (doc == doc.shift(1)) & (idx == idx.shift(1) + 1) & (pl.col("words").shift(1) >= 3)
    )
    rows = rows.with_columns(
        lead=points + pl.when(leads).then(20.0).otherwise(0.0), below_shaped=below_shaped.fill_null(False)
    )
    best = (
        rows.filter(points >= TITLE_POINTS_MIN)
        .sort(["doc", "lead", "idx"], descending=[False, True, False])
        .unique("doc", keep="first", maintain_order=True)
    )
    best = _without_lead(best, rows)
    many = pl.col("parts").list.len() > 1
    most = pl.col("parts").list.slice(0, pl.col("parts").list.len() - 1)
    title = (
        pl.when(pl.col("own_suffix") & many & (most.list.len() == 1)).then(most.list.first()).otherwise(pl.col("bare"))
    )
    blank = (pl.col("below") > 0) & ~pl.col("spaced") & (pl.col("idx") == 0)
    signed = (pl.col("said_1") | pl.col("said_2")) & ~pl.col("below_shaped")
    sure = (
        pl.col("own_suffix")
        | pl.col("in_longer")
        | pl.col("in_crumbs")
        | signed
        | (pl.col("times") > 1)
        | (pl.col("slug") >= 0.6)
        | blank
    )
    best = best.select(
        "row",
        "doc",
        title=title.str.strip_chars(),
        site=pl.when(pl.col("own_suffix") & many).then(pl.col("parts").list.last()),
        rule=pl.when("own_suffix").then(pl.lit("title-site-suffix")).otherwise(pl.lit("title")),
        score=(pl.col("points") / 15).clip(0.0, 1.0).cast(pl.Float32),
        idx="idx",
        cut=sure & (pl.col("idx") < pl.col("body")) & pl.col("prose"),
        key="key",
    )
    chosen = best.filter("cut")
    chosen = chosen.select("doc", "title", title_key=title_keys(chosen["title"]), key="key", chosen="row")
    again = (
        rows.filter(pl.col("idx") <= pl.col("body"))
        .select("row", "doc", "idx", "key")
        .join(chosen, on="doc", suffix="_chosen", maintain_order="left")
        .filter(
            (pl.col("row") != pl.col("chosen"))
            & ((pl.col("key") == pl.col("title_key")) | (pl.col("key") == pl.col("key_chosen")))
        )
        .select(
            "row",
            "doc",
            "title",
            site=pl.lit(None, pl.String),
            rule=pl.lit("repeated-title"),
            score=pl.lit(1.0, pl.Float32),
            idx="idx",
            cut=pl.lit(True),
        )
    )
    return (
        pl.concat([best.drop("key"), again]).select(pl.col(name).cast(kind) for name, kind in TOLD.items()).sort("row")
    )


def _without_lead(best: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """`best`, but a line that ends with another candidate's whole text gives way to it, if that stands below it.

    What stands before it is where the page is ("Home / News / …", "Introduction: …"), often glued on without a space.
    """
    shorter = (
        best.filter(~pl.col("own_suffix"))
        .select("doc", longer="key", old="row", above="idx", slug_longer="slug")
        .join(rows.filter(pl.col("key").str.len_chars() >= LEAD_REST_CHARS), on="doc", maintain_order="left")
        .filter(
            pl.col("longer").str.ends_with(pl.col("key"))
            & (pl.col("longer").str.len_chars() > pl.col("key").str.len_chars())
            & (pl.col("idx") > pl.col("above"))
            & (pl.col("slug") >= pl.col("slug_longer"))
        )
        .sort(["doc", "idx"])
        .sort(pl.col("key").str.len_chars(), descending=True, maintain_order=True)
        .unique("doc", keep="first", maintain_order=True)
    )
    rest = best.join(shorter.select(row="old"), on="row", how="anti", maintain_order="left")
    return pl.concat([rest, shorter.select(best.columns)]).sort("doc")


def _host(docs: pl.DataFrame) -> pl.Expr:
    """The telling part of the site's name ("wired" of www.wired.com), or "" when it isn't known."""
    site = pl.col("site").fill_null("") if "site" in docs.columns else pl.lit("")
    url = pl.col("url").fill_null("") if "url" in docs.columns else pl.lit("")
    host = pl.when(site != "").then(site).otherwise(url.str.extract(r"^https?://([^/:?#]+)").fill_null(""))
    labels = (
        host.str.to_lowercase()
        .str.replace(r"^www\.", "")
        .str.replace(r"(?:\.(?:com?|org|net|gov|ac|edu))?\.[a-z]{2,}$", "")
    )
    return labels.str.extract(r"([^.]*)$").str.replace_all(r"[^\p{L}\p{N}]", "")


def _slugs(docs: pl.DataFrame) -> pl.DataFrame:
    """The words of each page's address, where they are more than one: doc, word, n_slug (how many)."""
    if "url" not in docs.columns:
        return pl.DataFrame(schema={"doc": pl.UInt32, "word": pl.String, "n_slug": pl.UInt32})
    path = pl.col("url").str.replace(r"^[a-z]+://[^/]*", "").str.replace(r"[?#].*$", "").str.replace(r"/+$", "")
    return (
        docs.select("doc", word=path.str.extract(r"([^/]*)$").str.replace(r"\.\w{2,5}$", "").str.to_lowercase())
        .filter(pl.col("word").str.count_matches(r"[a-z]{3,}") >= 2)
        .with_columns(pl.col("word").str.extract_all(r"[a-z]{2,}|\d+"))
        .with_columns(n_slug=pl.col("word").list.unique().list.len())
        .explode("word")
        .unique()
    )


def _slug_share(rows: pl.DataFrame, slugs: pl.DataFrame) -> pl.DataFrame:
    """How alike each line and the words of the page's address are, 0 to 1: row, slug (only lines that share a word)."""
    words = (
        rows.filter("fits")
        .join(slugs.select("doc").unique(), on="doc", how="semi", maintain_order="left")
        .select(
            "row",
            "doc",
            word=pl.col("bare").str.replace_all(r"['’]", "").str.to_lowercase().str.extract_all(r"[a-z]{2,}|\d+"),
        )
    )
    shared = words.explode("word").join(slugs, on=["doc", "word"]).unique(["row", "word"])
    return (
        shared.group_by("row")
        .agg(n_shared=pl.len(), n_slug=pl.col("n_slug").first())
        .join(words.select("row", "word"), on="row")
        .select("row", slug=2 * pl.col("n_shared") / (pl.col("word").list.unique().list.len() + pl.col("n_slug")))
    )


def _body_share(rows: pl.DataFrame, every: pl.DataFrame) -> pl.DataFrame:
    """How many of each line's words the first lines of the body use again, and which share: row, hits, recurs.

    Words are compared by their first letters (endings change), scripts without spaces by pairs of characters. A line of
    the body doesn't recur in itself.
    """
    prose = every.join(rows.select("doc").unique(), on="doc", how="semi", maintain_order="left").filter(
        (pl.col("idx") >= pl.col("body")) & (pl.col("chars") >= 40)
    )
    body = (
        prose.select("doc", said=title_keys(prose["text"].str.head(BODY_LINE_CHARS)))
        .with_columns(said=" " + pl.col("said"))
        .group_by("doc", maintain_order=True)
        .agg(pl.col("said").str.join(""))
    )
    spaced = pl.col("word").str.len_chars() >= 4  # a pair of characters stands anywhere, a word begins after a space
    words = (
        rows.filter(
            (pl.col("chars") <= TITLE_CHARS_MAX)
            & (pl.col("bare_chars") >= pl.when("wide").then(TITLE_CHARS_MIN_WIDE).otherwise(TITLE_CHARS_MIN))
        )
        .select(
            "doc",
            "row",
            own=(pl.col("idx") >= pl.col("body")) & (pl.col("chars") >= 40),
            word=pl.col("bare").str.to_lowercase().str.extract_all(_CONTENT_WORD),
        )
        .explode("word")
        .drop_nulls("word")
        .with_columns(word=pl.when(spaced).then(" " + pl.col("word").str.head(STEM_CHARS)).otherwise("word"))
        .unique(maintain_order=True)
        .join(body, on="doc", maintain_order="left")
    )
    said = pl.col("said")
    single = words.filter(~pl.col("own")).with_columns(uses=said.str.contains(pl.col("word"), literal=True))
    double = words.filter("own").with_columns(uses=said.str.count_matches(pl.col("word"), literal=True) > 1)
    return (
        pl.concat([single, double])
        .group_by("row")
        .agg(hits=pl.col("uses").sum().cast(pl.Float64), n=pl.len())
        .select("row", "hits", recurs=pl.col("hits") / pl.col("n"))
        .filter(pl.col("hits") > 0)
    )
