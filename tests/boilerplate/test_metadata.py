"""Titles, sites, authors and dates out of text, and what the lines that carry them cost: nothing of the article."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.boilerplate import metadata
from etl.boilerplate.lines import MARKS, split_lines

PAGES = Path(__file__).parents[1] / "pages" / "news"

DOCS = {
    "doc": pl.UInt32(),
    "title": pl.String(),
    "site": pl.String(),
    "authors": pl.List(pl.String()),
    "published_at": pl.Datetime("us", "UTC"),
    "url": pl.String(),
    "lang": pl.String(),
    "fetched_at": pl.Datetime("us", "UTC"),
}

BODY = (
    "The harbour at Larnova was closed for most of the winter after the ferry company lost its licence, and the town "
    "has been waiting for the inspectors ever since, the mayor told the council on Monday."
)
MORE = (
    "Nobody on the ferry company's board would say when the licence might come back, although two of the inspectors "
    "have been seen at the harbour this week, and a third is expected before the end of the month."
)


def extract(*texts: str, **given_values: object) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Marks and findings for `texts`; a keyword gives every document that value."""
    rows = [{"doc": n, **given_values} for n in range(len(texts))]
    docs = pl.DataFrame(rows, schema=DOCS)
    return metadata.extract(split_lines(pl.Series(texts, dtype=pl.String)), docs)


def cut(text: str, marks: pl.DataFrame, doc: int = 0) -> list[tuple[str, str]]:
    """What the marks cut of `text`: (rule, text)."""
    rows = marks.filter(pl.col("doc") == doc).select("rule", "start", "end").iter_rows()
    return [(rule, text[start:end]) for rule, start, end in rows]


def page(*head: str, blank: bool = False) -> str:
    return ("\n\n" if blank else "\n").join([*head, BODY, MORE])


# ---- seed pages -----------------------------------------------------------------------------------------

SEEDS = tuple(path.read_text(encoding="utf-8") for path in sorted(PAGES.glob("*.txt")))
DATED = SEEDS[2]


def test_the_seed_pages_give_their_titles_sites_authors_and_dates() -> None:
    _, found = extract(*SEEDS)
    assert found.select("title", "site", "authors").rows() == [
        ("The Reason Behind Philippines' Partnership with Alibaba", None, None),
        ("Philippines wants Jack Ma to help improve governance with tech", None, None),
        (None, None, None),
        ("China’s Alibaba enters Pakistan market, MoU signed", None, ["Omar Malik"]),
        (
            "Alibaba bringing Belt & Road benefits to smaller firms",
            "What’s Up China",
            ["Jing Shuiyu", "Qi Xin", "He Wei"],
        ),
    ]
    assert [day and day.date().isoformat() for day in found["published_at"]] == [None, None, "2018-01-30", None, None]


@pytest.mark.parametrize(
    ("doc", "expected"),
    [
        (0, ["title", "repeated-title"]),
        (1, ["title", "repeated-title"]),
        (2, ["date-prefix"]),
        (3, ["title", "byline"]),
        (4, ["title-site-suffix", "byline"]),
    ],
)
def test_the_seed_pages_lose_those_lines_and_no_others(doc: int, expected: list[str]) -> None:
    marks, _ = extract(*SEEDS)
    assert [rule for rule, _ in cut(SEEDS[doc], marks, doc)] == expected


def test_a_date_prefix_goes_as_a_span_and_its_paragraph_stays() -> None:
    marks, _ = extract(DATED)
    assert cut(DATED, marks) == [("date-prefix", " date 2018-01-30 ")]
    assert marks["unit"].to_list() == ["span"]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_second_run_over_what_is_left_marks_nothing_more(seed: str) -> None:
    marks, found = extract(seed)
    left = seed
    for start, end in marks.sort("start", descending=True).select("start", "end").iter_rows():
        left = left[:start] + left[end:]
    docs = found.with_columns(url=pl.lit(None, pl.String))
    if docs["title"][0] is None:
        docs = docs.with_columns(title=pl.lit("A title that the record gave"))
    again, _ = metadata.extract(split_lines(pl.Series([left])), docs)
    assert again.is_empty()


# ---- titles -----------------------------------------------------------------------------------------------------------

TITLE = "Harbour town waits for its ferry inspectors"


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        (TITLE, "repeated-title"),
        (TITLE.upper(), "repeated-title"),
        ("Harbour town waits for its ferry inspectors!", "repeated-title"),
        ("“Harbour town waits for its ferry inspectors”", "repeated-title"),
        ("Harbour town waits for the ferry inspectors", "repeated-title"),
        (TITLE + " | The Coast", "title-site-suffix"),
        (TITLE + " - The Coast", "title-site-suffix"),
        (TITLE + " – The Coast", "title-site-suffix"),
        ("Harbour town waits for its ferry…", "repeated-title"),
    ],
)
def test_a_line_that_says_the_known_title_goes(line: str, rule: str) -> None:
    text = page(line)
    marks, found = extract(text, title=TITLE)
    assert cut(text, marks) == [(rule, line)]
    assert found["title"].to_list() == [TITLE]


def test_a_site_behind_the_known_title_fills_an_empty_site_only() -> None:
    text = page(TITLE + " | The Coast")
    assert extract(text, title=TITLE)[1]["site"].to_list() == ["The Coast"]
    assert extract(text, title=TITLE, site="coast.example")[1]["site"].to_list() == ["coast.example"]


def test_a_known_title_with_the_site_finds_the_line_without_it() -> None:
    text = page(TITLE)
    marks, _ = extract(text, title=TITLE + " | The Coast")
    assert cut(text, marks) == [("repeated-title", TITLE)]


def test_the_title_as_a_whole_line_goes_wherever_it_stands() -> None:
    text = "\n".join(
        [BODY, MORE, MORE[::-1] + ".", BODY + " Again.", MORE + " Again.", "x" * 150 + ".", TITLE, "y" * 150 + "."]
    )
    marks, _ = extract(text, title=TITLE)
    assert cut(text, marks) == [("repeated-title", TITLE)]


@pytest.mark.parametrize(
    "line",
    [
        f"“{TITLE}”, the paper wrote on Monday, and the mayor laughed when she read it aloud to the council.",
        f"She read the headline, {TITLE}, twice.",
        "Ferry inspectors",
        "Harbour town waits for its first tourists since the war",
    ],
)
def test_a_quoted_title_in_prose_is_kept(line: str) -> None:
    marks, _ = extract("\n".join([BODY, line, MORE]), title=TITLE)
    assert marks.is_empty()


@pytest.mark.parametrize(
    "head",
    [
        ("The Coast", TITLE, "By Anna Kowalska"),
        (TITLE + " | The Coast", "Home", "News", TITLE),
        ("Home", "News", "Sport", TITLE, "January 5, 2018"),
        (TITLE, "Share this on", TITLE),
    ],
)
def test_a_title_with_evidence_around_it_is_told_and_goes(head: tuple[str, ...]) -> None:
    text = page(*head)
    marks, found = extract(text)
    assert found["title"].to_list() == [TITLE]
    assert TITLE in [what for _, what in cut(text, marks)]


def test_a_title_is_told_by_the_words_of_the_address() -> None:
    text = page("Weather", "Ferry timetable for the winter months", TITLE, "Traffic", "Most read this week")
    _, found = extract(text, url="https://coast.example/2018/harbour-town-waits-for-its-ferry-inspectors.html")
    assert found["title"].to_list() == [TITLE]


def test_a_title_without_evidence_is_told_and_its_line_stays() -> None:
    marks, found = extract(page(TITLE))
    assert found["title"].to_list() == [TITLE]
    assert marks.is_empty()


@pytest.mark.parametrize(
    "text",
    [
        "\n".join([BODY, MORE]),
        "\n\n".join([BODY, "What the inspectors want", MORE]),
        "\n".join(["One short line", "Another short line", "And a third one"]),
        "\n".join(
            ["Short verse lines are all", "that this poem has", "", "and some are left blank", "between the others"]
        ),
    ],
)
def test_text_without_a_title_line_keeps_every_line(text: str) -> None:
    marks, _ = extract(text)
    assert marks.is_empty()


def test_a_first_paragraph_is_no_title() -> None:
    assert extract("\n".join([BODY, MORE]))[1]["title"].to_list() == [None]


# ---- bylines ----------------------------------------------------------------------------------------------------------

BYLINES = [
    (
        "By Jing Shuiyu and Qi Xin in Zhengzhou and He Wei in Shanghai | China Daily",
        ["Jing Shuiyu", "Qi Xin", "He Wei"],
    ),
    ("by Omar Malik", ["Omar Malik"]),
    ("By: Tom Becker - The Herald", ["Tom Becker"]),
    ("Posted by Lucy Chen | AFP", ["Lucy Chen"]),
    ("By Jenny Hope, Medical Correspondent", ["Jenny Hope"]),
    ("By Mary O'Neill & Tom McDonald", ["Mary O'Neill", "Tom McDonald"]),
    ("By John Smith for MailOnline", ["John Smith"]),
    ("Von Anna Müller und Peter Klein", ["Anna Müller", "Peter Klein"]),
    ("Par Jean-Luc Dupont", ["Jean-Luc Dupont"]),
    ("Por María de la Cruz", ["María de la Cruz"]),
    ("Por João Silva e Ana Costa", ["João Silva", "Ana Costa"]),
    ("Di Mario Rossi", ["Mario Rossi"]),
    ("Door Jan de Vries", ["Jan de Vries"]),
    ("Autor: Katarzyna Frankowska", ["Katarzyna Frankowska"]),
    ("Автор: Иван Петров", ["Иван Петров"]),
    ("Yazan: Ahmet Yılmaz", ["Ahmet Yılmaz"]),
    ("Του Γιώργου Παπαδόπουλου", ["Γιώργου Παπαδόπουλου"]),
    ("بقلم: محمد علي", ["محمد علي"]),
    ("文/张三 李四", ["张三", "李四"]),
    ("記者丁彥伶／台北報導", ["丁彥伶"]),
    ("文＝山田太郎", ["山田太郎"]),
    ("홍길동 기자 hong@daum.net", ["홍길동"]),
    ("Oleh Budi Santoso", ["Budi Santoso"]),
]


@pytest.mark.parametrize(("line", "authors"), BYLINES)
def test_a_byline_goes_and_names_the_authors(line: str, authors: list[str]) -> None:
    text = page(TITLE, line)
    marks, found = extract(text, title=TITLE)
    assert ("byline", line) in cut(text, marks)
    assert found["authors"].to_list() == [authors]


@pytest.mark.parametrize(
    "line",
    [
        "By the time he arrived the ferry had left",
        "By 2020 the city",
        "By Design",
        "Por favor",
        "Von wegen",
        "Par exemple",
        "By Monday the harbour was closed, and the inspectors had gone.",
        "Door to door",
        "Di nuovo in mare",
    ],
)
def test_a_heading_that_begins_like_a_byline_is_kept(line: str) -> None:
    text = page(TITLE, line)
    marks, found = extract(text, title=TITLE)
    assert cut(text, marks) == [("repeated-title", TITLE)]
    assert found["authors"].to_list() == [None]


def test_a_bare_name_between_title_and_body_is_a_byline_only_when_it_stands_alone() -> None:
    alone = "\n\n".join([TITLE, "Omar Malik", BODY]) + "\n" + MORE + "\n" + BODY
    assert ("byline", "Omar Malik") in cut(alone, extract(alone, title=TITLE)[0])
    joined = page(TITLE, "Omar Malik")
    assert cut(joined, extract(joined, title=TITLE)[0]) == [("repeated-title", TITLE)]


def test_authors_of_the_input_win() -> None:
    assert extract(page("By Omar Malik"), authors=["Rosa Diaz"])[1]["authors"].to_list() == [["Rosa Diaz"]]


# ---- dates ------------------------------------------------------------------------------------------------------------

DATES = [
    ("January 5, 2018", "2018-01-05T00:00"),
    ("5 Jan 2018 10:23 GMT", "2018-01-05T10:23"),
    ("Posted on 5th of March 2019", "2019-03-05T00:00"),
    ("Updated: 2018-01-30T10:22:33+08:00", "2018-01-30T02:22"),
    ("Last updated at 1:49 AM on 12th January 2012", "2012-01-12T01:49"),
    ("Freitag, 5. März 2021, 14:30 Uhr", "2021-03-05T14:30"),
    ("Publié le 3 août 2018 à 10h22", "2018-08-03T10:22"),
    ("1 de enero de 2018", "2018-01-01T00:00"),
    ("Publicado em 7 de março de 2018", "2018-03-07T00:00"),
    ("Pubblicato il 9 luglio 2018", "2018-07-09T00:00"),
    ("Geplaatst op 4 augustus 2018", "2018-08-04T00:00"),
    ("Sobota, 31 grudnia 2011 (06:50)", "2011-12-31T06:50"),
    ("5 января 2012, 14:40", "2012-01-05T14:40"),
    ("5 Şubat 2018 Pazartesi", "2018-02-05T00:00"),
    ("ΔΗΜΟΣΙΕΥΣΗ: 31 Ιανουαρίου 2018", "2018-01-31T00:00"),
    ("الخميس 5 يناير 2018", "2018-01-05T00:00"),
    ("٥ يناير ٢٠١٨", "2018-01-05T00:00"),
    ("2012年01月12日 16:30", "2012-01-12T16:30"),
    ("公開日：2018年1月5日", "2018-01-05T00:00"),
    ("입력 2018년 1월 5일 오후 2:05", "2018-01-05T14:05"),
    ("Kamis, 04 Jan 2018 10:22 WIB", "2018-01-04T03:22"),
    ("22. ledna 2018", "2018-01-22T00:00"),
    ("13/04/2018", "2018-04-13T00:00"),
    ("04/13/2018", "2018-04-13T00:00"),
    ("03.04.2018", "2018-04-03T00:00"),
    ("Publié le 03/04/2018", "2018-04-03T00:00"),
]


@pytest.mark.parametrize(("line", "expected"), DATES)
def test_a_dateline_goes_and_tells_the_date(line: str, expected: str) -> None:
    text = page(TITLE, line)
    marks, found = extract(text, title=TITLE)
    assert ("dateline", line) in cut(text, marks)
    assert found["published_at"][0].strftime("%Y-%m-%dT%H:%M") == expected


@pytest.mark.parametrize(
    "line", ["03/04/2018", "31/02/2018", "January 5, 1918", "January 5, 2199", "13/13/2018", "May 2018"]
)
def test_a_date_with_two_readings_or_none_is_refused(line: str) -> None:
    marks, found = extract(page(TITLE, line), title=TITLE)
    assert marks["rule"].to_list() == ["repeated-title"]
    assert found["published_at"].to_list() == [None]


def test_the_language_decides_between_day_and_month() -> None:
    assert extract(page("03/04/2018"), lang="fr")[1]["published_at"][0] == datetime(2018, 4, 3, tzinfo=UTC)
    assert extract(page("03/04/2018"), lang="en")[1]["published_at"][0] is None


def test_a_date_after_the_page_was_fetched_is_not_believed() -> None:
    fetched = datetime(2018, 1, 1, tzinfo=UTC)
    assert extract(page("January 5, 2018"), fetched_at=fetched)[1]["published_at"].to_list() == [None]


@pytest.mark.parametrize(
    "line",
    [
        "On January 5, 2018, the ferry company lost its licence",
        "The strike of January 5, 2018 at 10:30",
        "Between 2018-01-30 and the summer nothing moved",
    ],
)
def test_a_line_that_says_more_than_a_date_is_kept(line: str) -> None:
    text = "\n".join([BODY, line, MORE])
    assert extract(text)[0].is_empty()


def test_a_date_between_paragraphs_is_a_heading_and_stays() -> None:
    assert extract("\n".join([BODY, "January 5, 2018", MORE]))[0].is_empty()


def test_the_date_of_publication_wins_over_that_of_an_update() -> None:
    text = page(TITLE, "Updated: 7 March 2019", "Published: 5 March 2019")
    assert extract(text)[1]["published_at"][0] == datetime(2019, 3, 5, tzinfo=UTC)


# ---- properties ---------------------------------------------------------------------------------------------------------

LINES = st.sampled_from(
    [
        TITLE,
        BODY,
        MORE,
        "",
        " ",
        "Home",
        "By Omar Malik",
        "5 Jan 2018",
        "date 2018-01-30 " + BODY,
        "文/张三",
        "|",
        "…",
        TITLE + " | X",
    ]
)
TEXTS = st.lists(st.lists(LINES | st.text(max_size=40), max_size=8).map("\n".join), max_size=5)


@settings(max_examples=40, deadline=None)
@given(texts=TEXTS, title=st.sampled_from([None, TITLE, "", "|"]))
def test_marks_lie_within_their_lines_and_never_overlap(texts: list[str], title: str | None) -> None:
    marks, found = extract(*texts, title=title)
    assert marks.schema == MARKS
    assert found.schema == metadata.FOUND
    assert found["doc"].to_list() == list(range(len(texts)))
    lines = split_lines(pl.Series(texts, dtype=pl.String))
    inside = marks.join(lines, on=["doc", "line"], suffix="_line")
    assert inside.height == marks.height
    assert inside.filter((pl.col("start") < pl.col("start_line")) | (pl.col("end") > pl.col("end_line"))).is_empty()
    assert inside.filter((pl.col("unit") == "line") & (pl.col("end") != pl.col("end_line"))).is_empty()
    assert marks.select("doc", "line").is_unique().all()


@settings(max_examples=25, deadline=None)
@given(texts=st.lists(st.sampled_from([*SEEDS, page(TITLE, "By Omar Malik"), BODY, ""]), min_size=1, max_size=6))
def test_what_a_page_loses_does_not_depend_on_the_others_in_the_batch(texts: list[str]) -> None:
    marks, found = extract(*texts)
    for doc, text in enumerate(texts):
        own, own_found = extract(text)
        assert cut(text, marks, doc) == cut(text, own)
        assert found.drop("doc").row(doc) == own_found.drop("doc").row(0)


def test_no_lines_and_no_documents_are_fine() -> None:
    marks, found = extract()
    assert marks.schema == MARKS
    assert found.is_empty()
    assert extract("", "\n")[1]["title"].to_list() == [None, None]


def test_documents_may_lack_the_columns_that_only_help() -> None:
    docs = pl.DataFrame([{"doc": 0}], schema={name: DOCS[name] for name in metadata.FOUND.names()})
    _, found = metadata.extract(split_lines(pl.Series([page("The Coast", TITLE, "By Omar Malik")])), docs)
    assert found["authors"].to_list() == [["Omar Malik"]]
