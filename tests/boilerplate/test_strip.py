"""One decision for each line, whatever the steps say, and what is left of the text."""

from __future__ import annotations

import polars as pl
import pytest

from etl.boilerplate import strip
from etl.boilerplate.lines import split_lines

TEXTS = ["one\ntwo\n\nthree four five", "six"]


def marks(*told: tuple[int, int, int, int, str, str]) -> pl.DataFrame:
    """Marks of rows doc, line, start, end, unit, rule."""
    names = ("doc", "line", "start", "end", "unit", "rule")
    rows = [{**dict(zip(names, one, strict=True)), "score": 1.0, "reason": "", "stage": "rules"} for one in told]
    return pl.DataFrame(rows, schema=strip.STAGED)


WHOLE = (0, 1, 4, 7, "line", "a")


@pytest.mark.parametrize(
    ("told", "decided", "left"),
    [
        ([], [], ["one", "two", "three four five", "six"]),
        ([WHOLE, (0, 1, 4, 7, "line", "b")], [(4, 7, "a")], ["one", "three four five", "six"]),
        ([(1, 0, 0, 3, "line", "b"), WHOLE], [(4, 7, "a"), (0, 3, "b")], ["one", "three four five"]),
        ([(0, 1, 4, 5, "span", "b"), WHOLE], [(4, 7, "a")], ["one", "three four five", "six"]),
        ([(0, 3, 9, 14, "span", "b"), WHOLE], [(4, 7, "a"), (9, 14, "b")], ["one", " four five", "six"]),
        (
            [(0, 3, 20, 24, "span", "c"), (0, 3, 15, 19, "span", "b"), (0, 3, 9, 16, "span", "a")],
            [(9, 16, "a"), (20, 24, "c")],
            ["one", "two", "our ", "six"],
        ),
        ([(0, 0, 0, 3, "span", "a")], [(0, 3, "a")], ["two", "three four five", "six"]),
    ],
)
def test_the_first_mark_of_a_line_counts_and_spans_that_overlap_it_or_each_other_do_not(
    told: list[tuple[int, int, int, int, str, str]], decided: list[tuple[int, int, str]], left: list[str]
) -> None:
    lines = split_lines(pl.Series(TEXTS))
    known = strip._Rows.of(lines)
    found = strip._one_decision_a_line(marks(*told), known)
    assert found.select("start", "end", "rule").rows() == decided
    assert strip._left(lines, found, known)["text"].to_list() == left
