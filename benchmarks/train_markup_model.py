"""Rebuild the weights that judge lines of HTML by their markup, from labelled pages, and print what unseen sites get.

    train_markup_model.py FOLDS [--data ../shared/data] [--out FILE]

FOLDS is a folder that train_line_model.py --folds wrote: the score that the text of a line gets, which is the first
thing this model reads, must come from a line model that never saw the line's site. DATA holds html_track.dev/ (pages with
their articles), text_track.dev.jsonl.gz (labels for the lines of most of them) and html_weak.dev/ (pages with labels that
three settings of trafilatura agree on; they count little). Pages of the source `wad` are never trained on. The same data
gives the same bytes. For each fold the weights that never saw its sites are put into FOLDS for cross_validate.py.

Needs catboost besides the project's own dependencies, as train_line_model.py does.
"""

from __future__ import annotations

import argparse
import difflib
import gzip
import json
import logging
import lzma
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import train_line_model as lines_of
import xxhash
from train_line_model import FOLDS, UNSEEN, Doubles, Floats, Page, evidence, table, with_hits

from etl.boilerplate import markup, model
from etl.ingest import html

PACKAGED = Path(markup.__file__).with_name("weights") / markup.WEIGHTS
FOREST = {"iterations": 150, "learning_rate": 0.1}
WEIGHT_OF_SILVER = 0.2
BY_LENGTH = 0.8  # a line weighs as this power of its length
MOST_CHROME = 6.0  # a page's boilerplate weighs at most this many times its article
WHOLE = -1  # the fold of the model that is shipped


@dataclass(frozen=True, slots=True)
class Marked:
    """A page of HTML: its labelled lines, and the bytes of schema.MARKUP for each."""

    page: Page
    markup: bytes


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("folds", type=Path)
    arguments.add_argument("--data", type=Path, default=Path("../shared/data"))
    arguments.add_argument("--out", type=Path, default=PACKAGED, help="where the weights go (the package)")
    options = arguments.parse_args()
    logging.disable(logging.WARNING)
    marked = [*track_pages(options.data), *silver_pages(options.data)]
    pages = evidence([one.page for one in marked])
    print(f"{len(pages)} pages to train on", flush=True)
    matrix, target, weight, fold = examples(pages, [one.markup for one in marked], options.folds)
    for number in (*range(FOLDS), WHOLE):
        used = fold != number
        forest = lines_of._forest(matrix[used], target[used], weight[used], markup.FEATURE_NAMES, FOREST)
        packed = lzma.compress(json.dumps(forest, separators=(",", ":")).encode(), preset=9)
        path = options.out if number == WHOLE else options.folds / f"{number}.markup.xz"
        path.write_bytes(packed)
        print(f"{path}: {len(packed)} bytes, xxh3_128 {xxhash.xxh3_128_hexdigest(packed)}", flush=True)


def track_pages(data: Path) -> Iterator[Marked]:
    """The labelled pages."""
    with gzip.open(data / "text_track.dev.jsonl.gz", "rt", encoding="utf-8") as file:
        labelled = {r["id"]: r for r in map(json.loads, file)}
    for record, _, found in _read(data / "html_track.dev"):
        if record["src"] != UNSEEN and found.markup is not None:
            rows = found.text.split("\n")
            labels = gold_labels(rows, record["gold"], labelled.get(record["id"]))
            yield Marked(_page(record, record["src"], rows, labels), found.markup)


def silver_pages(data: Path) -> Iterator[Marked]:
    """The pages with labels that three settings of trafilatura agree on."""
    for record, raw, found in _read(data / "html_weak.dev"):
        rows = found.text.split("\n")
        told = {"present": record["present"], "absent": record["absent"]}
        labels = lines_of.silver_labels(rows, lines_of._extracted(raw), **told)
        if labels and found.markup is not None:
            yield Marked(_page(record, "silver", rows, labels), found.markup)


def _read(folder: Path) -> Iterator[tuple[dict[str, object], str, html.Page]]:
    with (folder / "index.jsonl").open(encoding="utf-8") as file:
        records = [json.loads(line) for line in file]
    for record in records:
        raw = gzip.decompress((folder / record["html"]).read_bytes()).decode("utf-8", "replace")
        yield record, raw, html.html_to_document(raw, record["url"])


def _page(record: dict[str, object], source: str, rows: Sequence[str], labels: str) -> Page:
    made = lines_of._page("full", source, record["site"], record.get("lang", ""), rows, labels, url=record["url"] or "")
    if len(made.lines) != len(rows):
        raise SystemExit(f"{record['id']}: a line without a visible character")
    return made


def gold_labels(rows: Sequence[str], gold: str, labelled: dict[str, object] | None) -> str:
    """A label for each line: that of the same line among `labelled`, else what the article's four-word shingles tell."""
    words = lines_of._TOKEN.findall(gold)
    shingles = {tuple(words[n : n + 4]) for n in range(len(words) - 3)}
    whole = {lines_of._squash(line) for line in gold.split("\n")}
    labels = [_label(row, shingles, whole) for row in rows]
    if labelled is not None:
        there, here = ([lines_of._squash(line) for line in some] for some in (labelled["lines"], rows))
        for a, b, size in difflib.SequenceMatcher(None, there, here, autojunk=False).get_matching_blocks():
            labels[b : b + size] = labelled["labels"][a : a + size]
    return "".join(labels)


def _label(row: str, shingles: set[tuple[str, ...]], whole: set[str]) -> str:
    words = lines_of._TOKEN.findall(row)
    if not words:
        return "?"
    if len(words) < 4:
        return "m" if lines_of._squash(row) in whole else "b"
    share = sum(tuple(words[n : n + 4]) in shingles for n in range(len(words) - 3)) / (len(words) - 3)
    return "m" if share >= 0.6 else "b" if share < 0.25 else "?"


def examples(pages: Sequence[Page], marked: Sequence[bytes], folds: Path) -> tuple[Floats, Doubles, Doubles, Doubles]:
    """Features, targets, weights and folds of all lines, their text scored by the line model of the page's fold."""
    lines = with_hits(table(pages), pages)
    docs = pl.DataFrame({"doc": range(len(pages)), "markup": marked}).cast({"doc": pl.UInt32})
    lines = markup.add(lines, docs)
    size, matrix = np.zeros(lines.height), np.zeros((lines.height, len(markup.FEATURE_NAMES)), np.float32)
    fold = np.array([page.fold for page in pages])[lines["doc"].to_numpy()]
    for number in range(FOLDS):
        rows = np.flatnonzero(fold == number)
        trained = model.loads((folds / f"{number}.xz").read_bytes())
        at = 0
        for batch in model.batches(lines[rows]):
            scored = model._scored(batch, trained, np.zeros(batch.height, np.uint8))
            here = rows[at : at + batch.height]
            at += batch.height
            size[here] = scored.size
            matrix[here] = markup.featurize(
                batch["markup"].to_numpy(),
                scored.page,
                scored.size,
                scored.ends,
                first=scored.first,
                second=scored.second,
            )
    label = np.frombuffer("".join(page.labels for page in pages).encode(), np.uint8)
    target = (label == ord("b")).astype(np.float64)
    used = np.isin(label, list(b"mb")) & (lines["hit"].to_numpy() == 0)
    return matrix, target, weights(pages, np.where(used, size**BY_LENGTH, 0.0), target), fold


def weights(pages: Sequence[Page], length: Doubles, target: Doubles) -> Doubles:
    """How much each line counts: its share of its page, whose boilerplate weighs no more than MOST_CHROME articles."""
    page = np.repeat(np.arange(len(pages)), [len(p.lines) for p in pages])
    article = np.bincount(page, weights=length * (1 - target), minlength=len(pages))
    chrome = np.bincount(page, weights=length * target, minlength=len(pages))
    cap = np.minimum(1.0, MOST_CHROME * article / np.maximum(chrome, 1))
    share = length * np.where(target > 0, cap[page], 1.0)
    of_page = np.array([WEIGHT_OF_SILVER if p.source == "silver" else 1.0 for p in pages])
    made: Doubles = share / np.maximum(np.bincount(page, weights=share, minlength=len(pages)), 1)[page] * of_page[page]
    return made / made[made > 0].mean()


if __name__ == "__main__":
    main()
