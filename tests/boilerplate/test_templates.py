"""Site templates: what recurs on a site's pages goes, copies of one article are no evidence."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from etl.boilerplate import templates
from etl.boilerplate.lines import split_lines
from etl.config import Templates
from etl.engine.local import LocalEngine

SQL = (Path(templates.__file__).parent / "templates.sql").read_text(encoding="utf-8")

DEFAULT = Templates()


def prose(seed: int, lines: int = 4) -> list[str]:
    """Lines of text that no other seed has."""
    return [
        f"Paragraph {n} of story {seed} tells of matter {seed * 31 + n} at some length, as stories on pages do, and ends."
        for n in range(lines)
    ]


def marked(
    pages: list[tuple[str, list[str]]], tmp_path: Path, options: Templates = DEFAULT, workers: int = 1
) -> list[list[str]]:
    """The lines that templates take from each (site, lines) page."""
    docs = pl.DataFrame({"key": range(100, 100 + len(pages)), "site": [site for site, _ in pages]}).with_row_index(
        "doc"
    )
    lines = split_lines(pl.Series(["\n".join(page) for _, page in pages]))
    keys = templates.line_keys(lines)
    seen, held = templates.page_evidence(lines, keys, docs)
    LocalEngine(workers).sql(
        SQL,
        views={
            "pages": seen.to_arrow(),
            "page_lines": held.to_arrow(),
            "params": pa.table({"copy_share": [options.copy_share]}),
        },
        outputs={name: tmp_path / f"{name}.parquet" for name in ("site_lines", "site_pages")},
        temp=tmp_path,
    )
    lines = templates.add_evidence(
        lines,
        keys,
        docs,
        pl.read_parquet(tmp_path / "site_lines.parquet"),
        pl.read_parquet(tmp_path / "site_pages.parquet"),
    )
    marks = templates.mark_templates(lines, options).join(lines.select("doc", "line", "text"), on=["doc", "line"])
    return [marks.filter(doc=number).sort("line")["text"].to_list() for number in range(len(pages))]


MENU = ["Home | World | Sport | Weather", "Subscribe to our newsletter today"]


@pytest.mark.parametrize("workers", [1, 2])
def test_it_works_from_the_second_page_of_a_site(tmp_path: Path, workers: int) -> None:
    pages = [("a.example", [MENU[0], *prose(1), MENU[1]]), ("a.example", [MENU[0], *prose(2), MENU[1].upper()])]
    assert marked(pages, tmp_path, workers=workers) == [MENU, [MENU[0], MENU[1].upper()]]


def test_a_line_on_two_sites_is_no_template(tmp_path: Path) -> None:
    pages = [("a.example", [MENU[0], *prose(1)]), ("b.example", [MENU[0], *prose(2)])]
    assert marked(pages, tmp_path) == [[], []]


@pytest.mark.parametrize("copies", [2, 10])
def test_copies_of_one_article_are_no_evidence(tmp_path: Path, copies: int) -> None:
    pages = [("a.example", [MENU[0], *prose(1), MENU[1]])] * copies
    assert marked(pages, tmp_path) == [[]] * copies


def test_near_copies_of_one_article_are_no_evidence(tmp_path: Path) -> None:
    story = prose(1, lines=10)
    pages = [
        (
            "a.example",
            [*story[:n], f"An edited line that only version {n} of this long story has in it.", *story[n + 1 :]],
        )
        for n in range(10)
    ]
    assert marked(pages, tmp_path) == [[]] * 10


def test_a_template_shows_beside_copies(tmp_path: Path) -> None:
    pages = [("a.example", [MENU[0], *prose(1)])] * 3 + [("a.example", [MENU[0], *prose(2)])]
    assert marked(pages, tmp_path) == [[MENU[0]]] * 4


def test_a_poem_of_short_lines_that_is_there_twice_stays(tmp_path: Path) -> None:
    poem = [f"a short line, number {n}" for n in range(12)]
    assert marked([("a.example", poem), ("a.example", poem), ("a.example", prose(3))], tmp_path) == [[], [], []]


def test_pages_of_no_known_site_need_many_witnesses(tmp_path: Path) -> None:
    pages = [("", [MENU[0], *prose(n)]) for n in range(5)]
    assert marked(pages, tmp_path) == [[]] * 5
    assert marked(pages, tmp_path, Templates(min_pages_unknown_site=5)) == [[MENU[0]]] * 5


def test_the_order_of_pages_changes_nothing(tmp_path: Path) -> None:
    pages = [("a.example", [MENU[0], *prose(n % 3), MENU[1]]) for n in range(6)]
    forward = marked(pages, tmp_path)
    assert marked(pages[::-1], tmp_path)[::-1] == forward
