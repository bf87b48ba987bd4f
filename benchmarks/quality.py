"""Score the product on the labelled pages and print the figures of every track in one table.

    quality.py [--data ../shared/data] [--etl .venv/bin/etl] [--json FILE]

The labelled data is not part of the project. Beside its folder stands eval/evaluate.py, which does the scoring and goes
through the command line alone.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

TRACKS = {
    "seeds": "seeds",
    "text": "text_track.dev.jsonl.gz",
    "light": "text_track.dev.jsonl.gz",
    "html": "html_track.dev",
    "titles": "text_track.dev.jsonl.gz",
    "harm": "html_track.dev",
    "encoding": "encoding.dev.jsonl.gz",
    "charset": "charset.dev.jsonl.gz",
    "docs": "dedup_docs.dev.jsonl.gz",
    "pairs": "dedup_sentences.dev.jsonl.gz",
}
HIDDEN = ("track", "seconds", "mb", "ms_per_page", "documents", "missing", "pages", "n")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path, default=Path("../shared/data"))
    arguments.add_argument("--etl", default=".venv/bin/etl")
    arguments.add_argument("--json", type=Path, help="also write all figures to this file")
    arguments.add_argument("--tracks", nargs="+", choices=list(TRACKS), default=list(TRACKS))
    options = arguments.parse_args()
    script = options.data.parent / "eval" / "evaluate.py"
    missing = [path for path in (script, *(options.data / TRACKS[t] for t in options.tracks)) if not path.exists()]
    if missing:
        sys.exit(
            f"nothing measured: {missing[0]} is not there. The labelled pages are not part of the project; say where "
            "they are with make quality DATA=FOLDER"
        )
    figures = {}
    for track in options.tracks:
        score = titled if track == "titles" else scored
        figures[track] = score(script, track, options.data / TRACKS[track], options.etl)
        print(f"\n{track} ({figures[track]['seconds']} s)")
        for name, values in rows(figures[track]):
            print(f"  {name:24}{values}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(figures, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def scored(script: Path, track: str, data: Path, etl: str) -> dict[str, Any]:
    """The figures of one track."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "figures.json"
        command = [sys.executable, str(script), track, str(data), "--etl", etl, "--json", str(target)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{track}: {(done.stderr or done.stdout)[-2000:]}")
        figures: dict[str, Any] = json.loads(target.read_text(encoding="utf-8"))
        return figures


def titled(script: Path, track: str, data: Path, etl: str) -> dict[str, Any]:
    """How often the title found in a page's text, whole and light, is the labelled one."""
    started = time.time()
    with gzip.open(data, "rt", encoding="utf-8") as lines:
        pages = [json.loads(line) for line in lines]
    figures: dict[str, Any] = {"track": track}
    for name, column in (("whole", "lines"), ("light", "light_lines")):
        with tempfile.TemporaryDirectory() as folder:
            raw, out = Path(folder) / "in.jsonl", Path(folder) / "out"
            told = [{"id": p["id"], "url": p["url"], "site": p["site"], "text": "\n".join(p[column])} for p in pages]
            raw.write_text("".join(json.dumps(page, ensure_ascii=False) + "\n" for page in told), encoding="utf-8")
            command = [etl, "run", str(raw), "--out", str(out), "--run-key", "titles", "--skip", "document_dedup"]
            subprocess.run([*command, "--skip", "sentence_dedup"], check=True, capture_output=True)
            parts = [
                pq.ParquetFile(path).read(columns=["source_id", "title"]) for path in out.glob("documents/*/*.parquet")
            ]
        found = {row["source_id"]: _plain(row["title"]) for part in parts for row in part.to_pylist()}
        hits = []
        for page in pages:
            titles = {_plain(title) for title in page["titles"]} - {""}
            if any(_plain(line) in titles for line in page[column]):
                title = found.get(page["id"], "")
                hits.append((title in titles, bool(title) and any(t.startswith(f"{title} ") for t in titles)))
        right = sum(same for same, _ in hits)
        without = sum(same or bare for same, bare in hits)
        figures[name] = {"right": round(right / len(hits), 4), "without_site": round(without / len(hits), 4)}
    return figures | {"seconds": round(time.time() - started, 1)}


def _plain(text: str | None) -> str:
    return re.sub(r"[\W_]+", " ", text or "").strip().casefold()


def rows(figures: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """A name and its figures for each line of the table."""
    alone = {name: value for name, value in figures.items() if not isinstance(value, Mapping) and name not in HIDDEN}
    if alone:
        yield "", _told(alone)
    for name, value in figures.items():
        if isinstance(value, Mapping):
            yield name, _told(value)


def _told(values: Mapping[str, Any], before: str = "") -> str:
    parts = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            parts.append(_told(value, f"{before}{name} "))
        elif name not in HIDDEN:
            parts.append(f"{before}{name} {value}")
    return "  ".join(parts)


if __name__ == "__main__":
    main()
