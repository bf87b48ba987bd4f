"""The pipeline's configuration: `pipeline.yaml` as frozen values, every fault listed at once.

A section is a dataclass; a field's default is the product's default, its metadata hold the bounds. The same reader
serves every YAML file of the project, so a fault always reads `file: key is value; expected …`.
"""

from __future__ import annotations

import hashlib
import re
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from functools import cache
from typing import Any, Final, TypeVar

from etl import packed
from etl.errors import ConfigError

STEPS: Final = ("repair", "boilerplate", "sentence_dedup", "document_dedup")
"""The steps that `--skip` may name, in the order in which they run."""

RUN_KEY: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z._+-]{0,79}")
"""A run key is a folder name and sorts as text: days such as 2026-01-31 sort by time."""

KNOWN: Final = "config.json.zst"

T = TypeVar("T")


def bounded(default: Any, low: float, high: float, example: object = None) -> Any:
    """A section's numeric field: its default, its bounds, and the example that a fault gives (else the default)."""
    return field(
        default=default, metadata={"low": low, "high": high, "example": default if example is None else example}
    )


@dataclass(frozen=True, slots=True)
class Ingest:
    """Bounds on raw input. A record or file beyond them becomes a reject.

    max_record_bytes: one record, decompressed. max_expansion: decompressed over compressed size that a file may reach
    once more than 256 MiB came out of it. shard_bytes: raw files are packed into shards of about this much text,
    compressed files weighed four times.
    batch_chars: text that is read, and repaired, at once in one worker; to clean it, up to four bytes for each are taken together.
    """

    max_record_bytes: int = bounded(32 * 2**20, 1024, 2**30)
    max_expansion: int = bounded(250, 2, 100_000)
    max_file_bytes: int = bounded(2**40, 1024, 2**50)
    shard_bytes: int = bounded(32 * 2**20, 1, 2**40)
    batch_chars: int = bounded(8_000_000, 1, 200_000_000)


@dataclass(frozen=True, slots=True)
class Templates:
    """Site templates: lines that recur on a site's pages, copies of one article collapsed first.

    min_pages: distinct pages of one site a line must be on. min_pages_unknown_site: the same where no site is known.
    min_pages_long, min_share_long: the same for a line of long_chars or more, which looks like prose, and the share of
    the pages seen of its site it must be on: index pages repeat the first paragraph of an article.
    min_pages_near, min_share_near: the same for a line that those pages show with other numbers.
    copy_share: two pages of a site that share this much of their long lines are copies of one article.
    half_life_runs: a page counts half once so many later runs have seen pages.
    kept_pages: of each site in each run, a sample, which later runs count with their own.
    """

    enabled: bool = True
    min_pages: int = bounded(2, 2, 1_000_000)
    min_pages_long: int = bounded(3, 2, 1_000_000)
    min_pages_unknown_site: int = bounded(30, 2, 1_000_000)
    min_pages_near: int = bounded(4, 2, 1_000_000)
    min_share_near: float = bounded(0.2, 0.0, 1.0)
    min_share_long: float = bounded(0.1, 0.0, 1.0)
    long_chars: int = bounded(120, 20, 10_000)
    copy_share: float = bounded(0.4, 0.05, 1.0)
    half_life_runs: int = bounded(60, 1, 1_000_000)
    kept_pages: int = bounded(100, 10, 1_000_000)


@dataclass(frozen=True, slots=True)
class Model:
    """The line model. threshold: lines whose probability of being boilerplate is at least this go.

    clean_threshold: the same on a page that seems clean already. benchmarks/line_model_thresholds.py prints what each
    choice gives.
    """

    enabled: bool = True
    threshold: float = bounded(0.5, 0.0, 1.0)
    clean_threshold: float = bounded(0.7, 0.0, 1.0)


@dataclass(frozen=True, slots=True)
class Boilerplate:
    """What the boilerplate step does. families: names of rule families to leave out."""

    without_families: tuple[str, ...] = ()
    captions: bool = True
    metadata: bool = True
    templates: Templates = Templates()
    model: Model = Model()


@dataclass(frozen=True, slots=True)
class Publish:
    """How the Parquet is written. row_group_bytes: text of one row group, uncompressed."""

    row_group_bytes: int = bounded(64 * 2**20, 2**16, 100 * 2**20)
    compression_level: int = bounded(1, 1, 19)


@dataclass(frozen=True, slots=True)
class Gate:
    """Limits on a run; one that is passed holds the release.

    max_reject_share: rejects over rejects and documents. max_removed_share: characters cut over characters repaired.
    max_duplicate_share: documents dropped as copies over documents read. min_documents: documents published.
    Shares are judged only in runs of at least min_records records.
    """

    max_reject_share: float = bounded(0.5, 0.0, 1.0)
    max_removed_share: float = bounded(0.98, 0.0, 1.0)
    max_duplicate_share: float = bounded(1.0, 0.0, 1.0)
    min_documents: int = bounded(0, 0, 10**12, 1)
    min_records: int = bounded(100, 1, 10**12)


@dataclass(frozen=True, slots=True)
class Limits:
    """When to give up. max_failed_shards: shards of one stage that may fail before the others are left untried."""

    max_failed_shards: int = bounded(10, 0, 1_000_000)


@dataclass(frozen=True, slots=True)
class PipelineConfig:
    """Everything in `pipeline.yaml`."""

    ingest: Ingest = Ingest()
    boilerplate: Boilerplate = Boilerplate()
    publish: Publish = Publish()
    limits: Limits = Limits()
    gate: Gate = Gate()


def read_yaml(text: str, *, file: str) -> dict[str, Any]:
    """The mapping that `text` holds; an empty file is an empty mapping. Raises ConfigError for anything else."""
    try:
        loaded = load_yaml(text)
    except ValueError as error:
        raise ConfigError(f"{file}: not valid YAML: {error}") from error
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise ConfigError(f"{file}: holds a {type(loaded).__name__}; expected keys and values")
    return loaded


def load_yaml(text: str) -> Any:
    """The value that `text` holds. Raises ValueError, told in one line, for what is no YAML or gives a key twice.

    What the product's own files hold is kept (`make tables` writes it): to read them takes 0.05 s.
    """
    name = _name(text)
    return kept_files()[name] if name in kept_files() else _parsed(text)


def pack_files(texts: Iterable[str]) -> bytes:
    """The file KNOWN, from the product's own configuration."""
    return packed.pack({_name(text): _parsed(text) for text in texts})


@cache
def kept_files() -> dict[str, Any]:
    """What the file KNOWN holds: the values of files, by the names of their texts."""
    kept: dict[str, Any] = packed.unpack(packed.read("etl", KNOWN))
    return kept


def _name(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _parsed(text: str) -> Any:
    import yaml

    try:
        return yaml.load(text, Loader=_loader())
    except (yaml.YAMLError, TypeError) as error:  # TypeError: a key that is a list or a mapping
        raise ValueError(" ".join(str(error).split())) from error


@cache
def _loader() -> Any:
    """Safe YAML that refuses a key given twice, where plain PyYAML silently takes the last."""
    import yaml

    class Loader(yaml.CSafeLoader):
        pass

    def mapping(loader: Any, node: yaml.MappingNode) -> dict[object, object]:
        keys: list[object] = []
        for told, _ in node.value:
            if told.tag == "tag:yaml.org,2002:merge":
                continue
            key = loader.construct_object(told)
            if key in keys:
                raise yaml.constructor.ConstructorError(None, None, f"{key!r} is given twice", told.start_mark)
            keys.append(key)
        loader.flatten_mapping(node)
        return {
            loader.construct_object(key, deep=True): loader.construct_object(value, deep=True)
            for key, value in node.value
        }

    Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    return Loader


def read_section(kind: type[T], values: Mapping[str, Any], *, file: str, prefix: str = "") -> T:
    """`values` as a `kind` (a frozen dataclass, sections nested). Raises ConfigError with every fault."""
    faults: list[str] = []
    made = _section(kind, values, file, prefix, faults)
    if faults:
        raise ConfigError(faults)
    return typing.cast(T, made)


def apply_overrides(values: Mapping[str, Any], overrides: Mapping[str, str]) -> dict[str, Any]:
    """`values` with `overrides` laid over: dotted keys such as `boilerplate.model.threshold`, values read as YAML."""
    out: dict[str, Any] = {**values}
    for dotted, text in overrides.items():
        *path, last = dotted.split(".")
        here = out
        for key in path:
            below = here.get(key)
            here[key] = {**below} if isinstance(below, dict) else {}
            here = here[key]
        try:
            here[last] = load_yaml(text)
        except ValueError as error:
            raise ConfigError(
                f"--set {dotted}: {text!r} is no YAML value; expected a number, word or [list]"
            ) from error
    return out


def parse_overrides(pairs: Sequence[str]) -> dict[str, str]:
    """`KEY=VALUE` arguments as a mapping, in key order. Raises ConfigError naming each that isn't one."""
    faults = [
        f"--set {p}: expected KEY=VALUE, such as sentence_dedup.scope=document"
        for p in pairs
        if not re.match(r"[\w.]+=", p)
    ]
    if faults:
        raise ConfigError(faults)
    return dict(sorted((p.split("=", 1)[0], p.split("=", 1)[1]) for p in pairs))


def check_run_key(key: str) -> str:
    """`key`, when it may name a run. Raises ConfigError otherwise."""
    if not RUN_KEY.fullmatch(key) or ".." in key:
        raise ConfigError(f"--run-key is {key!r}; expected letters, digits, '.', '-', '_' or '+', such as 2026-01-31")
    return key


def check_steps(steps: Sequence[str]) -> tuple[str, ...]:
    """`steps` in running order, each once. Raises ConfigError naming each that is none."""
    faults = [f"--skip {step}: no such step; expected one of {', '.join(STEPS)}" for step in steps if step not in STEPS]
    if faults:
        raise ConfigError(faults)
    return tuple(step for step in STEPS if step in steps)


def _section(kind: Any, values: Any, file: str, prefix: str, faults: list[str]) -> Any:
    if not isinstance(values, Mapping):
        faults.append(f"{file}: {prefix.rstrip('.') or 'the file'} is {values!r}; expected keys and values")
        return None
    hints = typing.get_type_hints(kind)
    known = {f.name: f for f in fields(kind)}
    choices = ", ".join(sorted(known))
    faults += [
        f"{file}: {prefix}{key} is no known key; expected one of {choices}" for key in values if key not in known
    ]
    made: dict[str, Any] = {}
    for name, spec in known.items():
        if name in values:
            made[name] = _value(hints[name], values[name], spec.metadata, file, prefix + name, faults)
        elif spec.default is MISSING and spec.default_factory is MISSING:
            faults.append(f"{file}: {prefix}{name} is missing")
    return None if faults else kind(**made)


def _value(hint: Any, value: Any, bounds: Mapping[str, Any], file: str, key: str, faults: list[str]) -> Any:
    if is_dataclass(hint):
        return _section(hint, {} if value is None else value, file, key + ".", faults)
    origin = typing.get_origin(hint)
    if origin is typing.Literal:
        choices = typing.get_args(hint)
        if value in choices:
            return value
        expected = "one of " + ", ".join(map(str, choices))
    elif origin is tuple:
        if isinstance(value, (list, tuple)) and all(isinstance(v, str) for v in value):
            return tuple(value)
        expected = "a list of words, such as [a, b]"
    elif origin is types.UnionType and value is None:
        return None
    elif hint is bool:
        if isinstance(value, bool):
            return value
        expected = "true or false"
    elif hint in (int, float):
        fits = isinstance(value, int if hint is int else (int, float)) and not isinstance(value, bool)
        if fits and bounds["low"] <= value <= bounds["high"]:
            return hint(value)
        what = "a whole number" if hint is int else "a number"
        expected = f"{what} from {bounds['low']} to {bounds['high']}, such as {bounds['example']}"
    else:
        if isinstance(value, str):
            return value
        expected = "a text"
    faults.append(f"{file}: {key} is {value!r}; expected {expected}")
    return None
