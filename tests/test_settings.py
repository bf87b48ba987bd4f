"""Settings: the product's files, the user's laid over them, frozen for every process of a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from etl import kernels, settings
from etl.errors import ConfigError, StageError

FAMILY = """
about: test phrases
languages: [en]
rules:
  - id: test-phrase
    phrases: ["winnow test phrase"]
    why: only here
    removes: ["Winnow test phrase"]
"""


MINE = settings.read_files(None) | {
    "boilerplate/mine.yaml": "about: Mine.\nlanguages: [en]\nrules:\n"
    "  - {id: mine, match: 'my own line', why: a test, removes: [My own line], keeps: [My own lines]}\n"
}


def test_a_users_file_replaces_the_products_and_the_rest_stays(tmp_path: Path) -> None:
    (tmp_path / "pipeline.yaml").write_text("gate: {min_documents: 3}")
    told = settings.parse(settings.read_files(tmp_path), {})
    assert told.pipeline.gate.min_documents == 3
    assert told.rules.rules == settings.parse(settings.read_files(None), {}).rules.rules


def test_overrides_reach_the_file_they_belong_to() -> None:
    told = settings.parse(
        settings.read_files(None), {"sentence_dedup.scope": "document", "publish.compression_level": "9"}
    )
    assert told.dedup.sentence_dedup.scope == "document"
    assert told.pipeline.publish.compression_level == 9


def test_faults_of_all_files_come_at_once(tmp_path: Path) -> None:
    (tmp_path / "pipeline.yaml").write_text("gate: {min_documents: many}\nboilerplate: {without_families: [nonsense]}")
    (tmp_path / "dedup.yaml").write_text("sentence_dedup: {scope: planet}")
    (tmp_path / "boilerplate").mkdir()
    (tmp_path / "boilerplate" / "mine.yaml").write_text("rules: 7")
    with pytest.raises(ConfigError) as told:
        settings.parse(settings.read_files(tmp_path), {})
    text = "\n".join(told.value.faults)
    assert "gate.min_documents is 'many'" in text
    assert "sentence_dedup.scope is 'planet'" in text
    assert "boilerplate/mine.yaml" in text


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such folder"):
        settings.read_files(tmp_path / "none")


def test_what_was_frozen_thaws_to_the_same_in_this_process_and_in_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = settings.read_files(None)
    overrides = {"gate.min_documents": "2"}
    parsed = settings.parse(files, overrides)
    settings.freeze(tmp_path / "config", files, overrides, parsed)
    here = settings.thaw(tmp_path / "config")
    monkeypatch.setattr(settings, "_THAWED", {})
    there = settings.thaw(tmp_path / "config")
    assert here is not there
    for thawed in (here, there):
        assert any(one.heads for one in thawed.rules.passes)
        assert (thawed.pipeline, thawed.dedup, thawed.rules.rules) == (
            parsed.pipeline,
            parsed.dedup,
            parsed.rules.rules,
        )
        assert thawed.rules.table.equals(parsed.rules.table) and thawed.rules.phrases.equals(parsed.rules.phrases)
    assert (here.rules.passes, here.rules.by_head) == (there.rules.passes, there.rules.by_head)


def test_a_folder_frozen_anew_thaws_to_what_is_in_it_now(tmp_path: Path) -> None:
    files = settings.read_files(None)
    for least in (2, 3):
        overrides = {"gate.min_documents": str(least)}
        settings.freeze(tmp_path / "config", files, overrides, settings.parse(files, overrides))
        assert settings.thaw(tmp_path / "config").pipeline.gate.min_documents == least


def test_damaged_tables_of_a_run_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.freeze(tmp_path, MINE, {}, settings.parse(MINE, {}))
    tables = tmp_path / settings.TABLES_FILE
    whole = tables.read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], whole[:-40], bytes(len(whole))):
        tables.write_bytes(damaged)
        monkeypatch.setattr(settings, "_THAWED", {})
        with pytest.raises(StageError, match=r"rules\.npz is damaged"):
            settings.thaw(tmp_path)


def test_tables_that_were_frozen_for_other_kernels_are_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.freeze(tmp_path, MINE, {}, settings.parse(MINE, {}))
    tables = tmp_path / settings.TABLES_FILE
    told: list[dict[str, np.ndarray]] = []
    with np.load(tables) as held:
        frozen = dict(held)
    for other in ({settings.VERSION_NAME: np.array(kernels.VERSION - 1)}, {}):
        kept = {name: array for name, array in frozen.items() if name != settings.VERSION_NAME}
        np.savez(tables, **{name: np.zeros_like(array) for name, array in kept.items()}, **other)
        monkeypatch.setattr(settings, "_THAWED", {})
        with monkeypatch.context() as patch:
            patch.setattr(settings.rules, "with_passes", lambda ruleset, passes, tables: told.append(tables) or ruleset)
            settings.thaw(tmp_path)
        assert kept.keys() == told[-1].keys()
        assert all(np.array_equal(told[-1][name], array) for name, array in kept.items())
