from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from etl.ingest import html
from etl.ingest.records import Unreadable
from etl.schema import LINK_LEVELS, markup_letter

WORDS = "The committee met on Tuesday and agreed on a budget for the coming year, a spokesman said. "


def says(page: html.Page) -> dict[str, str]:
    """The letter of each line."""
    assert page.markup is not None
    return dict(zip(page.text.split("\n"), page.markup, strict=True))


def test_every_visible_line_is_there_with_what_the_markup_says_of_it() -> None:
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
    lines = says(page)
    assert lines["Home"] == lines["Sports"] == markup_letter(LINK_LEVELS - 1, is_main=False)
    assert lines["© The Daily"] == markup_letter(0, is_main=False)
    assert lines["What comes next"] == lines[f"{WORDS * 3}".strip()] == markup_letter(0, is_main=True)
    assert lines["2024 | 5 million"] == lines["Second item here"] == markup_letter(0, is_main=True)
    assert (page.title, page.site, page.url) == ("Budget agreed", "The Daily", "https://daily.example/budget")
    assert page.authors == ["Jane Doe", "John Roe"]
    assert page.published_at == datetime(2024, 1, 31, tzinfo=UTC)


@pytest.mark.parametrize(
    ("markup", "lines"),
    [
        (
            "<p>One <b>bold</b>\n word</p>and a tail<br>Two<br><br>Three",
            ["One bold word", "and a tail", "Two", "Three"],
        ),
        ("<div>Out<p>in <a href=x>link</a></p>side</div><ul><li>a<li>b</ul>", ["Out", "in link", "side", "a", "b"]),
        (
            "<table><tr><td>1<td>2<tr><td><p>3</p><td></table><pre>def f():\n    return 1\n\nf()</pre>",
            ["1 | 2", "3", "def f():", "    return 1", "f()"],
        ),
        (
            "<p>Seen<script>var x = 1</script> too</p><style>p{}</style><!-- no --><noscript>no</noscript><option>no</option>after",
            ["Seen too", "after"],
        ),
        ("<p>caf\u00e9 &amp; cr&egrave;me &lt;b&gt;</p><p> \u200b </p>", ["café & crème <b>"]),
    ],
)
def test_lines_are_as_a_browser_shows_them(markup: str, lines: list[str]) -> None:
    page = html.html_to_document(f"<html><body>{markup}</body></html>", None)
    assert page.text.split("\n") == lines
    assert page.markup is not None
    assert len(page.markup) == len(lines)


def test_the_share_of_links_is_told_in_four_levels() -> None:
    whole, half = "<a href=x>all of it is a link</a>", "words and words <a href=x>words links</a>"
    page = html.html_to_document(f"<html><body><p>{whole}</p><p>{half}</p><p>no link at all</p></body></html>", None)
    assert [(ord(letter) - ord("a")) % LINK_LEVELS for letter in page.markup or ""] == [3, 1, 0]


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
