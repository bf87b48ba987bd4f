#!/usr/bin/env python3
"""Time the whole job and the I/O floor on one generated corpus, in one go, and print one table.

    run.py [--docs 20000] [--workers 2] [--material ../shared/bench] [--cache .cache/bench]

The corpus generator (gen_corpus.py) and the floor (io_floor.py) are benchmark material outside this project: --material
says where they lie. A corpus is made once a size and reused. Memory is what the job's processes have for themselves, with the
largest part that one of them shares, ten times a second. (Proportional set sizes would be exact; to read them stops the job for a
tenth of its time.) Each run appends a JSON line to CACHE/results.jsonl.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
SAMPLE_S = 0.1
PAGE = os.sysconf("SC_PAGE_SIZE")


def main() -> int:
    """Run the benchmark; 2 when its material is missing."""
    options = _options()
    generator, floor = options.material / "gen_corpus.py", options.material / "io_floor.py"
    if not generator.is_file() or not floor.is_file():
        print(
            f"{options.material} holds no gen_corpus.py and io_floor.py; name their folder with --material",
            file=sys.stderr,
        )
        return 2
    corpus = options.cache / f"corpus-{options.docs}"
    if not (corpus / "stats.json").is_file():
        print(f"making a corpus of {options.docs} documents …", file=sys.stderr)
        command = [
            sys.executable,
            generator,
            "--docs",
            str(options.docs),
            "--seed",
            "7",
            "--formats",
            "zst",
            "--out",
            corpus,
        ]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    megabytes = json.loads((corpus / "stats.json").read_text())["jsonl_bytes"] / 1e6
    floor_cpu = json.loads(
        subprocess.run([sys.executable, floor, corpus], check=True, capture_output=True, text=True).stdout
    )["cpu_s_per_gb"]
    out = options.cache / "out"
    shutil.rmtree(out, ignore_errors=True)
    inputs = sorted(str(path) for path in corpus.glob("part-*.jsonl.zst"))
    etl = str(Path(sys.executable).with_name("etl"))
    wall, cpu, peak = _measure(
        [etl, "run", *inputs, "--out", str(out), "--run-key", "bench", "--workers", str(options.workers)]
    )
    metrics = json.loads((out / "_reports" / "bench" / "metrics.json").read_text())
    gigabytes = megabytes / 1000
    result = {
        "docs": options.docs,
        "workers": options.workers,
        "mb": round(megabytes, 1),
        "wall_s": round(wall, 2),
        "mb_per_s": round(megabytes / wall, 2),
        "cpu_s_per_gb": round(cpu / gigabytes, 1),
        "floor_cpu_s_per_gb": floor_cpu,
        "ratio_to_floor": round(cpu / gigabytes / floor_cpu, 2),
        "peak_mb": round(peak),
        "output_mb": round(sum(p.stat().st_size for p in out.rglob("*") if p.is_file()) / 1e6, 1),
        "stages": {spent["stage"]: round(spent["cpu_s"] / gigabytes, 1) for spent in metrics["timing"]},
    }
    with (options.cache / "results.jsonl").open("a") as log:
        log.write(json.dumps(result) + "\n")
    _print(result)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--docs", type=int, default=int(os.environ.get("DOCS", "20000")))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--material", type=Path, default=HERE.parent.parent / "shared" / "bench")
    parser.add_argument("--cache", type=Path, default=HERE.parent / ".cache" / "bench")
    return parser.parse_args()


def _measure(command: list[str]) -> tuple[float, float, float]:
    """(wall seconds, CPU seconds, peak MB) of `command` and all its children."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    peak = [0.0]
    done = threading.Event()

    def sample() -> None:
        while not done.wait(SAMPLE_S):
            peak[0] = max(peak[0], _session_mb(process.pid))

    watcher = threading.Thread(target=sample)
    watcher.start()
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    done.set()
    watcher.join()
    if status:
        raise SystemExit(f"failed: {' '.join(command)}")
    return wall, used.ru_utime + used.ru_stime, peak[0]


def _session_mb(session: int) -> float:
    """What the processes of a session hold: what each has alone, and the largest part that one shares (libraries, files)."""
    alone = shared = 0
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            if os.getsid(int(folder.name)) != session:
                continue
            resident, of_it_shared = map(int, (folder / "statm").read_text().split()[1:3])
        except (OSError, ProcessLookupError):
            continue
        alone += resident - of_it_shared
        shared = max(shared, of_it_shared)
    return (alone + shared) * PAGE / 1e6


def _print(result: dict[str, object]) -> None:
    print(f"{'documents':<26}{result['docs']:>12,}\n{'raw text, MB':<26}{result['mb']:>12}")
    for name, label in (
        ("wall_s", "wall, s"),
        ("mb_per_s", "MB per second"),
        ("cpu_s_per_gb", "CPU-s per GB"),
        ("floor_cpu_s_per_gb", "I/O floor, CPU-s per GB"),
        ("ratio_to_floor", "ratio to the floor"),
        ("peak_mb", "peak memory, MB"),
        ("output_mb", "output, MB"),
    ):
        print(f"{label:<26}{result[name]:>12}")
    stages = result["stages"]
    assert isinstance(stages, dict)
    print("\nCPU-s per GB by stage")
    for name, spent in stages.items():
        print(f"  {name:<24}{spent:>12}")


if __name__ == "__main__":
    sys.exit(main())
