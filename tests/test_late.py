"""Patterns that are compiled when they are first asked something."""

from __future__ import annotations

import pickle
import re

import pytest

from etl import late


def test_a_late_pattern_answers_as_the_compiled_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    text, told = "one TWO three", r"(?P<word>\bt\w)(\w+)"
    mine, other = late.late(told, re.IGNORECASE), re.compile(told, re.IGNORECASE)
    assert mine.pattern == other.pattern
    for method in ("match", "search", "fullmatch"):
        found, expected = getattr(mine, method)(text, 4), getattr(other, method)(text, 4)
        assert (found and found.groupdict(), found and found.span()) == (
            expected and expected.groupdict(),
            expected and expected.span(),
        )
    assert [m.span() for m in mine.finditer(text)] == [m.span() for m in other.finditer(text)]
    assert (mine.findall(text), mine.split(text), mine.sub("-", text)) == (
        other.findall(text),
        other.split(text),
        other.sub("-", text),
    )
    assert (mine.groups, mine.flags) == (other.groups, other.flags)
    monkeypatch.setattr(re, "compile", None)
    assert mine.search(text)  # compiled once


def test_every_late_pattern_of_the_package_can_be_compiled() -> None:
    from etl import stages  # noqa: F401

    assert len(late._waiting) > 20
    late.compile_all()


def test_a_late_pattern_can_be_copied() -> None:
    copied = pickle.loads(pickle.dumps(late.late(r"\d+", re.ASCII)))
    assert copied.search("a 12").group() == "12"
