"""History: a run sees the keys before its own; what changed under a run makes it stale."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import polars as pl
import pyarrow as pa
from hypothesis import example, given, settings
from hypothesis import strategies as st

from etl import kernels
from etl.dedup.fingerprint import POINT_BITS
from etl.dedup.state import RUN_NUMBERS, STATE
from etl.history import FILES, History, Marks, _rows_of, _rows_of_sorted, write_state
from etl.storage import sha256, write_parquet


def history(out: Path, **seen: dict[str, str]) -> History:
    """Runs k1, k2, … with what each saw; the release of run k is "r" + k."""
    runs: dict[str, dict[str, Any]] = {key: {"release": f"r{key}", "history": saw} for key, saw in seen.items()}
    return History(out, runs)


def test_a_run_sees_only_smaller_keys(tmp_path: Path) -> None:
    known = history(tmp_path, k1={}, k2={}, k3={})
    assert known.earlier("k2") == {"k1": "rk1"}
    assert known.earlier("k0") == {}


def test_a_file_is_settled_by_another_key_alone(tmp_path: Path) -> None:
    folder = tmp_path / "_state" / "run=k1"
    folder.mkdir(parents=True)
    write_state(folder, "files", [pa.table({"source": ["a"], "sha256": ["x"], "bytes": [1]}, schema=FILES)], FILES)
    known = history(tmp_path, k1={}, k2={})
    assert known.settled("k2") == {("a", "x"): "k1"}
    assert known.settled("k1") == {}


def test_new_changed_and_missing_history_make_a_run_stale(tmp_path: Path) -> None:
    known = history(
        tmp_path, k1={}, k2={"k1": "rk1"}, k3={"k1": "old"}, k4={"k0": "gone", "k1": "rk1", "k2": "rk2", "k3": "rk3"}
    )
    assert known.stale() == {"k3": ["k1", "k2"], "k4": ["k0"]}


def test_state_files_are_named_by_their_bytes_and_replaced(tmp_path: Path) -> None:
    first, _ = write_state(tmp_path, "t", [pa.table({"a": [1]})], pa.schema([("a", pa.int64())]))
    second, digest = write_state(tmp_path, "t", [pa.table({"a": [2]})], pa.schema([("a", pa.int64())]))
    assert first.name != second.name
    assert [p.name for p in tmp_path.iterdir()] == [second.name]
    assert digest == sha256(second)
    assert second.name == f"t-{digest[:16]}.parquet"


HASHES = st.integers(-(2**63), 2**63 - 1)


@settings(deadline=None)
@given(
    st.lists(st.lists(st.tuples(st.integers(1, 50), st.sampled_from(range(-40, 40))), max_size=60), max_size=4),
    st.sets(st.one_of(st.sampled_from(range(-40, 40)), HASHES), max_size=30),
    st.integers(1, 20),
)
def test_a_look_up_finds_the_rows_asked_for_and_no_others(
    runs: list[list[tuple[int, int]]], wanted: set[int], rows_in_group: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        keys = [f"k{number}" for number in range(len(runs))]
        expected = []
        for run, (key, rows) in enumerate(zip(keys, runs, strict=True)):
            bands = pl.DataFrame(rows, schema=STATE["bands"], orient="row").sort("h", "number")
            path = out / "_state" / f"run={key}" / "bands-00000-x.parquet"
            write_parquet(path, [bands.to_arrow()], bands.to_arrow().schema, row_group_rows=rows_in_group)
            expected += [(number + (run - len(runs)) * RUN_NUMBERS, h) for number, h in rows if h in wanted]
        known = replace(history(out, **{key: {} for key in keys}), threads=2)
        with mock.patch("etl.history.GROUPS_AT_ONCE", 2):
            found = known.look_up(keys, "bands", "h", np.array(sorted(wanted), dtype=np.int64))
            unordered = known.look_up(keys, "bands", "h", np.array(sorted(wanted), dtype=np.int64), in_order=False)
        assert found.rows() == sorted(expected) == sorted(unordered.rows())
        numbers = sorted({number for number, _ in expected})
        again = known.look_up(keys, "bands", "number", np.array(numbers, dtype=np.int64))
        assert set(found.rows()) <= set(again.rows()) and set(again["number"]) == set(numbers)


def test_a_forgotten_folder_is_named_by_the_runs_that_hold_it(tmp_path: Path) -> None:
    folder = tmp_path / "_state" / "run=k1"
    folder.mkdir(parents=True)
    sources = ["a/1", "ab/1", "b"]
    files = pa.table({"source": sources, "sha256": ["x"] * 3, "bytes": [1] * 3}, schema=FILES)
    write_state(folder, "files", [files], FILES)
    known = replace(history(tmp_path, k1={}, k2={}), forgotten=("a", "c"))
    assert known.remembered() == {"k1": ["a/1"]}
    assert [source for source in sources if known.is_forgotten(source)] == ["a/1"]


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.lists(st.tuples(st.integers(1, 50), HASHES), max_size=20), min_size=1, max_size=7),
    st.integers(1, 4),
    st.integers(0, 7),
    st.sets(st.integers(0, 6)),
)
def test_compacted_runs_are_looked_up_as_their_own_files_are(
    runs: list[list[tuple[int, int]]], together: int, seen: int, changed: set[int]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        keys = [f"k{number}" for number in range(len(runs))]
        for key, rows in zip(keys, runs, strict=True):
            state = out / "_state" / f"run={key}"
            state.mkdir(parents=True)
            bands = pl.DataFrame(rows, schema=STATE["bands"], orient="row").sort("h", "number")
            write_state(state, "bands-00000", [bands.to_arrow()], bands.to_arrow().schema)
            numbers = pl.DataFrame({"number": sorted({number for number, _ in rows})}, schema={"number": pl.Int64})
            sketches = numbers.select("number", kind=pl.lit(0, pl.Int8), h=pl.col("number") * 3)
            write_state(state, "sketches-00000", [sketches.to_arrow()], sketches.to_arrow().schema)
        known = history(out, **{key: {} for key in keys})
        hashes = np.array(sorted({h for rows in runs for _, h in rows}), dtype=np.int64)
        asked = keys[:seen]

        def answers(of: History) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]]]:
            bands = of.look_up(asked, "bands", "h", hashes)
            numbers = bands["number"].unique().sort().to_numpy()
            return bands.rows(), of.look_up(asked, "sketches", "number", numbers).rows()

        before = answers(known)
        made = known.compact(runs=together)
        assert len(made) == len(keys) // together
        assert answers(known) == before
        assert known.compact(runs=together) == []
        other = replace(
            known,
            runs={
                k: {**e, "release": f"new-{n}"} if n in changed else e for n, (k, e) in enumerate(known.runs.items())
            },
        )
        assert answers(other) == before
        other.compact(runs=together)
        assert answers(other) == before


def test_texts_are_cut_from_the_published_documents(tmp_path: Path) -> None:
    texts = [f"{number} äöü {'x' * (number % 7)}" for number in range(1000)]
    for key in ("k1", "k2"):
        folder = tmp_path / "documents" / f"run={key}"
        folder.mkdir(parents=True)
        for part in range(2):
            whole = pa.table({"text": [f"{key}.{part}.{text}" for text in texts]})
            write_parquet(folder / f"part-{part:05d}-x.parquet", [whole], whole.schema, row_group_rows=300)
    known = history(tmp_path, k1={}, k2={})
    asked = [(run, part, row) for run in (1, 0) for part in (1, 0) for row in (999, 0, 127, 128, 500, 500, None, 900)]
    places = pl.DataFrame(
        [((run - 2) * RUN_NUMBERS + 1 + (row or 0), part, row, 2, 6) for run, part, row in asked],
        schema=["number", "part", "row", "start_char", "n_chars"],
        orient="row",
    )
    expected = [None if row is None else f"k{run + 1}.{part}.{texts[row]}"[2:8] for run, part, row in asked]
    assert known.texts(["k1", "k2"], places).to_list() == expected
    assert known.texts(["k1", "k2"], places.clear()).to_list() == []
    next((tmp_path / "documents" / "run=k1").glob("part-00001-*")).unlink()
    left = [None if (run, part) == (0, 1) else text for (run, part, _), text in zip(asked, expected, strict=True)]
    assert known.texts(["k1", "k2"], places).to_list() == left


POINTS = st.sampled_from([*range(12), 5 << 24, (5 << 24) + 1, (1 << 40) - 1])


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.lists(st.tuples(POINTS, POINTS, st.booleans()), max_size=30), max_size=3),
    st.sets(POINTS, max_size=8),
    st.integers(1, 9),
)
def test_of_the_sentences_at_a_point_the_first_and_the_last_are_met(
    runs: list[list[tuple[int, int, bool]]], wanted: set[int], rows_in_group: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        keys = [f"k{number}" for number in range(len(runs))]
        at: dict[int, list[tuple[Any, ...]]] = {point: [] for point in wanted}
        for run, (key, rows) in enumerate(zip(keys, runs, strict=True)):
            told = pl.DataFrame(rows, schema=["near_a", "near_b", "stands"], orient="row").with_row_index("n")
            told = told.with_columns(number=pl.col("n") // 3 + 1, start_char=pl.col("n") * 10, rest_a=1, rest_b=2)
            told = told.with_columns(cut=pl.col("n"), n_chars=pl.col("n") + 40, n_words=9, word_bits=3)
            state = told.select(pl.col(name).cast(kind) for name, kind in STATE["meetings"].items()).to_arrow()
            path = out / "_state" / f"run={key}" / "meetings-00000-x.parquet"
            write_parquet(path, [state], state.schema, row_group_rows=rows_in_group, narrow=["near_a", "near_b"])
            for n, (*sides, stands) in enumerate(rows):
                for rest, side in enumerate(sides, 1):
                    if side in wanted:
                        seen = (run - len(runs)) * RUN_NUMBERS + n // 3 + 1
                        at[side].append((side, rest, seen, n * 10, n, n + 40, stands))
        expected = [row for rows in at.values() for row in (rows if len(rows) < 2 else (rows[0], rows[-1]))]
        known = replace(history(out, **{key: {} for key in keys}), threads=2)
        with mock.patch("etl.history.MEETINGS_AT_ONCE", rows_in_group):
            met = known.meetings(keys, np.array(sorted(wanted), dtype=np.int64))
        columns = ("h", "rest", "number", "start_char", "cut", "n_chars", "stands")
        assert sorted(met.select(columns).rows()) == sorted(expected)


def test_sentences_that_an_earlier_version_left_have_no_bits_of_words(tmp_path: Path) -> None:
    kinds = {name: kind for name, kind in STATE["meetings"].items() if name != "word_bits"}
    left = pl.DataFrame({name: [True if name == "stands" else 5] for name in kinds}, schema=kinds).to_arrow()
    write_parquet(tmp_path / "_state" / "run=k1" / "meetings-00000-x.parquet", [left], left.schema)
    met = history(tmp_path, k1={}).meetings(["k1"], np.array([5], np.int64))
    assert met.select("h", "n_words", "word_bits").rows() == [(5, 5, 0)] * 2


@settings(deadline=None, max_examples=80)
@given(
    st.lists(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 2)), max_size=60), min_size=1, max_size=4),
    st.sets(st.integers(0, 3), max_size=3),
    st.sets(st.integers(1, 40), max_size=20),
    st.booleans(),
    st.integers(1, 60),
    st.integers(0, 2),
)
@example([[(number, 0) for number in range(1, 13)]], {0}, {2, 3, 4}, False, 60, 0)
def test_of_the_documents_with_a_band_the_first_and_the_last_long_ones_are_known(
    runs: list[list[tuple[int, int]]],
    wanted: set[int],
    short: set[int],
    compacted: bool,
    rows_in_group: int,
    later: int,
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        every = [f"k{number}" for number in range(len(runs))]
        keys = every[: max(1, len(runs) - later)]  # the next one is done again
        holders: dict[int, list[int]] = {band: [] for band in sorted(wanted)}
        for run, (key, rows) in enumerate(zip(every, runs, strict=True)):
            bands = pl.DataFrame(sorted(set(rows)), schema=STATE["bands"], orient="row").sort("h", "number")
            prints = pl.DataFrame({"number": range(1, 41)}).with_columns(
                n_tokens=pl.when(pl.col("number").is_in(short)).then(19).otherwise(20)
            )
            for table, told in (("bands", bands), ("fingerprints", prints)):
                path = out / "_state" / f"run={key}" / f"{table}-00000-x.parquet"
                write_parquet(path, [told.to_arrow()], told.to_arrow().schema, row_group_rows=rows_in_group)
            for number, band in bands.rows():
                if key in keys and band in wanted and number not in short:
                    holders[band].append((run - len(keys)) * RUN_NUMBERS + number)
        known = replace(history(out, **{key: {} for key in every}), threads=2)
        if compacted:
            known.compact(runs=2)
        found = known.holders(keys, np.array(sorted(wanted), dtype=np.int64), near_min_words=20)
    expected = [
        (number, band)
        for band, numbers in holders.items()
        for number in (numbers if len(numbers) < 9 else numbers[:6] + numbers[-2:])
    ]
    assert found.rows() == expected


HASHES = st.one_of(
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=60),
    st.lists(st.integers(0, 40), max_size=60),  # so that several are the same
    st.lists(st.integers(0, 2**POINT_BITS - 1), max_size=60),
)


@settings(deadline=None, max_examples=150)
@given(HASHES, HASHES, st.booleans())
def test_wanted_hashes_are_found_where_they_stand(held: list[int], more: list[int], is_sorted: bool) -> None:
    wanted = np.unique(np.array([*held[::3], *more], np.int64))
    values = np.array(sorted(held) if is_sorted else held, np.int64)
    expected = [n for n, value in enumerate(values.tolist()) if value in set(wanted.tolist())]
    assert np.sort(_rows_of(values, wanted, Marks.of(wanted), is_sorted=is_sorted)).tolist() == expected
    if is_sorted:
        assert np.sort(_rows_of_sorted(values, wanted)).tolist() == expected
        assert np.sort(_rows_of(values[:5], wanted, None, is_sorted=True)).tolist() == [n for n in expected if n < 5]


@settings(deadline=None, max_examples=100)
@given(HASHES, HASHES)
def test_marks_are_the_same_without_the_kernels(held: list[int], more: list[int]) -> None:
    wanted, values = np.unique(np.array([*held[::3], *more], np.int64)), np.array(held, np.int64)
    marks = Marks.of(wanted)
    with mock.patch.object(kernels, "library", lambda: None):
        others = Marks.of(wanted)
        found = others.find(values).tolist()
    assert (marks.low == others.low).all()
    assert (marks.high == others.high).all()
    assert marks.find(values).tolist() == found


def test_hashes_of_another_width_are_found_too(tmp_path: Path) -> None:
    path = tmp_path / "_state" / "run=k1" / "bands-00000-x.parquet"
    narrow = pa.table({"number": pa.array([1, 2], pa.int32()), "h": pa.array([5, 9], pa.int32())})
    write_parquet(path, [narrow], narrow.schema)
    found = history(tmp_path, k1={}).look_up(["k1"], "bands", "h", np.array([9], np.int64))
    assert found["h"].to_list() == [9]
