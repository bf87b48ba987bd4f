#!/usr/bin/env python3
"""What reading pages of HTML costs, against trafilatura alone on the same pages, in one process: CPU seconds, best of three.

html_cost.py FOLDER    a folder of .html files, also .gz
"""

from __future__ import annotations

import gzip
import logging
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import trafilatura

from etl import pipeline
from etl.engine.local import LocalEngine
from etl.ingest import charset, html
from etl.ingest.records import Unreadable

REPEATS = 3


def main(arguments: list[str]) -> int:
    """Print the table; 2 without a folder of pages."""
    files = sorted(Path(arguments[0]).glob("*.html*")) if len(arguments) == 1 else []
    if not files:
        print(__doc__, file=sys.stderr)
        return 2
    logging.disable(logging.WARNING)
    raw = [gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes() for path in files]
    pages = [charset.decode(data, declared=charset.declared_charset(data))[0] for data in raw]
    with tempfile.TemporaryDirectory() as folder, LocalEngine(1) as engine:
        ways: dict[str, Callable[[], object]] = {
            "trafilatura.extract": lambda: [trafilatura.extract(page) for page in pages],
            "trafilatura.extract, with metadata": lambda: [
                trafilatura.extract(page, with_metadata=True) for page in pages
            ],
            "reading a page": lambda: [_read(page) for page in pages],
            "the whole job": lambda: pipeline.run(files, Path(folder), run_key="cost", engine=engine),
        }
        spent = {name: min(_cpu(way) for _ in range(REPEATS)) for name, way in ways.items()}
    alone = spent["trafilatura.extract"]
    print(
        f"{len(pages)} pages, {sum(map(len, raw)) / 1e6:.1f} MB\n\n{'':<36}{'CPU, s':>10}{'ms a page':>12}{'ratio':>8}"
    )
    for name, cpu in spent.items():
        print(f"{name:<36}{cpu:>10.2f}{1000 * cpu / len(pages):>12.1f}{cpu / alone:>8.2f}")
    return 0


def _read(page: str) -> html.Page | None:
    try:
        return html.html_to_document(page, None)
    except Unreadable:
        return None


def _cpu(way: Callable[[], object]) -> float:
    started = time.process_time()
    way()
    return time.process_time() - started


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
