"""Configuration: the product's own file is its defaults, and every fault is told at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from etl import config
from etl.config import PipelineConfig, apply_overrides, parse_overrides, read_section, read_yaml
from etl.errors import ConfigError

SHIPPED = Path(__file__).parent.parent / "config" / "pipeline.yaml"


def test_the_shipped_file_says_what_the_defaults_are() -> None:
    values = read_yaml(SHIPPED.read_text(encoding="utf-8"), file="pipeline.yaml")
    assert read_section(PipelineConfig, values, file="pipeline.yaml") == PipelineConfig()


def test_every_fault_is_told_at_once_with_file_key_value_and_what_is_right() -> None:
    text = "ingest: {max_expansion: many, colour: red}\ngate: 3\nboilerplate: {captions: 1, model: {threshold: 8}}"
    with pytest.raises(ConfigError) as told:
        read_section(PipelineConfig, read_yaml(text, file="p.yaml"), file="p.yaml")
    faults = told.value.faults
    assert len(faults) == 5
    assert "p.yaml: boilerplate.model.threshold is 8; expected a number from 0.0 to 1.0, such as 0.5" in faults
    assert any("ingest.colour is no known key" in fault for fault in faults)


@pytest.mark.parametrize("text", ["- a\n- b", "a: [", "7"])
def test_a_file_that_holds_no_mapping_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"p\.yaml"):
        read_yaml(text, file="p.yaml")


def test_overrides_reach_nested_keys_and_leave_the_rest() -> None:
    values = {"boilerplate": {"captions": False}}
    laid = apply_overrides(values, {"boilerplate.model.threshold": "0.75"})
    made = read_section(PipelineConfig, laid, file="p.yaml")
    assert made.boilerplate.model.threshold == 0.75
    assert made.boilerplate.captions is False
    assert values == {"boilerplate": {"captions": False}}, "the values given are not changed"


def test_an_override_without_a_value_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected KEY=VALUE"):
        parse_overrides(["scope"])


@pytest.mark.parametrize("key", ["", "../x", "a/b", ".hidden", "a b", "x" * 90, "a..b", "run=1"])
def test_a_run_key_that_is_no_safe_folder_name_is_refused(key: str) -> None:
    with pytest.raises(ConfigError):
        config.check_run_key(key)


def test_steps_come_back_in_running_order() -> None:
    assert config.check_steps(["document_dedup", "repair"]) == ("repair", "document_dedup")
    with pytest.raises(ConfigError, match="no such step"):
        config.check_steps(["dedupe"])


def test_what_the_package_keeps_of_its_own_configuration_is_up_to_date() -> None:
    files = [path.read_text(encoding="utf-8") for path in sorted(SHIPPED.parent.rglob("*.yaml"))]
    assert len(files) > 10
    read = {config._name(text): config._parsed(text) for text in files}
    assert config.kept_files() == read, "run make tables"
    assert repr(config.kept_files()) == repr({name: read[name] for name in config.kept_files()}), "run make tables"


def test_a_key_given_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"p\.yaml: not valid YAML: 'b' is given twice .*line 3"):
        read_yaml("a: 1\nc:\n  {b: 1, b: 2}\n", file="p.yaml")


def test_a_key_that_is_no_word_is_no_yaml_of_ours() -> None:
    with pytest.raises(ConfigError, match=r"p\.yaml: not valid YAML"):
        read_yaml("limits: {{ max }}\n", file="p.yaml")
    with pytest.raises(ConfigError, match="--set a"):
        apply_overrides({}, {"a": "{{x}}"})


def test_what_is_merged_into_a_mapping_is_read() -> None:
    assert read_yaml("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\n", file="p.yaml")["b"] == {"x": 1, "y": 3}
