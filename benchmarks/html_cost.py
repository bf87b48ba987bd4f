"""What HTML costs: CPU of this project's reader, and of the whole job, against trafilatura's plain `extract` on the same pages.

    html_cost.py [FOLDER] [--pages 400] [--repeats 2]

FOLDER holds .html or .html.gz files. Of each step the fastest repeat counts. The whole job's fixed cost (starting, loading
models, the barriers) is that of a run over one page, and is left out of its cost a page.
"""

from __future__ import annotations

import argparse
import gzip
import logging
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from etl.ingest.html import html_to_document


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("folder", type=Path, nargs="?", default=Path("../shared/data/html_track.dev"))
    arguments.add_argument("--pages", type=int, default=400)
    arguments.add_argument("--repeats", type=int, default=2)
    arguments.add_argument("--etl", default=str(Path(sys.executable).with_name("etl")))
    options = arguments.parse_args()
    from trafilatura import extract

    logging.disable(logging.CRITICAL)
    files = sorted([*options.folder.rglob("*.html"), *options.folder.rglob("*.html.gz")])
    files = files[:: max(1, len(files) // options.pages)][: options.pages]
    pages = [_read(path) for path in files]
    print(f"{len(pages)} pages, {sum(map(len, pages)) / 1e6:.1f} million characters; CPU ms a page")
    alone = _cost(extract, pages, options.repeats)
    reader = _cost(lambda page: html_to_document(page, None), pages, options.repeats)
    whole = (_job(options.etl, files) - _job(options.etl, files[:1])) / max(1, len(files) - 1)
    print(f"  trafilatura extract  {alone * 1000:7.1f}")
    print(f"  this reader          {reader * 1000:7.1f}  {reader / alone:5.2f} times")
    print(f"  the whole job        {whole * 1000:7.1f}  {whole / alone:5.2f} times")


def _read(path: Path) -> str:
    data = path.read_bytes()
    return (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8", "replace")


def _cost(step: Callable[[str], object], pages: Sequence[str], repeats: int) -> float:
    """CPU seconds a page: over all pages the fastest of the repeats, after one that warms up."""
    step(pages[0])
    totals = []
    for _ in range(repeats):
        started = time.process_time()
        for page in pages:
            step(page)
        totals.append(time.process_time() - started)
    return min(totals) / len(pages)


def _job(etl: str, files: Sequence[Path]) -> float:
    """CPU seconds of `etl run` over `files`, all processes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryDirectory() as folder:
        told = [etl, "run", *map(str, files), "--out", folder, "--run-key", "2026-01-01", "--workers", "1"]
        subprocess.run(told, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
