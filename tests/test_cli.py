from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from etl import pipeline
from etl.cli import cli
from etl.errors import HeldError, StageError
from etl.settings import default_folder

ARTICLE = "The council voted on Monday to keep the old bridge open until the new one is ready, {} people said."
HOSTILE = "Follow us \x1b]0;owned\x07\x1b[31m on \u202eelgoog for more news"
NO_MODEL = ["--workers", "1", "--set", "boilerplate.model.enabled=false"]


def etl(*arguments: object, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(cli, [str(one) for one in arguments], env=env, prog_name="etl")


def pages(folder: Path) -> Path:
    site = folder / "news.example"
    site.mkdir(parents=True)
    for number in range(4):
        text = f"{ARTICLE.format(100 + number)}\n\nPage {number} tells it in its own words, quite unlike the other pages here.\n{HOSTILE}\n"
        (site / f"page{number}.txt").write_text(text, encoding="utf-8")
    (site / "copy.txt").write_text((site / "page0.txt").read_text(encoding="utf-8"), encoding="utf-8")
    (folder / "bad.jsonl").write_text(
        '{"text": "Fine, this record can be read without any trouble."}\n{"text": \n', encoding="utf-8"
    )
    return folder


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pages(tmp_path_factory.mktemp("raw"))


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration with one rule and no model: what the command line does with rules, not the product's own."""
    folder = tmp_path_factory.mktemp("quick")
    own = sorted(path.stem for path in (default_folder() / "boilerplate").glob("*.yaml"))
    told = f"boilerplate: {{model: {{enabled: false}}, without_families: [{', '.join(own)}]}}\n"
    (folder / "pipeline.yaml").write_text(told, encoding="utf-8")
    write_family(folder, "mine", "removes: [Share it], keeps: [Share it with all who came to the talk.]")
    return folder


def write_family(folder: Path, name: str, examples: str) -> None:
    (folder / "boilerplate").mkdir(exist_ok=True)
    rule = f"{{id: {name}-rule, match: 'share it', why: a button, {examples}}}"
    text = f"about: {name}\nlanguages: [en]\nrules:\n  - {rule}\n"
    (folder / "boilerplate" / f"{name}.yaml").write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def first(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    out = tmp_path_factory.mktemp("dataset") / "out"
    return out, etl("run", raw, "--out", out, "--run-key", "2026-01-31", *NO_MODEL)


@pytest.fixture
def out(first: tuple[Path, Result]) -> Path:
    return first[0]


@pytest.fixture
def told(quick: Path) -> list[object]:
    return ["--workers", 1, "--config", quick]


def test_a_run_tells_what_it_did_and_how_to_look_further(first: tuple[Path, Result]) -> None:
    out, result = first
    assert result.exit_code == 0, result.output
    assert "kept        5 of 6 documents" in result.stdout
    assert "duplicates  1 document dropped as copies" in result.stdout
    assert "rejects     1 files or records" in result.stdout
    assert f"documents   {out / 'documents' / 'run=2026-01-31'}/" in result.stdout
    assert 'etl why "some sentence"' in result.stdout
    assert (out / "_reports" / "2026-01-31" / "index.html").is_file()


def test_a_log_gets_one_line_a_stage(first: tuple[Path, Result]) -> None:
    lines = first[1].stderr.splitlines()
    assert [line.split()[0] for line in lines] == [stage.name for stage in pipeline.STAGES]
    assert lines[0].startswith("prepare     files=6 documents=6 rejects=1 ") and lines[0].endswith(" s")


def test_files_that_are_settled_are_not_read_again(raw: Path, out: Path, told: list[object]) -> None:
    result = etl("run", raw, "--out", out, "--run-key", "2026-02-01", *told)
    assert (result.exit_code, result.stdout) == (0, "nothing new: 6 files are settled by earlier runs\n")
    answer = json.loads(etl("run", raw, "--out", out, "--run-key", "2026-02-01", "--json", *told).stdout)
    assert answer == {"run": "2026-02-01", "new_files": 0, "settled": 6}


def test_a_folder_without_inputs_is_told_so(told: list[object], tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "picture.png").write_bytes(b"")
    result = etl("run", tmp_path / "raw", "--out", tmp_path / "out", *told)
    assert result.exit_code == 0, result.output
    assert "No input file was found; 1 file of other kinds passed over." in result.stdout


def test_a_run_prints_json_for_programs(raw: Path, told: list[object], tmp_path: Path) -> None:
    result = etl("run", raw / "bad.jsonl", "--out", tmp_path, "--run-key", "k", "--json", *told)
    answer = json.loads(result.stdout)
    assert (answer["run"], answer["totals"]["documents"], answer["totals"]["rejects"]) == ("k", 1, 1)
    assert Path(answer["paths"]["documents"]).is_dir() and Path(answer["paths"]["report"]).is_file()


def test_a_gate_holds_a_run_with_its_reasons(raw: Path, told: list[object], tmp_path: Path) -> None:
    result = etl("run", raw, "--out", tmp_path, "--run-key", "k", "--set", "gate.min_documents=99", *told)
    assert result.exit_code == 3, result.output
    assert "etl: held: 5 documents would be published; gate.min_documents is 99" in result.stderr
    assert str(tmp_path / "_work" / "k" / "report" / "index.html") in result.stderr
    assert not (tmp_path / "documents").exists()
    assert "Unfinished: run k stopped after report" in etl("status", "--out", tmp_path).stdout
    assert etl("report", "--out", tmp_path, "--run-key", "k").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--run-key", "a/b"], "etl: --run-key is 'a/b'; expected letters"),
        (["--skip", "everything", "--skip", "all"], "etl: --skip all: no such step"),
        (["--set", "gate"], "etl: --set gate: expected KEY=VALUE"),
        (["--set", "gate.min_documents=-1", "--set", "gate.none=1"], "etl: pipeline.yaml: gate.min_documents is -1"),
        (["--config", "nowhere"], "etl: --config nowhere: no such folder"),
        (["--engine", "spark"], "the Spark engine is not part of this version"),
        (["--workers", "0"], "Invalid value for '--workers'"),
    ],
)
def test_wrong_use_is_told_before_any_work(raw: Path, tmp_path: Path, arguments: list[str], told: str) -> None:
    result = etl("run", raw, "--out", tmp_path / "out", *arguments)
    assert result.exit_code == 2
    assert told in result.stderr
    assert not (tmp_path / "out" / "documents").exists()


def test_every_fault_has_a_line_of_its_own(tmp_path: Path) -> None:
    result = etl("run", tmp_path / "a", tmp_path / "b", "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert len([line for line in result.stderr.splitlines() if line.startswith("etl: ")]) == 2


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (StageError("prepare failed in 1 of 2 shards"), 1, "etl: prepare failed in 1 of 2 shards"),
        (HeldError(["one", "two"]), 3, "etl: held: one\netl: held: two\n"),
        (KeyboardInterrupt(), 130, "etl: stopped; the same command may be run again"),
        (ZeroDivisionError("by \x1b[31mnaught"), 1, "ZeroDivisionError: by ␛[31mnaught; run the same command with -v"),
    ],
)
def test_what_stops_a_run_becomes_a_message_and_an_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, told: str
) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(pipeline, "run", stop)
    result = etl("run", tmp_path, "--out", tmp_path)
    assert (result.exit_code, told in result.stderr) == (code, True)
    assert "Traceback" not in result.stderr
    assert ("Traceback" in etl("run", tmp_path, "--out", tmp_path, "-v").stderr) == (code == 1)


def test_why_tells_the_rule_and_the_reason(out: Path) -> None:
    result = etl("why", "follow us", "--out", out, "--limit", 1)
    assert result.exit_code == 0
    assert "Removed from news.example/" in result.stdout
    for word in ("rule", "reason", "--limit 10"):
        assert word in result.stdout


def test_why_of_a_sentence_that_nobody_had_fails(out: Path) -> None:
    result = etl("why", "no page ever said this", "--out", out)
    assert (result.exit_code, result.stdout.splitlines()[0]) == (1, "Not found in any run.")


def test_no_page_can_steer_the_terminal(out: Path) -> None:
    for arguments in (
        ["why", "for more news"],
        ["show", "news.example/page1.txt"],
        ["report"],
        ["why", "follow us", "--json"],
    ):
        shown = etl(*arguments, "--out", out).stdout
        assert not set(shown) & set("\x1b\x07\u202e"), arguments
        assert shown


def test_show_marks_the_cuts_and_loses_nothing(out: Path) -> None:
    result = etl("show", "news.example/page1.txt", "--out", out)
    assert result.exit_code == 0
    assert "[-" in result.stdout and "-]{" in result.stdout
    shown = json.loads(etl("show", "news.example/page1.txt", "--out", out, "--json").stdout)
    assert "".join(piece["text"] for piece in shown["pieces"]) == shown["text"]
    assert "Page 1 tells it" in shown["text"]
    coloured = etl("show", "news.example/page1.txt", "--out", out, "--color").output
    assert click.style("x", fg="red", strikethrough=True)[:9] in coloured


def test_show_of_a_dropped_document_tells_where_its_copy_is(out: Path) -> None:
    dropped = [
        name for name in ("copy", "page0") if "kept in" in etl("show", f"news.example/{name}.txt", "--out", out).stdout
    ]
    assert len(dropped) == 1


def test_show_of_a_document_that_is_not_there_fails(out: Path) -> None:
    result = etl("show", "ffffffffffffffff", "--out", out)
    assert result.exit_code == 1 and "no document with the id or source" in result.stderr


def test_the_dataset_can_be_named_by_the_environment(out: Path) -> None:
    assert "2026-01-31  " in etl("status", env={"WINNOW_OUT": str(out)}).stdout


def test_report_prints_the_figures(out: Path) -> None:
    result = etl("report", "--out", out)
    assert "kept        5 of 6 documents" in result.stdout
    assert "removed by" in result.stdout and "rules that took most" in result.stdout
    assert result.stdout.rstrip().endswith("index.html")
    assert json.loads(etl("report", "--out", out, "--json").stdout)["totals"]["check_kept_plus_removed"] is True


def test_verify_is_content_with_a_sound_dataset_and_names_a_fault(
    raw: Path, told: list[object], tmp_path: Path
) -> None:
    assert etl("run", raw / "bad.jsonl", "--out", tmp_path, "--run-key", "k", *told).exit_code == 0
    assert etl("verify", "--out", tmp_path).stdout.startswith("verified: 1 run, ")
    next((tmp_path / "removals").rglob("*.parquet")).write_bytes(b"not what was released")
    broken = etl("verify", "--out", tmp_path)
    assert broken.exit_code == 1 and "its sha256 differs" in broken.stdout
    assert json.loads(etl("verify", "--out", tmp_path, "--json").stdout)["faults"]


def test_diff_tells_what_a_change_would_remove(raw: Path, quick: Path) -> None:
    same = ["--config", quick, "--workers", 1]
    changed = etl("diff", raw, *same, "--skip", "document_dedup", "--skip", "sentence_dedup", "--json")
    assert changed.exit_code == 0, changed.output
    told = json.loads(changed.stdout)
    assert (told["files"], told["of"]) == (6, 6)
    assert ["exact-document", 0, 0, 1] in [row[:4] for row in told["by_rule"]]
    limited = etl("diff", raw, *same, "--against", quick, "--limit", 2)
    assert "Tried on 2 of 6 files.\nIt removes the same text.\n" in limited.stdout


def test_diff_of_nothing_is_wrong_use(raw: Path) -> None:
    assert etl("diff", raw).exit_code == 2


def test_rules_are_held_against_their_examples(quick: Path, tmp_path: Path) -> None:
    good = etl("rules", "check", "--config", quick)
    assert (good.exit_code, good.stdout) == (0, "1 rule in 1 family: every example holds\n")
    (tmp_path / "pipeline.yaml").write_bytes((quick / "pipeline.yaml").read_bytes())
    write_family(tmp_path, "theirs", "removes: [Share it, Share them], keeps: [Share it]")
    bad = etl("rules", "check", "--config", tmp_path)
    assert bad.exit_code == 1
    assert "1 rule in 1 family: 2 examples failed" in bad.stdout
    assert len(json.loads(etl("rules", "check", "--config", tmp_path, "--json").stdout)["failures"]) == 2


def test_rules_are_judged_on_labelled_lines(quick: Path, tmp_path: Path) -> None:
    path = tmp_path / "labelled.jsonl"
    path.write_text('{"lines": ["Share it", "", "The mayor spoke at length."], "labels": "bbm"}\n', encoding="utf-8")
    judged = etl("rules", "check", "--config", quick, "--labelled", path).stdout
    assert "1 line cut, 0 of main text" in judged and "mine-rule" in judged
    path.write_text('{"lines": ["a"], "labels": "bb"}\n[]\n', encoding="utf-8")
    wrong = etl("rules", "check", "--config", quick, "--labelled", path)
    assert wrong.exit_code == 2
    assert "line 1 has 1 lines and 2 labels" in wrong.stderr and "line 2 is no page" in wrong.stderr


def commands(group: click.Group, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = []
    for name, command in group.commands.items():
        found.append((*path, name))
        if isinstance(command, click.Group):
            found += commands(command, (*path, name))
    return found


@pytest.mark.parametrize("path", commands(cli), ids=" ".join)
def test_the_help_of_every_command_teaches_by_example(path: tuple[str, ...]) -> None:
    result = etl(*path, "--help")
    assert result.exit_code == 0
    assert "Examples:" in result.stdout and f"  etl {path[0]}" in result.stdout


def test_the_help_shows_the_commands_used_most() -> None:
    shown = etl("--help").stdout
    for line in ("etl run pages/ --out out", "etl why ", "etl show ", "Exit codes: 0 done"):
        assert line in shown


def test_help_imports_nothing_heavy() -> None:
    heavy = {"polars", "duckdb", "pyarrow", "numpy", "rich", "jinja2", "yaml", "lightgbm", "etl.stages", "etl.pipeline"}
    script = "import sys\nfrom etl.cli import cli\ncli(['--help'], standalone_mode=False)\nprint(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not heavy & set(done.stderr.split())


@pytest.mark.parametrize(("told", "code"), [(["--help"], 0), (["status", "--out", "nowhere"], 0), (["--nothing"], 2)])
def test_the_process_prints_all_it_has_to_and_ends_with_the_code_of_the_command(told: list[str], code: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from etl.cli import main; main()", *told], capture_output=True, text=True, check=False
    )
    here = etl(*told)
    assert (done.returncode, here.exit_code) == (code, code)
    assert (done.stdout.split(), done.stderr.split()) == (here.stdout.split(), here.stderr.split())  # of any width


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_output_that_cannot_be_written_is_a_failure() -> None:
    with Path("/dev/full").open("w") as full:
        code = "from etl.cli import main; main()"
        done = subprocess.run([sys.executable, "-c", code, "--help"], stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode != 0
