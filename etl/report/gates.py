"""The limits a run is held to before its release."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from etl.config import Gate


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
