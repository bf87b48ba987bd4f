"""What a run does not import: it would cost each process a part of a second."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import sys
from pathlib import Path
from etl import pipeline
from etl.engine.local import LocalEngine
with LocalEngine(1) as engine:
    for key in ("1", "2", "plain"):
        pipeline.run([Path(sys.argv[1], key)], Path(sys.argv[2]), run_key=key, engine=engine)
print(sorted({"pandas", "trafilatura", "lightgbm", "sklearn", "scipy", "catboost", "pyspark", "airflow", "yaml", "chardet"} & set(sys.modules)))
"""


def test_a_run_and_one_with_history_import_no_large_library_that_they_can_do_without(tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    text = (
        "The council agreed on the budget of 3.5 million on Tuesday, after two years of talks. Nobody was against it.\n"
    )
    for key in ("1", "2"):
        folder = tmp_path / "in" / key
        folder.mkdir(parents=True)
        records = [{"text": f"{text * 5}{key} {n}", "url": f"https://news.example/{n}"} for n in range(20)]
        others = [{"id": f"{key}-{n}", "body": text * n, "lang": "en", "date": "2026-01-02"} for n in range(1, 9)]
        lines = [json.dumps(one) for pair in zip(records, others * 3, strict=False) for one in pair]
        (folder / "a.jsonl").write_text("\n".join(lines))
        (folder / "b.csv").write_text(f"text,url\n{text.strip()!r},https://news.example/b\n")
        (folder / "c.txt").write_text(text * 8)
    (tmp_path / "in" / "plain").mkdir()
    (tmp_path / "in" / "plain" / "d.txt").write_text(
        "Nothing in here is like anything else, and nothing is said of it."
    )
    done = subprocess.run(
        [sys.executable, "-c", CODE, tmp_path / "in", tmp_path / "out"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
