"""Lines of HTML pages: what their markup says, weighed together with the line model's score of their text.

A reader leaves the bytes of schema.MARKUP for each line of a page. A small forest of the same kind as the line model's
reads them beside the scores that the text alone got, and gives the score that counts. Lines without markup keep their own.
benchmarks/train_markup_model.py makes the weights.
"""

from __future__ import annotations

import functools
import importlib.resources
import json
import lzma
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from etl.boilerplate import model
from etl.schema import HINTS, MARKUP, REGIONS

RULE: Final = "html-line-model"
WEIGHTS: Final = "markup_model.json.xz"
NAMED: Final = 2  # groups of features that a reason names
MOST_PLACES: Final = 3  # regions and names that a reason lists

Bytes = npt.NDArray[np.uint8]
Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

_LINKS: Final = MARKUP.index("links in the line")
_LINES: Final = MARKUP.index("lines 1 up")  # never 0 for a line that has markup

_BITS: Final = tuple(
    (f"{told} {name}", MARKUP.index(field) + bit // 8, bit % 8)
    for told, field, names in (
        ("in", "regions around", REGIONS),
        ("around named", "hints around", HINTS),
        ("block named", "hints of the block", HINTS),
    )
    for bit, name in enumerate(names)
)
_NUMBERS: Final = tuple(
    (name, number) for number, name in enumerate(MARKUP) if "regions" not in name and "hints" not in name
)

FEATURE_NAMES: Final[tuple[str, ...]] = (
    "text score",
    "first text score",
    *(f"text score {step} {side}" for step in (2, 1) for side in ("above", "below")),
    *("text kept within 3", "text kept within 8", "text kept on the page"),
    *("size", "ends as a sentence"),
    *(name for name, _, _ in _BITS),
    *(name for name, _ in _NUMBERS),
    *("links in the line above", "links in the line below", "links within 3", "links within 8"),
)

PHRASES: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    ("", ("text ", "first text", "size", "ends")),
    ("the part of the page it stands in", ("in ",)),
    ("the names of the blocks around it", ("around named", "block named")),
    ("links in it and around it", ("links",)),
    ("what stands at the same place in other blocks", ("lines of the same", "size at", "paragraphs at")),
    ("away from the page's paragraphs", ("text", "lines", "paragraphs", "steps", "depth", "kind")),
)
"""Plain words for each group of features; the first that fits counts. What the text says has words of its own."""

_CHROME: Final = tuple(
    (name, field, bit)
    for name, field, bit in _BITS
    if name.startswith(("in ", "around named"))
    and name.split()[-1]
    in {
        *("nav", "footer", "header", "aside", "form", "navigation", "sidebar", "related", "sharing", "comments"),
        *("advertising", "subscription", "hidden"),
    }
)


@functools.cache
def load() -> model.Forest:
    """The forest that comes with the package."""
    packed = importlib.resources.files("etl.boilerplate").joinpath("weights", WEIGHTS).read_bytes()
    return loads(packed)


def loads(packed: bytes) -> model.Forest:
    """The forest in `packed`, as benchmarks/train_markup_model.py writes it."""
    return model.forest(json.loads(lzma.decompress(packed)), FEATURE_NAMES)


def in_step(markup: pl.Series, before: pl.Series, after: pl.Series) -> pl.Series:
    """`markup` of texts that a change left with as many lines; null for the others."""
    if markup.null_count() == len(markup):
        return markup
    frame = pl.DataFrame({"markup": markup, "before": before, "after": after})
    same = pl.col("before").str.count_matches("\n", literal=True) == pl.col("after").str.count_matches(
        "\n", literal=True
    )
    return frame.select(pl.when(same).then("markup"))["markup"]


def add(lines: pl.DataFrame, docs: pl.DataFrame) -> pl.DataFrame:
    """`lines` with the bytes of each in the column `markup`, zeros where there are none; as they are if there are no bytes.

    docs: a document a row, those that `doc` of the lines counts; the column may be missing.
    """
    if "markup" not in docs.columns or docs["markup"].null_count() == docs.height:
        return lines
    width = len(MARKUP)
    every = np.frombuffer(b"".join(docs["markup"].drop_nulls().to_list()), np.uint8).reshape(-1, width)
    count = docs["markup"].bin.size().fill_null(0).to_numpy().astype(np.int64) // width
    first = np.cumsum(count) - count
    doc, line = lines["doc"].to_numpy(), lines["line"].to_numpy().astype(np.int64)
    known = line < count[doc]
    matrix = np.zeros((lines.height, width), np.uint8)
    matrix[known] = every[first[doc[known]] + line[known]]
    return lines.with_columns(pl.Series("markup", matrix, dtype=pl.Array(pl.UInt8, width)))


@dataclass(frozen=True, slots=True)
class Weighed:
    """Scores of a batch, and what moved those of its lines of HTML. row: of each such line in the batch."""

    score: Floats
    rows: Ints
    markup: Bytes
    matrix: Floats
    forest: model.Forest

    def explain(self, rows: Ints, reasons: pl.Series) -> tuple[pl.Series, pl.Series]:
        """Rule and reason of each of `rows` of the batch."""
        place = np.full(len(self.score), -1, np.int64)
        place[self.rows] = np.arange(len(self.rows))
        here = place[rows]
        ours = np.flatnonzero(here >= 0)
        rules = np.where(here >= 0, RULE, model.RULE)
        told = reasons.to_list()
        for at, words in zip(ours.tolist(), self._reasons(here[ours], [told[n] for n in ours.tolist()]), strict=True):
            told[at] = words  # lines of HTML that go
        return pl.Series(rules, dtype=pl.String), pl.Series(told, dtype=pl.String)

    def _reasons(self, rows: Ints, of_text: list[str]) -> list[str]:
        if not len(rows):
            return []
        phrases = [phrase for phrase, _ in PHRASES]
        groups = np.array([_group(name) for name in FEATURE_NAMES])
        moved = model.contributions(self.forest, self.matrix.T[:, rows].T, groups, len(phrases))
        top = np.argsort(-moved, axis=0, kind="stable")[:NAMED].T.tolist()
        for_it = (np.take_along_axis(moved, np.argsort(-moved, axis=0, kind="stable")[:NAMED], axis=0) > 0).T.tolist()
        marks = self.markup[rows]
        seen = [(name, (marks[:, field] >> bit & 1).astype(bool).tolist()) for name, field, bit in _CHROME]
        made = []
        for n, (groups_of, speak) in enumerate(zip(top, for_it, strict=True)):
            places = [name.split()[-1] for name, has in seen if has[n]]
            named = [phrases[g] or of_text[n] for g, speaks in zip(groups_of, speak, strict=True) if speaks]
            inside = ", ".join(dict.fromkeys(places[:MOST_PLACES]))
            made.append("; ".join(filter(None, (*named, f"markup: {inside}" if inside else ""))))
        return made


def revise(batch: pl.DataFrame, scored: model.Scored) -> Weighed | None:
    """The scores of `batch` with its markup weighed in; None when no line has any."""
    return weigh(batch, scored, forest=load()) if "markup" in batch.columns else None


def weigh(batch: pl.DataFrame, scored: model.Scored, *, forest: model.Forest) -> Weighed | None:
    """The scores of `batch`, which has the column `markup`, by `forest`. scored: what the text alone says."""
    markup = batch["markup"].to_numpy()
    rows = np.flatnonzero(markup[:, _LINES])
    if not len(rows):
        return None
    matrix = featurize(
        markup[rows],
        scored.page[rows],
        scored.size[rows],
        scored.ends[rows],
        first=scored.first[rows],
        second=scored.second[rows],
    )
    score = scored.second.copy()
    score[rows] = model.probability(model.log_odds(forest, matrix))
    return Weighed(score, rows, markup[rows], matrix, forest)


def featurize(
    markup: Bytes, page: npt.NDArray[np.integer], size: Doubles, ends: Bools, *, first: Floats, second: Floats
) -> Floats:
    """One row a line, one column for each of FEATURE_NAMES, column by column in memory. page: of each line, in order.

    Sums are of whole numbers and of scores in steps of 1/4096: the same on any machine.
    """
    n = len(page)
    starts = np.flatnonzero(np.concatenate(([True], page[1:] != page[:-1])))
    lengths = np.diff(np.append(starts, n))
    low = np.repeat(starts, lengths)
    high = low + np.repeat(lengths, lengths)
    at = np.arange(n)
    twice = second.astype(np.float64)
    kept = (1.0 - twice) * size
    linked = markup[:, _LINKS] * size

    def beside(values: Doubles, step: int, outside: float) -> Doubles:
        there = at + step
        return np.where((there >= low) & (there < high), values[np.clip(there, 0, n - 1)], outside)

    def within(values: Doubles, reach: int) -> Doubles:
        through = np.concatenate(([0.0], np.cumsum(values)))
        moved: Doubles = through[np.minimum(at + reach + 1, high)] - through[np.maximum(at - reach, low)]
        return moved

    page_size, page_kept = within(size, n), within(kept, n)
    links = markup[:, _LINKS].astype(np.float64)
    columns: list[npt.NDArray[Any]] = [
        twice,
        first,
        *(beside(twice, step, 1.0) for step in (-2, 2, -1, 1)),
        *(within(kept, reach) / np.maximum(within(size, reach), 1) for reach in (3, 8)),
        page_kept / np.maximum(page_size, 1),
        size,
        ends,
        *((markup[:, field] >> bit) & 1 for _, field, bit in _BITS),
        *(markup[:, number] for _, number in _NUMBERS),
        beside(links, -1, 0.0),
        beside(links, 1, 0.0),
        *(within(linked, reach) / np.maximum(within(size, reach), 1) for reach in (3, 8)),
    ]
    matrix = np.empty((len(columns), n), np.float32)
    for number, column in enumerate(columns):
        matrix[number] = column
    return matrix.T


def _group(name: str) -> int:
    """The group of PHRASES that a feature belongs to. "text 1 up" is the markup's, "text score" is the text's."""
    groups = range(1 if name in MARKUP else 0, len(PHRASES))
    return next(number for number in groups if name.startswith(PHRASES[number][1]))
