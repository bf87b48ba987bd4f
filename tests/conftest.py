"""Shared material: the sample pages, a small corpus with copies and furniture, and a way to run the pipeline on it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pytest

from etl import pipeline
from etl.engine.local import LocalEngine

PAGES = Path(__file__).parent / "pages" / "news"

_SYLLABLES = ("ba", "der", "kin", "lo", "mar", "nes", "pol", "ri", "san", "tu", "vel", "wen")
WORDS = [one + two + three for one in _SYLLABLES for two in _SYLLABLES for three in ("", "ton", "sy")]


def story(number: int, sentences: int = 8) -> list[str]:
    """Paragraphs of a sentence each that no other number has."""
    drawn = random.Random(number)
    return [" ".join(drawn.choices(WORDS, k=17)).capitalize() + "." for _ in range(sentences)]


def record(number: int, **fields: Any) -> dict[str, Any]:
    """A JSON Lines record of story `number` on one of three sites, with some furniture around it."""
    site = f"site{number % 3}.example"
    text = "\n".join(
        [
            f"Home | News | Sport | {site}",
            *story(number),
            "Share this article on Facebook",
            f"All rights reserved by {site}.",
        ]
    )
    made = {
        "id": f"r{number}",
        "url": f"https://www.{site}/{number}",
        "title": " ".join(random.Random(-1 - number).choices(WORDS, k=6)).title(),
        "text": text,
    }
    return {**made, "date": f"2026-01-{number % 27 + 1:02d}", **fields}


def write_jsonl(path: Path, records: Sequence[Mapping[str, Any] | str]) -> Path:
    """Write records, or raw lines, as JSON Lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in records), encoding="utf-8")
    return path


def read(out: Path, dataset: str, *, run: str = "*") -> pa.Table:
    """A published dataset, sorted, with its run column."""
    table = ds.dataset(str(out / dataset), format="parquet", partitioning="hive").to_table()
    keys = [(name, "ascending") for name in ("source", "record", "doc_id", "start") if name in table.column_names]
    return table.sort_by(keys)


def files_of(out: Path, *datasets: str) -> dict[str, bytes]:
    """Every file below some datasets, by name below `out`."""
    return {
        p.relative_to(out).as_posix(): p.read_bytes()
        for name in datasets
        for p in sorted((out / name).rglob("*.parquet"))
    }


Runner = Callable[..., pipeline.Result]


@pytest.fixture
def run() -> Runner:
    """Run the pipeline in this process."""

    def go(
        inputs: Path | Sequence[Path], out: Path, *, key: str = "2026-01-01", workers: int = 1, **more: Any
    ) -> pipeline.Result:
        given = [inputs] if isinstance(inputs, Path) else list(inputs)
        with LocalEngine(workers) as engine:
            return pipeline.run(given, out, run_key=key, engine=engine, **more)

    return go


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The test of the whole stack first: it takes longest, and the other workers do all the rest meanwhile."""
    items.sort(key=lambda item: item.path.name != "test_twin.py")
