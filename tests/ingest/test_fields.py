from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.ingest.fields import columns_for, map_fields, parse_time, split_authors, to_lang


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2024-01-31", (2024, 1, 31)),
        ("2024-01-31T12:34:56Z", (2024, 1, 31, 12, 34, 56)),
        ("2024-01-31T12:34:56+02:00", (2024, 1, 31, 10, 34, 56)),
        ("2024-01-31 12:34:56.789", (2024, 1, 31, 12, 34, 56, 789000)),
        ("2024-01-31 12:34:56 +0100", (2024, 1, 31, 11, 34, 56)),
        ("2024-01-31 12:34:56 UTC", (2024, 1, 31, 12, 34, 56)),
        ("2024/01/31", (2024, 1, 31)),
        ("20240131", (2024, 1, 31)),
        (20240131, (2024, 1, 31)),
        ("20240131123456", (2024, 1, 31, 12, 34, 56)),
        ("Wed, 31 Jan 2024 12:34:56 GMT", (2024, 1, 31, 12, 34, 56)),
        ("Wed, 31 Jan 2024 12:34:56 -0500", (2024, 1, 31, 17, 34, 56)),
        ("Wed Jan 31 12:34:56 +0000 2024", (2024, 1, 31, 12, 34, 56)),
        ("Wed Jan 31 12:34:56 2024", (2024, 1, 31, 12, 34, 56)),
        ("January 31, 2024", (2024, 1, 31)),
        ("January 31st, 2024", (2024, 1, 31)),
        ("Jan 31, 2024 at 2:05 p.m.", (2024, 1, 31, 14, 5)),
        ("31 January 2024", (2024, 1, 31)),
        ("31.01.2024 12:34", (2024, 1, 31, 12, 34)),
        ("31/01/2024", (2024, 1, 31)),
        ("01/31/2024 12:34", (2024, 1, 31, 12, 34)),
        (1706704496, (2024, 1, 31, 12, 34, 56)),
        (1706704496000, (2024, 1, 31, 12, 34, 56)),
        ("1706704496", (2024, 1, 31, 12, 34, 56)),
        (1706704496.5, (2024, 1, 31, 12, 34, 56, 500000)),
        (-86400, (1969, 12, 31)),
        ("1851-09-18", (1851, 9, 18)),
        (datetime(2024, 1, 31), (2024, 1, 31)),
        ({"$date": "2024-01-31"}, (2024, 1, 31)),
    ],
)
def test_times_are_read_in_their_usual_forms(value: object, expected: tuple[int, ...]) -> None:
    assert parse_time(value) == datetime(*expected, tzinfo=UTC)  # type: ignore[misc, arg-type]


@pytest.mark.parametrize(
    "value",
    ["", "yesterday", "03/04/2024", "2024-13-01", "0000-00-00", True, [], 1e30, "9" * 40, "x" * 500, float("nan")],
)
def test_what_is_no_time_or_an_ambiguous_one_is_none(value: object) -> None:
    assert parse_time(value) is None


@given(st.one_of(st.text(max_size=40), st.integers(), st.floats(), st.datetimes(), st.none()))
def test_no_value_makes_a_time_raise(value: object) -> None:
    moment = parse_time(value)
    assert moment is None or moment.tzinfo is UTC


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Jane Doe", ["Jane Doe"]),
        ("By Jane Doe", ["Jane Doe"]),
        ("Jane Doe; John Roe", ["Jane Doe", "John Roe"]),
        ("Jane Doe, John Roe and Max B. Poe", ["Jane Doe", "John Roe", "Max B. Poe"]),
        ("Jane Doe & John Roe", ["Jane Doe", "John Roe"]),
        ("Doe, Jane", ["Doe, Jane"]),
        ("Doe, Jane; Roe, John", ["Doe, Jane", "Roe, John"]),
        ("Research and Markets", ["Research and Markets"]),
        ("Ludwig van Beethoven, Anna Anderson", ["Ludwig van Beethoven", "Anna Anderson"]),
        (["Jane Doe", "John Roe", "Jane Doe"], ["Jane Doe", "John Roe"]),
        (["Doe, Jane", None, 5], ["Doe, Jane"]),
        ([{"name": "Jane Doe"}, {"url": "x"}], ["Jane Doe"]),
        ({"name": "Jane Doe"}, ["Jane Doe"]),
        ("", None),
        ([], None),
        (5, None),
    ],
)
def test_authors_are_split_where_names_are_whole(value: object, expected: list[str] | None) -> None:
    assert split_authors(value) == expected


def test_languages_are_cut_to_their_first_part() -> None:
    assert [to_lang(x) for x in ("en", "en-US", "zh_Hant", "DE", "English", "", None)] == [
        "en",
        "en",
        "zh",
        "de",
        "English",
        None,
        None,
    ]


def test_names_are_compared_loosely_and_the_first_alias_wins() -> None:
    assert columns_for([" Raw-Content", "TEXT", "Published At", "x"]) == {
        "text": ("TEXT", " Raw-Content"),
        "published_at": ("Published At",),
    }
    assert map_fields({"body": "b", "text": "t"}).text == "t"


def test_a_record_with_thousands_of_long_names_is_no_trouble() -> None:
    assert map_fields({f"{'n' * 200}{i}": i for i in range(5000)} | {"text": "t"}).text == "t"


def test_a_long_name_beside_short_ones_changes_nothing() -> None:
    record = {"ID": 7, "text": None, "Body": "b", "link": " u ", "lang": "en-GB", "date": "2024-01-02", "author": "A B"}
    assert map_fields({**record, "n" * 41: "x", "n" * 200: "y"}) == map_fields(record)
    assert map_fields({}) == (None,) * 10
