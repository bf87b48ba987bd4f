from __future__ import annotations

from pathlib import Path

import pytest

from etl.config import apply_overrides
from etl.dedup.policy import DedupPolicy, parse_policy, read_policy
from etl.errors import ConfigError

SHIPPED = Path(__file__).parents[2] / "config" / "dedup.yaml"


def test_the_shipped_file_says_what_the_defaults_are() -> None:
    assert parse_policy(SHIPPED.read_text(encoding="utf-8")) == DedupPolicy()


def test_an_empty_file_is_the_default() -> None:
    assert parse_policy("") == DedupPolicy()


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("sentence_dedup.scope", "document"),
        ("document_dedup.near", "false"),
        ("sentence_dedup.max_share", "0.3"),
        ("document_dedup.mode", "annotate"),
    ],
)
def test_one_key_can_be_set_from_the_command_line(key: str, text: str) -> None:
    policy = read_policy(apply_overrides({}, {key: text}))
    section, name = key.split(".")
    assert str(getattr(getattr(policy, section), name)).lower() == text
    assert policy != DedupPolicy()


def test_every_fault_is_named_at_once() -> None:
    text = """
    sentence_dedup: {mode: delete, min_words: 0, surprise: 1, near: maybe}
    document_dedup: {containment_min: 8, excerpts: no way}
    more: {}
    """
    with pytest.raises(ConfigError) as caught:
        parse_policy(text)
    faults = "\n".join(caught.value.faults)
    for key in (
        "sentence_dedup.mode",
        "sentence_dedup.min_words",
        "surprise",
        "sentence_dedup.near",
        "containment_min",
        "excerpts",
        "more",
    ):
        assert key in faults
    assert "expected one of remove, annotate" in faults


def test_the_table_of_limits_has_a_column_for_every_key_and_step() -> None:
    row = DedupPolicy().params(("sentence_dedup",)).to_pylist()[0]
    assert row["sentences_on"] is False
    assert row["documents_on"] is True
    assert row["sentence_min_words"] == 8
    assert row["document_mode"] == "remove"
