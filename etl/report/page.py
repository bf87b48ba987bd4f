"""A run's report as one HTML page: no script, nothing fetched, all scraped text escaped.

The page is also shown in a frame of the Airflow UI, so a tag that slipped through would run with that site's rights:
Jinja escapes every value, `visible` defuses controls, and the page's own policy forbids scripts and requests. Everything
that shows a run draws it here: the command line's file, and the view in Airflow.
"""

from __future__ import annotations

import base64
import hashlib
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from importlib.util import cache_from_source
from pathlib import Path
from typing import Any, Final

from jinja2 import BytecodeCache, Environment, FunctionLoader, StrictUndefined, Template
from jinja2.bccache import Bucket

from etl.report.gates import Verdict
from etl.report.metrics import AROUND_CHARS
from etl.report.visible import one_line, visible

RULES_SHOWN: Final = 12  # of each step; the others are a click away
ROWS_SHOWN: Final = 12
DOTS_SHOWN: Final = 60
BAR: Final = 1000  # units of a bar's own width
TREND_WIDTH: Final = 240.0
TREND_HEIGHT: Final = 48.0
ABOUT: Final[Mapping[str, str]] = {
    "metadata": "Bylines, datelines and repeated titles",
    "rules": "Phrases and patterns",
    "captions": "Repeated captions",
    "templates": "Lines that recur on a site",
    "model": "Lines that read like furniture",
    "sentence_dedup": "Duplicate sentences",
    "document_dedup": "Duplicate documents",
    "publish": "Nothing left",
}


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar in units of BAR. kept: its first part; cut: the part beside it."""

    kept: float
    cut: float = 0.0


@dataclass(frozen=True, slots=True)
class Approve:
    """How to approve a held run. commands: for a shell. action: address of a button's form; "" for none.

    hint: what happens then, a sentence.
    """

    commands: tuple[str, ...] = ()
    action: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Trend:
    """One figure over the runs. points: places of the line for SVG; dots: (x, y, run, value), the last is this run's."""

    name: str
    now: str
    before: str
    points: str
    dots: tuple[tuple[float, float, str, str], ...]


@dataclass(frozen=True, slots=True)
class Level:
    """One level of the funnel. step: "" for the text at the start and at the end. left: characters that are left."""

    step: str
    about: str
    chars: int
    left: int
    bar: Bar


def render(
    metrics: Mapping[str, Any],
    *,
    earlier: Sequence[Mapping[str, Any]] = (),
    verdict: Verdict | None = None,
    approve: Approve | None = None,
    stale: Mapping[str, Sequence[str]] | None = None,
) -> str:
    """The page for a run's metrics.

    earlier: metrics of the runs to compare it with, in order. verdict: what the gate said, if it was asked. approve: how
    to approve the run if it is held. stale: runs to run again, with the earlier runs that changed since they ran.
    """
    totals = metrics["totals"]
    slowest = max((stage["seconds"] for stage in metrics["timing"]), default=0.0)
    cpu_s = sum(stage["cpu_s"] for stage in metrics["timing"])
    approve = approve or Approve()
    return _template().render(
        policy=policy(form=bool(approve.action)),
        notice=None,
        verdict=verdict,
        approve=approve,
        stale=[(run, list(changed)) for run, changed in (stale or {}).items()],
        trends=_trends([*earlier, metrics]) if earlier else [],
        compared=len(earlier),
        run=metrics["run"],
        skip=metrics["skip"],
        earlier=metrics["earlier_runs"],
        totals=totals,
        funnel=_funnel(totals, metrics["by_stage"]),
        steps=[_step(step, metrics["rules"], metrics["samples"]) for step in metrics["by_stage"]],
        sites=[{**site, "bar": _split(site["chars_kept"], site["chars_removed"])} for site in metrics["sites"]],
        clusters=[{**cluster, "dots": min(cluster["n"], DOTS_SHOWN)} for cluster in metrics["clusters"]],
        errors=metrics["errors"],
        timing=[{**stage, "bar": _bar(stage["seconds"], slowest)} for stage in metrics["timing"]],
        chars_per_cpu_s=int(totals["chars_repaired"] / cpu_s) if cpu_s else 0,
        rules_shown=RULES_SHOWN,
        rows_shown=ROWS_SHOWN,
    )


def notice(title: str, text: str) -> str:
    """A page that says only why there is no report."""
    return _template().render(policy=policy(), notice=text, run=title)


def policy(*, form: bool = False, framed: bool = False) -> str:
    """The Content-Security-Policy of a page: no script, no request, the page's own style and no other.

    form: the page has a form that posts to its own site. framed: for a header, which may also say that only the page's
    own site may frame it.
    """
    parts = ["default-src 'none'", f"style-src 'sha256-{_style_hash()}'", "base-uri 'none'"]
    parts.append("form-action 'self'" if form else "form-action 'none'")
    return "; ".join(parts + ["frame-ancestors 'self'"] * framed)


def _trends(runs: Sequence[Mapping[str, Any]]) -> list[Trend]:
    """The figures that tell whether a run is like those before it, oldest first."""
    totals = [(str(run["run"]), run["totals"]) for run in runs]
    wanted = (
        ("Documents published", "documents", ""),
        ("Text kept", "chars_kept", "chars_repaired"),
        ("Copies among documents", "duplicates", "documents_read"),
        ("Rejects among records", "rejects", "records_read"),
    )
    return [_trend(name, totals, part, whole) for name, part, whole in wanted]


def _trend(name: str, totals: Sequence[tuple[str, Mapping[str, Any]]], part: str, whole: str) -> Trend:
    values = [(one[part] / one[whole] if one[whole] else 0.0) if whole else one[part] for _, one in totals]
    shown = [_share(one[part], one[whole]) if whole else _number(one[part]) for _, one in totals]
    top = max(*values, 0) or 1
    step = TREND_WIDTH / max(1, len(values) - 1)
    places = [(round(i * step, 1), round(TREND_HEIGHT * (1 - value / top), 1)) for i, value in enumerate(values)]
    dots = tuple((x, y, run, told) for (x, y), (run, _), told in zip(places, totals, shown, strict=True))
    return Trend(name, shown[-1], shown[-2], " ".join(f"{x},{y}" for x, y in places), dots)


def _funnel(totals: Mapping[str, Any], by_stage: Sequence[Mapping[str, Any]]) -> list[Level]:
    """The repaired text, what each step leaves of it, and what is kept."""
    whole = left = totals["chars_repaired"]
    levels = [Level("", "Repaired text", 0, whole, _bar(whole, whole))]
    for step in by_stage:
        left -= step["chars"]
        bar = Bar(_bar(left, whole).kept, _bar(step["chars"], whole).kept)
        levels.append(Level(step["stage"], ABOUT.get(step["stage"], step["stage"]), step["chars"], left, bar))
    kept = totals["chars_kept"]
    return [*levels, Level("", "Kept", 0, kept, _bar(kept, whole))]


def _step(
    step: Mapping[str, Any], rules: Sequence[Mapping[str, Any]], samples: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """A deciding step with its rules, those that took most first, each with its samples."""
    stage = step["stage"]
    taken: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for sample in samples:
        if sample["stage"] == stage:
            taken.setdefault((sample["rule"], sample["unit"]), []).append(sample)
    own = sorted((rule for rule in rules if rule["stage"] == stage), key=lambda r: (-r["chars"], r["rule"], r["unit"]))
    longest = own[0]["chars"] if own else 0
    shown = [{**r, "bar": _bar(r["chars"], longest), "samples": taken.get((r["rule"], r["unit"]), [])} for r in own]
    return {**step, "about": ABOUT.get(stage, ""), "rules": shown}


def _bar(part: float, whole: float) -> Bar:
    """A bar for `part`; what is there at all can be seen."""
    return Bar(round(max(part / whole * BAR, 2.0 if part > 0 else 0.0), 1) if whole else 0.0)


def _split(kept: int, removed: int) -> Bar:
    whole = kept + removed
    return Bar(_bar(kept, whole).kept, round(BAR - _bar(kept, whole).kept, 1)) if whole else Bar(0.0)


@lru_cache(maxsize=1)
def _template() -> Template:
    """The page's template. Every value passes `_shown`, then is escaped."""
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
        loader=FunctionLoader(lambda name: (_source(), name, None)),
        bytecode_cache=_Compiled(),
    )
    environment.filters.update(num=_number, share=_share, line=one_line)
    environment.globals.update(BAR=BAR, TREND_WIDTH=TREND_WIDTH, TREND_HEIGHT=TREND_HEIGHT, around_chars=AROUND_CHARS)
    return environment.get_template("page.html")


class _Compiled(BytecodeCache):
    """The compiled template, beside Python's own compiled files: to compile it takes a tenth of a second, in each run.

    Where Python keeps none, or can't, neither is it kept. One of another template or version is not taken.
    """

    def load_bytecode(self, bucket: Bucket) -> None:
        """Read what was kept."""
        with suppress(OSError), self._path().open("rb") as stream:
            bucket.load_bytecode(stream)

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep it, in one step."""
        if sys.dont_write_bytecode:
            return
        path = self._path()
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes(bucket.bytecode_to_string())
            part.replace(path)

    @staticmethod
    def _path() -> Path:
        return Path(cache_from_source(str(Path(__file__).with_name("page.html.py")))).with_suffix(".jinja")


@lru_cache(maxsize=1)
def _source() -> str:
    return resources.files("etl.report").joinpath("page.html").read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def _style_hash() -> str:
    """The hash by which the policy knows the page's style; the style has no value in it, so it is the template's own."""
    style = _source().split("<style>", 1)[1].split("</style>", 1)[0]
    return base64.b64encode(hashlib.sha256(style.encode("utf-8")).digest()).decode("ascii")


def _shown(value: object) -> object:
    return visible(value) if type(value) is str else value


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"


def _share(part: float, whole: float) -> str:
    """`part` of `whole` in percent; a share that is there is not shown as none, nor an incomplete one as all."""
    share = 100 * part / whole if whole else 0.0
    if 0 < share < 0.05:
        return "<\u202f0.1\u202f%"
    return ">\u202f99.9\u202f%" if 99.95 <= share < 100 else f"{share:.1f}\u202f%"
