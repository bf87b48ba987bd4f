"""What each threshold of the line model buys: F1, precision and recall, and the harm done to text that is already clean.

    line_model_thresholds.py --data ../shared/data [--thresholds 0.3 0.4 …] [--cross-validate]

The packaged model is tried on pages of the source that it never saw (`unseen`), and on those it was trained on
(`trained on`: read these as too good). With --cross-validate the latter are scored by models made anew without the page's
site, which takes some minutes. Harm: the share of characters cut from articles given as the whole page, and the share of
articles that lose more than 5 percent.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import numpy as np
from train_line_model import (
    UNSEEN,
    Figures,
    evidence,
    figures_of,
    gone_at,
    read_pages,
    silver_pages,
    table,
    train,
    training_pages,
    with_hits,
)

from etl.boilerplate import model


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path, default=Path("../shared/data"))
    arguments.add_argument("--thresholds", type=float, nargs="+", default=[n / 20 for n in range(5, 17)])
    arguments.add_argument("--cross-validate", action="store_true")
    options = arguments.parse_args()
    logging.disable(logging.WARNING)
    pages = read_pages(options.data)
    lines = with_hits(table(pages), pages)
    if options.cross_validate:
        scores = train(training_pages(pages, evidence(silver_pages(options.data))), pages)[1]
    else:
        scores = model.score(lines)
    unseen = np.array([page.source == UNSEEN for page in pages])
    rest = "by unseen site" if options.cross_validate else "trained on"
    print("shingle F1 / precision / recall, and line F1; harm: characters cut / articles over 5 %")
    print(f"{'threshold':10}{'pages':16}{'text':>28}{'text line':>11}{'light':>28}{'light line':>12}{'harm':>18}")
    for threshold in options.thresholds:
        gone = gone_at(lines, scores, threshold)
        for name, chosen in (("unseen", unseen), (rest, ~unseen)):
            rows = chosen[lines["doc"].to_numpy()]
            figures = figures_of([page for page, use in zip(pages, chosen, strict=True) if use], gone[rows])
            full, light, harm = figures["full all"], figures["light all"], figures["article all"]
            mark = " (default)" if threshold == model.THRESHOLD and name == "unseen" else ""
            print(
                f"{threshold:<10.2f}{name:16}{_shingles(full):>28}{full.line_f1:11.4f}{_shingles(light):>28}{light.line_f1:12.4f}"
                f"{f'{harm.cut:.4f} / {harm.over_5_percent:.4f}':>18}{mark}"
            )


def _shingles(figures: Figures) -> str:
    return f"{figures.f1:.4f} / {figures.precision:.4f} / {figures.recall:.4f}"


if __name__ == "__main__":
    main()
