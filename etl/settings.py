"""A run's configuration, read from its folder, checked whole, and frozen beside the run's work.

A folder holds `pipeline.yaml`, `dedup.yaml` and `boilerplate/<family>.yaml`. A file that a user's folder lacks is the
product's own; a family of the same name replaces the product's, one of another name adds to it.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from etl import kernels
from etl.boilerplate import rules
from etl.config import PipelineConfig, apply_overrides, read_section, read_yaml
from etl.dedup.policy import DedupPolicy, read_policy
from etl.errors import ConfigError, StageError
from etl.storage import read_json, replacing, write_json, write_text

PIPELINE_FILE: Final = "pipeline.yaml"
DEDUP_FILE: Final = "dedup.yaml"
FAMILIES: Final = "boilerplate"
OVERRIDES_FILE: Final = "overrides.json"
PASSES_FILE: Final = "passes.json"
TABLES_FILE: Final = "rules.npz"
VERSION_NAME: Final = "kernels"  # in TABLES_FILE: the kernels that its tables are for
DEDUP_KEYS: Final = ("sentence_dedup", "document_dedup")
"""First words of `--set` keys that belong to dedup.yaml; all others belong to pipeline.yaml."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that a run is told: steps' options, duplicate policy, boilerplate rules."""

    pipeline: PipelineConfig
    dedup: DedupPolicy
    rules: rules.RuleSet


def default_folder() -> Path:
    """The product's own configuration: inside the installed package, or `config/` of a checkout."""
    here = Path(__file__).parent
    packaged = here / "default_config"
    return packaged if packaged.is_dir() else here.parent / "config"


def read_files(folder: Path | None) -> dict[str, str]:
    """Name below the folder -> text, the product's files with the user's `folder` laid over them."""
    faults = []
    if folder is not None and not folder.is_dir():
        faults.append(f"--config {folder}: no such folder")
    files: dict[str, str] = {}
    for base in [default_folder()] + ([folder] if folder is not None and not faults else []):
        for path in [base / PIPELINE_FILE, base / DEDUP_FILE, *sorted((base / FAMILIES).glob("*.yaml"))]:
            if path.is_file():
                try:
                    files[path.relative_to(base).as_posix()] = path.read_text(encoding="utf-8")
                except UnicodeDecodeError as error:
                    faults.append(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8")
    if faults:
        raise ConfigError(faults)
    return files


def parse(
    files: Mapping[str, str],
    overrides: Mapping[str, str],
    *,
    proven: Collection[str] | None = None,
    passes: Sequence[Mapping[str, Any]] | None = None,
) -> Settings:
    """The settings that `files` (as `read_files` gives them) and `--set` overrides make. Raises with every fault.

    proven: rule families whose patterns need no trying; unless told, those that are the product's own. passes: of the
    same families, as `rules.packed_passes` gives them.
    """
    if proven is None:
        own = read_files(None)
        proven = {name for name, text in files.items() if own.get(name) == text}
    faults: list[str] = []
    dedup = {key: value for key, value in overrides.items() if key.split(".")[0] in DEDUP_KEYS}
    others = {key: value for key, value in overrides.items() if key not in dedup}
    pipeline, policy, families = PipelineConfig(), None, []
    try:
        values = apply_overrides(read_yaml(files.get(PIPELINE_FILE, ""), file=PIPELINE_FILE), others)
        pipeline = read_section(PipelineConfig, values, file=PIPELINE_FILE)
    except ConfigError as error:
        faults += error.faults
    try:
        policy = read_policy(
            apply_overrides(read_yaml(files.get(DEDUP_FILE, ""), file=DEDUP_FILE), dedup), file=DEDUP_FILE
        )
    except ConfigError as error:
        faults += error.faults
    left_out = set(pipeline.boilerplate.without_families)
    for name, text in sorted(files.items()):
        if name.startswith(FAMILIES + "/"):
            stem = Path(name).stem
            if stem in left_out:
                left_out.discard(stem)
                continue
            try:
                families.append(_family(name, text, name in proven))
            except ConfigError as error:
                faults += error.faults
    faults += [
        f"{PIPELINE_FILE}: boilerplate.without_families names {name}, which is no family" for name in sorted(left_out)
    ]
    ruleset = None
    try:
        ruleset = rules.compile_rules(families, passes=passes)
    except ConfigError as error:
        faults += error.faults
    if faults or policy is None or ruleset is None:
        raise ConfigError(faults)
    return Settings(pipeline, policy, ruleset)


def preload() -> None:
    """Read the product's own families, and what is kept of them, before processes are forked from this one. Polars computes
    nothing."""
    rules.preload()
    for name, text in read_files(None).items():
        if name.startswith(FAMILIES + "/"):
            _family(name, text, True)


@lru_cache(maxsize=64)
def _family(name: str, text: str, proven: bool) -> rules.Family:
    """The family in a file. Read once a process: a run's frozen files are those that it was planned with."""
    return rules.parse_family(name, text, proven=proven)


def freeze(target: Path, files: Mapping[str, str], overrides: Mapping[str, str], told: Settings) -> None:
    """Write what a run was told below `target`, from where `thaw` reads it in any process. told: what `files` make."""
    for name, text in files.items():
        write_text(target / name, text)
    write_json(target / OVERRIDES_FILE, dict(overrides))
    passes = rules.packed_passes(told.rules)
    tables = rules.packed_tables(told.rules)
    own = rules.kept_tables(told.rules) is not None  # the product's own rules: the package keeps all of it
    if not own:
        with replacing(target / TABLES_FILE) as new, new.open("wb") as file:
            np.savez(file, **{VERSION_NAME: np.array(kernels.VERSION), **tables})
    # Long, and read by machines alone: without indents, fast.
    write_text(target / PASSES_FILE, json.dumps(None if own else passes))
    _THAWED.clear()  # a process has one run at a time
    _THAWED[target] = _stamp(target), replace(told, rules=rules.with_passes(told.rules, passes, tables))


def thaw(target: Path) -> Settings:
    """The settings that `freeze` wrote. They are read once a process, and not at all in the one that froze them."""
    stamp = _stamp(target)
    known = _THAWED.get(target)
    if known is not None and known[0] == stamp:
        return known[1]
    files, overrides = frozen(target)
    told = parse(files, overrides, proven=set(files), passes=())
    own = target / TABLES_FILE
    tables = _read_tables(own) if own.exists() else {}
    version = tables.pop(VERSION_NAME, None)
    if version != kernels.VERSION:  # the product's own rules; or frozen for other kernels, before an upgrade
        tables = rules.packed_tables(told.rules)
    passes = read_json(target / PASSES_FILE)
    if passes is None:
        passes = rules.packed_passes(told.rules)
    told = replace(told, rules=rules.with_passes(told.rules, passes, tables))
    _THAWED.clear()
    _THAWED[target] = stamp, told
    return told


def _read_tables(path: Path) -> dict[str, Any]:
    try:
        with np.load(path) as held:
            return dict(held)
    except (EOFError, OSError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise StageError(f"{path} is damaged ({error}); start the run again") from error


_THAWED: Final[dict[Path, tuple[tuple[int, int], Settings]]] = {}
"""The frozen folder that was read last -> which freeze it was, and its settings."""


def _stamp(target: Path) -> tuple[int, int]:
    """Tells one freeze of a folder from the next: the file that is written last is a new one each time."""
    told = (target / PASSES_FILE).stat()
    return told.st_ino, told.st_mtime_ns


def frozen(target: Path) -> tuple[dict[str, str], dict[str, str]]:
    """(files, overrides) as `freeze` was given them."""
    overrides: dict[str, str] = read_json(target / OVERRIDES_FILE)
    files = {p.relative_to(target).as_posix(): p.read_text(encoding="utf-8") for p in sorted(target.rglob("*.yaml"))}
    return files, overrides
