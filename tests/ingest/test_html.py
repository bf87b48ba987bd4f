from __future__ import annotations

import time
from datetime import UTC, datetime

import lxml.html
import pytest
from trafilatura.metadata import extract_metadata

from etl.ingest import html
from etl.ingest.records import Unreadable
from etl.schema import MARKUP

WORDS = "The committee met on Tuesday and agreed on a budget for the coming year, a spokesman said. "


def test_all_that_can_be_seen_is_text_and_metadata_is_read() -> None:
    page = html.html_to_document(
        f"""<!DOCTYPE html><html lang="en"><head><title>Budget agreed - The Daily</title>
        <meta property="og:site_name" content="The Daily"><meta name="author" content="Jane Doe; John Roe">
        <meta property="article:published_time" content="2024-01-31T08:00:00Z">
        <link rel="canonical" href="https://daily.example/budget"></head><body>
        <nav><ul><li><a href="/a">Home</a></li><li><a href="/b">Sports</a></li></ul></nav>
        <article><h1>Budget agreed</h1><p>{WORDS * 3}</p><h2>What comes next</h2><ul><li>{WORDS}</li><li>Second item here</li></ul>
        <table><tr><th>Year</th><th>Sum</th></tr><tr><td>2024</td><td>5 million</td></tr></table><p>{WORDS * 2}</p></article>
        <footer>© The Daily</footer></body></html>""",
        None,
    )
    lines = page.text.split("\n")
    assert lines[:2] == ["Home", "Sports"]
    assert lines[-1] == "© The Daily"
    assert "What comes next" in lines
    assert "Second item here" in lines
    assert "2024 | 5 million" in lines
    assert page.markup is not None
    assert len(page.markup) == len(lines) * len(MARKUP)
    assert (page.title, page.site, page.url) == ("Budget agreed", "The Daily", "https://daily.example/budget")
    assert page.authors == ["Jane Doe", "John Roe"]
    assert page.published_at == datetime(2024, 1, 31, tzinfo=UTC)


DATES = {"original_date": True, "extensive_search": False, "max_date": "2100-01-01"}


@pytest.mark.parametrize(
    "head",
    [
        "<title>Budget agreed - the daily.example</title><meta name='author' content='Jane'>",
        "<title>Budget agreed</title><meta property='og:site_name' content='the daily'><meta name='author' content='Jane Doe'>",
        "<title>Budget agreed</title><link rel='canonical' href='https://www.daily.example/budget'><meta name='date' content='2024-01-31'>",
        """<script type="application/ld+json">{"@type": "NewsArticle", "author": {"name": "Jane Doe"}, "headline": "Budget",
        "datePublished": "2024-01-31", "publisher": {"name": "@daily"}}</script>""",
        """<script type="application/ld+json">{"@type": ["NewsArticle", 5], "author": [[]], "publisher": 7}</script>""",
    ],
)
def test_metadata_is_what_trafilatura_finds(head: str) -> None:
    page = lxml.html.fromstring(
        f"""<html><head>{head}</head><body><h1>Budget agreed</h1><p class="byline">By John Roe</p><p>{WORDS}</p>
        <footer><a rel="license" href="https://creativecommons.org/licenses/by/4.0/">CC BY</a></footer></body></html>"""
    )
    told, theirs = html._metadata(page, None), extract_metadata(page, None, dict(DATES))
    for name in ("title", "author", "date", "url", "sitename"):
        assert getattr(told, name) == getattr(theirs, name), name


def test_a_short_page_falls_back_to_what_there_is() -> None:
    assert html.html_to_document("<html><body><p>Just one line.</p></body></html>", None).text == "Just one line."
    assert html.html_to_document("No markup at all, just words.", None).text == "No markup at all, just words."


@pytest.mark.parametrize(
    "markup",
    [
        "",
        "<html></html>",
        "<html><body><script>var a = 'text';</script><style>p{}</style><!-- x --></body></html>",
        "<p>&nbsp;</p>",
    ],
)
def test_a_page_without_text_is_refused(markup: str) -> None:
    with pytest.raises(Unreadable, match="NoText"):
        html.html_to_document(markup, None)


_HOSTILE = {
    "nested": "<html><body>" + "<div>" * 100_000 + WORDS * 5 + "</div>" * 100_000,
    "below the limit, nested": "<html><body>" + "<div><b>" * 12_000 + WORDS * 5,
    "tables": "<html><body>" + "<table><tr><td>" * 10_000 + WORDS * 5,
    "huge": "<html><body><article>" + f"<p>{WORDS}</p>" * 330_000,
    "one tag": "<html><body><p " + "a" * 12_000_000 + ">" + WORDS,
    "attributes": "<html><body><p " + " ".join(f'a{i}="x"' for i in range(30_000)) + f">{WORDS}</p></body></html>",
    "open brackets": WORDS + "<" * 200_000,
    "comments": "<html><body><!--" + "<!-- -- >" * 5_000 + WORDS,
    "entities": "<html><body><p>" + "&amp;" * 100_000 + WORDS,
    "controls": "<html><body><p>\0\x01\x02" + WORDS + "\ufffe\x0b</p>",
}


@pytest.mark.parametrize("name", _HOSTILE)
def test_hostile_markup_is_over_soon_and_keeps_its_text(name: str) -> None:
    started = time.process_time()
    try:
        text = html.html_to_document(_HOSTILE[name], None).text
    except Unreadable:
        assert name == "comments"  # all of it is one comment that never ends
    else:
        assert "budget for the coming year" in text
    assert time.process_time() - started < 15


def test_a_page_whose_text_is_data_for_a_script_has_that_text() -> None:
    page = html.html_to_document(
        "<html><body><p>Loading</p>"
        f'<script type="application/ld+json">{{"@type": "NewsArticle", "articleBody": "{WORDS * 4}"}}</script></body></html>',
        None,
    )
    assert page.text == (WORDS * 4).strip()
    assert page.markup is None


def test_tags_are_stripped_a_block_a_line() -> None:
    markup = "<p>One <b>bold</b>\nword</p><script>x</script><div>Two<br>Three &amp; four</div>a < b"
    assert html.strip_tags(markup) == "One bold word\nTwo\nThree & four\na < b"


def test_the_same_page_gives_the_same_document_whatever_was_read_before() -> None:
    markup = (
        f"<html><body><article><p>{WORDS * 3}</p><p>{WORDS.replace('budget', 'plan') * 3}</p></article></body></html>"
    )
    first = html.html_to_document(markup, None)
    for _ in range(5):
        assert html.html_to_document(markup, None) == first
