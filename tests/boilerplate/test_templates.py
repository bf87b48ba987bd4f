"""Site templates: what recurs on a site's pages goes, copies of one article are no evidence."""

from __future__ import annotations

from pathlib import Path

import polars as pl
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


def counted(
    runs: list[list[tuple[str, list[str]]]], tmp_path: Path, options: Templates = DEFAULT, workers: int = 1
) -> tuple[pl.DataFrame, pl.DataFrame, dict[str, pl.DataFrame]]:
    """The lines and documents of the last of `runs`, and what barrier 1 counts when it has seen all of them."""
    parts, start = [], 100
    for number, pages in enumerate(runs):
        docs = pl.DataFrame(
            {"key": range(start, start + len(pages)), "site": [site for site, _ in pages]}
        ).with_row_index("doc")
        lines = split_lines(pl.Series(["\n".join(page) for _, page in pages]))
        parts.append(templates.page_evidence(lines, docs, run_key=f"{number:04d}"))
        start += len(pages)
    views = {name: pl.concat([part[place] for part in parts]) for place, name in enumerate(("pages", "page_lines"))}
    outputs = {name: tmp_path / f"{name}.parquet" for name in ("site_lines", "site_pages", "drifted_sites")}
    LocalEngine(workers).sql(
        SQL,
        views={
            **{name: table.to_arrow() for name, table in views.items()},
            "params": templates.params(options, run_key=f"{len(runs) - 1:04d}").to_arrow(),
        },
        outputs=outputs,
        temp=tmp_path,
    )
    return lines, docs, {name: pl.read_parquet(path) for name, path in outputs.items()}


def marked(
    pages: list[tuple[str, list[str]]],
    tmp_path: Path,
    options: Templates = DEFAULT,
    workers: int = 1,
    earlier: list[list[tuple[str, list[str]]]] | None = None,
) -> list[list[str]]:
    """The lines that templates take from each (site, lines) page."""
    lines, docs, counts = counted([*(earlier or []), pages], tmp_path, options, workers)
    lines = templates.add_evidence(lines, docs, counts["site_lines"], counts["site_pages"])
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


def test_lines_that_differ_in_numbers_alone_go_where_many_pages_have_them(tmp_path: Path) -> None:
    pages = [
        ("a.example", [f"{n + 3} comments, updated {n + 1}:0{n} on 2026-03-0{n + 1}", *prose(n)]) for n in range(4)
    ]
    assert marked(pages, tmp_path) == [[page[0]] for _, page in pages]
    assert marked(pages[:3], tmp_path) == [[], [], []]


def test_rows_of_numbers_and_long_lines_with_numbers_are_no_near_lines(tmp_path: Path) -> None:
    long = "In {} the company sold {} bicycles, more than in any year before, and in spring it hopes to open its ninth shop."
    pages = [("a.example", [f"{n} 1{n}.5 2{n}", long.format(2001 + n, 500 * n), *prose(n)]) for n in range(6)]
    assert marked(pages, tmp_path) == [[]] * 6


def test_a_line_with_and_one_without_numbers_are_counted_apart(tmp_path: Path) -> None:
    pages = [("a.example", [f"{n} comments so far", *prose(n)]) for n in range(2)]
    pages += [("a.example", ["0 comments so far", *prose(n)]) for n in (2, 3)]
    assert marked(pages, tmp_path, Templates(min_pages_near=100)) == [
        ["0 comments so far"],
        [],
        ["0 comments so far"],
        ["0 comments so far"],
    ]


def test_earlier_runs_are_evidence_that_fades(tmp_path: Path) -> None:
    old = [("a.example", [MENU[0], *prose(1)])]
    new = [("a.example", [MENU[0], *prose(2)])]
    others = [[("b.example", prose(10 + n))] for n in range(4)]
    options = Templates(half_life_runs=3)
    assert marked(new, tmp_path, options, earlier=[old]) == [[MENU[0]]]
    assert marked(new, tmp_path, options, earlier=[old, *others[:2]]) == [[MENU[0]]]
    assert marked(new, tmp_path, options, earlier=[old, *others]) == [[]]
    assert marked(new, tmp_path, options, earlier=[old * 2 + [("a.example", [MENU[0], *prose(3)])], *others]) == [
        [MENU[0]]
    ]


def test_a_site_that_changes_its_template_is_told(tmp_path: Path) -> None:
    def site(name: str, furniture: list[str], seed: int) -> list[tuple[str, list[str]]]:
        return [(name, [*furniture, *prose(seed + n)]) for n in range(4)]

    old = [f"Old menu entry {word}" for word in ("one", "two", "three", "four")]
    new = [f"New menu entry {word}" for word in ("one", "two", "three", "four")]
    first = site("changed.example", old, 10) + site("same.example", old, 20) + site("half.example", old, 30)
    second = site("changed.example", new, 40) + site("same.example", old, 50)
    second += site("half.example", old[:2] + new[:2], 60) + site("unknown.example", new, 70)
    told = counted([first, second], tmp_path)[2]["drifted_sites"]
    assert told["site"].to_list() == ["changed.example"]
    assert told["kept"].item() < told["habits"].item() / 2
    assert counted([first + second], tmp_path)[2]["drifted_sites"].is_empty()
