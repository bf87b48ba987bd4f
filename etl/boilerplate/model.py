"""A learned line classifier: how likely each line is boilerplate, from text alone, and why.

Two forests of symmetric trees (every node of one level asks the same question), each a few hundred kilobytes of text in
the package. The first scores a line by itself, its neighbours, its page and its site; the second also sees the first
one's scores around the line. Leaf values are whole numbers and scores are steps of 1/4096, so that scores are the same
on every machine. benchmarks/train_line_model.py makes the weights.
"""

from __future__ import annotations

import functools
import importlib.resources
import json
import lzma
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from etl.boilerplate import features, native
from etl.boilerplate.lines import MARKS

RULE: Final = "line-model"
WEIGHTS: Final = "line_model.json.xz"
STEPS: Final = 4096  # scores are whole steps; sums of them are then exact
LEAF_UNIT: Final = 1 << 16  # a leaf value of 65,536 is one unit of log odds
THRESHOLD: Final = 0.5  # benchmarks/line_model_thresholds.py prints what each choice does
SURE: Final = 0.8
CHROME_SHARE: Final = 0.1  # a page with this share of sure lines still has its chrome
# For 0.001 of shingle F1 on whole pages and 0.004 on pages cut before, a third fewer characters go from clean articles
# (1.1 to 0.7 percent), and a third as many articles lose more than 5 percent (3.8 to 1.3 percent).
CLEAN_THRESHOLD: Final = 0.7
# For 0.002 of shingle F1 on pages cut before, sentences on pages without chrome stay; see docs/decisions/0010-words-and-hits.md.
PROSE_THRESHOLD: Final = 0.95
SENTENCE_SIZE: Final = 20
CHROME_MASS: Final = 0.02  # a page with this share of its text in sure lines that are no sentences shows chrome
NEIGHBOUR_SHARE: Final = 0.2  # docs/decisions/0049-rests-of-pages.md says what this and the next three are worth
MOST_HEARD: Final = 2.0 * LEAF_UNIT
REST_LINES: Final = 20
REST_SCORE: Final = 0.6
BATCH_LINES: Final = 65536  # lines scored together, of whole pages
PLAIN_BATCH_LINES: Final = 16384  # without the kernels: the columns of all must stay in the cache
BLOCK: Final = 8192
NAMED_FEATURES: Final = 3

Ints = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Forest:
    """Symmetric trees. Level d of tree t asks whether feature[t, d] > border[t, d]; the answers are bits of the leaf's number.

    leaf: log odds in 1/LEAF_UNIT. means: for each level, the mean leaf below each node of each tree.
    """

    names: tuple[str, ...]
    feature: npt.NDArray[np.int32]
    border: Floats
    leaf: Doubles
    means: tuple[Doubles, ...]
    bias: float


@dataclass(frozen=True, slots=True)
class LineModel:
    """Both passes. The second reads the first's features, then the ones of `features.SECOND_NAMES`.

    lexicon: what single words say, for `features.first_features`.
    """

    first: Forest
    second: Forest
    lexicon: features.Lexicon


@dataclass(frozen=True, slots=True)
class Scored:
    """Lines of whole pages, and what the model says of them.

    page: the row at which each line's page begins. size, ends: as `features.Measured` has them. first, second: scores of
    both passes. held: features of both passes of the lines `rows`, in order: shape (len(rows), features).
    """

    page: Ints
    size: Doubles
    ends: npt.NDArray[np.bool_]
    first: Floats
    second: Floats
    rows: Ints
    held: Floats


class Revised(Protocol):
    """Scores that count instead of the model's, with a word on each."""

    @property
    def score(self) -> Floats:
        """P(boilerplate) of every line of the batch."""
        ...

    def explain(self, rows: Ints, reasons: pl.Series) -> tuple[pl.Series, pl.Series]:
        """Rule and reason of each of `rows`, given the reasons that the text alone yields."""
        ...


class Revise(Protocol):
    """Looks at a batch again with what isn't in its text; None where there is nothing of the kind."""

    def __call__(self, batch: pl.DataFrame, scored: Scored) -> Revised | None:
        """scored: what the text alone says."""
        ...


@functools.cache
def load() -> LineModel:
    """The model that comes with the package."""
    packed = importlib.resources.files("etl.boilerplate").joinpath("weights", WEIGHTS).read_bytes()
    return loads(packed)


def loads(packed: bytes) -> LineModel:
    """The model in `packed`, as benchmarks/train_line_model.py writes it."""
    raw = json.loads(lzma.decompress(packed))
    return LineModel(
        first=forest(raw["first"], features.FEATURE_NAMES),
        second=forest(raw["second"], features.FEATURE_NAMES + features.SECOND_NAMES),
        lexicon=lexicon(raw["lexicon"]),
    )


def lexicon(raw: Mapping[str, Sequence[int]]) -> features.Lexicon:
    """The lexicon in `raw`: how far each known entry lies after the one before, and what it says."""
    table = np.zeros(1 << features.LEXICON_BITS, np.int8)
    table[np.cumsum(np.array(raw["step"], np.int64))] = raw["says"]
    return table


def score(lines: pl.DataFrame, *, model: LineModel | None = None) -> Floats:
    """P(boilerplate) of each line, in steps of 1/4096. `lines` is sorted by doc and line."""
    model = model or load()
    scored = (_scored(batch, model, np.zeros(batch.height, np.uint8)) for batch in batches(lines))
    return np.concatenate([np.zeros(0, np.float32), *(each.second for each in scored)])


def mark(
    lines: pl.DataFrame,
    *,
    threshold: float = THRESHOLD,
    clean_threshold: float = CLEAN_THRESHOLD,
    model: LineModel | None = None,
    revise: Revise | None = None,
) -> pl.DataFrame:
    """A mark for each line that `decide` would cut, with its score and the features that weighed most.

    lines: sorted by doc and line; site, site_seen and site_pages may be missing. A line whose column `settled` is true
    is judged like any other but not marked: another step has decided on it, and a reason costs more than a score.
    revise: has the last word on scores.
    """
    return score_and_mark(lines, threshold=threshold, clean_threshold=clean_threshold, model=model, revise=revise)[1]


def score_and_mark(
    lines: pl.DataFrame,
    *,
    threshold: float = THRESHOLD,
    clean_threshold: float = CLEAN_THRESHOLD,
    model: LineModel | None = None,
    revise: Revise | None = None,
) -> tuple[Floats, pl.DataFrame]:
    """What `score` and `mark` return, for the price of one of them."""
    model = model or load()
    scores, marks = [np.zeros(0, np.float32)], [MARKS.to_frame()]
    floor = _least_score(threshold)
    for batch in batches(lines):
        settled = batch["settled"].to_numpy() if "settled" in batch.columns else np.zeros(batch.height, bool)
        scored = _scored(batch, model, np.where(settled, 0, 2 if revise else 1).astype(np.uint8), floor)
        page, size, score = scored.page, scored.size, scored.second
        revised = revise(batch, scored) if revise else None
        score = revised.score if revised else score
        decision = decide(
            page,
            size,
            score,
            threshold=threshold,
            clean_threshold=clean_threshold,
            prose=scored.ends & (size >= SENTENCE_SIZE) | (size >= features.LONG),
            settled=settled,
        )
        gone = np.flatnonzero(decision.gone & ~settled)
        rule, reason = pl.repeat(RULE, len(gone), eager=True), _reasons(scored, gone, model)
        if revised:
            rule, reason = revised.explain(gone, reason)
        reason = _with_asked(reason, decision.asked[gone])
        made = batch[gone].select(
            *("doc", "line", "start", "end"),
            unit=pl.lit("line"),
            rule=rule,
            score=pl.Series(decision.score[gone], dtype=pl.Float32),
            reason=reason,
        )
        scores.append(score)
        marks.append(made.select(pl.col(name).cast(kind) for name, kind in MARKS.items()))
    return np.concatenate(scores), pl.concat(marks)


def batches(lines: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Whole pages, about BATCH_LINES lines at a time, or PLAIN_BATCH_LINES. No value depends on where a batch ends."""
    n, most = lines.height, BATCH_LINES if native.available() else PLAIN_BATCH_LINES
    doc = lines["doc"].to_numpy()
    low = 0
    while low < n:
        high = int(np.searchsorted(doc, doc[min(low + most, n) - 1], side="right"))
        yield lines[low:high]
        low = high


@dataclass(frozen=True, slots=True)
class Decision:
    """What `decide` says of each line: whether it goes, the score that counted, and the one that was asked for."""

    gone: npt.NDArray[np.bool_]
    score: Floats
    asked: Floats


def decide(
    doc: npt.NDArray[np.integer],
    size: Doubles,
    scores: Floats,
    *,
    threshold: float = THRESHOLD,
    clean_threshold: float = CLEAN_THRESHOLD,
    prose: npt.NDArray[np.bool_] | None = None,
    settled: npt.NDArray[np.bool_] | None = None,
) -> Decision:
    """Which lines go: those that score `threshold` once the lines around them have their say (`with_neighbours`).

    On a page with hardly any line that is surely boilerplate the text is probably clean already, and more is asked: up to
    `clean_threshold` where there is none. Sentences on a page that shows no chrome of its own, once `settled` lines are
    out, go only when they score PROSE_THRESHOLD.

    The best block of what `settled` leaves of a page stays, unless that is a short rest without an article: 2 lines or more
    on a page of up to REST_LINES, no sentence among them, each likelier boilerplate than not, REST_SCORE on average by length.

    doc: page of each line, in order. size: length of each line, as `features.measure` counts it. prose: lines that end as
    sentences, or are as long as paragraphs. settled: lines that other steps have decided on.
    """
    if not len(doc):
        return Decision(np.zeros(0, bool), np.zeros(0, np.float32), np.zeros(0, np.float32))
    starts = np.flatnonzero(np.concatenate(([True], doc[1:] != doc[:-1])))
    lengths = np.diff(np.append(starts, len(doc)))
    free = np.ones(len(doc), bool) if settled is None else ~settled
    score = with_neighbours(scores, starts, prose)
    sure = (score >= SURE) & free
    share = np.add.reduceat(sure.astype(np.int64), starts) / np.maximum(
        np.add.reduceat(free.astype(np.int64), starts), 1
    )
    clean = np.clip(1.0 - share / CHROME_SHARE, 0.0, 1.0)
    asked = np.repeat(threshold + max(clean_threshold - threshold, 0.0) * clean, lengths)
    text = np.maximum(np.add.reduceat(np.where(free, size, 0.0), starts), 1)
    if prose is not None:
        mass = np.add.reduceat(np.where(sure & ~prose, size, 0.0), starts) / text
        bare = np.repeat(np.clip(1.0 - mass / CHROME_MASS, 0.0, 1.0), lengths)
        of_sentences = threshold + max(PROSE_THRESHOLD - threshold, 0.0) * bare
        asked = np.where(prose, np.maximum(asked, of_sentences), asked)
    gone = score >= asked
    kept = np.add.reduceat((~gone & free).astype(np.int64), starts)
    for page in np.flatnonzero(kept == 0):  # pages with nothing left: few
        rows = np.arange(starts[page], starts[page] + lengths[page])
        rows = rows[free[rows]]
        if len(rows):
            gone[rows] = ~_best_block(score[rows], size[rows])
    lines = np.add.reduceat(free.astype(np.int64), starts)
    least = np.minimum.reduceat(np.where(free, score, 1.0), starts)
    sentences = np.zeros(len(starts), bool) if prose is None else np.logical_or.reduceat(prose & free, starts)
    mean = np.add.reduceat(np.where(free, size * score, 0.0), starts) / text
    rest = (lines >= 2) & (lengths <= REST_LINES) & ~sentences & (least >= max(threshold, 0.5)) & (mean >= REST_SCORE)
    asked[np.repeat(rest, lengths)] = max(threshold, 0.5)
    return Decision(gone | np.repeat(rest, lengths) & free, score.astype(np.float32), asked.astype(np.float32))


def with_neighbours(scores: Floats, starts: Ints, prose: npt.NDArray[np.bool_] | None = None) -> Doubles:
    """Scores after each line heard the lines above and below: NEIGHBOUR_SHARE of what they say is added to its log odds.

    A line hands on, in each direction, what it heard and its own log odds, but no more than MOST_HEARD either way: a run
    of like lines speaks louder than a single line, and is soon silenced by a run of the other kind. Against `prose` a run
    says no more than the mean of the two lines next to it.

    starts: of each page. Scores stay steps of 1/STEPS.
    """
    odds = _LOG_ODDS[np.floor(scores * STEPS + 0.5).astype(np.int64)]
    opens = np.zeros(len(odds), np.bool_)
    opens[starts] = True
    heard = native.heard(odds, opens, MOST_HEARD) if native.available() else _heard(odds, opens)
    if prose is not None:
        heard = np.where(prose, np.minimum(heard, _next_to(odds, opens)), heard)
    return probability(odds + NEIGHBOUR_SHARE * heard)


def _next_to(odds: Doubles, opens: npt.NDArray[np.bool_]) -> Doubles:
    """The mean log odds of the lines next to each, of its page; 0 for the only one."""
    above, below = ~opens, np.append(~opens[1:], False)
    total: Doubles = np.where(above, np.append(0.0, odds[:-1]), 0.0) + np.where(below, np.append(odds[1:], 0.0), 0.0)
    mean: Doubles = total / np.maximum(above.astype(np.int64) + below, 1)
    return mean


def _heard(odds: Doubles, opens: npt.NDArray[np.bool_]) -> Doubles:
    """What each line hears from above and from below, in log odds; twin of `native.heard`. opens: first lines of pages."""
    shuts = np.append(opens[1:], True)
    return _heard_from_above(odds, opens) + _heard_from_above(odds[::-1], shuts[::-1])[::-1]


def _heard_from_above(odds: Doubles, opens: npt.NDArray[np.bool_]) -> Doubles:
    heard, said = [], 0.0
    for own, first in zip(odds.tolist(), opens.tolist(), strict=True):
        said = 0.0 if first else said
        heard.append(said)
        said = min(max(said + own, -MOST_HEARD), MOST_HEARD)
    return np.array(heard)


def _scored(batch: pl.DataFrame, model: LineModel, asked: npt.NDArray[np.uint8], floor: float = 0.0) -> Scored:
    """What the model says of the lines of a batch. Features are held at least of lines where `asked` is 1 and that score
    `floor` or more, and where it is 2."""
    if native.available():
        return _scored_natively(batch, model, asked, floor)
    measured = features.measure(batch)
    first = features.first_features(measured, model.lexicon)
    once = probability(log_odds(model.first, first))
    both = np.concatenate((first.T, features.second_features(measured, once).T)).T
    twice = probability(log_odds(model.second, both)).astype(np.float32)
    return Scored(
        page=measured.first,
        size=measured.size,
        ends=measured.ends,
        first=once.astype(np.float32),
        second=twice,
        rows=np.arange(batch.height),
        held=both,
    )


def _scored_natively(batch: pl.DataFrame, model: LineModel, asked: npt.NDArray[np.uint8], floor: float) -> Scored:
    pages = features.page_bounds(batch)
    near, site_pages = features.site_counts(batch)
    found = native.score_lines(
        batch["text"],
        pages,
        native.Known(near, site_pages, features.hits(batch)),
        features.signs(),
        lexicon=model.lexicon,
        forests=(model.first, model.second),
        probabilities=_SIGMOID,
        asked=asked,
        floor=floor,
    )
    return Scored(page=np.repeat(pages[:-1], np.diff(pages)), **found)


def _least_score(threshold: float) -> float:
    """A score below which a line can't go, whatever the lines around it say."""
    heard = probability(_LOG_ODDS + NEIGHBOUR_SHARE * 2 * MOST_HEARD) >= threshold
    return float(np.argmax(heard)) / STEPS if heard[-1] else 2.0


def _with_asked(reasons: pl.Series, asked: Floats) -> pl.Series:
    """Each reason with the score that was asked of the line."""
    hundredths = pl.Series(np.floor(asked.astype(np.float64) * 100 + 0.5).astype(np.int64))
    told = pl.Series([f" ({n / 100:.2f} asked)" for n in range(101)], dtype=pl.String)
    return reasons + told[hundredths]


def _best_block(score: Doubles, size: Doubles) -> npt.NDArray[np.bool_]:
    """The run of lines around the largest doubtful one that goes on while lines are no surer than the page is on average."""
    value = (1.0 - score) * size
    at = int(np.argmax(value))
    likely = score <= score[at] + (1.0 - score[at]) / 2
    low, high = at, at + 1
    while low > 0 and likely[low - 1]:
        low -= 1
    while high < len(score) and likely[high]:
        high += 1
    kept = np.zeros(len(score), bool)
    kept[low:high] = True
    return kept


def log_odds(forest: Forest, matrix: Floats) -> Doubles:
    """Sum of the leaves each line falls in, whole numbers in 1/LEAF_UNIT. `matrix` is column by column in memory."""
    columns = matrix.T
    n = columns.shape[1]
    total = np.full(n, forest.bias)
    if native.available():
        native.add_leaves(columns, forest.feature, forest.border, forest.leaf, total)
        return total
    levels = forest.feature.shape[1]
    index = np.empty(BLOCK, np.uint8)
    bit = np.empty(BLOCK, np.bool_)
    for low in range(0, n, BLOCK):
        block = columns[:, low : low + BLOCK]
        size = block.shape[1]
        i, b = index[:size], bit[:size]
        out = total[low : low + BLOCK]
        for feature, border, leaf in zip(forest.feature.tolist(), forest.border, forest.leaf, strict=True):
            np.greater(block[feature[levels - 1]], border[levels - 1], out=b)
            i[:] = b.view(np.uint8)
            for level in range(levels - 2, -1, -1):
                np.greater(block[feature[level]], border[level], out=b)
                np.add(i, i, out=i)
                np.bitwise_or(i, b.view(np.uint8), out=i)
            out += leaf[i]
    return total


def probability(log_odds: Doubles) -> Doubles:
    """Log odds to probabilities in steps of 1/STEPS, by way of a table: `exp` may differ in its last bit between machines."""
    place = np.clip(np.floor(log_odds * (512 / LEAF_UNIT) + 0.5), -5119, 5119).astype(np.int64) + 5119
    return _SIGMOID[place]


def _sigmoid() -> Doubles:
    exact = 1.0 / (1.0 + np.exp(-np.arange(-5119, 5120) / 512))
    return np.floor(exact * STEPS + 0.5) / STEPS


_SIGMOID: Final = _sigmoid()


def _odds_of_steps() -> Doubles:
    p = np.clip(np.arange(STEPS + 1) / STEPS, 0.5 / STEPS, 1.0 - 0.5 / STEPS)
    return np.floor(np.log(p / (1.0 - p)) * LEAF_UNIT + 0.5)


_LOG_ODDS: Final = _odds_of_steps()  # of each score


def forest(raw: Mapping[str, Any], known: tuple[str, ...]) -> Forest:
    """The forest in `raw`, a parsed weights file. Its features are named, so that their order in features.py is free."""
    place = {name: number for number, name in enumerate(known)}
    order = np.array([place[name] for name in raw["names"]], np.int32)
    leaf = np.array(raw["leaf"], np.float64)
    return Forest(
        names=known,
        feature=order[np.array(raw["feature"], np.int64)],
        border=np.array(raw["border"], np.float32),
        leaf=leaf,
        means=_node_means(leaf, np.array(raw["share"], np.float64)),
        bias=float(raw["bias"]),
    )


def contributions(forest: Forest, matrix: Floats, groups: Ints, n_groups: int) -> Doubles:
    """How much each group of features moved the log odds of each line, from the mean down the path to its leaf.

    A tree's first question is answered first; the difference that an answer makes to the mean of the leaves still
    reachable is the part of the feature asked about.
    """
    columns = matrix.T
    n = columns.shape[1]
    levels = forest.feature.shape[1]
    moved = np.zeros((n_groups, n))
    if native.available():
        native.add_contributions(columns, forest.feature, forest.border, forest.means, groups, moved)
        return moved
    for tree, (feature, border) in enumerate(zip(forest.feature.tolist(), forest.border, strict=True)):
        index = np.zeros(n, np.intp)
        above = forest.means[0][tree][index]
        for level in range(levels):
            index |= (columns[feature[level]] > border[level]).astype(np.intp) << level
            here = forest.means[level + 1][tree].take(index)
            moved[groups[feature[level]]] += here - above
            above = here
    return moved


def _node_means(leaf: Doubles, share: Doubles) -> tuple[Doubles, ...]:
    """Mean leaf below each node, weighted by the training lines that fell there, level by level from the root.

    A row for each tree; a node's number is the bits of the answers so far.
    """
    weight, total = share, leaf * share
    means = [leaf]
    while weight.shape[1] > 1:
        half = weight.shape[1] // 2
        weight, total = weight[:, :half] + weight[:, half:], total[:, :half] + total[:, half:]
        plain = (means[-1][:, :half] + means[-1][:, half:]) / 2
        means.append(np.where(weight > 0, total / np.maximum(weight, 1), plain))
    return tuple(means[::-1])


PHRASES: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    (
        "how often its site shows it",
        ("pages of the site", "other pages of the site", "share of the site", "lines around seen"),
    ),
    ("its words and those around it", ("wording", "mean wording", "share of words known")),
    (
        "lines around that rules name",
        (
            *("marked", "kind of metadata", "lines since a rule", "lines to the next rule", "lines since the title"),
            *("lines to the title", "lines since a byline", "lines to the next byline"),
        ),
    ),
    ("much of the page is boilerplate", ("mean score of the page", "surely dropped", "share of lines surely")),
    ("its neighbours score as boilerplate", ("score ", "mean score", "own score")),
    (
        "away from the text that stays",
        (
            *("text kept", "share of text kept", "lines kept", "kept lines", "run of kept"),
            *("lines since a kept", "lines since a surely", "lines since a dropped"),
            *("lines to the next kept", "lines to the next surely", "lines to the next dropped"),
            *("lines to the kept", "lines past the kept", "lines of the kept"),
        ),
    ),
    (
        "unlike the lines that stay",
        ("size against kept", "capitals a word against", "sentence ends against", "short words against"),
    ),
    ("shares few words with the article", ("words shared", "shared words", "shared kept", "words compared")),
    (
        "away from the long lines",
        (
            *("lines since a", "lines to the next", "run of long"),
            *("lines to the long", "lines past the long", "lines of the long"),
            *("lines to the sentence", "lines past the sentence", "lines of the sentence"),
            *("text of the block", "lines past the largest"),
        ),
    ),
    (
        "among short lines",
        (
            *("run of short", "run of lines that", "mean size", "spread of", "words within"),
            *("text of long", "sentence lines within"),
        ),
    ),
    ("among links and signs", ("links and signs", "capitals within", "digits within")),
    (
        "its place on the page",
        (
            "place",
            "lines before",
            "lines after",
            "text before",
            "text after",
            "long text",
            "long lines before",
            "long lines after",
        ),
    ),
    (
        "the lines next to it",
        ("size 1", "size 2", "size 3", "last sign 1", "first letter 1", "starts like", "digits 1", "capitals 1"),
    ),
    (
        "the kind of page",
        (
            *("lines on the page", "text on the page", "typical size", "long lines on"),
            *("share of text in", "share of lines that"),
        ),
    ),
    ("repeated on the page", ("copies",)),
    ("not a sentence", ("last sign", "sentence ends", "commas", "quotes", "short words")),
    ("its capitals and digits", ("digits", "numbers", "capitals", "letters", "first letter", "times")),
    ("its separators and signs", ("separators", "colons", "brackets", "links", "symbols")),
    ("its length", ("size", "words", "word size")),
)
"""Plain words for each group of features, and how the names of its features begin; the first group that fits counts."""


def phrase_of(feature: str) -> str:
    """The plain words for the group that `feature` belongs to."""
    for phrase, beginnings in PHRASES:
        if feature.startswith(beginnings):
            return phrase
    raise ValueError(f"no phrase for the feature {feature!r}")


@functools.cache
def _groups(names: tuple[str, ...]) -> Ints:
    phrases = [phrase for phrase, _ in PHRASES]
    return np.array([phrases.index(phrase_of(name)) for name in names])


def _reasons(scored: Scored, rows: Ints, model: LineModel) -> pl.Series:
    """For each of `rows`, the groups of features that spoke most for boilerplate, in plain words.

    The part of the line's own first score is handed on to the features that made that score.
    """
    if not len(rows):
        return pl.Series([], dtype=pl.String)
    n_groups = len(PHRASES)
    groups = _groups(model.second.names)
    own = model.second.names.index("own score")
    apart = groups.copy()
    apart[own] = n_groups
    columns = np.ascontiguousarray(scored.held[np.searchsorted(scored.rows, rows)].T)
    once = np.maximum(contributions(model.first, columns[: len(features.FEATURE_NAMES)].T, groups, n_groups), 0.0)
    twice = contributions(model.second, columns.T, apart, n_groups + 1)
    total = twice[:-1] + once / np.maximum(once.sum(axis=0), 1.0) * np.maximum(twice[-1], 0.0)
    top = np.argsort(-total, axis=0, kind="stable")[:NAMED_FEATURES]
    named = np.take_along_axis(total, top, axis=0) > 0
    code = np.where(named, top, n_groups)
    packed = (code * (np.array([1, 64, 4096])[:, None])).sum(axis=0)
    unique, back = np.unique(packed, return_inverse=True)
    phrases = [phrase for phrase, _ in PHRASES] + [""]
    texts = [", ".join(filter(None, (phrases[c >> shift & 63] for shift in (0, 6, 12)))) for c in unique.tolist()]
    return pl.Series(texts, dtype=pl.String)[back]
