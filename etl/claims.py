"""Which run has a dataset between its tasks: a file beside the data, for runs that are not one process.

A run of the command line is one process, and `etl.storage.lock` holds the dataset while it lives. A run of a scheduler
is many: the lock is free between two of its tasks, and the claim keeps others out. A claim outlives a killed worker; its
own holder takes it again, and another takes it over once its holder has ended.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from etl.errors import StageError
from etl.storage import read_json, write_json

CLAIM: Final = ".claim.json"
GUARD: Final = ".claim.lock"
HOLDER: Final = "holder.json"


@dataclass(frozen=True, slots=True)
class Claim:
    """One run's hold on a dataset. holder: names the run for its scheduler, `DAG/RUN`. since: ISO time, for people."""

    holder: str
    run_key: str
    since: str


def read_claim(out: Path) -> Claim | None:
    """Who holds the dataset at `out`; None when nobody does."""
    path = out / CLAIM
    return Claim(**read_json(path)) if path.is_file() else None


def take_claim(out: Path, claim: Claim, *, ended: Callable[[Claim], bool]) -> None:
    """Hold `out` for `claim`, or go on holding it. Raises StageError while another holder, which has not `ended`, has it."""
    with _guarded(out):
        held = read_claim(out)
        if held is not None and held.holder == claim.holder and held.run_key == claim.run_key:
            return
        if held is not None and held.holder != claim.holder and not ended(held):
            raise StageError(_refusal(out, held))
        write_json(out / CLAIM, asdict(claim), durable=True)


def drop_claim(out: Path, holder: str) -> bool:
    """Give up what `holder` holds; whether it held anything. Another's claim stays."""
    if not (out / CLAIM).is_file():
        return False
    with _guarded(out):
        held = read_claim(out)
        if held is None or held.holder != holder:
            return False
        (out / CLAIM).unlink()
        return True


def check_unclaimed(out: Path, *, take_over: bool = False) -> None:
    """Raise StageError when a run holds `out` between its tasks. take_over: end its claim instead."""
    held = read_claim(out)
    if held is None:
        return
    if not take_over:
        raise StageError(_refusal(out, held))
    drop_claim(out, held.holder)


def note_holder(work: Path, holder: str) -> None:
    """Leave word in a run's work folder that `holder` does its work, so that only it goes on with it."""
    write_json(work / HOLDER, {"holder": holder})


def holder_of(work: Path) -> str:
    """Who does the work in a folder; "" for the command line."""
    return str(read_json(work / HOLDER)["holder"]) if (work / HOLDER).is_file() else ""


def _refusal(out: Path, held: Claim) -> str:
    return (
        f"run {held.run_key} ({held.holder}) has taken {out} since {held.since} and has not ended: wait for it, or end it "
        "there; if it is gone for good, etl run --take-over ends its claim"
    )


@contextmanager
def _guarded(out: Path) -> Iterator[None]:
    """One process at a time reads and changes the claim; for moments only, so the others wait."""
    out.mkdir(parents=True, exist_ok=True)
    with (out / GUARD).open("a+") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        yield
