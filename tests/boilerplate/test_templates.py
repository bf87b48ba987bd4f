"""Site templates: what recurs on a site's pages goes, copies of one article are no evidence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.boilerplate import templates
from etl.boilerplate.lines import split_lines
from etl.config import Templates
from etl.engine.local import LocalEngine

SQL = (Path(templates.__file__).parent / "templates.sql").read_text(encoding="utf-8")

DEFAULT = Templates()

OUTPUTS = ("site_lines", "site_pages", "drifted_sites", "kept_pages", "habits")


def prose(seed: int, lines: int = 4) -> list[str]:
    """Lines of text that no other seed has."""
    return [
        f"Paragraph {n} of story {seed} tells of matter {seed * 31 + n} at some length, as stories on pages do, and ends."
        for n in range(lines)
    ]


def counted(
    runs: list[list[tuple[str, list[str]]]], tmp_path: Path, options: Templates = DEFAULT, workers: int = 1
) -> tuple[pl.DataFrame, pl.DataFrame, dict[str, pl.DataFrame]]:
    """The lines and documents of the last of `runs`, and what barrier 1 counts of it after all the others."""
    states: list[dict[str, pl.DataFrame]] = []
    start = 100
    for number, pages in enumerate(runs):
        docs = pl.DataFrame(
            {"key": range(start, start + len(pages)), "site": [site for site, _ in pages]}
        ).with_row_index("doc")
        start += len(pages)
        lines = split_lines(pl.Series(["\n".join(page) for _, page in pages]))
        seen, held = templates.page_evidence(lines, templates.line_keys(lines["text"]), docs, run_key=f"{number:04d}")
        views = {"pages": seen, "page_lines": held, "params": templates.params(options, run_key=f"{number:04d}")}
        for name, table in templates.KNOWN.items():
            views[name] = pl.concat([templates.STATE[table].to_frame(), *(state[table] for state in states)])
        views["known_lines"] = views["known_lines"].join(held, on="line", how="semi")
        outputs = {name: tmp_path / f"{name}.parquet" for name in OUTPUTS}
        LocalEngine(workers).sql(
            SQL, views={name: table.to_arrow() for name, table in views.items()}, outputs=outputs, temp=tmp_path
        )
        made = {name: pl.read_parquet(path) for name, path in outputs.items()}
        kept = made["kept_pages"]
        states.append({"kept_pages": kept, "habits": made["habits"], "kept_lines": templates.kept_lines(held, kept)})
    return lines, docs, made


def marked(
    pages: list[tuple[str, list[str]]],
    tmp_path: Path,
    options: Templates = DEFAULT,
    workers: int = 1,
    earlier: list[list[tuple[str, list[str]]]] | None = None,
) -> list[list[str]]:
    """The lines that templates take from each (site, lines) page."""
    lines, docs, counts = counted([*(earlier or []), pages], tmp_path, options, workers)
    lines = templates.add_evidence(
        lines, templates.line_keys(lines["text"]), docs, counts["site_lines"], counts["site_pages"]
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


def test_an_article_scraped_anew_in_every_run_is_no_evidence(tmp_path: Path) -> None:
    runs = [[("a.example", [*prose(1, lines=8), f"Version {n} of the page."])] for n in range(5)]
    for count in range(2, 6):
        assert marked(runs[count - 1], tmp_path, earlier=runs[: count - 1]) == [[]]


def test_a_group_counts_once_however_many_runs_have_pages_of_it(tmp_path: Path) -> None:
    again = [("a.example", [MENU[0], *prose(1, lines=8)])]
    *_, counts = counted([again, again, again, [("a.example", [MENU[0], *prose(2)])]], tmp_path)
    assert counts["site_pages"]["pages"].to_list() == [2]
    assert set(counts["site_lines"]["pages"]) == {2}


def test_runs_count_as_one_run_over_all_pages_does(tmp_path: Path) -> None:
    pages = [(f"{'ab'[n % 2]}.example", [MENU[n % 3 == 0], f"{n} comments so far", *prose(n)]) for n in range(12)]
    *_, whole = counted([pages], tmp_path)
    lines, docs, counts = counted([pages[:3], pages[3:8], pages[8:]], tmp_path)
    own = templates.add_evidence(
        lines, templates.line_keys(lines["text"]), docs, counts["site_lines"], counts["site_pages"]
    )
    told = templates.add_evidence(
        lines, templates.line_keys(lines["text"]), docs, whole["site_lines"], whole["site_pages"]
    )
    assert own.equals(told)


def test_a_run_keeps_a_sample_of_each_site(tmp_path: Path) -> None:
    pages = [("a.example", [MENU[0], *prose(n)]) for n in range(14)] + [("b.example", prose(20))]
    pages += [("", prose(30 + n)) for n in range(14)]
    *_, counts = counted([pages], tmp_path, Templates(kept_pages=10))
    kept = dict(counts["kept_pages"].group_by("site").len().iter_rows())
    assert kept == {"a.example": 10, "b.example": 1, "": 14}


def terms(lines: int = 12) -> list[str]:
    return [
        f"Rule {n}: whoever writes a comment on this site agrees to what the editors have set down in it."
        for n in range(lines)
    ]


def test_long_terms_of_use_below_short_articles_are_a_template(tmp_path: Path) -> None:
    pages = [("a.example", [MENU[0], *prose(n, lines=3), *terms()]) for n in range(8)]
    assert marked(pages, tmp_path) == [[MENU[0], *terms()]] * 8
    assert marked(pages[6:], tmp_path, earlier=[pages[:6]]) == [[MENU[0], *terms()]] * 2


@pytest.mark.parametrize("edits", [1, 2, 3])
def test_copies_with_edits_here_and_there_are_no_template(tmp_path: Path, edits: int) -> None:
    story = prose(1, lines=12)
    pages = []
    for n in range(10):
        edited = list(story)
        for edit in range(edits):
            edited[(3 * n + 4 * edit) % 12] = (
                f"Paragraph {n}-{edit} of the story was written anew for copy {n * 7 + edit} of the page."
            )
        pages.append(("a.example", edited))
    assert marked(pages, tmp_path) == [[]] * 10


def test_copies_of_an_article_with_teasers_of_their_own_are_few(tmp_path: Path) -> None:
    story = prose(1, lines=10)
    pages = [("a.example", [*story, *prose(50 + n, lines=3)]) for n in range(5)]
    assert marked(pages, tmp_path) == [[]] * 5


HASHES = st.integers(-3, 3) | st.sampled_from([-(2**63), 2**63 - 1, -(2**61), 2**61])


@given(st.lists(st.lists(HASHES, max_size=12), max_size=4), st.lists(HASHES, max_size=12), st.integers(1, 60))
def test_lines_that_are_there_more_than_once_are_told_in_parts(
    files: list[list[int]], known: list[int], part_rows: int
) -> None:
    def read() -> Iterator[npt.NDArray[Any]]:
        return (np.array(lines, np.int64) for lines in files)

    held = Counter([*known, *(line for lines in files for line in lines)])
    told = templates.repeated_lines(read, np.array(known, np.int64), rows=sum(map(len, files)), part_rows=part_rows)
    assert told.to_list() == sorted(line for line, times in held.items() if times > 1)
    assert told.dtype == pl.Int64
