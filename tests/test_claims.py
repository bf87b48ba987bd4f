from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from etl import stages
from etl.claims import CLAIM, Claim, check_unclaimed, drop_claim, note_holder, read_claim, take_claim
from etl.cli import cli
from etl.engine.local import LocalEngine
from etl.errors import HeldError, StageError
from tests.conftest import Runner, files_of, read, record, write_jsonl

OURS = Claim("clean/monday", "2026-01-05", "2026-01-05T00:01:02+00:00")
NEXT_TRY = Claim("clean/monday", "2026-01-05", "2026-01-05T00:20:00+00:00")
THEIRS = Claim("clean/tuesday", "2026-01-06", "2026-01-06T00:01:02+00:00")


def lives(claim: Claim) -> bool:
    return False


def is_over(claim: Claim) -> bool:
    return True


@pytest.mark.parametrize(
    ("first", "second", "ended", "holder"),
    [
        (None, OURS, lives, OURS),
        (OURS, NEXT_TRY, lives, OURS),  # a retry goes on holding it, since when it did
        (OURS, THEIRS, is_over, THEIRS),
        (OURS, THEIRS, lives, None),
    ],
    ids=["free", "a retry", "its holder has ended", "its holder lives"],
)
def test_who_may_take_a_dataset(
    tmp_path: Path, first: Claim | None, second: Claim, ended: Callable[[Claim], bool], holder: Claim | None
) -> None:
    if first:
        take_claim(tmp_path, first, ended=lives)
    if holder is None:
        with pytest.raises(StageError, match=r"run 2026-01-05 \(clean/monday\) has taken .* has not ended"):
            take_claim(tmp_path, second, ended=ended)
        assert read_claim(tmp_path) == first
    else:
        take_claim(tmp_path, second, ended=ended)
        assert read_claim(tmp_path) == holder


def test_only_its_holder_gives_a_claim_up(tmp_path: Path) -> None:
    assert not drop_claim(tmp_path, OURS.holder)
    take_claim(tmp_path, OURS, ended=lives)
    assert not drop_claim(tmp_path, THEIRS.holder) and read_claim(tmp_path) == OURS
    assert drop_claim(tmp_path, OURS.holder) and read_claim(tmp_path) is None


def test_a_claim_outlives_a_killed_process_and_its_retry_takes_it_again(tmp_path: Path) -> None:
    code = (
        "import pathlib, time; from etl.claims import Claim, take_claim;"
        f"take_claim(pathlib.Path({str(tmp_path)!r}), {OURS!r}, ended=lambda held: False); print(flush=True); time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True)
    assert child.stdout is not None
    with child.stdout:
        child.stdout.readline()
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    with pytest.raises(StageError, match="has not ended"):
        check_unclaimed(tmp_path)
    take_claim(tmp_path, NEXT_TRY, ended=lives)
    assert read_claim(tmp_path) == OURS


def test_the_command_line_is_refused_between_the_tasks_of_a_run_until_it_takes_over(tmp_path: Path) -> None:
    raw, out = write_jsonl(tmp_path / "raw.jsonl", [record(1)]), tmp_path / "out"
    take_claim(out, OURS, ended=lives)
    command = ["run", str(raw), "--out", str(out), "--run-key", "2026-01-05", "--workers", "1"]
    refused = CliRunner().invoke(cli, command)
    assert refused.exit_code == 1
    assert "run 2026-01-05 (clean/monday) has taken" in refused.stderr and "--take-over" in refused.stderr
    assert not (out / "documents").exists()
    assert CliRunner().invoke(cli, [*command, "--take-over"]).exit_code == 0
    assert read(out, "documents").num_rows == 1 and not (out / CLAIM).exists()


def test_nothing_else_changes_a_dataset_that_a_run_has_taken(tmp_path: Path, run: Runner) -> None:
    raw, out = write_jsonl(tmp_path / "raw.jsonl", [record(1)]), tmp_path / "out"
    run(raw, out, key="2026-01-05")
    take_claim(out, OURS, ended=lives)
    before = files_of(out, "documents", "_state")
    for command in (["redo", "2026-01-05"], ["forget", "raw.jsonl"], ["approve", "--run-key", "2026-01-05"]):
        refused = CliRunner().invoke(cli, [*command, "--out", str(out)])
        assert refused.exit_code == 1 and "clean/monday" in refused.stderr, command
    assert files_of(out, "documents", "_state") == before


def test_a_run_of_a_scheduler_is_approved_here_and_released_there(tmp_path: Path, run: Runner) -> None:
    raw, out = write_jsonl(tmp_path / "raw.jsonl", [record(1)]), tmp_path / "out"
    with pytest.raises(HeldError):
        run(raw, out, key="2026-01-05", overrides={"gate.min_documents": "2"})
    note_holder(out / "_work" / "2026-01-05", OURS.holder)
    done = CliRunner().invoke(cli, ["approve", "--out", str(out), "--run-key", "2026-01-05", "--by", "ann"])
    assert done.exit_code == 0, done.output
    assert "clear the task gate of clean/monday" in done.output
    assert not (out / "documents").exists()
    stages.gate(str(out / "_work" / "2026-01-05"), LocalEngine(1))


def test_a_run_without_a_claim_leaves_none(tmp_path: Path, run: Runner) -> None:
    run(write_jsonl(tmp_path / "raw.jsonl", [record(1)]), tmp_path / "out")
    assert not (tmp_path / "out" / CLAIM).exists()
