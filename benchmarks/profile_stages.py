#!/usr/bin/env python3
"""Print what the main functions of each stage cost, in CPU-s per GB of text, by a profile in one process; draw it.

    profile_stages.py [FILE…] [--svg docs/benchmarks/profile.svg] [--material ../shared/bench] [--cache .cache/bench]

Below them, what boilerplate costs alone: templates looked up, rules, metadata, captions, the line model and the decisions, but
neither lines nor sentences and fingerprints.

Without files: two of the eight of a generated corpus of 20,000 documents. Stages over shards run twice and the second time
counts: patterns are compiled and tables made by then. A profile makes short functions look dearer than they are.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import sys
import tempfile
import time
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Final, NamedTuple

os.environ["POLARS_MAX_THREADS"] = "1"

from run import corpus_of

from etl import pipeline, stages
from etl.engine.local import LocalEngine

HERE = Path(__file__).resolve().parent
SAMPLE_DOCS, SAMPLE_FILES = 20_000, 2

SHOWN = (
    ("prepare", "ingest/formats.py", "read_batches", "read, decompress, parse, map fields"),
    ("prepare", "repair/mojibake.py", "repair", "mojibake and entities"),
    ("prepare", "boilerplate/templates.py", "evidence", "evidence of sites, given"),
    ("clean", "boilerplate/lines.py", "split_lines", "lines"),
    ("clean", "boilerplate/templates.py", "add_evidence", "evidence of sites, looked up"),
    ("clean", "boilerplate/rules.py", "judge_lines", "rules"),
    ("clean", "boilerplate/rules.py", "apply_code_rules", "repeated captions"),
    ("clean", "boilerplate/metadata.py", "extract", "title, byline, dates"),
    ("clean", "boilerplate/model.py", "mark", "line model"),
    ("clean", "dedup/fingerprint.py", "_read", "sentences, keys, samples"),
    ("clean", "dedup/pairs.py", "near_pairs", "near sentences of a document"),
    ("write", "publish/assemble.py", "assemble", "cut and check"),
    ("write", "publish/dataset.py", "write_part", "write the datasets"),
    ("write", "stages.py", "_write_shard_state", "write the state"),
)
"""Stage, and the function in it. None is called by another one of the same stage."""

BOILERPLATE: Final = (("boilerplate/templates.py", "add_evidence"), ("boilerplate/strip.py", "strip_boilerplate"))
"""All that `clean` does for boilerplate."""


class Cost(NamedTuple):
    """CPU-s per GB. name: "" for the stage as a whole."""

    stage: str
    name: str
    cpu_s: float


def main() -> int:
    """Profile, print, draw; 2 when the corpus can't be made."""
    options = _options()
    files = options.files
    if not files:
        corpus = corpus_of(SAMPLE_DOCS, options.material, options.cache)
        if corpus is None:
            return 2
        files = sorted(corpus.glob("part-*.jsonl.zst"))[:SAMPLE_FILES]
    chars, costs, boilerplate = _profile(files)
    print(f"{chars / 1e6:.1f} million characters\n\n{'':<46}CPU-s per GB, about")
    for cost in costs:
        print(f"{'  ' + cost.name if cost.name else cost.stage:<46}{cost.cpu_s:>12.1f}")
    print(f"\n{'boilerplate alone':<46}{boilerplate:>12.1f}")
    if options.svg:
        options.svg.parent.mkdir(parents=True, exist_ok=True)
        options.svg.write_text(picture(costs), encoding="utf-8")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="*", metavar="FILE")
    parser.add_argument("--svg", type=Path, help="where to draw the figures")
    parser.add_argument("--material", type=Path, default=HERE.parent.parent / "shared" / "bench")
    parser.add_argument("--cache", type=Path, default=HERE.parent / ".cache" / "bench")
    return parser.parse_args()


def _profile(files: Sequence[Path]) -> tuple[int, list[Cost], float]:
    """Characters of text, what each stage but the last three cost, with its parts, and what boilerplate did."""
    costs: list[Cost] = []
    chars = 0
    boilerplate = 0.0
    with tempfile.TemporaryDirectory() as folder, LocalEngine(1) as engine:
        plan = stages.discover(files, Path(folder), run_key="profile")
        work = str(plan.work)
        for stage in pipeline.STAGES[:6]:
            if stage.per_shard is None:
                assert stage.barrier is not None
                started = time.process_time()
                stage.barrier(work, engine)
                costs.append(Cost(stage.name, "", time.process_time() - started))
                continue
            shards = range(len(plan.shards))
            for shard in shards:
                stage.per_shard(work, shard)
                if stage.name == "write":  # which takes the repaired documents away
                    stages.prepare(work, shard)
            profile = cProfile.Profile(time.process_time)
            profile.enable()
            reports = [stage.per_shard(work, shard) for shard in shards]
            profile.disable()
            chars += sum(report.counts.get("chars", 0) for report in reports)
            costs += _costs_of(stage.name, profile)
            if stage.name == "clean":
                boilerplate = sum(_total(profile, *function) for function in BOILERPLATE)
    return chars, [cost._replace(cpu_s=cost.cpu_s / chars * 1e9) for cost in costs], boilerplate / chars * 1e9


def _total(profile: cProfile.Profile, file: str, function: str) -> float:
    spent = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    return sum(entry[3] for (path, _, name), entry in spent.items() if name == function and path.endswith(file))


def _costs_of(stage: str, profile: cProfile.Profile) -> list[Cost]:
    parts = [Cost(stage, label, _total(profile, file, name)) for of, file, name, label in SHOWN if of == stage]
    whole = _total(profile, "etl/stages.py", stage)
    rest = Cost(stage, "the rest: work files, state", whole - sum(part.cpu_s for part in parts))
    return [Cost(stage, "", whole), *parts, rest]


ROW, BAR, LEFT, WIDTH, TOP = 22, 14, 270, 420, 54
WHOLE, PART = "#35618f", "#9dbcd9"


def picture(costs: Sequence[Cost]) -> str:
    """The costs as an SVG of bars: a dark one for each stage, light ones for its parts."""
    longest = max(cost.cpu_s for cost in costs)
    height = TOP + ROW * len(costs) + 16
    drawn = []
    for row, cost in enumerate(costs):
        y = TOP + ROW * row
        width = round(max(cost.cpu_s, 0) / longest * WIDTH, 1)
        label, x, weight = (cost.name, 36, 400) if cost.name else (cost.stage, 16, 700)
        drawn.append(
            f'<text x="{x}" y="{y + 11}" font-weight="{weight}">{escape(label)}</text>'
            f'<rect x="{LEFT}" y="{y}" width="{width}" height="{BAR}" fill="{PART if cost.name else WHOLE}"/>'
            f'<text x="{LEFT + width + 6}" y="{y + 11}">{cost.cpu_s:.1f}</text>'
        )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDTH + 70} {height}" role="img" '
        'font-family="sans-serif" font-size="12" fill="#222">\n'
        "<title>Where the time goes: CPU seconds per GB of text, by stage</title>\n"
        f'<rect width="{LEFT + WIDTH + 70}" height="{height}" fill="#fff"/>\n'
        '<text x="16" y="24" font-size="15" font-weight="700">Where the time goes</text>\n'
        '<text x="16" y="41" fill="#555">CPU seconds per GB of text, by a profile in one process; start-up left out</text>\n'
        + "\n".join(drawn)
        + "\n</svg>\n"
    )


if __name__ == "__main__":
    sys.exit(main())
