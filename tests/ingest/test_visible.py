from __future__ import annotations

import lxml.html
import pytest

from etl.ingest import visible
from etl.ingest.visible import visible_text
from etl.schema import HINTS, MARKUP, REGIONS


def told(markup: str) -> dict[str, dict[str, int]]:
    """What each line's bytes say, by the line's text."""
    seen = visible_text(lxml.html.fromstring(markup))
    return {line: dict(zip(MARKUP, marks, strict=True)) for line, marks in zip(seen.lines, seen.marks, strict=True)}


@pytest.mark.parametrize(
    ("markup", "lines"),
    [
        ("<p>One <b>bold</b>\nword</p><div>Two<br>Three &amp; four</div>", ["One bold word", "Two", "Three & four"]),
        ("<div>a<p>b</p>c<!-- no --> d</div>", ["a", "b", "c d"]),
        ("<div>a<script>x</script> b <button>no</button><style>y</style>c</div>", ["a b c"]),
        ("<div><button>Menu<div><p>The page goes on.</p></div></div>", ["Menu", "The page goes on."]),
        ("<pre>one\n  two\n\nthree</pre>", ["one", "  two", "three"]),
        ("<table><tr><td>a</td><td><b>b</b></td></tr><tr><td>c</td></tr></table>", ["a | b", "c"]),
        ("<table><tr><td>a</td><td><p>b</p><p>c</p></td></tr></table>", ["a", "b", "c"]),
        (f"<table><tr><td>{'long ' * 200}</td><td>b</td></tr></table>", [("long " * 200).strip(), "b"]),
        ("<div>\u200b</div><p>\xa0</p><p>a\u2028b</p>", ["a b"]),
    ],
)
def test_a_block_is_a_line(markup: str, lines: list[str]) -> None:
    seen = visible_text(lxml.html.fromstring(f"<html><body>{markup}</body></html>"))
    assert seen.lines == lines
    assert [len(marks) for marks in seen.marks] == [len(MARKUP)] * len(lines)


def test_regions_names_and_links_are_told() -> None:
    says = told(
        f"""<html><body><nav><ul><li><a href="/">Home page</a></li></ul></nav>
        <div class="related-posts"><p>Read <a href="/b">more of it</a></p></div>
        <div class="x"><p>{"Long text. " * 20}</p></div></body></html>"""
    )
    home, more, text = says.values()
    assert home["regions around"] & 1 << REGIONS.index("nav")
    assert not text["regions around"]
    assert home["links in the line"] == 255
    assert 0 < more["links in the line"] < 255
    assert more["hints around"] & 1 << HINTS.index("related")
    assert (home["paragraphs 1 up"], text["paragraphs 1 up"]) == (0, 255)
    assert (text["steps to the paragraphs"], more["steps to the paragraphs"]) == (0, 2)


def test_deep_nesting_is_no_recursion() -> None:
    tree = lxml.html.fromstring("<div>" * 200 + "deep" + "</div>" * 200)
    assert visible_text(tree).lines == ["deep"]


def test_long_attributes_are_read_and_not_remembered() -> None:
    visible._told.cache_clear()
    rows = told(
        f"<html><body><div class='{'x' * 500} related' data-state='{'y' * 10_000}'><p>More</p></div></body></html>"
    )
    assert rows["More"]["hints around"] & 1 << HINTS.index("related")
    assert visible._told.cache_info().currsize == len(("html", "body", "p"))
