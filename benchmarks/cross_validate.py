"""The tracks of the evaluation script through the product's own code, each page by weights that never saw its site.

    cross_validate.py FOLDS [--data ../shared/data] [--tracks text light harm html]

FOLDS is a folder that train_line_model.py --folds wrote, and train_markup_model.py after it. The source that isn't trained on is left out: what is shipped
never saw it either, so the evaluation script's own figures count for it.
"""

from __future__ import annotations

import argparse
import functools
import importlib.util
import json
import logging
import tempfile
import time
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from train_line_model import FOLDS, UNSEEN, fold_of

from etl import cli
from etl.boilerplate import markup, model

Trained = TypeVar("Trained")

TRACKS = {
    "text": "text_track.dev.jsonl.gz",
    "light": "text_track.dev.jsonl.gz",
    "harm": "html_track.dev",
    "html": "html_track.dev",
}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("folds", type=Path)
    arguments.add_argument("--data", type=Path, default=Path("../shared/data"))
    arguments.add_argument("--tracks", nargs="+", choices=list(TRACKS), default=list(TRACKS))
    options = arguments.parse_args()
    models = [
        (
            model.loads((options.folds / f"{fold}.xz").read_bytes()),
            markup.loads((options.folds / f"{fold}.markup.xz").read_bytes()),
        )
        for fold in range(FOLDS)
    ]
    for track in options.tracks:
        figures = cross_validated(track, options.data, models)
        for name, value in figures.items():
            print(f"{name}: {value}")
        print(json.dumps(figures, ensure_ascii=False), flush=True)


def cross_validated(track: str, data: Path, models: list[tuple[model.LineModel, model.Forest]]) -> dict[str, object]:
    """What the evaluation script says of `track` when each page is cleaned by the model that never saw its site."""
    evaluation = _evaluation(data.parent / "eval" / "evaluate.py")
    read, table = evaluation.rows, evaluation.table
    fold_of_page: dict[str, int] = {}

    def rows(path: Path) -> list[dict[str, object]]:
        known = [row for row in read(path) if row["src"] != UNSEEN]
        fold_of_page.update({row[key]: fold_of(row["site"]) for row in known for key in ("id", "html") if key in row})
        return known

    def run(_: str, inputs: list[Path], out: Path, *more: str) -> float:
        started = time.time()
        logging.disable(logging.WARNING)
        for number, (trained, by_markup) in enumerate(models):
            model.load = functools.partial(_same, trained)  # type: ignore[assignment]
            markup.load = functools.partial(_same, by_markup)  # type: ignore[assignment]
            told = ["run", *map(str, inputs), "--out", f"{out}-{number}", "--run-key", "2026-01-01", "--workers", "1"]
            code = cli.cli.main([*told, *more], standalone_mode=False)
            if code:
                raise SystemExit(f"fold {number}: exit code {code}")
        return time.time() - started

    def of_all(out: Path, name: str) -> list[dict[str, object]]:
        made = []
        for number in range(len(models)):
            for row in table(f"{out}-{number}", name):
                page = row["source_id"] or Path(str(row["source"])).name
                made += [row] if fold_of_page.get(page) == number else []
        return made

    evaluation.rows, evaluation.run, evaluation.table = rows, run, of_all
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        asked = argparse.Namespace(data=str(data / TRACKS[track]), etl="", limit=None)
        if track in ("text", "light"):
            return evaluation.text_track(asked, work, track == "light")
        return {"harm": evaluation.harm_track, "html": evaluation.html_track}[track](asked, work)


def _same(trained: Trained) -> Trained:
    return trained


def _evaluation(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("evaluation", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
