#!/usr/bin/env python3
"""Time other tools' jobs and Winnow's whole job on one generated corpus, in one go, and print one table.

    peers.py [--docs 5000] [--large 100000] [--only datatrove,rensa] [--limit-s 3600] [--material ../shared/bench]
             [--cache .cache/bench]

Each tool is installed in an environment of its own below CACHE/peers, with the locked uv and the machine's own package index.
The corpus generator and datatrove's job (gen_corpus.py, peers/datatrove_job.py) are benchmark material outside this project:
--material says where they lie. What a tool starts up with is in its time, as it is in Winnow's. Winnow runs first and last,
and its slower run counts. It also runs on a large corpus, where its start-up is a small part: the rates there, beside those of
tools that would take an hour for it, are printed below the table. A tool that can't be installed or run is in the table with its error. Each run appends a JSON line
to CACHE/peers.jsonl.

datatrove's whole job is the sum of its four stages, each over the raw corpus: quality filters, duplicate sentences (spans of
three), MinHash, ftfy. The others only find duplicate documents, dolma duplicate paragraphs; they read plain JSON Lines.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from run import corpus_of, etl_run, measure

HERE = Path(__file__).resolve().parent
WORKERS = 2
SHOWN_ERROR = 160


@dataclass(frozen=True)
class Job:
    """One thing that a tool does. command: words in braces are filled in by `_run_peer`."""

    name: str
    about: str
    command: tuple[str, ...]


@dataclass(frozen=True)
class Peer:
    """A tool. pins: what is installed. whole: its jobs together do what Winnow does, more or less."""

    name: str
    pins: tuple[str, ...]
    jobs: tuple[Job, ...]
    whole: bool = False


PEERS = (
    Peer(
        "datatrove",
        ("datatrove[io,processing]==0.10.1", "spacy==3.8.18", "xxhash==3.8.2"),
        tuple(
            Job(stage, about, ("python", "{material}/peers/datatrove_job.py", stage, "{corpus}", "{out}"))
            for stage, about in (
                ("filters", "quality filters: Gopher, C4, FineWeb"),
                ("sent", "duplicate sentences"),
                ("minhash", "MinHash"),
                ("ftfy", "ftfy"),
            )
        ),
        whole=True,
    ),
    Peer(
        "text-dedup",
        ("text-dedup==0.4.0", "datasets==5.2.0"),
        (
            Job(
                "minhash",
                "MinHash",
                (
                    *("python", "-m", "text_dedup.minhash", "--path", "json", "--data_files", "{plain}/*.jsonl"),
                    *("--split", "train", "--column", "text", "--cache_dir", "{out}/cache", "--output", "{out}/kept"),
                    *("--num_proc", str(WORKERS), "--hash_func", "xxh3", "--batch_size", "1000"),
                ),
            ),
        ),
    ),
    Peer(
        "datasketch",
        ("datasketch==2.0.0",),
        (
            Job(
                "minhash", "MinHash, one process", ("python", "{here}/minhash_job.py", "datasketch", "{plain}", "{out}")
            ),
        ),
    ),
    Peer(
        "rensa",
        ("rensa==0.5.0",),
        (Job("minhash", "MinHash, one process", ("python", "{here}/minhash_job.py", "rensa", "{plain}", "{out}")),),
    ),
    Peer(
        "dolma",
        ("dolma==1.2.1",),
        (
            Job(
                "dedupe",
                "duplicate paragraphs, Bloom filter",
                (
                    *("dolma", "dedupe", "--documents", "{plain}/*.jsonl", "--dedupe.name", "duplicates"),
                    *("--dedupe.paragraphs.attribute_name", "duplicates", "--bloom_filter.file", "{out}.bloom"),
                    *("--bloom_filter.estimated_doc_count", "{paragraphs}", "--no-bloom_filter.read_only"),
                    *("--bloom_filter.desired_false_positive_rate", "0.0001", "--processes", str(WORKERS)),
                ),
            ),
        ),
    ),
)


@dataclass(frozen=True)
class Timing:
    """What one job took, or why it was not done."""

    tool: str
    job: str
    about: str
    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_mb: float = 0.0
    error: str = ""


def main() -> int:
    """Run the benchmark; 2 when its material is missing."""
    options = _options()
    corpora = [corpus_of(docs, options.material, options.cache) for docs in (options.docs, options.large)]
    if None in corpora:
        return 2
    corpus, large = (one for one in corpora if one is not None)
    megabytes = _megabytes(corpus)
    home = options.cache / "peers"
    home.mkdir(parents=True, exist_ok=True)
    wanted = [peer for peer in PEERS if not options.only or peer.name in options.only.split(",")]
    plain = _plain(corpus, home / "plain" / "documents")
    first = _winnow(corpus, home)
    timings = []
    for peer in wanted:
        timings += _run_peer(peer, corpus, plain, home, options)
    ours = max(first, _winnow(corpus, home), key=lambda timing: timing.wall_s)
    ours_large = _winnow(large, home)
    shutil.rmtree(home / "plain")
    rows = [ours, *timings, *_wholes(wanted, timings)]
    _print(rows, ours, options.docs, megabytes)
    _print_large(rows, ours_large, options.large, _megabytes(large), megabytes)
    told = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "docs": options.docs,
        "text_mb": round(megabytes, 2),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "winnow": version("winnow-etl"),
        "pins": {peer.name: peer.pins for peer in wanted},
        "jobs": [asdict(row) for row in rows],
        "large": {"docs": options.large, "text_mb": round(_megabytes(large), 2), **asdict(ours_large)},
    }
    with (options.cache / "peers.jsonl").open("a") as log:
        log.write(json.dumps(told) + "\n")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--docs", type=int, default=int(os.environ.get("DOCS", "5000")))
    parser.add_argument(
        "--large", type=int, default=100_000, help="documents of the corpus that Winnow alone reads too"
    )
    parser.add_argument("--only", default="", metavar="NAME,…", help="these tools alone")
    parser.add_argument("--limit-s", type=float, default=3600, help="when to give a job up")
    parser.add_argument("--material", type=Path, default=HERE.parent.parent / "shared" / "bench")
    parser.add_argument("--cache", type=Path, default=HERE.parent / ".cache" / "bench")
    return parser.parse_args()


def _megabytes(corpus: Path) -> float:
    """MB of text in a corpus."""
    text_bytes: int = json.loads((corpus / "stats.json").read_text())["text_bytes"]
    return text_bytes / 1e6


def _winnow(corpus: Path, home: Path) -> Timing:
    wall, cpu, peak = measure(etl_run(corpus, home / "winnow", workers=WORKERS), log=home / "winnow.log")
    return Timing("Winnow", "whole job", "everything", wall, cpu, peak)


def _run_peer(peer: Peer, corpus: Path, plain: Path, home: Path, options: argparse.Namespace) -> list[Timing]:
    """The timings of a tool's jobs; one that says why, when it can't be installed."""
    folder = home / peer.name
    print(f"{peer.name} …", file=sys.stderr)
    if error := _install(peer, folder):
        return [Timing(peer.name, "install", peer.jobs[0].about, error=error)]
    timings = []
    for job in peer.jobs:
        out = home / f"{peer.name}-{job.name}"
        _remove(out)
        filled = {
            "corpus": corpus,
            "plain": plain,
            "out": out,
            "here": HERE,
            "material": options.material.resolve(),
            "paragraphs": 30 * options.docs,
        }
        command = [part.format(**filled) for part in job.command]
        command[0] = str(folder / "bin" / command[0])
        log = home / f"{peer.name}-{job.name}.log"
        environment = {
            **os.environ,
            "HF_HUB_OFFLINE": "1",
            "HF_DATASETS_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "false",
        }
        try:
            used = measure(command, log=log, env=environment, limit_s=options.limit_s)
            timings.append(Timing(peer.name, job.name, job.about, *used))
        except (OSError, RuntimeError, TimeoutError) as error:
            timings.append(Timing(peer.name, job.name, job.about, error=f"{error}: {_last_line(log)}"))
        _remove(out)
    return timings


def _install(peer: Peer, folder: Path) -> str:
    """Install a tool's pins below `folder`, unless they are there; the error, or "" when all is well."""
    ready = folder / ".pins"
    if ready.is_file() and ready.read_text() == "\n".join(peer.pins):
        return ""
    _remove(folder)
    uv = str(Path(sys.executable).with_name("uv"))
    for command in (
        [uv, "venv", "--quiet", "--python", sys.executable, str(folder)],
        [uv, "pip", "install", "--quiet", "--python", str(folder / "bin" / "python"), *peer.pins],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            return " ".join(done.stderr.split()) or f"{command[1]} failed"
    ready.write_text("\n".join(peer.pins))
    return ""


def _plain(corpus: Path, folder: Path) -> Path:
    """The corpus as plain JSON Lines, for tools that read no zstd."""
    import zstandard

    _remove(folder.parent)
    folder.mkdir(parents=True)
    for path in sorted(corpus.glob("part-*.jsonl.zst")):
        with path.open("rb") as packed, (folder / path.stem).open("wb") as unpacked:
            zstandard.ZstdDecompressor().copy_stream(packed, unpacked)
    return folder


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


def _last_line(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "it printed nothing"


def _wholes(peers: list[Peer], timings: list[Timing]) -> list[Timing]:
    """The sums of those tools whose jobs together do what Winnow does."""
    sums = []
    for peer in peers:
        own = [timing for timing in timings if timing.tool == peer.name]
        if peer.whole:
            error = "; ".join(f"{timing.job} failed" for timing in own if timing.error)
            wall, cpu = sum(timing.wall_s for timing in own), sum(timing.cpu_s for timing in own)
            peak = max(timing.peak_mb for timing in own)
            sums.append(Timing(peer.name, "whole job", "the sum of its stages", wall, cpu, peak, error))
    return sums


def _print(rows: list[Timing], ours: Timing, docs: int, megabytes: float) -> None:
    print(f"{docs:,} documents, {megabytes:.1f} MB of text\n")
    print("| tool | job | wall, s | CPU-s | MB/s | MB per CPU-s | peak MB | Winnow is faster, wall | CPU |")
    print("|---|---|---|---|---|---|---|---|---|")
    for row in rows:
        if row.error:
            print(f"| {row.tool} | {row.about} | not done: {row.error[:SHOWN_ERROR].replace('|', '/')} | | | | | | |")
            continue
        faster = ("", "") if row is ours else (f"{row.wall_s / ours.wall_s:.1f} ×", f"{row.cpu_s / ours.cpu_s:.1f} ×")
        print(
            f"| {row.tool} | {row.about} | {row.wall_s:.1f} | {row.cpu_s:.1f} | {megabytes / row.wall_s:.3f} "
            f"| {megabytes / row.cpu_s:.3f} | {row.peak_mb:,.0f} | {faster[0]} | {faster[1]} |"
        )


def _print_large(rows: list[Timing], ours: Timing, docs: int, megabytes: float, their_megabytes: float) -> None:
    """What Winnow's rates are on a large corpus, and how many times those of the tools that do the whole job."""
    by_wall, by_cpu = megabytes / ours.wall_s, megabytes / ours.cpu_s
    print(
        f"\n{docs:,} documents: {ours.wall_s:.1f} s, {by_wall:.1f} MB/s, {by_cpu:.1f} MB per CPU-s of Winnow's", end=""
    )
    for row in rows:
        if row.job == "whole job" and row.tool != ours.tool and not row.error:
            faster = by_wall * row.wall_s / their_megabytes, by_cpu * row.cpu_s / their_megabytes
            print(f"; {faster[0]:.0f} and {faster[1]:.0f} times {row.tool}'s rates above", end="")
    print()


if __name__ == "__main__":
    sys.exit(main())
