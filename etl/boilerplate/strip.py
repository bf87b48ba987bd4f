"""The boilerplate step over one batch: every marker in its order, and one decision for each line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from etl.boilerplate import features, markup, metadata, model, rules, templates
from etl.boilerplate.lines import LINES, MARKS
from etl.config import Boilerplate


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
    told = hits(lines, staged, ruleset)
    if options.templates.enabled:
        staged.append(_stage(_unshielded(templates.mark_templates(lines, options.templates), shielded), "templates"))
    if options.model.enabled:
        decided = [marks.filter(unit="line").select("doc", "line") for marks in staged]
        settled = pl.concat([*decided, shielded.select("doc", "line")]).unique().with_columns(settled=pl.lit(True))
        asked = lines.join(settled, on=["doc", "line"], how="left", maintain_order="left")
        asked = markup.add(asked.with_columns(pl.col("settled").fill_null(False), hit=told), docs)
        cuts = model.mark(
            asked,
            threshold=options.model.threshold,
            clean_threshold=options.model.clean_threshold,
            revise=markup.revise if "markup" in asked.columns else None,
        )
        staged.append(_stage(cuts, "model"))
    marks = _one_decision_a_line(pl.concat(staged))
    return Stripped(marks, found, _left(lines, marks))


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
    told = (
        pl.concat(staged)
        .filter(pl.col("unit") == "line")
        .unique(["doc", "line"], keep="first", maintain_order=True)
        .select(
            "doc",
            "line",
            hit=pl.when(pl.col("stage") != "metadata")
            .then(pl.col("rule").replace_strict(families, default=features.RULED, return_dtype=pl.UInt8))
            .when(pl.col("rule").str.contains("title"))
            .then(features.TITLE)
            .otherwise(features.BYLINE)
            .cast(pl.UInt8),
        )
    )
    return lines.join(told, on=["doc", "line"], how="left", maintain_order="left")["hit"].fill_null(features.NO_HIT)


def nothing(lines: pl.DataFrame, docs: pl.DataFrame) -> Stripped:
    """What a skipped boilerplate step finds: no marks, what the input said, every line left."""
    return Stripped(
        STAGED.to_frame(), docs.select("doc", "title", "site", "authors", "published_at"), lines.select(LINES.names())
    )


def _unshielded(marks: pl.DataFrame, shielded: pl.DataFrame) -> pl.DataFrame:
    return marks.join(shielded, on=["doc", "line"], how="anti")


def _stage(marks: pl.DataFrame, name: str) -> pl.DataFrame:
    return marks.select(*MARKS.names(), stage=pl.lit(name))


def _one_decision_a_line(marks: pl.DataFrame) -> pl.DataFrame:
    """One whole-line mark a line, or else its spans, the first of any that overlap."""
    whole = marks.filter(unit="line").unique(["doc", "line"], keep="first", maintain_order=True)
    spans = (
        marks.filter(unit="span").join(whole, on=["doc", "line"], how="anti").sort("doc", "start", maintain_order=True)
    )
    while True:
        reached = pl.col("end").shift().over("doc").fill_null(0)
        overlapping = spans.select(pl.col("start") < reached).to_series()
        if not overlapping.any():
            return pl.concat([whole, spans]).sort("doc", "start").select(STAGED.names())
        spans = spans.filter(~(overlapping & ~overlapping.shift(fill_value=False)))


def _left(lines: pl.DataFrame, marks: pl.DataFrame) -> pl.DataFrame:
    """The lines that no mark takes, and the pieces of those from which a span goes."""
    columns = LINES.names()
    whole = lines.join(marks, on=["doc", "line"], how="anti").select(columns)
    spans = marks.filter(unit="span")
    if spans.is_empty():
        return whole
    cut_lines = lines.join(spans, on=["doc", "line"], how="semi").select(columns)
    holes = spans.group_by("doc", "line", maintain_order=True).agg("start", "end")
    pieces = []  # a Python loop: only the lines from which a rule took a part
    for doc, line, start, end, text, starts, ends in cut_lines.join(
        holes, on=["doc", "line"], suffix="_cut"
    ).iter_rows():
        edges = [start, *(edge for hole in zip(starts, ends, strict=True) for edge in hole), end]
        for left, right in zip(edges[::2], edges[1::2], strict=True):
            piece = text[left - start : right - start]
            if piece.strip():
                pieces.append((doc, line, left, right, piece))
    return pl.concat([whole, pl.DataFrame(pieces, schema=LINES, orient="row")]).sort("doc", "start")
