#!/usr/bin/env python3
"""Time the whole job and the I/O floor on generated corpora, in one go, and print a table for each, and how cost grows.

    run.py [--docs 20000 [100000 …]] [--workers 2] [--material ../shared/bench] [--cache .cache/bench]

The corpus generator (gen_corpus.py) and the floor (io_floor.py) are benchmark material outside this project: --material
says where they lie. A corpus is made once a size and reused: 150 CPU-s for 100,000 documents. The generator holds all it makes in
memory, some 20 KB a document, so a larger corpus is made of several, each with a seed of its own.

The floor is a single process of a few seconds, whose CPU differs by a fifth from one time to the next: it is timed three times, right
before the job, right after it and at the end, and the one in the middle counts.

The job runs twice. The first time nothing watches it: wall and CPU are of that run. The second time its memory (the sum of its
processes' proportional set sizes, ten times a second) and its work files (what lies below OUT/_work, twice a second) are
watched, which takes a sixth more of wall on two cores. Each size appends a JSON line to CACHE/results.jsonl.
"""

from __future__ import annotations

import argparse
import ctypes
import glob
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
SAMPLE_S = 0.1
DISK_SAMPLE_S = 0.5
DOCUMENT_BYTES = 3_700  # of a generated document, as JSON
DISK_FACTOR = 4  # of the raw text: what a corpus, the work files and the output may take together
MOST_AT_ONCE = 100_000  # documents that the generator makes in one go
FIRST_SEED = 7
PR_SET_CHILD_SUBREAPER = 36


class Used(NamedTuple):
    """What a command and all its children took. peak_mb: 0 where nobody watched."""

    wall_s: float
    cpu_s: float
    peak_mb: float


def main() -> int:
    """Run the benchmark; 2 when its material or room on the disk is missing."""
    options = _options()
    results = []
    for docs in options.docs:
        corpus = corpus_of(docs, options.material, options.cache)
        if corpus is None:
            return 2
        result = _run(corpus, docs, options)
        results.append(result)
        with (options.cache / "results.jsonl").open("a") as log:
            log.write(json.dumps(result) + "\n")
        _print(result)
    _print_growth(results)
    return 0


def corpus_of(docs: int, material: Path, cache: Path) -> Path | None:
    """The folder of a generated corpus, made if it is not there; None, with the reason printed, when it can't be."""
    generator, floor = material / "gen_corpus.py", material / "io_floor.py"
    if not generator.is_file() or not floor.is_file():
        print(f"{material} holds no gen_corpus.py and io_floor.py; name their folder with --material", file=sys.stderr)
        return None
    cache.mkdir(parents=True, exist_ok=True)
    needed, free = DISK_FACTOR * docs * DOCUMENT_BYTES, shutil.disk_usage(cache).free
    if free < needed:
        print(f"{docs:,} documents may take {needed / 1e9:.0f} GB; {free / 1e9:.0f} GB are free", file=sys.stderr)
        return None
    corpus = cache / f"corpus-{docs}"
    if not (corpus / "stats.json").is_file():
        print(f"making a corpus of {docs:,} documents …", file=sys.stderr)
        if docs <= MOST_AT_ONCE:
            _generate(generator, corpus, docs, FIRST_SEED)
        else:
            _generate_in_pieces(generator, corpus, docs)
    return corpus


def _generate(generator: Path, target: Path, docs: int, seed: int) -> None:
    command = [sys.executable, str(generator), "--docs", str(docs), "--seed", str(seed), "--formats", "zst"]
    subprocess.run([*command, "--out", str(target)], check=True, capture_output=True)


def _generate_in_pieces(generator: Path, corpus: Path, docs: int) -> None:
    """A corpus put together of several, two being made at a time; what an interrupted call made is used again."""
    sizes = [min(MOST_AT_ONCE, docs - done) for done in range(0, docs, MOST_AT_ONCE)]

    def piece(number: int) -> dict[str, Any]:
        folder = corpus / f"piece-{number:02d}"
        kept = folder / "stats.json"
        if not kept.is_file():
            _generate(generator, folder, sizes[number], FIRST_SEED + number)
        found: dict[str, Any] = json.loads(kept.read_text())
        return found

    with ThreadPoolExecutor(2) as makers:
        made = list(makers.map(piece, range(len(sizes))))
    for number in range(len(sizes)):
        for path in (corpus / f"piece-{number:02d}").glob("part-*"):
            path.rename(corpus / path.name.replace("part-", f"part-{number:02d}-"))
    sums = {name: sum(one[name] for one in made) for name in ("docs", "text_bytes", "jsonl_bytes")}
    (corpus / "stats.json").write_text(json.dumps(sums))


def etl_run(corpus: Path, out: Path, *, workers: int) -> list[str]:
    """The command that cleans a corpus into the folder `out`, which is emptied."""
    shutil.rmtree(out, ignore_errors=True)
    inputs = sorted(str(path) for path in corpus.glob("part-*.jsonl.zst"))
    etl = str(Path(sys.executable).with_name("etl"))
    return [etl, "run", *inputs, "--out", str(out), "--run-key", "bench", "--workers", str(workers)]


def measure(
    command: Sequence[str],
    *,
    log: Path | None = None,
    env: Mapping[str, str] | None = None,
    limit_s: float = 0,
    watched: bool = True,
) -> Used:
    """Run `command` to its end. log: where what it says goes; without one its errors are shown. limit_s: 0 for none.
    watched: whether its memory is looked at, which costs time that the command could have.

    Processes that it leaves behind, such as a fork server's, are waited for: their CPU is its own. Raises RuntimeError when
    it fails, TimeoutError when it takes longer than limit_s; nothing of it is running then.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    with open(log or os.devnull, "wb") as said:  # noqa: PTH123
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said if log else None,
            env=env,
            start_new_session=True,
        )
    peak, done, late = [0.0], threading.Event(), threading.Event()

    def watch() -> None:
        while not done.wait(SAMPLE_S):
            if watched:
                peak[0] = max(peak[0], _session_mb(process.pid))
            if limit_s and time.perf_counter() - started > limit_s and not late.is_set():
                late.set()
                os.killpg(process.pid, signal.SIGKILL)

    watcher = threading.Thread(target=watch)
    watcher.start()
    status = process.wait()
    wall = time.perf_counter() - started
    _wait_for_orphans()
    done.set()
    watcher.join()
    if late.is_set():
        raise TimeoutError(f"not done in {limit_s:.0f} s")
    if status:
        raise RuntimeError(f"{Path(command[0]).name} failed ({status})")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Used(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, peak[0])


def _run(corpus: Path, docs: int, options: argparse.Namespace) -> dict[str, Any]:
    raw_bytes = json.loads((corpus / "stats.json").read_text())["jsonl_bytes"]
    megabytes, gigabytes = raw_bytes / 1e6, raw_bytes / 1e9
    out = options.cache / "out"
    floors = [_floor(corpus, options.material)]
    used = measure(etl_run(corpus, out, workers=options.workers), watched=False)
    floors.append(_floor(corpus, options.material))
    metrics = json.loads((out / "_reports" / "bench" / "metrics.json").read_text())
    with _DiskPeak(out / "_work") as disk:
        peak_mb = measure(etl_run(corpus, out, workers=options.workers)).peak_mb
    floors.append(_floor(corpus, options.material))
    floor_cpu = median(floors)
    return {
        "docs": docs,
        "workers": options.workers,
        "mb": round(megabytes, 1),
        "wall_s": round(used.wall_s, 2),
        "mb_per_s": round(megabytes / used.wall_s, 2),
        "cpu_s": round(used.cpu_s, 2),
        "cpu_s_per_gb": round(used.cpu_s / gigabytes, 1),
        "floor_cpu_s_per_gb": floor_cpu,
        "floors": floors,
        "ratio_to_floor": round(used.cpu_s / gigabytes / floor_cpu, 2),
        "peak_mb": round(peak_mb),
        "work_mb": round(disk.peak / 1e6, 1),
        "work_to_text": round(disk.peak / raw_bytes, 2),
        "output_mb": round(_bytes_below(out) / 1e6, 1),
        "stages": {spent["stage"]: round(spent["cpu_s"] / gigabytes, 1) for spent in metrics["timing"]},
    }


def _floor(corpus: Path, material: Path) -> float:
    """CPU-s per GB of raw text that the I/O floor takes."""
    done = subprocess.run(
        [sys.executable, material / "io_floor.py", corpus], check=True, capture_output=True, text=True
    )
    return float(json.loads(done.stdout)["cpu_s_per_gb"])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sizes = [int(size) for size in os.environ.get("DOCS", "20000").replace(",", " ").split()]
    parser.add_argument("--docs", type=int, nargs="+", default=sizes, help="sizes of corpora, one run each")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--material", type=Path, default=HERE.parent.parent / "shared" / "bench")
    parser.add_argument("--cache", type=Path, default=HERE.parent / ".cache" / "bench")
    return parser.parse_args()


class _DiskPeak:
    """Looks at a folder while a block runs. peak: the most bytes of disk that its files took."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.peak = 0
        self.done = threading.Event()
        self.watcher = threading.Thread(target=self._watch)

    def __enter__(self) -> _DiskPeak:
        self.watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.watcher.join()

    def _watch(self) -> None:
        while not self.done.wait(DISK_SAMPLE_S):
            self.peak = max(self.peak, _bytes_below(self.folder) + _bytes_without_name(self.folder))


def _bytes_below(folder: Path) -> int:
    """What the files below a folder take on disk; those that go while one looks take nothing."""
    total = 0
    for at, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(at, name)).st_blocks * 512  # noqa: PTH118
            except FileNotFoundError:
                continue
    return total


def _bytes_without_name(folder: Path) -> int:
    """What files take that processes hold open below a folder, and that have no name there (Linux)."""
    begins = f"{folder.resolve()}{os.sep}"
    files: dict[tuple[int, int], int] = {}
    for held in glob.iglob("/proc/[0-9]*/fd/*"):  # noqa: PTH207 - pathlib would ask each what it is
        try:
            if (told := os.readlink(held)).startswith(begins) and told.endswith(" (deleted)"):  # noqa: PTH115
                about = os.stat(held)  # noqa: PTH116
                files[about.st_dev, about.st_ino] = about.st_blocks * 512
        except OSError:
            continue
    return sum(files.values())


def _wait_for_orphans() -> None:
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _session_mb(session: int) -> float:
    """What the processes of a session hold: a page that several share, as forked workers do, counts once (Linux: Pss)."""
    held = 0
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            if os.getsid(int(folder.name)) != session:
                continue
            told = (folder / "smaps_rollup").read_text()
        except (OSError, ProcessLookupError):
            continue
        held += next((int(line.split()[1]) for line in told.splitlines() if line.startswith("Pss:")), 0)
    return held * 1024 / 1e6


def _print(result: Mapping[str, Any]) -> None:
    print(f"{'documents':<26}{result['docs']:>12,}\n{'raw text, MB':<26}{result['mb']:>12}")
    for name, label in (
        ("wall_s", "wall, s"),
        ("mb_per_s", "MB per second"),
        ("cpu_s_per_gb", "CPU-s per GB"),
        ("floor_cpu_s_per_gb", "I/O floor, CPU-s per GB"),
        ("ratio_to_floor", "ratio to the floor"),
        ("peak_mb", "peak memory, MB"),
        ("work_mb", "work files at most, MB"),
        ("work_to_text", "  times the raw text"),
        ("output_mb", "output, MB"),
    ):
        print(f"{label:<26}{result[name]:>12}")
    print(f"{'floor, each time':<26}{', '.join(map(str, result['floors'])):>12}")
    print("\nCPU-s per GB by stage")
    for name, spent in result["stages"].items():
        print(f"  {name:<24}{spent:>12}")
    print(flush=True)


def _print_growth(results: Sequence[Mapping[str, Any]]) -> None:
    """How the cost grows from one size to the next."""
    for small, large in pairwise(sorted(results, key=lambda result: result["mb"])):
        text, cpu = large["mb"] / small["mb"], large["cpu_s"] / small["cpu_s"]
        print(
            f"{small['docs']:,} to {large['docs']:,} documents: {text:.1f} times the text, {cpu:.1f} times the CPU, "
            f"{large['wall_s'] / small['wall_s']:.1f} times the wall, {large['peak_mb'] / small['peak_mb']:.2f} times the memory"
        )


if __name__ == "__main__":
    sys.exit(main())
