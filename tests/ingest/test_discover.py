from __future__ import annotations

from pathlib import PurePosixPath as P

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.ingest.discover import SourceFile, count_skipped, is_input, plan_sources


@pytest.mark.parametrize(
    "name",
    ["a.txt", "a.JSONL", "d/e/a.html.gz", "a.b.c.warc.zst", "a.wet.xz", "a.parquet", "a.csv.bz2", "a.htm", "x.ndjson"],
)
def test_known_extensions_are_inputs(name: str) -> None:
    assert is_input(name)


@pytest.mark.parametrize(
    "name",
    [
        "a",
        "a.md",
        "a.gz",
        "a.json.gz",
        ".a.txt",
        "_SUCCESS",
        "_x.parquet",
        ".git/a.txt",
        "a.txt.zip",
        "txt",
        "a.txt.crc",
        "",
    ],
)
def test_hidden_files_markers_and_other_extensions_are_not(name: str) -> None:
    assert not is_input(name)


def test_sources_are_relative_to_their_roots() -> None:
    files = [(P("/in"), P("/in/b/2.txt")), (P("/in"), P("/in/a.txt")), (P("/else"), P("/else/c.txt"))]
    assert plan_sources(files) == [
        SourceFile(P("/in/a.txt"), "a.txt"),
        SourceFile(P("/in/b/2.txt"), "b/2.txt"),
        SourceFile(P("/else/c.txt"), "c.txt"),
    ]


def test_sources_that_clash_are_named_from_the_common_parent() -> None:
    files = [(P("/x/jan"), P("/x/jan/a.txt")), (P("/x/feb"), P("/x/feb/a.txt")), (P("/x/feb"), P("/x/feb/b.txt"))]
    assert [f.source for f in plan_sources(files)] == ["feb/a.txt", "feb/b.txt", "jan/a.txt"]


def test_a_file_given_twice_counts_once_under_the_outermost_root() -> None:
    files = [(P("/in/sub"), P("/in/sub/a.txt")), (P("/in"), P("/in/sub/a.txt")), (P("/in"), P("/in/sub/a.txt"))]
    assert plan_sources(files) == [SourceFile(P("/in/sub/a.txt"), "sub/a.txt")]


def test_names_that_are_not_utf_8_can_be_stored() -> None:
    [file] = plan_sources([(P("/in"), P("/in/caf\udce9.txt"))])
    assert file.source == "caf\\xe9.txt"
    assert file.path == P("/in/caf\udce9.txt")


_FILES = st.lists(
    st.tuples(st.sampled_from(["/r", "/r/s", "/q"]), st.sampled_from(["a.txt", "b.txt", "s/a.txt", "t/a.txt"])),
    max_size=8,
)


@given(_FILES, st.randoms())
def test_the_order_of_arguments_changes_nothing_and_no_two_sources_are_equal(
    files: list[tuple[str, str]], random: object
) -> None:
    pairs = [(P(root), P(root) / name) for root, name in files]
    plan = plan_sources(pairs)
    random.shuffle(pairs)  # type: ignore[attr-defined]
    assert plan_sources(pairs) == plan
    assert len({f.source for f in plan}) == len(plan) == len({p for _, p in pairs})
    assert plan == sorted(plan, key=lambda f: f.source)


def test_skipped_files_are_counted_by_kind() -> None:
    assert count_skipped(["a.txt", "b.md", "c.MD", "_SUCCESS", ".x", "README"]) == {
        ".md": 2,
        "hidden": 2,
        "no extension": 1,
    }
