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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from etl.boilerplate import features
from etl.boilerplate.lines import MARKS

RULE: Final = "line-model"
WEIGHTS: Final = "line_model.json.xz"
STEPS: Final = 4096  # scores are whole steps; sums of them are then exact
LEAF_UNIT: Final = 1 << 16  # a leaf value of 65,536 is one unit of log odds
THRESHOLD: Final = 0.5
BATCH_LINES: Final = 16384  # lines scored together: their columns stay in the cache; whole pages only
BLOCK: Final = 8192
NAMED_FEATURES: Final = 3

Ints = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Forest:
    """Symmetric trees. Level d of tree t asks whether feature[t, d] > border[t, d]; the answers are bits of the leaf's number.

    leaf: log odds in 1/LEAF_UNIT. share: training weight of each leaf, for the mean of the leaves below a node.
    """

    names: tuple[str, ...]
    feature: npt.NDArray[np.int32]
    border: Floats
    leaf: Doubles
    share: Doubles
    bias: float


@dataclass(frozen=True, slots=True)
class LineModel:
    """Both passes. The second reads the first's features, then the ones of `features.SECOND_NAMES`."""

    first: Forest
    second: Forest


@functools.cache
def load() -> LineModel:
    """The model that comes with the package."""
    packed = importlib.resources.files("etl.boilerplate").joinpath("weights", WEIGHTS).read_bytes()
    return loads(packed)


def loads(packed: bytes) -> LineModel:
    """The model in `packed`, as benchmarks/train_line_model.py writes it."""
    raw = json.loads(lzma.decompress(packed))
    return LineModel(
        first=_forest(raw["first"], features.FEATURE_NAMES),
        second=_forest(raw["second"], features.FEATURE_NAMES + features.SECOND_NAMES),
    )


def score(lines: pl.DataFrame, *, model: LineModel | None = None) -> Floats:
    """P(boilerplate) of each line, in steps of 1/4096. `lines` is sorted by doc and line."""
    model = model or load()
    parts = [_scored(batch, model).score for batch in _batches(lines)]
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def mark(lines: pl.DataFrame, *, threshold: float = THRESHOLD, model: LineModel | None = None) -> pl.DataFrame:
    """A mark for each line that scores `threshold` or more, save where that would be the whole of a page.

    The reason names what weighed most. Where every line of a page would go, the run of lines that scores best stays.
    """
    model = model or load()
    parts = []
    for batch in _batches(lines):
        scored = _scored(batch, model)
        gone = np.flatnonzero(_decide(scored, threshold))
        parts.append(
            batch[gone].select("doc", "line", "start", "end").with_columns(
                unit=pl.lit("line"),
                rule=pl.lit(RULE),
                score=pl.Series(scored.score[gone], dtype=pl.Float32),
                reason=_reasons(scored, gone, model),
            )
        )
    return pl.concat([MARKS.to_frame(), *(part.select(pl.col(n).cast(k) for n, k in MARKS.items()) for part in parts)])


@dataclass(frozen=True, slots=True)
class _Scored:
    measured: features.Measured
    first: Floats
    second: Floats
    score: Floats


def _batches(lines: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Whole pages, about BATCH_LINES lines at a time. No value depends on where a batch ends."""
    n = lines.height
    doc = lines["doc"].to_numpy()
    low = 0
    while low < n:
        high = int(np.searchsorted(doc, doc[min(low + BATCH_LINES, n) - 1], side="right"))
        yield lines[low:high]
        low = high


def _scored(batch: pl.DataFrame, model: LineModel) -> _Scored:
    measured = features.measure(batch)
    first = features.first_features(measured)
    once = _probability(_log_odds(model.first, first))
    both = np.concatenate((first.T, features.second_features(measured, once).T)).T
    twice = _probability(_log_odds(model.second, both))
    return _Scored(measured=measured, first=first, second=both, score=twice.astype(np.float32))


def _decide(scored: _Scored, threshold: float) -> npt.NDArray[np.bool_]:
    gone = scored.score >= threshold
    measured = scored.measured
    kept, _ = features.sums(np.where(gone, 0.0, 1.0), measured.first, measured.last)
    for start in np.unique(measured.first[kept == 0]):  # pages with nothing left: few
        page = slice(start, measured.last[start])
        gone[page] = ~_best_block(scored.score[page].astype(np.float64), measured.size[page])
    return gone


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


def _log_odds(forest: Forest, matrix: Floats) -> Doubles:
    """Sum of the leaves each line falls in, whole numbers in 1/LEAF_UNIT. `matrix` is column by column in memory."""
    columns = matrix.T
    n = columns.shape[1]
    total = np.full(n, forest.bias)
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


def _probability(log_odds: Doubles) -> Doubles:
    """Log odds to probabilities in steps of 1/STEPS, by way of a table: `exp` may differ in its last bit between machines."""
    place = np.clip(np.floor(log_odds * (512 / LEAF_UNIT) + 0.5), -5119, 5119).astype(np.int64) + 5119
    return _SIGMOID[place]


def _sigmoid() -> Doubles:
    exact = 1.0 / (1.0 + np.exp(-np.arange(-5119, 5120) / 512))
    return np.floor(exact * STEPS + 0.5) / STEPS


_SIGMOID: Final = _sigmoid()


def _forest(raw: dict[str, list[str] | list[list[float]] | int], known: tuple[str, ...]) -> Forest:
    """The forest in `raw`; its features are named, so that the order in features.py is free."""
    place = {name: number for number, name in enumerate(known)}
    names, bias = raw["names"], raw["bias"]
    if not isinstance(names, list) or not isinstance(bias, int):
        raise ValueError("the line model's weights are not of the form that train_line_model.py writes")
    order = np.array([place[str(name)] for name in names], np.int32)
    leaf = np.array(raw["leaf"], np.float64)
    share = np.array(raw["share"], np.float64)
    return Forest(
        names=known,
        feature=order[np.array(raw["feature"], np.int64)],
        border=np.array(raw["border"], np.float32),
        leaf=leaf,
        share=share,
        bias=float(bias),
    )


def _contributions(forest: Forest, matrix: Floats, groups: Ints, n_groups: int) -> Doubles:
    """How much each group of features moved the log odds of each line, from the mean down the path to its leaf.

    A tree's first question is answered first; the difference that an answer makes to the mean of the leaves still
    reachable is the part of the feature asked about.
    """
    columns = matrix.T
    n = columns.shape[1]
    levels = forest.feature.shape[1]
    moved = np.zeros((n_groups, n))
    for feature, border, leaf, share in zip(forest.feature.tolist(), forest.border, forest.leaf, forest.share, strict=True):
        means = _node_means(leaf, share)
        index = np.zeros(n, np.int64)
        above = np.full(n, means[0][0])
        for level in range(levels):
            index |= (columns[feature[level]] > border[level]).astype(np.int64) << level
            here = means[level + 1][index]
            moved[groups[feature[level]]] += here - above
            above = here
    return moved


def _node_means(leaf: Doubles, share: Doubles) -> list[Doubles]:
    """Mean leaf below each node, level by level from the root; a node's number is the bits of the answers so far."""
    weight, total = share, leaf * share
    means = [leaf]
    while len(weight) > 1:
        half = len(weight) // 2
        weight, total = weight[:half] + weight[half:], total[:half] + total[half:]
        below = (means[-1][:half] + means[-1][half:]) / 2
        means.append(np.where(weight > 0, total / np.maximum(weight, 1), below))
    return means[::-1]


PHRASES: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    ("seen on other pages of the site", ("pages of the site", "share of the site", "lines around seen")),
    ("its neighbours score as boilerplate", ("score ", "mean score", "own score")),
    ("far from the text that stays", ("text kept", "share of text kept", "lines kept", "kept lines", "run of kept", "lines since a kept", "lines to the next kept", "lines since a surely", "lines to the next surely", "lines since a dropped", "lines to the next dropped")),
    ("unlike the lines that stay", ("size against kept", "capitals a word against", "sentence ends against", "short words against")),
    ("shares few words with the article", ("words shared", "shared words", "shared kept", "words compared")),
    ("far from the long lines", ("lines since a", "lines to the next", "run of long")),
    ("among short lines", ("run of short", "mean size", "mean square", "words within", "text of long", "sentence lines within")),
    ("among links and signs", ("links and signs", "capitals within", "digits within")),
    ("its place on the page", ("place", "lines before", "lines after", "text before", "text after", "long text", "long lines before", "long lines after")),
    ("the lines next to it", ("size 1", "size 2", "size 3", "last sign 1", "last sign 2", "words 1", "first letter 1", "digits 1", "capitals 1")),
    ("the kind of page", ("lines on the page", "text on the page", "typical size", "long lines on", "share of text in", "share of lines that")),
    ("repeated on the page", ("copies",)),
    ("no sentence", ("last sign", "sentence ends", "commas", "quotes", "short words")),
    ("capitals and digits", ("digits", "numbers", "capitals", "letters", "first letter", "times")),
    ("separators and signs", ("separators", "colons", "brackets", "links", "symbols", "dashes")),
    ("its length", ("size", "words", "word size")),
)
"""Plain words for each group of features, and how the names of its features begin; the first group that fits counts."""


def phrase_of(feature: str) -> str:
    """The plain words for the group that `feature` belongs to."""
    for phrase, beginnings in PHRASES:
        if feature.startswith(beginnings):
            return phrase
    raise ValueError(f"no phrase for the feature {feature!r}")


def _groups(names: Sequence[str]) -> Ints:
    phrases = [phrase for phrase, _ in PHRASES]
    return np.array([phrases.index(phrase_of(name)) for name in names])


def _reasons(scored: _Scored, rows: Ints, model: LineModel) -> pl.Series:
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
    once = np.maximum(_contributions(model.first, scored.first.T[:, rows].T, groups, n_groups), 0.0)
    twice = _contributions(model.second, scored.second.T[:, rows].T, apart, n_groups + 1)
    total = twice[:-1] + once / np.maximum(once.sum(axis=0), 1.0) * np.maximum(twice[-1], 0.0)
    top = np.argsort(-total, axis=0, kind="stable")[:NAMED_FEATURES]
    named = np.take_along_axis(total, top, axis=0) > 0
    code = np.where(named, top, n_groups)
    packed = (code * (np.array([1, 64, 4096])[:, None])).sum(axis=0)
    unique, back = np.unique(packed, return_inverse=True)
    phrases = [phrase for phrase, _ in PHRASES] + [""]
    texts = [", ".join(filter(None, (phrases[c >> shift & 63] for shift in (0, 6, 12)))) for c in unique.tolist()]
    return pl.Series(texts, dtype=pl.String)[back]
