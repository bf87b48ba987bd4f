"""The boilerplate step over one batch: every marker in its order, and one decision for each line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from etl.boilerplate import features, markup, metadata, model, rules, templates
from etl.boilerplate.lines import LINES, MARKS
from etl.config import Boilerplate

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Stripped:
    """What the step found. marks: MARKS plus `stage`, sorted, none overlapping. found: title, site, … of each document.
    segments: the text that is left, with the columns of LINES."""

    marks: pl.DataFrame
    found: pl.DataFrame
    segments: pl.DataFrame


STAGED: Final = pl.Schema([*MARKS.items(), ("stage", pl.String())])


def strip_boilerplate(
    lines: pl.DataFrame, docs: pl.DataFrame, ruleset: rules.RuleSet, options: Boilerplate
) -> Stripped:
    """Marks on `lines` (with the columns of `templates.add_evidence`), and what is left.

    docs: doc, title, site, authors, published_at and url as the input gave them; markup may be missing. Where two steps mark a line the first
    one's reason stands: metadata, rules, code rules, templates, model. A `keep` rule shields a line from the last two.
    """
    staged, shielded, found = certain_marks(lines, docs, ruleset, options)
    known = _Rows.of(lines)
    told = hits(lines, staged, ruleset)
    is_shielded = np.zeros(lines.height, np.bool_)
    is_shielded[known.of_marks(shielded)] = True
    if options.templates.enabled:
        cuts = templates.mark_templates(lines, options.templates)
        staged.append(_stage(cuts.filter(pl.Series(~is_shielded[known.of_marks(cuts)])), "templates"))
    if options.model.enabled:
        settled = is_shielded
        settled[np.concatenate([known.of_marks(marks)[_is_whole(marks)] for marks in staged])] = True
        asked = markup.add(lines.with_columns(settled=pl.Series(settled), hit=told), docs)
        cuts = model.mark(
            asked,
            threshold=options.model.threshold,
            clean_threshold=options.model.clean_threshold,
            revise=markup.revise if "markup" in asked.columns else None,
        )
        staged.append(_stage(cuts, "model"))
    marks = _one_decision_a_line(pl.concat(staged, rechunk=True), known)
    return Stripped(marks, found, _left(lines, marks, known))


def certain_marks(
    lines: pl.DataFrame, docs: pl.DataFrame, ruleset: rules.RuleSet, options: Boilerplate
) -> tuple[list[pl.DataFrame], pl.DataFrame, pl.DataFrame]:
    """The marks of metadata, rules and captions, each with its stage; the lines that rules shield; and what was found."""
    if options.metadata:
        title_marks, found = metadata.extract(lines, docs)
    else:
        title_marks, found = MARKS.to_frame(), docs.select("doc", "title", "site", "authors", "published_at")
    ruled, shielded = rules.judge_lines(lines, ruleset)
    staged = [_stage(title_marks, "metadata"), _stage(ruled, "rules")]
    if options.captions:
        staged.append(_stage(rules.apply_code_rules(lines), "captions"))
    return staged, shielded, found


def hits(lines: pl.DataFrame, staged: Sequence[pl.DataFrame], ruleset: rules.RuleSet) -> pl.Series:
    """What the marks of `certain_marks` say of each of `lines`, as the line model's features want it."""
    families = {rule.id: features.HIT_OF_FAMILY.get(rule.family, features.RULED) for rule in ruleset.rules}
    marks = pl.concat(staged)
    told = marks.select(
        pl.when(pl.col("stage") != "metadata")
        .then(pl.col("rule").replace_strict(families, default=features.RULED, return_dtype=pl.UInt8))
        .when(pl.col("rule").str.contains("title"))
        .then(features.TITLE)
        .otherwise(features.BYLINE)
        .cast(pl.UInt8)
    ).to_series()
    whole = np.flatnonzero(_is_whole(marks))[::-1]  # the first mark of a line is written last, and stays
    hit = np.full(lines.height, features.NO_HIT, np.uint8)
    hit[_Rows.of(lines).of_marks(marks)[whole]] = told.to_numpy()[whole]
    return pl.Series("hit", hit)


def nothing(lines: pl.DataFrame, docs: pl.DataFrame) -> Stripped:
    """What a skipped boilerplate step finds: no marks, what the input said, every line left."""
    return Stripped(
        STAGED.to_frame(), docs.select("doc", "title", "site", "authors", "published_at"), lines.select(LINES.names())
    )


def _stage(marks: pl.DataFrame, name: str) -> pl.DataFrame:
    return marks.select(*MARKS.names(), stage=pl.lit(name))


def _is_whole(marks: pl.DataFrame) -> Array:
    whole: Array = (marks["unit"] == "line").to_numpy()
    return whole


@dataclass(frozen=True, slots=True)
class _Rows:
    """Where lines stand in a table of lines, sorted by doc and line.

    first: of each document the place of its line 0 in `row`. row: of each line, those that are no rows of the table too.
    """

    first: Array
    row: Array
    height: int

    @classmethod
    def of(cls, lines: pl.DataFrame) -> _Rows:
        doc, line = lines["doc"].to_numpy(), lines["line"].to_numpy()
        last = np.flatnonzero(np.append(doc[1:] != doc[:-1], True)[: len(doc)])
        sizes = line[last].astype(np.int64) + 1
        first = np.zeros(int(doc.max(initial=0)) + 1, np.int64)
        first[doc[last]] = np.cumsum(sizes) - sizes
        row = np.zeros(int(sizes.sum()), np.int32)
        row[first[doc] + line] = np.arange(len(doc))
        return cls(first, row, len(doc))

    def of_marks(self, marks: pl.DataFrame) -> Array:
        """The row of each mark's line. Every mark has one."""
        rows: Array = self.row[self.first[marks["doc"].to_numpy()] + marks["line"].to_numpy()]
        return rows


def _one_decision_a_line(marks: pl.DataFrame, known: _Rows) -> pl.DataFrame:
    """One whole-line mark a line of those `known`, or else its spans, the first of any that overlap; sorted by doc and start."""
    rows, is_whole = known.of_marks(marks), _is_whole(marks)
    first = np.full(known.height, -1)
    whole = np.flatnonzero(is_whole)[::-1]
    first[rows[whole]] = whole  # the first mark of a line is written last, and stays
    left = np.flatnonzero(~is_whole)
    spans = marks[left[first[rows[left]] < 0]].sort("doc", "start", maintain_order=True)
    wholes = marks.select(STAGED.names())[first[first >= 0]]
    if spans.is_empty():
        return wholes
    while True:
        reached = pl.col("end").shift().over("doc").fill_null(0)
        overlapping = spans.select(pl.col("start") < reached).to_series()
        if not overlapping.any():
            return _in_order([wholes, spans.select(STAGED.names())])
        spans = spans.filter(~(overlapping & ~overlapping.shift(fill_value=False)))


def _in_order(parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """The rows of two parts, each in order, sorted by doc and start."""
    rows = pl.concat(parts, rechunk=True)  # out of several chunks Polars would copy each text
    return rows[np.argsort((rows["doc"].to_numpy().astype(np.int64) << 32) | rows["start"].to_numpy(), kind="stable")]


def _left(lines: pl.DataFrame, marks: pl.DataFrame, known: _Rows) -> pl.DataFrame:
    """The lines that no mark takes, and the pieces of those from which a span goes."""
    rows, is_span = known.of_marks(marks), ~_is_whole(marks)
    stays = np.ones(lines.height, np.bool_)
    stays[rows] = False
    whole = lines.select(LINES.names()).filter(pl.Series(stays))
    if not is_span.any():
        return whole
    spans = marks.select("start", "end").filter(pl.Series(is_span))
    holed, number = np.unique(rows[is_span], return_inverse=True)
    holes: list[list[int]] = [[] for _ in holed]
    for at, start, end in zip(number.tolist(), *spans.get_columns(), strict=True):
        holes[at] += (start, end)
    pieces = []  # a Python loop: only the lines from which a rule took a part
    for inner, (doc, line, start, end, text) in zip(holes, lines.select(LINES.names())[holed].iter_rows(), strict=True):
        edges = [start, *inner, end]
        for left, right in zip(edges[::2], edges[1::2], strict=True):
            piece = text[left - start : right - start]
            if piece.strip():
                pieces.append((doc, line, left, right, piece))
    return _in_order([whole, pl.DataFrame(pieces, schema=LINES, orient="row")])
