#!/usr/bin/env python3
"""Fit what a page's HTML adds to the line model's log odds, and print the steps of etl/boilerplate/markup.py.

    fit_markup.py FOLDS [--data ../shared/data]

FOLDS is a folder that train_line_model.py --folds wrote: a line's log odds come from the model that never saw its site.
DATA holds html_track.dev. A logistic regression with those log odds as offset, over the lines that no other step has
decided on; a page weighs the same as any other, and a line of it by its length. The source that isn't trained on is left out.
"""

from __future__ import annotations

import argparse
import functools
import gzip
import json
import logging
import re
import tempfile
from pathlib import Path

import numpy as np
import polars as pl
from train_line_model import UNSEEN, fold_of

from etl import stages
from etl.boilerplate import features, model, strip, templates
from etl.boilerplate.lines import split_lines
from etl.engine.local import LocalEngine
from etl.schema import LINK_LEVELS
from etl.storage import read_batch_file

NAMES = ("main", "not main", "links: a quarter", "links: half", "links: most")
L2 = 3.0
PAGE_WEIGHT = 30.0
QUOTED_CHARS = 25  # a line of so many letters that the article has somewhere is main text
SHARED = 0.6  # and so is one of whose words so much is in the article, in the same order


def main() -> None:
    """Print the steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folds", type=Path)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    models = [model.loads(path.read_bytes()) for path in sorted(options.folds.glob("*.xz"))]
    folder = options.data / "html_track.dev"
    told = [json.loads(line) for line in (folder / "index.jsonl").read_text().strip().split("\n")]
    pages = {page["html"]: page for page in told if page["src"] != UNSEEN}
    with tempfile.TemporaryDirectory() as scratch:
        raw = Path(scratch) / "in"
        raw.mkdir()
        for name in pages:
            (raw / name.removesuffix(".gz")).write_bytes(gzip.decompress((folder / name).read_bytes()))
        rows = [row for batch in _lines(raw, Path(scratch), models, pages) for row in batch]
    matrix, target, offset, weight = (np.concatenate(parts) for parts in zip(*rows, strict=True))
    for name, step in zip(NAMES, _fit(matrix, target, offset, weight), strict=True):
        print(f"{name:<20}{step:>8.2f}")


def _lines(raw: Path, scratch: Path, models, pages):  # type: ignore[no-untyped-def]
    """(letters as columns, is boilerplate, log odds, weight) of each page's undecided lines."""
    plan = stages.discover([raw], scratch / "out", run_key="fit")
    work = str(plan.work)
    with LocalEngine() as engine:
        for shard in range(len(plan.shards)):
            stages.prepare(work, shard)
        stages.count_templates(work, engine)
    evidence, options = stages._evidence(plan), plan.settings.pipeline.boilerplate
    for path in plan.shard_files("docs", "arrow"):
        for table in read_batch_file(path):
            docs = stages._as_frame(table)
            lines = templates.add_evidence(split_lines(docs["text"]), stages._pages_of(docs), *evidence)
            staged, shielded, _ = strip.certain_marks(lines, stages._described(docs), plan.settings.rules, options)
            decided = [
                *(marks.filter(unit="line") for marks in staged),
                templates.mark_templates(lines, options.templates),
            ]
            known = pl.concat([marks.select("doc", "line") for marks in [*decided, shielded]]).unique()
            asked = lines.with_columns(hit=strip.hits(lines, staged, plan.settings.rules))
            free = lines.join(known.with_columns(known=True), on=["doc", "line"], how="left", maintain_order="left")
            free = free["known"].is_null().to_numpy()
            yield [
                _of_page(part, pages[name], letters, free[part["at"].to_numpy()], models)
                for (doc,), part in asked.with_row_index("at").partition_by("doc", as_dict=True).items()
                for name, letters in [(Path(docs["source"][doc]).name + ".gz", docs["markup"][doc])]
                if letters is not None and free[part["at"].to_numpy()].any()
            ]


def _of_page(lines, page, letters, free, models):  # type: ignore[no-untyped-def]
    trained = models[fold_of(page["site"])]
    scored = model._scored(lines, trained)
    offset = model.log_odds(trained.second, scored.second) / model.LEAF_UNIT
    codes = np.array([ord(letters[n]) - ord("a") for n in lines["line"]])
    word, level = codes // LINK_LEVELS, codes % LINK_LEVELS
    columns = np.column_stack([word == 1, word == 0, *(level == n for n in range(1, LINK_LEVELS))]).astype(float)
    gold, shingles = _bare(page["gold"]), _shingles(page["gold"])
    whole = {_bare(line) for line in page["gold"].split("\n")}
    kept = [_is_main(text, gold, whole, shingles) for text in lines["text"]]
    size = np.maximum(features.measure(lines).size, 1)[free]
    return columns[free], 1.0 - np.array(kept, float)[free], offset[free], size / size.sum() * PAGE_WEIGHT


def _is_main(text: str, gold: str, whole: set[str], shingles: set[tuple[str, ...]]) -> bool:
    bare, own = _bare(text), _shingles(text)
    return bare in whole or (
        len(bare) >= QUOTED_CHARS and (bare in gold or len(own & shingles) > SHARED * max(1, len(own)))
    )


def _bare(text: str) -> str:
    return re.sub(r"[\W_]+", "", text).lower()


@functools.lru_cache(maxsize=1 << 16)
def _shingles(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[n : n + 4]) for n in range(max(1, len(words) - 3))}


def _fit(matrix, target, offset, weight):  # type: ignore[no-untyped-def]
    """The steps, by Newton's method."""
    steps = np.zeros(matrix.shape[1])
    for _ in range(25):
        p = 1 / (1 + np.exp(-np.clip(offset + matrix @ steps, -30, 30)))
        slope = matrix.T @ (weight * (target - p)) - L2 * steps
        bend = (matrix * (weight * p * (1 - p))[:, None]).T @ matrix + L2 * np.eye(len(steps))
        steps += np.linalg.solve(bend, slope)
    return steps


if __name__ == "__main__":
    main()
