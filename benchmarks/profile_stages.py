#!/usr/bin/env python3
"""Print what the main functions of prepare, clean and write cost, in CPU-s per GB of text, by a profile in one process.

    profile_stages.py FILE...

Each stage runs twice and the second time counts: patterns are compiled and tables made by then. A profile makes short
functions look dearer than they are. A function within another is counted in both.
"""

from __future__ import annotations

import cProfile
import os
import pstats
import sys
import tempfile
from pathlib import Path

os.environ["POLARS_MAX_THREADS"] = "1"

from etl import pipeline, stages
from etl.engine.local import LocalEngine

SHOWN = (
    ("ingest/formats.py", "read_batches", "read, decompress, parse, map fields"),
    ("repair/mojibake.py", "repair", "mojibake and entities"),
    ("boilerplate/lines.py", "split_lines", "lines (in prepare and in clean)"),
    ("boilerplate/templates.py", "page_evidence", "evidence of sites, given"),
    ("boilerplate/templates.py", "add_evidence", "evidence of sites, looked up"),
    ("boilerplate/rules.py", "judge_lines", "rules"),
    ("boilerplate/metadata.py", "extract", "title, byline, dates"),
    ("boilerplate/rules.py", "apply_code_rules", "repeated captions"),
    ("boilerplate/model.py", "mark", "line model"),
    ("dedup/fingerprint.py", "_read", "sentences, keys, samples"),
    ("dedup/pairs.py", "near_pairs", "near sentences of a document"),
    ("publish/assemble.py", "assemble", "cut and check"),
    ("publish/dataset.py", "write_part", "write the datasets"),
    ("stages.py", "_write_shard_state", "write the state"),
)


def main(files: list[str]) -> int:
    """Run the stages; 2 without files."""
    if not files:
        print(__doc__, file=sys.stderr)
        return 2
    profile = cProfile.Profile()
    with tempfile.TemporaryDirectory() as folder, LocalEngine(1) as engine:
        plan = stages.discover([Path(name) for name in files], Path(folder), run_key="profile")
        work = str(plan.work)
        chars = 0
        for stage in pipeline.STAGES[:5]:
            if stage.per_shard is None:
                assert stage.barrier is not None
                stage.barrier(work, engine)
                continue
            for again in (False, True):
                if again:
                    profile.enable()
                for shard in range(len(plan.shards)):
                    report = stage.per_shard(work, shard)
                    chars += report.counts.get("chars", 0) * again
                profile.disable()
    spent = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    print(f"{chars / 1e6:.1f} million characters\n\n{'':<40}CPU-s per GB, about")
    for file, name, label in SHOWN:
        total = sum(entry[3] for (path, _, called), entry in spent.items() if called == name and path.endswith(file))
        print(f"{label:<40}{total / chars * 1e9:>12.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
