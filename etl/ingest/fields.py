"""The record's fields under their usual names, mapped to those of the raw table: ids, addresses, authors, times."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Final, NamedTuple

ALIASES: Final[dict[str, tuple[str, ...]]] = {
    "text": ("text", "content", "body", "raw_content"),
    "html": ("html",),
    "source_id": ("id", "doc_id", "uid", "_id"),
    "url": ("url", "link", "uri"),
    "site": ("site", "domain", "source_domain"),
    "title": ("title", "headline"),
    "authors": ("authors", "author", "byline"),
    "published_at": ("published_at", "date", "timestamp", "published", "date_published", "pubdate"),
    "fetched_at": ("fetched_at", "crawled_at", "scraped_at", "fetch_time", "date_download"),
    "lang": ("lang", "language"),
}
"""Field -> the names it goes by, first found first taken; compared in lower case, with - and blanks as _."""

_LONGEST_NAME: Final = 40
_LONGEST_VALUE: Final = 10_000  # characters of an id, address or title that are kept
_LONGEST_TIME: Final = 80
_MOST_AUTHORS: Final = 100
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_TIME_FORMS: Final = (
    "%Y/%m/%d %H:%M:%S",
    "%Y/%m/%d %H:%M",
    "%Y/%m/%d",
    "%Y.%m.%d",
    "%d.%m.%Y %H:%M:%S",
    "%d.%m.%Y %H:%M",
    "%d.%m.%Y",
    "%d-%b-%Y",
    "%d %B %Y %H:%M:%S",
    "%d %B %Y %H:%M",
    "%d %B %Y",
    "%d %b %Y %H:%M:%S",
    "%d %b %Y %H:%M",
    "%d %b %Y",
    "%B %d %Y %I:%M %p",
    "%B %d %Y %H:%M",
    "%B %d %Y",
    "%b %d %Y %I:%M %p",
    "%b %d %Y %H:%M",
    "%b %d %Y",
    "%a %b %d %H:%M:%S %Y",
    "%a %b %d %H:%M:%S %z %Y",
    "%A %B %d %Y",
    "%A %d %B %Y",
    "%Y-%m-%d %H:%M:%S %z",
    "%Y-%m-%d %H:%M:%S.%f %z",
    "%Y-%m",
)
_ZONE_WORD: Final = re.compile(r" ?(?:UTC|GMT|Z)\Z")
_DAY_SUFFIX: Final = re.compile(r"\b(\d{1,2})(?:st|nd|rd|th)\b")


class Fields(NamedTuple):
    """What a record says of itself. text and html are None when it has none."""

    text: str | None
    html: str | None
    source_id: str | None
    url: str | None
    site: str | None
    title: str | None
    authors: list[str] | None
    published_at: datetime | None
    fetched_at: datetime | None
    lang: str | None


def map_fields(record: Mapping[str, object]) -> Fields:
    """The record's fields. A name that is there but null or blank gives way to the next alias."""
    names = tuple(record)
    if max(map(len, names), default=0) > _LONGEST_NAME:
        names = tuple([name for name in names if len(name) <= _LONGEST_NAME])
    plan = _plan(names)
    text, html, source_id, url, site, title, authors, published_at, fetched_at, lang = [
        _first(record, named) if named else None for named in plan
    ]
    return Fields(
        text if isinstance(text, str) else _first_str(record, plan[0]),
        html if isinstance(html, str) else _first_str(record, plan[1]),
        None if source_id is None else to_str(source_id),
        None if url is None else to_str(url),
        None if site is None else to_str(site),
        None if title is None else to_str(title),
        None if authors is None else split_authors(authors),
        None if published_at is None else parse_time(published_at),
        None if fetched_at is None else parse_time(fetched_at),
        None if lang is None else to_lang(lang),
    )


def columns_for(names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Field -> those of `names` that stand for it, best first. The fields that none stands for are left out."""
    plan = _plan(tuple(name for name in names if len(name) <= _LONGEST_NAME))
    return {field: found for field, found in zip(ALIASES, plan, strict=True) if found}


def to_str(value: object) -> str | None:
    """A short text as one line without blanks around it, a whole number as its digits, None for anything else."""
    if isinstance(value, str):
        return " ".join(value[:_LONGEST_VALUE].split()) or None
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 128:
        return str(value)
    return None


def to_lang(value: object) -> str | None:
    """A language tag's first part in lower case (`en` for `en-US`); a language's name is left as it is."""
    name = to_str(value)
    if name is None or len(name) > _LONGEST_NAME:
        return None
    first = name.replace("_", "-").split("-")[0]
    return first.lower() if len(first) in (2, 3) and first.isascii() and first.isalpha() else name


def split_authors(value: object) -> list[str] | None:
    """The authors named by a text, or by a list of texts or of objects with a `name`; None when there are none.

    A text is split at semicolons; at commas and the word "and" only if each part then is a full name, so that
    "Smith, John" and "Research and Markets" stay whole.
    """
    if isinstance(value, Mapping):
        value = value.get("name")
    if isinstance(value, list | tuple):
        items = [item.get("name") if isinstance(item, Mapping) else item for item in value[:_MOST_AUTHORS]]
        names = [
            n
            for item in items
            for n in (_split_names(item, only_semicolons=len(items) > 1) if isinstance(item, str) else ())
        ]
    else:
        names = _split_names(value) if isinstance(value, str) else []
    return list(dict.fromkeys(names))[:_MOST_AUTHORS] or None


def parse_time(value: object) -> datetime | None:
    """The instant that `value` names, in UTC; None when it can't be told. A time without a zone is UTC.

    Read are datetimes, ISO 8601, epoch seconds (or milli-, micro-, nanoseconds), RFC 2822, yyyymmdd[hhmmss] and the usual written
    forms in English; 03/04/2024 is ambiguous and gives None.
    """
    if isinstance(value, str):
        value = value.strip()
        return _parse_time_text(value) if 0 < len(value) <= _LONGEST_TIME else None
    if isinstance(value, datetime):
        return _to_utc(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _from_number(value)
    if isinstance(value, Mapping):  # MongoDB's {"$date": …}
        inner = value.get("$date")
        return parse_time(inner) if isinstance(inner, str | int | float) else None
    return None


def _first(record: Mapping[str, object], names: tuple[str, ...]) -> object:
    """The value of the first of `names` that has one, None when none has."""
    for name in names:
        value = record[name]
        if value is not None and value != "" and value != []:
            return value
    return None


def _first_str(record: Mapping[str, object], names: tuple[str, ...]) -> str | None:
    return next((v for n in names if isinstance(v := record[n], str) and v), None)


@lru_cache(maxsize=1024)
def _plan(names: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """For each field in the order of ALIASES, those of `names` that stand for it, best first."""
    known: dict[str, list[str]] = {}
    for name in names:
        known.setdefault(name.strip().lower().replace("-", "_").replace(" ", "_"), []).append(name)
    known["pubdate"] = known.get("pubdate", []) + known.get("pub_date", [])
    return tuple(tuple(name for alias in aliases for name in known.get(alias, ())) for aliases in ALIASES.values())


def _split_names(value: str, *, only_semicolons: bool = False) -> list[str]:
    value = " ".join(value[:_LONGEST_VALUE].split())
    if value[:3].lower() == "by ":
        value = value[3:]
    names: list[str] = []
    for part in value.split(";"):
        finer = [x.strip() for piece in part.split(",") for y in piece.split(" and ") for x in y.split(" & ")]
        finer = [x.removeprefix("and ") for x in finer if x]
        whole = only_semicolons or len(finer) < 2 or not all(_is_full_name(x) for x in finer)
        names += [part.strip(" ,")] if whole else finer
    return [n for n in names if n]


def _is_full_name(name: str) -> bool:
    """Whether `name` has a first and a last name: two to five words that begin with a capital (or a particle), no digits."""
    words = name.split()
    return (
        2 <= len(words) <= 5 and not any(c.isdigit() for c in name) and words[0][0].isupper() and words[-1][0].isupper()
    )


@lru_cache(maxsize=4096)
def _parse_time_text(value: str) -> datetime | None:
    try:
        return _to_utc(datetime.fromisoformat(_ZONE_WORD.sub("", value)))
    except ValueError:
        pass
    if value.isascii() and value.replace(".", "", 1).lstrip("-").isdigit():
        if len(value) in (12, 14):  # Wayback's stamp
            moment = _strptime(value, "%Y%m%d%H%M%S" if len(value) == 14 else "%Y%m%d%H%M")
            if moment is not None:
                return moment
        return _from_number(float(value))
    try:
        return _to_utc(parsedate_to_datetime(value))
    except (ValueError, TypeError, IndexError, OverflowError):
        pass
    plain = _DAY_SUFFIX.sub(r"\1", _ZONE_WORD.sub("", value)).replace(",", " ").replace(" at ", " ")
    plain = " ".join(plain.replace("Sept ", "Sep ").replace("a.m.", "AM").replace("p.m.", "PM").split())
    moments = (_strptime(plain, form) for form in _TIME_FORMS)
    return next((m for m in moments if m is not None), None) or _slashed(plain)


def _slashed(value: str) -> datetime | None:
    """31/01/2024 or 01/31/2024, when only one reading is a date."""
    _, _, time = value.partition(" ")
    clock = "%H:%M:%S" if time.count(":") == 2 else "%H:%M"
    forms = [f"{form} {clock}" if time else form for form in ("%d/%m/%Y", "%m/%d/%Y")]
    moments = {m for m in (_strptime(value, form) for form in forms) if m is not None}
    return moments.pop() if len(moments) == 1 else None


def _strptime(value: str, form: str) -> datetime | None:
    try:
        return _to_utc(datetime.strptime(value, form))
    except ValueError:
        return None


def _from_number(value: float) -> datetime | None:
    """Epoch seconds, or finer units by size; eight digits that are a day are that day (20240131)."""
    if isinstance(value, int) and 1900_00_00 < value < 2100_00_00:
        return _strptime(str(value), "%Y%m%d") or _after_epoch(value)
    size = abs(value)
    for limit, unit in ((1e11, 1), (1e14, 1_000), (1e17, 1_000_000), (1e20, 1_000_000_000)):
        if size < limit:
            return _after_epoch(value / unit)
    return None


def _after_epoch(seconds: float) -> datetime | None:
    try:
        return _EPOCH + timedelta(seconds=seconds)
    except (OverflowError, ValueError):
        return None


def _to_utc(moment: datetime) -> datetime | None:
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (OverflowError, ValueError):
        return None
