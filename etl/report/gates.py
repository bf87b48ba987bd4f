"""The limits a run is held to before its release, and the word of a person that lets it pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from etl.config import Gate


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate said of a run.

    release: hash of the output it judged. reasons: why it is held; none when it passed. by, at, note: who approved it all
    the same, when (ISO time) and why; "" until somebody does.
    """

    release: str
    reasons: tuple[str, ...] = ()
    by: str = ""
    at: str = ""
    note: str = ""

    @property
    def held(self) -> bool:
        """Whether the release must wait."""
        return bool(self.reasons) and not self.by


def decide(release: str, reasons: Sequence[str], before: Verdict | None) -> Verdict:
    """The verdict on the output `release`. An approval in `before` counts for that very output and those very reasons only."""
    now = Verdict(release, tuple(reasons))
    if before is None or not before.by or (before.release, before.reasons) != (now.release, now.reasons):
        return now
    return replace(now, by=before.by, at=before.at, note=before.note)


def judge(metrics: Mapping[str, Any], gate: Gate) -> list[str]:
    """Why the run that `metrics` tells of must be held: a sentence a limit, with the figure and the limit's key.

    Shares are judged only in runs of at least `gate.min_records` records. That nothing was lost is always judged.
    """
    totals = metrics["totals"]
    reasons = []
    if not totals["check_kept_plus_removed"]:
        found = totals["chars_kept"] + totals["chars_removed"]
        reasons.append(
            f"{totals['chars_repaired']:,} characters were repaired, but {found:,} were kept or removed; nothing may be lost"
        )
    if totals["documents"] < gate.min_documents:
        reasons.append(
            f"{totals['documents']:,} documents would be published; gate.min_documents is {gate.min_documents:,}"
        )
    if totals["records_read"] >= gate.min_records:
        shares = (
            ("rejects", "records_read", "{} of {} records were rejected", "max_reject_share", gate.max_reject_share),
            (
                "chars_removed",
                "chars_repaired",
                "{} of {} characters were removed",
                "max_removed_share",
                gate.max_removed_share,
            ),
            (
                "duplicates",
                "documents_read",
                "{} of {} documents were dropped as copies",
                "max_duplicate_share",
                gate.max_duplicate_share,
            ),
        )
        for part, whole, told, key, limit in shares:
            if totals[part] > limit * totals[whole]:
                share = totals[part] / totals[whole]
                figures = told.format(f"{totals[part]:,}", f"{totals[whole]:,}")
                reasons.append(f"{figures} ({share:.1%}); gate.{key} is {limit:g}")
    return reasons
