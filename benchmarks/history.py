#!/usr/bin/env python3
"""Time a run without history and the same run after many earlier ones, and print one table.

    history.py CORPUS [--sentences 100000000 | --runs 30] [--site-lines] [--near] [--workers 2] [--cache .cache/history]
    history.py CORPUS --runs 30 --earlier OTHER [--near] [--workers 2] [--cache .cache/history]

The earlier runs are made: the state of the run itself, each time under other hashes, until they hold so many sentences.
One sentence in twenty keeps its hash in the first of them, and one in fifty of the points where near-duplicate sentences
meet in one of them (--near), so that there is something to find, and texts of its published documents to read. --site-lines adds what barrier 1 knows of
earlier runs: as many other pages of each site, with its furniture and another text. CORPUS: a folder of raw files.

--earlier: the earlier runs are real ones, of the files of another folder, as many files each.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
from run import measure

from etl.dedup.fingerprint import POINT_BITS
from etl.dedup.state import SORTED_BY, STATE
from etl.history import FILES, History, write_state

KEY = "9999"
HASHED = {
    "fingerprints": ("key_hash", "key_check"),
    "bands": ("h",),
    "sentences": ("key_hash",),
    "meetings": ("near_a", "near_b"),
}
KEPT_ONE_IN = 20
MEETINGS_KEPT_ONE_IN = 50


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--sentences", type=int, default=100_000_000)
    parser.add_argument("--runs", type=int, default=0, help="so many earlier runs, whatever they hold")
    parser.add_argument("--site-lines", action="store_true")
    parser.add_argument(
        "--near", action="store_true", help="near-duplicate sentences of earlier runs too (near_history)"
    )
    parser.add_argument("--earlier", type=Path, help="a folder whose files the earlier runs take")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--cache", type=Path, default=Path(__file__).resolve().parent.parent / ".cache" / "history")
    options = parser.parse_args()
    if options.earlier and not 0 < options.runs <= len(_parts(options.earlier)):
        parser.error(f"--earlier {options.earlier}: each of --runs earlier runs takes a file part-… of it at least")
    shutil.rmtree(options.cache, ignore_errors=True)
    out = options.cache / "out"
    command = _run_of(_parts(options.corpus), KEY, out, options)
    alone = measure(command)
    spent = _stages(out)
    runs, sentences = (_run_earlier if options.earlier else _make_history)(out, options)
    after = measure(command)
    print(f"{'earlier runs':<34}{runs:>14,}\n{'sentences in their state':<34}{sentences:>14,}")
    print(f"{'state on disk, MB':<34}{_megabytes(out / '_state'):>14,}")
    print(f"{'  of it to meet by, MB':<34}{_megabytes(out / '_state', 'meetings'):>14,}")
    print()
    print(f"{'':<34}{'no history':>14}{'history':>14}{'ratio':>9}")
    for name, one, other in zip(("wall, s", "CPU, s", "peak memory, MB"), alone, after, strict=True):
        print(f"{name:<34}{one:>14,.1f}{other:>14,.1f}{other / one:>9.2f}")
    for stage, cpu in _stages(out).items():
        print(f"  {stage + ', CPU-s':<32}{spent[stage]:>14,.1f}{cpu:>14,.1f}")
    return 0


def _parts(corpus: Path) -> list[Path]:
    return sorted(path for path in corpus.iterdir() if path.name.startswith("part-"))


def _run_of(files: Sequence[Path], key: str, out: Path, options: argparse.Namespace) -> list[str]:
    """The command of a run."""
    etl = str(Path(sys.executable).with_name("etl"))
    near = "true" if options.near else "false"
    told = ["--run-key", key, "--workers", str(options.workers), "--set", f"sentence_dedup.near_history={near}"]
    return [etl, "run", *map(str, files), "--out", str(out), *told]


def _run_earlier(out: Path, options: argparse.Namespace) -> tuple[int, int]:
    """Do earlier runs, in a dataset of their own; how many, and how many sentences they left."""
    # Else the run itself would be among those that are put together, which are put together again when it is replaced.
    shutil.rmtree(out)
    files = _parts(options.earlier)
    for run in range(options.runs):
        some = files[run * len(files) // options.runs : (run + 1) * len(files) // options.runs]
        measure(_run_of(some, f"{run:04d}", out, options))
    state = (out / "_state").glob("run=[0-9][0-9][0-9][0-9]/sentences-*.parquet")
    return options.runs, sum(pq.read_metadata(path).num_rows for path in state if path.parent.name != f"run={KEY}")


def _stages(out: Path) -> dict[str, float]:
    told = json.loads((out / "_reports" / KEY / "metrics.json").read_text())
    return {spent["stage"]: spent["cpu_s"] for spent in told["timing"]}


def _make_history(out: Path, options: argparse.Namespace) -> tuple[int, int]:
    """Put earlier runs into the dataset; how many, and how many sentences they hold."""
    own = out / "_state" / f"run={KEY}"
    tables = {
        name: pl.concat(
            [pl.read_parquet(path, hive_partitioning=False) for path in sorted(own.glob(f"{name}-*.parquet"))]
        )
        for name in HASHED
    }
    runs = options.runs or -(-options.sentences // tables["sentences"].height)
    manifest = json.loads((out / "_manifest.json").read_text())
    entry = manifest["runs"][KEY]
    for run in range(runs):
        key = f"{run:04d}"
        folder = out / "_state" / f"run={key}"
        folder.mkdir()
        write_state(folder, "files", [], FILES)
        for name, columns in HASHED.items():
            rows = tables[name].with_columns(
                _other(tables[name][column], run, keep=_is_kept(name, tables[name][column], run, runs))
                for column in columns
            )
            rows = rows.sort(SORTED_BY[name]).select(pl.col(n).cast(kind) for n, kind in STATE[name].items())
            write_state(
                folder,
                name,
                [rows.to_arrow()],
                rows.to_arrow().schema,
                sorted_by=SORTED_BY[name],
            )
        for name in ("sketches", "stand_ins"):
            for path in own.glob(f"{name}-*.parquet"):
                os.link(path, folder / path.name)
        published = out / "documents" / f"run={KEY}"
        shutil.copytree(published, published.with_name(folder.name), copy_function=os.link)
        if options.site_lines:
            _write_site_lines(own, folder, run)
        manifest["runs"][key] = {**entry, "release": key, "history": {}}
    (out / "_manifest.json").write_text(json.dumps(manifest))
    started = time.perf_counter()
    made = History.of(out, manifest).compact()
    print(f"put into {len(made)} compacted folders in {time.perf_counter() - started:.1f} s", file=sys.stderr)
    return runs, runs * tables["sentences"].height


def _is_kept(table: str, hashes: pl.Series, run: int, runs: int) -> np.ndarray:
    """Which of a table's hashes the earlier run `run` of `runs` has too."""
    values = hashes.to_numpy()
    if table == "meetings":
        return values % (MEETINGS_KEPT_ONE_IN * runs) == MEETINGS_KEPT_ONE_IN * run
    return (values % KEPT_ONE_IN == 0) & (table == "sentences" and run == 0)


def _other(hashes: pl.Series, run: int, *, keep: np.ndarray | bool = False) -> pl.Series:
    """Other hashes, as many different ones, where they aren't to be kept."""
    mask = np.random.default_rng(run).integers(-(2**63), 2**63, dtype=np.int64)
    values = hashes.to_numpy()
    if hashes.name in HASHED["meetings"]:
        mask = mask & ((1 << POINT_BITS) - 1)
    return pl.Series(hashes.name, np.where(keep, values, values ^ mask))


def _write_site_lines(own: Path, folder: Path, run: int) -> None:
    """What `own` kept of sites' pages, as other pages that have the same furniture and another text."""
    pages = pl.concat([pl.read_parquet(path, hive_partitioning=False) for path in own.glob("kept_pages-*.parquet")])
    pages = pages.with_columns(pl.lit(folder.name.removeprefix("run=")).alias("run"))
    pages = pages.with_columns(_other(pages[name], run + 1) for name in ("doc", "page_group"))
    write_state(folder, "kept_pages", [pages.to_arrow()], pages.to_arrow().schema)
    lines = pl.concat([pl.read_parquet(path, hive_partitioning=False) for path in own.glob("kept_lines-*.parquet")])
    shared = lines.select(pl.len().over("site", "line") > 1).to_series()
    lines = lines.with_columns(
        _other(lines["doc"], run + 1), line=pl.when(shared).then("line").otherwise(_other(lines["line"], run + 1))
    )
    lines = lines.sort("line", "site", "doc")
    write_state(folder, "kept_lines", [lines.to_arrow()], lines.to_arrow().schema)
    for path in own.glob("habits-*.parquet"):
        os.link(path, folder / path.name)


def _megabytes(folder: Path, table: str = "") -> int:
    return sum(path.stat().st_size for path in folder.rglob(f"{table}*.parquet")) // 10**6


if __name__ == "__main__":
    sys.exit(main())
