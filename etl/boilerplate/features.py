"""What the line model sees: numbers about a line, its neighbours, its page and its site, none tied to a language.

Text is read as bytes, in whole columns: each pair of adjacent bytes is looked up once in a table of packed counters, and
words are compared by a hash of their first letters. Only the first HEAD_CHARS of a line are read, which is enough for
shares. Sizes are whole numbers and shares are one division, so that the same lines give the same bits on any machine.

Blank lines are not looked at: whether a scraper keeps them says more about the scraper than about the page.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from etl.boilerplate import native

HEAD_CHARS: Final = 240  # a counter has 8 bits, so a head must stay below 256 characters
LONG: Final = 100  # size of a line that is probably a paragraph
STRETCH_COST: Final = 60.0  # what a line that isn't long takes from a stretch of long lines, in characters
FAR: Final = 250  # distances in lines are capped here
ROOM: Final = 8  # slots in a page's vocabulary for each word on the page, at least half of it after rounding down
MOST_SLOT_BITS: Final = 17
LEXICON_BITS: Final = 17
BLOCK_SIZE: Final = 40  # lines of this size or more that follow one another are a block
MOST_WORDING: Final = 400.0
BATCH_BYTES: Final = 1 << 17  # bytes of text looked up at a time, to stay in the cache: half the time of 1 << 21

NO_HIT, RULED, TITLE, BYLINE, COMMENTS, RELATED, SHARING = range(7)
"""What the column `hit` says of a line: no rule names it; or one does, or metadata, or a rule of a telling family."""

HIT_OF_FAMILY: Final = {
    "comments": COMMENTS,
    "related": RELATED,
    "share": SHARING,
    "follow": SHARING,
    "newsletter": SHARING,
}

Floats = npt.NDArray[np.float32]
Lexicon = npt.NDArray[np.int8]
Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]

TERMINAL: Final = ".!?…。！？｡؟।"
CLOSERS: Final = "\"'”’»)]」』）】›“"
COLONS: Final = ":："
ELLIPSES: Final = "…"


FEATURE_NAMES: Final[tuple[str, ...]] = (
    "size",
    "words",
    "word size",
    "digits",
    "numbers",
    "capitals",
    "capitals a word",
    "letters",
    "commas",
    "commas a word",
    "sentence ends",
    "separators",
    "separators a word",
    "quotes",
    "colons",
    "times",
    "brackets",
    "links",
    "symbols",
    "short words",
    "first letter",
    "last sign",
    "copies on the page",
    "copies above",
    "lines on the page",
    "text on the page",
    "typical size",
    "size against typical",
    "long lines on the page",
    "share of text in long lines",
    "share of lines that are long",
    "place",
    "lines before",
    "lines after",
    "text before",
    "text after",
    "long text before",
    "long text after",
    "long lines before",
    "long lines after",
    "lines since a long line",
    "lines to the next long line",
    "lines since a line that ends a sentence",
    "lines to the next line that ends a sentence",
    "lines since a line of middling size",
    "lines to the next line of middling size",
    "run of short lines",
    "run of lines that end no sentence",
    "lines to the long stretch",
    "lines past the long stretch",
    "lines of the long stretch",
    "size 3 above",
    "size 2 above",
    "size 1 above",
    "last sign 1 above",
    "first letter 1 above",
    "starts like the line 1 above",
    "digits 1 above",
    "capitals 1 above",
    "size 1 below",
    "last sign 1 below",
    "first letter 1 below",
    "starts like the line 1 below",
    "digits 1 below",
    "capitals 1 below",
    "size 2 below",
    "size 3 below",
    "mean size within 2",
    "sentence lines within 2",
    "text of long lines within 2",
    "mean size within 5",
    "sentence lines within 5",
    "text of long lines within 5",
    "words within 5",
    "spread of sizes within 5",
    "capitals within 5",
    "digits within 5",
    "links and signs within 5",
    "mean size within 12",
    "sentence lines within 12",
    "text of long lines within 12",
    "words within 12",
    "spread of sizes within 12",
    "capitals within 12",
    "digits within 12",
    "links and signs within 12",
    "mean size within 30",
    "sentence lines within 30",
    "text of long lines within 30",
    "words shared with long lines",
    "words compared",
    "shared words within 4",
    "pages of the site with this line",
    "share of the site's pages with this line",
    "other pages of the site seen",
    "lines around seen on the site",
    "marked by a rule",
    "kind of metadata",
    "marked lines within 3",
    "marked lines within 10",
    "marked lines on the page",
    "marked lines before",
    "lines since a ruled line",
    "lines to the next ruled line",
    "lines since the title",
    "lines to the title",
    "lines since a byline or date",
    "lines to the next byline or date",
    "lines since a rule on comments",
    "lines since a rule on related pages",
    "lines since a rule on sharing",
    "lines to the next rule on sharing",
    "text of the block",
    "text of the block against the largest",
    "lines past the largest block",
    "lines to the sentence stretch",
    "lines past the sentence stretch",
    "lines of the sentence stretch",
    "wording",
    "mean wording",
    "wording most like boilerplate",
    "wording most like text",
    "share of words known",
    "mean wording 2 above",
    "mean wording 1 above",
    "mean wording 1 below",
    "mean wording 2 below",
    "wording within 3",
    "wording within 10",
    "mean wording of the page",
)

OWN_NAMES: Final = FEATURE_NAMES[: FEATURE_NAMES.index("copies above") + 1]
"""Those of a line by itself."""

SECOND_NAMES: Final[tuple[str, ...]] = (
    "own score",
    "mean score of the page",
    "own score against the page",
    "surely dropped lines",
    "share of lines surely dropped",
    "score 4 above",
    "score 3 above",
    "score 2 above",
    "score 1 above",
    "score 1 below",
    "score 2 below",
    "score 3 below",
    "score 4 below",
    "mean score within 1",
    "mean score within 2",
    "mean score within 5",
    "mean score within 10",
    "mean score within 25",
    "text kept within 2",
    "text kept within 6",
    "text kept within 15",
    "text kept before",
    "text kept after",
    "text kept on the page",
    "share of text kept on the page",
    "lines kept on the page",
    "lines since a kept line",
    "lines to the next kept line",
    "lines since a surely kept line",
    "lines to the next surely kept line",
    "run of kept lines",
    "lines since a dropped line",
    "lines to the next dropped line",
    "kept lines before",
    "kept lines after",
    "words shared with kept lines",
    "shared kept words within 3",
    "lines to the kept stretch",
    "lines past the kept stretch",
    "lines of the kept stretch",
    "size against kept lines",
    "capitals a word against kept lines",
    "sentence ends against kept lines",
    "short words against kept lines",
)


@dataclass(frozen=True, slots=True)
class Words:
    """The words of all heads. Those worth comparing: `slot` in the page's vocabulary, and the `line` (row) each stands in.

    entry, entry_line: for every word, its place in a lexicon and the line it stands in, in order of lines.
    """

    slot: npt.NDArray[np.int64]
    line: npt.NDArray[np.int32]
    entry: npt.NDArray[np.int32]
    entry_line: npt.NDArray[np.int32]
    slots: int


@dataclass(frozen=True, slots=True)
class Measured:
    """Lines as numbers. first, last: row of the first line of the line's page, and one past its last line.

    size is the length in characters, wide scripts counting double. own holds one row a feature of the line alone.
    """

    first: Ints
    last: Ints
    size: Doubles
    ends: Bools
    start: Doubles
    own: dict[str, npt.NDArray[np.float64]]
    words: Words
    site_near: Doubles
    site_pages: Doubles
    hit: npt.NDArray[np.uint8]


def featurize(lines: pl.DataFrame, lexicon: Lexicon) -> Floats:
    """Features of each line before any score is known, one column for each of FEATURE_NAMES.

    lines: sorted by doc and line; site_near and site_pages may be missing, which means nothing is known of the site; so
    does an empty `site`. `hit` may be missing: no rule names any line.
    """
    return first_features(measure(lines), lexicon)


def measure(lines: pl.DataFrame) -> Measured:
    """`lines` as numbers: the one pass over the text."""
    bounds = page_bounds(lines)
    starts, lengths = bounds[:-1], np.diff(bounds)
    first = np.repeat(starts, lengths)
    last = np.repeat(starts + lengths, lengths)
    own, start, words = (_read_natively if native.available() else _read)(lines, starts)
    seen, pages = site_counts(lines)
    return Measured(
        first=first,
        last=last,
        size=own["size"],
        ends=own["last sign"] >= 2,
        start=start,
        own=own,
        words=words,
        site_near=seen,
        site_pages=pages,
        hit=hits(lines),
    )


def page_bounds(lines: pl.DataFrame) -> Ints:
    """The row at which each page begins, and the number of rows."""
    doc = lines["doc"].to_numpy()
    inner = np.flatnonzero(doc[1:] != doc[:-1]) + 1
    return np.concatenate(([0], inner, [len(doc)])) if len(doc) else np.zeros(1, np.int64)


def hits(lines: pl.DataFrame) -> Bytes:
    """The column `hit`, or that no rule names any line."""
    return lines["hit"].to_numpy() if "hit" in lines.columns else np.zeros(lines.height, np.uint8)


def first_features(measured: Measured, lexicon: Lexicon) -> Floats:
    """Features of the first pass, shape (lines, len(FEATURE_NAMES)), column by column in memory.

    lexicon: for each of 1 << LEXICON_BITS entries, how much a word speaks for boilerplate, in 1/16 of log odds; 0 unknown.
    """
    if native.available():
        made = np.empty((len(FEATURE_NAMES), len(measured.size)), np.float32)
        native.first_columns(_in_place(measured), lexicon, made)
        return made.T
    columns = dict(measured.own)
    first, last, size, ends = measured.first, measured.last, measured.size, measured.ends
    n = len(size)
    at = np.arange(n)
    lines = (last - first).astype(np.float64)
    before = (at - first).astype(np.float64)
    after = lines - 1 - before
    long = (size >= LONG) & (ends | (size >= 2 * LONG))
    total, through = sums(size, first, last)
    long_size = np.where(long, size, 0.0)
    long_total, long_through = sums(long_size, first, last)
    squares, _ = sums(size * size, first, last)
    long_lines, long_count = sums(long.astype(np.float64), first, last)
    some = np.maximum(total, 1)
    some_long = np.maximum(long_total, 1)
    biggest = squares / some

    columns["lines on the page"] = lines
    columns["text on the page"] = total
    columns["typical size"] = biggest
    columns["size against typical"] = size / np.maximum(biggest, 1)
    columns["long lines on the page"] = long_lines
    columns["share of text in long lines"] = long_total / some
    columns["share of lines that are long"] = long_lines / lines
    columns["place"] = before / np.maximum(lines - 1, 1)
    columns["lines before"] = before
    columns["lines after"] = after
    columns["text before"] = (through - size) / some
    columns["text after"] = (total - through) / some
    columns["long text before"] = (long_through - long_size) / some_long
    columns["long text after"] = (long_total - long_through) / some_long
    columns["long lines before"] = long_count - long
    columns["long lines after"] = long_lines - long_count

    for name, which in (
        ("long line", long),
        ("line that ends a sentence", ends),
        ("line of middling size", size >= LONG / 2),
    ):
        back, ahead = _distances(which, first, last)
        columns[f"lines since a {name}"] = back
        columns[f"lines to the next {name}"] = ahead
    columns["run of short lines"] = np.minimum(
        columns["lines since a line of middling size"] + columns["lines to the next line of middling size"], FAR
    )

    back, ahead = _distances(ends, first, last)
    columns["run of lines that end no sentence"] = np.where(ends, 0.0, np.minimum(back + ahead - 1, FAR))
    worth = np.where(long, np.minimum(size, 600.0), -STRETCH_COST)
    columns.update(_stretch("long stretch", worth, first, last))

    words = measured.own["words"]
    sign = measured.own["last sign"]
    letter = measured.own["first letter"]
    for step in (-3, -2, -1, 1, 2, 3):
        side = f"{abs(step)} {'above' if step < 0 else 'below'}"
        columns[f"size {side}"] = _neighbour(size, step, first, last)
        if abs(step) == 1:
            columns[f"last sign {side}"] = _neighbour(sign, step, first, last)
            columns[f"first letter {side}"] = _neighbour(letter, step, first, last)
            columns[f"starts like the line {side}"] = _neighbour(measured.start, step, first, last) == measured.start
            columns[f"digits {side}"] = _neighbour(measured.own["digits"], step, first, last)
            columns[f"capitals {side}"] = _neighbour(measured.own["capitals a word"], step, first, last)
    for reach in (2, 5, 12, 30):
        mean = _window(first, last, reach)
        columns[f"mean size within {reach}"] = mean(size)
        columns[f"sentence lines within {reach}"] = mean(ends.astype(np.float64))
        columns[f"text of long lines within {reach}"] = mean(long_size)
        if reach in (5, 12):
            columns[f"words within {reach}"] = mean(words)
            columns[f"spread of sizes within {reach}"] = mean(np.minimum(size, 1000.0) ** 2) / np.maximum(
                mean(np.minimum(size, 1000.0)) ** 2, 1
            )
            columns[f"capitals within {reach}"] = mean(np.floor(measured.own["capitals a word"] * 64))
            columns[f"digits within {reach}"] = mean(np.floor(measured.own["digits"] * 64))
            columns[f"links and signs within {reach}"] = mean(measured.own["separators"] + measured.own["symbols"])
    shared, known = shared_words(measured, long)
    columns["words shared with long lines"] = shared
    columns["words compared"] = known
    mean = _window(first, last, 4)
    columns["shared words within 4"] = mean(np.floor(shared * 64))

    columns["pages of the site with this line"] = measured.site_near
    columns["share of the site's pages with this line"] = measured.site_near / np.maximum(measured.site_pages, 1)
    columns["other pages of the site seen"] = np.clip(measured.site_pages - 1, 0, 3)
    seen = np.where(measured.site_pages > 0, np.minimum(measured.site_near, 2), 0)
    columns["lines around seen on the site"] = _window(first, last, 4)(seen)
    columns.update(_around_hits(measured.hit, first, last))
    columns.update(_blocks(size, first, last))
    columns.update(
        _stretch("sentence stretch", np.where((size >= 60) & ends, np.minimum(size, 400.0), -25.0), first, last)
    )
    columns.update(_wording(measured, lexicon))
    return _matrix(columns, FEATURE_NAMES)


def _in_place(measured: Measured) -> native.Lines:
    words, n = measured.words, len(measured.size)
    return native.Lines(
        pages=np.append(np.flatnonzero(measured.first == np.arange(n)), n),
        own=list(measured.own.values()),
        start=measured.start,
        site_near=measured.site_near,
        site_pages=measured.site_pages,
        hit=measured.hit,
        slot=words.slot,
        line=words.line,
        entry=words.entry,
        entry_line=words.entry_line,
        room=ROOM,
    )


def _around_hits(hit: npt.NDArray[np.uint8], first: Ints, last: Ints) -> dict[str, Doubles]:
    """Where a line stands to the lines that rules and metadata name."""
    columns: dict[str, Doubles] = {}
    marked = (hit != NO_HIT).astype(np.float64)
    columns["marked by a rule"] = marked
    columns["kind of metadata"] = np.where(hit == TITLE, 1.0, np.where(hit == BYLINE, 2.0, 0.0))
    columns["marked lines within 3"] = _window(first, last, 3)(marked)
    columns["marked lines within 10"] = _window(first, last, 10)(marked)
    total, through = sums(marked, first, last)
    columns["marked lines on the page"] = total
    columns["marked lines before"] = through - marked
    for since, ahead, which in (
        ("lines since a ruled line", "lines to the next ruled line", (hit == RULED) | (hit >= COMMENTS)),
        ("lines since the title", "lines to the title", hit == TITLE),
        ("lines since a byline or date", "lines to the next byline or date", hit == BYLINE),
        ("lines since a rule on comments", "", hit == COMMENTS),
        ("lines since a rule on related pages", "", hit == RELATED),
        ("lines since a rule on sharing", "lines to the next rule on sharing", hit == SHARING),
    ):
        back, to = _distances(which, first, last)
        columns[since] = back
        if ahead:
            columns[ahead] = to
    return columns


def _blocks(size: Doubles, first: Ints, last: Ints) -> dict[str, Doubles]:
    """How large the block is that a line is in, and where the line stands to the largest block of its page."""
    n = len(size)
    in_block = size >= BLOCK_SIZE
    at = np.arange(n)
    if not n:
        return dict.fromkeys(
            ("text of the block", "text of the block against the largest", "lines past the largest block"), np.zeros(0)
        )
    starts = np.flatnonzero(np.concatenate(([True], (in_block[1:] != in_block[:-1]) | (first[1:] != first[:-1]))))
    text = np.repeat(np.add.reduceat(np.where(in_block, size, 0.0), starts), np.diff(np.append(starts, n)))
    pages = np.flatnonzero(at == first)
    lengths = np.diff(np.append(pages, n))
    largest = np.repeat(np.maximum.reduceat(text, pages), lengths)
    begin = np.repeat(np.minimum.reduceat(np.where(text == largest, at, n), pages), lengths)
    return {
        "text of the block": text,
        "text of the block against the largest": text / np.maximum(largest, 1),
        "lines past the largest block": np.clip(at - begin, -FAR, FAR).astype(np.float64),
    }


def _wording(measured: Measured, lexicon: Lexicon) -> dict[str, Doubles]:
    """What the words of a line and of the lines around it say by themselves."""
    first, last = measured.first, measured.last
    n = len(measured.size)
    total, most, least, known, words = _word_sums(lexicon, measured.words.entry, measured.words.entry_line, n)
    mean = total / np.maximum(words, 1)
    rounded = np.floor(mean * 16)
    capped = np.clip(total, -MOST_WORDING, MOST_WORDING)
    page, _ = sums(rounded, first, last)
    columns = {
        "wording": total,
        "mean wording": mean,
        "wording most like boilerplate": most,
        "wording most like text": least,
        "share of words known": known / np.maximum(words, 1),
    }
    for step in (-2, -1, 1, 2):
        side = f"{abs(step)} {'above' if step < 0 else 'below'}"
        columns[f"mean wording {side}"] = _neighbour(rounded, step, first, last)
    columns["wording within 3"] = _window(first, last, 3)(capped)
    columns["wording within 10"] = _window(first, last, 10)(capped)
    columns["mean wording of the page"] = page / (last - first)
    return columns


def _word_sums(
    lexicon: Lexicon, entry: npt.NDArray[np.int32], entry_line: npt.NDArray[np.int32], n: int
) -> tuple[Doubles, Doubles, Doubles, Doubles, Doubles]:
    """What the words of each of n lines say: sum, most and least (0 counts too), how many are known, how many there are."""
    says = lexicon[entry].astype(np.float64)
    bounds = np.searchsorted(entry_line, np.arange(n + 1))
    words = np.diff(bounds).astype(np.float64)
    padded = np.append(says, 0.0)  # reduceat wants every start to be inside
    some = words > 0
    total, most, least = np.zeros(n), np.zeros(n), np.zeros(n)
    if some.any():
        starts = bounds[:-1][some]
        total[some] = np.add.reduceat(padded, starts)
        most[some] = np.maximum(np.maximum.reduceat(padded, starts), 0.0)
        least[some] = np.minimum(np.minimum.reduceat(padded, starts), 0.0)
    known = np.bincount(entry_line[says != 0], minlength=n).astype(np.float64)
    return total, most, least, known, words


def second_features(measured: Measured, scores: npt.NDArray[np.float64]) -> Floats:
    """Features of the second pass: what the first pass says of the neighbours and the page, one for each of SECOND_NAMES.

    scores: P(boilerplate) of the first pass, one a line. They are rounded, so that sums are exact.
    """
    if native.available():
        made = np.empty((len(SECOND_NAMES), len(measured.size)), np.float32)
        native.second_columns(_in_place(measured), scores, made)
        return made.T
    columns: dict[str, npt.NDArray[np.float64]] = {}
    first, last, size = measured.first, measured.last, measured.size
    score = np.floor(scores * 4096 + 0.5)
    keep = 4096 - score
    columns["own score"] = score / 4096
    n_lines = (last - first).astype(np.float64)
    scores_total, _ = sums(score, first, last)
    columns["mean score of the page"] = scores_total / n_lines / 4096
    columns["own score against the page"] = (score - scores_total / n_lines) / 4096
    surely, _ = sums((score >= 3600).astype(np.float64), first, last)
    columns["surely dropped lines"] = surely
    columns["share of lines surely dropped"] = surely / n_lines
    for step in (-4, -3, -2, -1, 1, 2, 3, 4):
        side = f"{abs(step)} {'above' if step < 0 else 'below'}"
        columns[f"score {side}"] = _neighbour(score, step, first, last) / 4096
    for reach in (1, 2, 5, 10, 25):
        columns[f"mean score within {reach}"] = _window(first, last, reach)(score) / 4096
    capped = np.minimum(size, 2000.0)
    kept = keep * capped
    kept_total, kept_through = sums(kept, first, last)
    all_total, _ = sums(capped, first, last)
    for reach in (2, 6, 15):
        mean = _window(first, last, reach)
        columns[f"text kept within {reach}"] = mean(kept) / np.maximum(mean(capped), 1) / 4096
    columns["text kept before"] = (kept_through - kept) / np.maximum(kept_total, 1)
    columns["text kept after"] = (kept_total - kept_through) / np.maximum(kept_total, 1)
    columns["text kept on the page"] = kept_total / 4096
    columns["share of text kept on the page"] = kept_total / np.maximum(all_total, 1) / 4096
    lines_total, _ = sums(keep, first, last)
    columns["lines kept on the page"] = lines_total / 4096
    main = keep >= 2048
    sure = (keep >= 3400) & (size >= LONG / 2)
    for name, which in (("kept line", main), ("surely kept line", sure)):
        back, ahead = _distances(which, first, last)
        columns[f"lines since a {name}"] = back
        columns[f"lines to the next {name}"] = ahead
    back, ahead = _distances(~main, first, last)
    columns["run of kept lines"] = np.minimum(back + ahead, FAR)
    columns["lines since a dropped line"] = back
    columns["lines to the next dropped line"] = ahead
    page_main, through_main = sums(main.astype(np.float64), first, last)
    columns["kept lines before"] = through_main - main
    columns["kept lines after"] = page_main - through_main
    shared, _ = shared_words(measured, main)
    columns["words shared with kept lines"] = shared
    columns["shared kept words within 3"] = _window(first, last, 3)(np.floor(shared * 64))
    worth = np.floor((keep - 2048) * (np.minimum(size, 300.0) + 20) / 64)
    columns.update(_stretch("kept stretch", worth, first, last))
    columns.update(_against(measured, keep))
    return _matrix(columns, SECOND_NAMES)


def shared_words(measured: Measured, which: Bools) -> tuple[Doubles, Doubles]:
    """Share of each line's words that also stand in another line of its page among `which`; and how many it compared."""
    words = measured.words
    n = len(measured.size)
    chosen = which[words.line]
    slot, line = words.slot[chosen], words.line[chosen]
    earliest = np.full(words.slots, -1, np.int32)
    latest = np.full(words.slots, -1, np.int32)
    earliest[slot[::-1]] = line[::-1]
    latest[slot] = line
    one, other = earliest[words.slot], latest[words.slot]
    hit = (one >= 0) & ((one != words.line) | (other != words.line))
    known = np.bincount(words.line, minlength=n).astype(np.float64)
    return np.bincount(words.line[hit], minlength=n) / np.maximum(known, 1), known


def _stretch(name: str, worth: Doubles, first: Ints, last: Ints) -> dict[str, Doubles]:
    """Where a line stands to the stretch of its page with the largest sum of `worth` (whole numbers)."""
    n = len(worth)
    at = np.arange(n)
    _, through = sums(worth, first, last)
    before = through - worth
    step = 2 * float(np.abs(through).max(initial=0)) + 1
    page = np.cumsum(at == first) * step  # each page lies lower than the one above, so that its minimum starts afresh
    lowest = np.minimum.accumulate(before - page) + page
    gain = through - lowest
    starts = np.flatnonzero(at == first)
    pages = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, n)))
    best = np.maximum.reduceat(gain, starts)[pages] if n else gain
    end = np.minimum.reduceat(np.where(gain == best, at, n), starts)[pages] if n else at
    low = np.where((at <= end) & (before == lowest[np.minimum(end, n - 1)]), at, -1) if n else at
    begin = np.maximum.reduceat(low, starts)[pages] if n else at
    return {
        f"lines to the {name}": np.clip(begin - at, -FAR, FAR).astype(np.float64),
        f"lines past the {name}": np.clip(at - end, -FAR, FAR).astype(np.float64),
        f"lines of the {name}": (end - begin + 1).astype(np.float64),
    }


def _against(measured: Measured, keep: Doubles) -> dict[str, Doubles]:
    """How like the kept lines of its page a line is: size, capitals and stops against their weighted means."""
    first, last = measured.first, measured.last
    weight, _ = sums(keep, first, last)
    result = {}
    for name in ("size", "capitals a word", "sentence ends", "short words"):
        values = np.floor(np.minimum(measured.own[name], 1000.0) * 64)
        mean, _ = sums(values * keep, first, last)
        result[f"{name} against kept lines"] = (values - mean / np.maximum(weight, 1)) / 64
    return result


def _matrix(columns: dict[str, npt.NDArray[np.float64]], names: tuple[str, ...]) -> Floats:
    if tuple(columns) != names:
        raise AssertionError(sorted(set(columns) ^ set(names)))
    n = len(next(iter(columns.values())))
    matrix = np.empty((len(names), n), np.float32)
    for row, values in zip(matrix, columns.values(), strict=True):
        row[:] = values
    return matrix.T


def sums(values: Doubles, first: Ints, last: Ints) -> tuple[Doubles, Doubles]:
    """The page's sum of `values`, and the sum down to and with each line."""
    running = np.concatenate(([0.0], np.cumsum(values)))
    base = running[first]
    return running[last] - base, running[1:] - base


def _window(first: Ints, last: Ints, reach: int) -> Callable[[Doubles], Doubles]:
    """A function for the mean of values over the lines at most `reach` away on the same page."""
    at = np.arange(len(first))
    low = np.maximum(first, at - reach)
    high = np.minimum(last, at + reach + 1)
    count = (high - low).astype(np.float64)

    def mean(values: Doubles) -> Doubles:
        running = np.concatenate(([0.0], np.cumsum(values)))
        return (running[high] - running[low]) / count

    return mean


def _neighbour(values: Doubles, step: int, first: Ints, last: Ints) -> Doubles:
    """The value `step` lines below (above when negative) on the same page, -1 where there is none."""
    n = len(values)
    result = np.full(n, -1.0)
    if abs(step) >= n:
        return result
    at = np.arange(n)
    if step < 0:
        ok = (at + step >= first)[-step:]
        result[-step:][ok] = values[:step][ok]
    else:
        ok = (at + step < last)[:-step]
        result[:-step][ok] = values[step:][ok]
    return result


def _distances(which: Bools, first: Ints, last: Ints) -> tuple[Doubles, Doubles]:
    """Lines back to the nearest other line of the page in `which`, and ahead to it; FAR where there is none."""
    n = len(which)
    at = np.arange(n)
    back = np.maximum.accumulate(np.where(which, at, -1)) if n else at
    back = np.concatenate(([-1], back[:-1]))[:n]
    ahead = np.minimum.accumulate(np.where(which, at, n)[::-1])[::-1] if n else at
    ahead = np.concatenate((ahead[1:], [n]))[:n]
    since = np.where(back >= first, np.minimum(at - back, FAR), FAR)
    to = np.where(ahead < last, np.minimum(ahead - at, FAR), FAR)
    return since.astype(np.float64), to.astype(np.float64)


_Read = tuple[dict[str, Doubles], Doubles, Words]
"""The features of lines by themselves, how each begins, and the words."""


def _read(lines: pl.DataFrame, starts: Ints) -> _Read:
    page = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, lines.height)))
    stripped = lines["text"].str.strip_chars()
    chars = stripped.str.len_chars().to_numpy().astype(np.float64)
    counts, words = _read_heads(stripped.str.head(HEAD_CHARS), page, starts)
    same, above = _copies(lines)
    head = np.maximum(np.minimum(chars, HEAD_CHARS), 1)
    scale = np.maximum(chars, 1) / head
    n_words = np.maximum(counts["words"], 1)
    letters = np.maximum(counts["letters"], 1)
    own = {
        "size": np.floor(chars + counts["wide"] * scale),
        "words": np.floor(counts["words"] * scale),
        "word size": (head + counts["wide"]) / n_words,
        "digits": counts["digits"] / head,
        "numbers": counts["numbers"] / n_words,
        "capitals": counts["capitals"] / letters,
        "capitals a word": counts["capitals"] / n_words,
        "letters": counts["letters"] / head,
        "commas": counts["commas"],
        "commas a word": counts["commas"] / n_words,
        "sentence ends": counts["stops"],
        "separators": counts["separators"],
        "separators a word": counts["separators"] / n_words,
        "quotes": counts["quotes"],
        "colons": counts["colons"],
        "times": counts["times"],
        "brackets": counts["brackets"],
        "links": counts["links"],
        "symbols": counts["symbols"],
        "short words": counts["short_words"] / n_words,
        "first letter": counts["first"],
        "last sign": _tails(stripped.str.tail(2)),
        "copies on the page": same,
        "copies above": above,
    }
    return own, counts["start"], words


def _read_natively(lines: pl.DataFrame, starts: Ints) -> _Read:
    numbers, start, found = native.read_lines(
        lines["text"], np.append(starts, lines.height), signs(), features=len(OWN_NAMES)
    )
    slots = max(int(found.pop("slots")[0]), 1)
    return dict(zip(OWN_NAMES, numbers, strict=True)), start, Words(**found, slots=slots)


@functools.cache
def signs() -> native.Signs:
    """What the kernels are told of bytes and characters."""
    return native.signs(
        _PAIRS,
        closing=CLOSERS,
        terminal=TERMINAL,
        colon=COLONS,
        ellipsis=ELLIPSES,
        entry_bits=LEXICON_BITS,
        room=ROOM,
    )


_FIELDS: Final = (
    ("letters", "digits", "capitals", "wide", "words", "commas", "stops", "separators"),
    ("quotes", "colons", "times", "numbers", "brackets", "links", "symbols"),
)


def _pair_tables() -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """Eight packed 8-bit counters for each pair of adjacent bytes, pair = 256 * this byte + the next one."""
    a = np.repeat(np.arange(256), 256)
    b = np.tile(np.arange(256), 256)

    def byte(text: str, values: npt.NDArray[np.int64] = a) -> Bools:
        return np.isin(values, np.frombuffer(text.encode("latin-1"), np.uint8))

    def between(values: npt.NDArray[np.int64], low: int, high: int) -> Bools:
        return (values >= low) & (values <= high)

    digit = between(a, 48, 57)
    upper = between(a, 65, 90)
    upper |= (a == 0xC3) & between(b, 0x80, 0x9E)
    upper |= (a == 0xC4) & (b % 2 == 0) & (b < 0xB8)
    upper |= (a == 0xC5) & between(b, 0x8A, 0xB7) & (b % 2 == 0)
    upper |= ((a == 0xC4) & (b >= 0xB8) | (a == 0xC5) & (b < 0x89) | (a == 0xC5) & (b > 0xB8)) & (b % 2 == 1)
    upper |= (a == 0xCE) & between(b, 0x86, 0xAB)
    upper |= (a == 0xD0) & between(b, 0x80, 0xAF)
    hangul = between(a, 0xEB, 0xEC) | (a == 0xEA) & (b >= 0xB0) | (a == 0xED) & (b < 0x9F)
    han = between(a, 0xE4, 0xE9) | (a == 0xE3) & (b >= 0x81)
    letter = between(a, 65, 90) | between(a, 97, 122) | between(a, 0xC3, 0xE1) | hangul | han
    closing = (b <= 32) | byte("\"')]", b) | (b == 0xE2) | (b == 0xC2)
    fields = {
        "letters": letter,
        "digits": digit,
        "capitals": upper,
        "wide": hangul | han,
        "words": (b <= 32) & (a > 32),
        "commas": byte(",;") | (a == 0x80) & (b == 0x81),
        "stops": byte(".!?") & closing | (a == 0x80) & (b == 0x82),
        "separators": byte("|/>\\") | (a == 0xC2) & np.isin(b, (0xB7, 0xBB, 0xAB)) | (a == 0x80) & (b == 0xA2),
        "quotes": byte('"') | (a == 0x80) & between(b, 0x9C, 0x9F) | (a == 0xC2) & np.isin(b, (0xBB, 0xAB)),
        "colons": a == 58,
        "times": (a == 58) & between(b, 48, 57),
        "numbers": digit & ~between(b, 48, 57),
        "brackets": byte("()[]"),
        "links": (a == 47) & (b == 47) | (a == 64) | (a == 119) & (b == 119),
        "symbols": byte("$%#*=+_~^{}<&") | (a == 0xC2) & np.isin(b, (0xA9, 0xAE, 0xA3)) | (a == 0x82) & (b == 0xAC),
    }
    tables = []
    for names in _FIELDS:
        table = np.zeros(65536, np.uint64)
        for place, name in enumerate(names):
            table |= fields[name].astype(np.uint64) << np.uint64(8 * place)
        tables.append(table)
    return tables[0], tables[1]


_PAIRS: Final = _pair_tables()
_IN_WORD: Final = np.array([b >= 0xC3 or (chr(b).isalnum() and b < 128) or 0x80 <= b < 0xC0 for b in range(256)])
_HAN_FIRST: Final = 0xE3  # first bytes of kana and Chinese characters, which stand without spaces
_HAN_LAST: Final = 0xE9
_PADDING: Final = np.full(24, 10, np.uint8)
_KEEP_BYTES: Final = np.array([(1 << (8 * n)) - 1 for n in range(9)], np.uint64)


def _read_heads(heads: pl.Series, page: Ints, starts: Ints) -> tuple[dict[str, Doubles], Words]:
    """Counters of each head, and the words to compare."""
    n = len(heads)
    names = (*_FIELDS[0], *_FIELDS[1], "short_words", "first", "start")
    counts = {name: np.zeros(n) for name in names}
    keys: list[npt.NDArray[np.uint64]] = []
    rows: list[npt.NDArray[np.int32]] = []
    entry_lines: list[npt.NDArray[np.int32]] = []
    entries: list[npt.NDArray[np.int32]] = []
    closed = (heads + "\n").rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    offsets = np.frombuffer(closed.buffers()[1], np.int64)[closed.offset : closed.offset + n + 1]
    data = np.frombuffer(closed.buffers()[2], np.uint8) if n else np.zeros(0, np.uint8)
    low = 0
    while low < n:
        high = max(low + 1, int(np.searchsorted(offsets, offsets[low] + BATCH_BYTES, side="right")) - 1)
        text = data[offsets[low] : offsets[high]]
        key, row, long_enough = _read_batch(text, offsets[low : high + 1] - offsets[low], counts, low)
        entries.append((key >> np.uint64(64 - LEXICON_BITS)).astype(np.int32))
        entry_lines.append(row)
        keys.append(key[long_enough])
        rows.append(row[long_enough])
        low = high
    if not keys:
        return counts, Words(
            slot=np.zeros(0, np.int64),
            line=np.zeros(0, np.int32),
            entry=np.zeros(0, np.int32),
            entry_line=np.zeros(0, np.int32),
            slots=1,
        )
    row = np.concatenate(rows)
    of_page = page[row]
    count = np.bincount(of_page, minlength=len(starts))
    bits = np.clip(np.frexp(count.astype(np.float64) * ROOM)[1] - 1, 1, MOST_SLOT_BITS)
    base = np.concatenate(([0], np.cumsum(1 << bits)))
    key = np.concatenate(keys)
    slot = (key >> (64 - bits).astype(np.uint64)[of_page]).astype(np.int64) + base[of_page]
    return counts, Words(
        slot=slot, line=row, entry=np.concatenate(entries), entry_line=np.concatenate(entry_lines), slots=int(base[-1])
    )


def _read_batch(
    text: Bytes, offsets: Ints, counts: dict[str, Doubles], low: int
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int32], Bools]:
    """Fill in `counts` for the lines of `text`, and return the key and line of each word."""
    size = len(text)
    buffer = np.concatenate((text, _PADDING))
    begin = offsets[:-1]
    n = len(begin)
    here = slice(low, low + n)
    pairs = buffer[:size].astype(np.intp)
    pairs <<= 8
    pairs |= buffer[1 : size + 1]
    for table, names in zip(_PAIRS, _FIELDS, strict=True):
        sums_of = np.add.reduceat(table.take(pairs), begin)
        for place, name in enumerate(names):
            counts[name][here] = (sums_of >> np.uint64(8 * place)) & np.uint64(255)
    lead = buffer[begin]
    follow = buffer[begin + 1]
    counts["start"][here] = (
        lead.astype(np.int64) << 16 | follow.astype(np.int64) << 8 | np.where(lead > 0xE0, buffer[begin + 2], 0)
    )
    first_pair = _PAIRS[0][lead.astype(np.int64) << 8 | follow]
    is_upper = (first_pair >> np.uint64(16)) & np.uint64(1)
    is_letter = first_pair & np.uint64(1)
    is_digit = (first_pair >> np.uint64(8)) & np.uint64(1)
    counts["first"][here] = np.where(is_upper, 3, np.where(is_letter, 2, np.where(is_digit, 1, 0)))

    inside = _IN_WORD.take(buffer[: size + 1])
    edges = np.flatnonzero(inside[1:] != inside[:-1]) + 1
    if inside[0]:
        edges = np.concatenate(([0], edges))
    word_start, word_end = edges[0::2], edges[1::2]
    length = word_end - word_start
    bound = np.searchsorted(word_start, offsets)
    in_line = np.diff(bound)
    line = np.repeat(np.arange(n, dtype=np.int32), in_line)
    two_bytes = buffer[word_start] >= 0xC3
    letters = np.where(two_bytes, length >> 1, length)
    short = np.concatenate(([0], np.cumsum(letters <= 3)))
    counts["short_words"][here] = short[bound[1:]] - short[bound[:-1]]
    han_at = np.flatnonzero((text >= _HAN_FIRST) & (text <= _HAN_LAST))
    per_line = np.diff(np.searchsorted(han_at, offsets))
    counts["words"][here] = np.maximum(in_line, 1) + per_line // 2
    lead = buffer[word_start]
    long_enough = letters >= 4
    chosen = np.flatnonzero(~((lead >= _HAN_FIRST) & (lead <= _HAN_LAST)))
    word_start, length, line = word_start[chosen], length[chosen], line[chosen]
    long_enough = long_enough[chosen]
    if len(han_at):  # a word is then a character and the next one: six bytes, if the line has as many left
        han_line = np.repeat(np.arange(n, dtype=np.int32), per_line)
        left = offsets[han_line + 1] - 1 - han_at
        pairs_at, han_line = han_at[left >= 6], han_line[left >= 6]
        word_start = np.concatenate((word_start, pairs_at))
        length = np.concatenate((length, np.full(len(pairs_at), 6)))
        line = np.concatenate((line, han_line))
        long_enough = np.concatenate((long_enough, np.ones(len(pairs_at), bool)))
        order = np.argsort(line, kind="stable")
        word_start, length, line, long_enough = word_start[order], length[order], line[order], long_enough[order]
    eight = np.ndarray((size + 16,), np.dtype("<u8"), buffer=buffer, strides=(1,))
    spaces = np.uint64(0x2020202020202020)
    key = (eight[word_start] | spaces) & _KEEP_BYTES[np.minimum(length, 8)]
    wide = np.flatnonzero((length > 8) & (buffer[word_start] >= 0xC3))
    key[wide] += (eight[word_start[wide] + 8] & _KEEP_BYTES[np.minimum(length[wide] - 8, 6)]) * np.uint64(
        0x9E3779B97F4A7C15
    )
    key *= np.uint64(0xD6E8FEB86659FD93)
    return key, line + np.int32(low), long_enough


def site_counts(lines: pl.DataFrame) -> tuple[Doubles, Doubles]:
    """What is known of the site of each line: nothing without the columns, or where `site` is empty."""
    if not {"site_near", "site_pages"} <= set(lines.columns):
        return np.zeros(lines.height), np.zeros(lines.height)
    seen, pages = (lines[name].to_numpy().astype(np.float64) for name in ("site_near", "site_pages"))
    if "site" in lines.columns:
        unknown = (lines["site"].fill_null("") == "").to_numpy()
        seen[unknown] = pages[unknown] = 0.0
    return seen, pages


def _copies(lines: pl.DataFrame) -> tuple[Doubles, Doubles]:
    """How often each line's text stands on its page, and how often above it."""
    same = lines.select(pl.len().over("doc", "text")).to_series().to_numpy().astype(np.float64)
    above = np.zeros(len(same))
    repeated = np.flatnonzero(same > 1)  # few: counting in order is slow
    above[repeated] = lines[repeated].select(pl.int_range(pl.len()).over("doc", "text")).to_series().to_numpy()
    return same, above


def _tails(tails: pl.Series) -> Doubles:
    """How a line ends: 0 otherwise, 1 on a colon, 2 on an ellipsis, 3 on a full stop or the like, closed or not."""
    closing = "[" + "".join(f"\\{c}" if c in "]\\^-" else c for c in CLOSERS) + "]"
    stops = "[" + TERMINAL + "]"
    unique = tails.unique()
    kind = unique.to_frame("tail").with_columns(
        sign=pl.when(pl.col("tail").str.contains(f"(?:\\.\\.|[{ELLIPSES}])$"))
        .then(2.0)
        .when(pl.col("tail").str.contains(f"(?:{stops}|{stops}{closing})$"))
        .then(3.0)
        .when(pl.col("tail").str.contains(f"[{COLONS}]$"))
        .then(1.0)
        .otherwise(0.0)
    )
    return tails.replace_strict(kind["tail"], kind["sign"], return_dtype=pl.Float64).to_numpy()
