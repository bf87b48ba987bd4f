"""Repeated captions: alternative text and caption go, verse, tables and sentences stay."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.boilerplate.captions import RULE, repeated_captions
from etl.boilerplate.lines import MARKS, split_lines

PROSE = "The harbour board met for six hours and put off its decision, because two of its members wanted to read the survey first."
CAPTION = "Alibaba Group chairman Jack Ma shares a light moment with President Duterte"


def cut_lines(*lines: str) -> list[int]:
    marks = repeated_captions(split_lines(pl.Series(["\n".join(lines)])))
    assert marks.schema == MARKS
    assert set(marks["rule"]) <= {RULE}
    return marks["line"].to_list()


@pytest.mark.parametrize(
    "pair",
    [
        (CAPTION, CAPTION),
        (CAPTION, CAPTION + "  "),
        (CAPTION, CAPTION.replace("moment", "moments")),
        (CAPTION, CAPTION + " © Rappler"),
        (CAPTION + " (Reuters)", CAPTION),
        ("Source: Rappler", "Source: Rappler"),
        ("1月16日，颁奖典礼在北京电视台大剧院举行 图", "1月16日，颁奖典礼在北京电视台大剧院举行 图"),
    ],
)
def test_a_caption_said_twice_goes_twice(pair: tuple[str, str]) -> None:
    assert cut_lines(PROSE, pair[0], "", pair[1], PROSE) == [1, 3]


def test_three_copies_go_and_four_are_a_table_or_a_refrain() -> None:
    assert cut_lines(PROSE, *[CAPTION] * 3, PROSE) == [1, 2, 3]
    assert cut_lines(PROSE, *[CAPTION] * 4, PROSE) == []


@pytest.mark.parametrize(
    "lines",
    [
        (
            PROSE,
            "The chairman spoke to the president for an hour.",
            "The chairman spoke to the president for an hour.",
            PROSE,
        ),
        (PROSE, "他在会上说了很久很久很久。", "他在会上说了很久很久很久。", PROSE),
        ("Row, row, row your boat", "Gently down the stream", "Gently down the stream", "Merrily, merrily"),
        (PROSE, "N/A", "N/A", PROSE),
        (PROSE, "---------------", "---------------", PROSE),
        (PROSE, "2019 2020 2021 2022", "2019 2020 2021 2022", PROSE),
        (PROSE, "Sales in 2019 by quarter", "Sales in 2018 by quarter", PROSE),
        (PROSE, "Sales in the north by quarter", "Sales in the south by quarter", PROSE),
        (CAPTION, CAPTION, PROSE),
        (PROSE, "The three causes:", "The three causes:", PROSE),
        (PROSE, CAPTION * 5, CAPTION * 5, PROSE),
        (PROSE, "Jack Ma met the president", "Jack Ma met the president and left for home", PROSE),
        (PROSE, CAPTION, PROSE, CAPTION, PROSE),
    ],
)
def test_what_is_no_repeated_caption_stays(lines: tuple[str, ...]) -> None:
    assert cut_lines(*lines) == []


def test_a_credit_goes_without_prose_beside_it() -> None:
    assert cut_lines("Photo: Jane Doe / Harbour", "Photo: Jane Doe / Harbour") == [0, 1]


def test_a_pair_does_not_reach_from_one_document_into_the_next() -> None:
    lines = split_lines(pl.Series([f"{PROSE}\n{CAPTION}", f"{CAPTION}\n{PROSE}"]))
    assert repeated_captions(lines).is_empty()


def test_no_lines_give_no_marks() -> None:
    assert repeated_captions(split_lines(pl.Series([], dtype=pl.String))).schema == MARKS


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from([PROSE, CAPTION, "Source: Rappler", "N/A", "Gently down the stream", ""]), max_size=9))
def test_what_goes_stood_beside_its_like(lines: list[str]) -> None:
    shown = [number for number, line in enumerate(lines) if line]
    for number in cut_lines(*lines):
        place = shown.index(number)
        beside = [lines[shown[other]] for other in (place - 1, place + 1) if 0 <= other < len(shown)]
        assert lines[number] in beside
