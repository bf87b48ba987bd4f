from __future__ import annotations

from typing import Any

import pytest

from etl.config import Gate
from etl.report.gates import Verdict, decide, judge

TOTALS = {
    "records_read": 200,
    "rejects": 20,
    "documents_read": 180,
    "duplicates": 90,
    "documents": 80,
    "chars_repaired": 1000,
    "chars_kept": 300,
    "chars_removed": 700,
    "check_kept_plus_removed": True,
}


def judged(gate: Gate, **totals: Any) -> list[str]:
    return judge({"totals": TOTALS | totals}, gate)


@pytest.mark.parametrize(
    ("gate", "reason"),
    [
        (Gate(max_reject_share=0.05), "20 of 200 records were rejected (10.0%); gate.max_reject_share is 0.05"),
        (Gate(max_removed_share=0.5), "700 of 1,000 characters were removed (70.0%); gate.max_removed_share is 0.5"),
        (
            Gate(max_duplicate_share=0.4),
            "90 of 180 documents were dropped as copies (50.0%); gate.max_duplicate_share is 0.4",
        ),
        (Gate(min_documents=81), "80 documents would be published; gate.min_documents is 81"),
    ],
)
def test_a_limit_that_is_passed_is_told_with_the_figure_and_its_key(gate: Gate, reason: str) -> None:
    assert judged(gate) == [reason]


def test_a_limit_that_is_reached_but_not_passed_holds_nothing() -> None:
    assert judged(Gate(max_reject_share=0.1, max_removed_share=0.7, max_duplicate_share=0.5, min_documents=80)) == []


def test_every_limit_that_is_passed_is_told() -> None:
    gate = Gate(max_reject_share=0.0, max_removed_share=0.0, max_duplicate_share=0.0, min_documents=1000)
    assert len(judged(gate)) == 4


def test_shares_of_a_small_run_are_not_judged_but_its_size_is() -> None:
    gate = Gate(
        max_reject_share=0.0, max_removed_share=0.0, max_duplicate_share=0.0, min_documents=1000, min_records=201
    )
    assert judged(gate) == ["80 documents would be published; gate.min_documents is 1,000"]


def test_a_run_that_lost_a_character_is_always_held() -> None:
    assert judged(Gate(min_records=10**9), chars_kept=299, check_kept_plus_removed=False) == [
        "1,000 characters were repaired, but 999 were kept or removed; nothing may be lost"
    ]


def test_an_empty_run_passes_no_share() -> None:
    empty = dict.fromkeys((name for name in TOTALS if name != "check_kept_plus_removed"), 0)
    assert judged(Gate(min_records=1), **empty) == []


def test_an_approval_holds_for_the_same_output_and_the_same_reasons() -> None:
    approved = Verdict("abc", ("too few",), by="ann", at="now", note="fine")
    assert decide("abc", ["too few"], None).held
    assert decide("abc", ["too few"], approved) == approved and not approved.held
    assert decide("abd", ["too few"], approved) == Verdict("abd", ("too few",))
    assert decide("abc", ["too few", "too much"], approved).held
    assert not decide("abc", [], approved).held
