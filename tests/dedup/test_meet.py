"""The kernels of barrier 2 make the tables that its SQL files make, whatever the parts."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etl.dedup import meet
from etl.dedup.fingerprint import TABLES
from etl.dedup.policy import DedupPolicy
from etl.dedup.state import STATE, seen_from_later
from tests.dedup.test_barrier import Tables, corpus, decide_and_remember, slipped, tables

pytestmark = pytest.mark.skipif(
    not meet.available(), reason="no C compiler was there when the environment was made, so there is no kernel"
)

FEW = st.integers(-3, 3) | st.integers(-(2**63), 2**63 - 1)


@settings(deadline=None)
@given(st.lists(st.tuples(FEW, st.integers(0, 3) | st.integers(0, 2**32 - 1)), max_size=60), st.integers(1, 40))
def test_rows_meet_by_key_in_order_of_rank(rows: list[tuple[int, int]], times: int) -> None:
    keys = np.array([key for key, _ in rows] * times, np.int64)
    ranks = np.array([rank for _, rank in rows] * times, np.uint32)
    order = np.lexsort((np.arange(len(keys)), ranks, keys.view(np.uint64)))
    several = {key for key, count in zip(*np.unique(keys, return_counts=True), strict=True) if count > 1}
    wanted = [row for row in order.tolist() if keys[row] in several]
    found = meet.meetings(keys, ranks).tolist()
    groups = [list(group) for _, group in itertools.groupby(found, key=lambda row: keys[row])]
    assert len(groups) == len(several)
    assert sum(sorted(groups, key=lambda group: keys.view(np.uint64)[group[0]]), []) == wanted  # noqa: RUF017


def test_many_different_keys_and_one_that_all_share() -> None:
    pick = np.random.default_rng(1)
    keys = pick.integers(-(2**63), 2**63 - 1, 50_000)
    assert not len(meet.meetings(keys))
    assert sorted(meet.meetings(np.r_[keys, keys[:9]]).tolist()) == sorted([*range(9), *range(50_000, 50_009)])
    assert meet.meetings(np.full(50_000, 7)).tolist() == list(range(50_000))
    assert not len(meet.meetings(np.zeros(0, np.int64)))


SAMPLES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 40)), max_size=80)
PAIRS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.sampled_from((1, 2, 8))), max_size=8)


@settings(deadline=None)
@given(SAMPLES, PAIRS)
def test_what_two_documents_share_is_counted(
    rows: list[tuple[int, int, int]], pairs: list[tuple[int, int, int]]
) -> None:
    docs, kinds, hashes = (
        np.array([row[n] for row in rows], kind) for n, kind in enumerate((np.uint32, np.int8, np.int64))
    )
    mine, theirs = (np.array([pair[n] for pair in pairs], np.uint32) for n in (0, 1))
    steps = np.array([[pair[2]] * 3 for pair in pairs], np.int64).reshape(-1, 3)
    found = meet._overlaps(hashes, docs, kinds, 4, mine, theirs, steps)
    for (one, two, step), counted in zip(pairs, found.tolist(), strict=True):
        for kind, (shared, has_one, has_two) in enumerate(counted):
            a, b = ([h for doc, k, h in rows if doc == at and k == kind and h % step == 0] for at in (one, two))
            assert (shared, has_one, has_two) == (sum(map(b.count, a)), len(a), len(b))


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(st.integers(0, 10_000), st.integers(1, 3), st.integers(0, 2))
def test_kernels_make_the_tables_that_sql_makes(
    monkeypatch: pytest.MonkeyPatch, seed: int, shards: int, runs: int
) -> None:
    earlier = corpus(seed + 1) | altered(corpus(seed), seed)
    states = []
    for run in range(runs):
        seen = dict(zip(map(str, range(run)), states, strict=True))
        of_run = dict(itertools.islice(earlier.items(), run, None, 2))
        states.append(decide_and_remember(tables(of_run), history=seen)[1])
    now = tables(corpus(seed) | altered(corpus(seed), seed + 1) | altered(corpus(seed + 2), seed), shards=shards)
    known = _known(states)
    with duckdb.connect(config={"threads": 1}) as connection:
        made = _by_sql(connection, now, known)
        wanted = _tables_of(connection)
    for part_rows in (meet.PART_ROWS, 60):
        monkeypatch.setattr(meet, "PART_ROWS", part_rows)
        monkeypatch.setattr(meet, "_PAIRS_AT_ONCE", part_rows)
        found = _by_kernels(now, known, made)
        for name, rows in wanted.items():
            assert _rows(found[name], rows.columns) == _rows(rows, rows.columns), (name, part_rows)


def altered(docs: Mapping[str, Sequence[str]], seed: int) -> dict[str, list[str]]:
    """The documents with a slip in some of their sentences, one sentence less and a few names and numbers."""
    pick = random.Random(seed)
    facts = [
        f"Anna Berg and {pick.choice('ABC')}lex Stone paid {pick.randint(1, 4)}5 for {n}7 in Oslo." for n in range(6)
    ]
    return {
        f"{seed}{name}": [
            *(slipped(line) if pick.random() < 0.4 else line for line in text[1:]),
            *pick.sample(facts, 4),
        ]
        for name, text in docs.items()
    }


def _known(states: Sequence[Tables]) -> Tables:
    known = {}
    for name, kind in STATE.items():
        past = [
            state[name].with_columns(seen_from_later(pl.col("number"), run=run, runs=len(states)))
            for run, state in enumerate(states)
        ]
        known[f"known_{name}"] = pl.concat([kind.to_frame(), *past])
    meetings = known["known_meetings"]
    known["known_meetings"] = pl.concat(
        meetings.select("number", "start_char", "n_words", "stands", h=f"near_{side}", rest=f"rest_{side}")
        for side in "ab"
    )
    return known


def _by_sql(connection: duckdb.DuckDBPyConnection, now: Tables, known: Tables) -> Tables:
    """Every table that the three files make."""
    for name, rows in {**{name: now[name] for name in TABLES}, **known}.items():
        connection.register(name, rows.to_arrow())
    connection.register("params", DedupPolicy().params())
    names = []
    for file in ("documents.sql", "sentences.sql", "near.sql"):
        script = resources.files("etl.dedup").joinpath(file).read_text(encoding="utf-8")
        code = "\n".join(line for line in script.splitlines() if not line.startswith("--"))
        for statement in filter(str.strip, code.split(";\n")):
            connection.execute(statement)
            names.append(statement.split()[2])
    return {name: _read(connection, f"SELECT * FROM {name}") for name in names}


def _tables_of(connection: duckdb.DuckDBPyConnection) -> Tables:
    """What the kernels are asked for, of what SQL made: they count for all candidates, SQL for those that are likely."""
    likely = "(SELECT pair FROM likely_pairs)"
    return {
        "recurring_sentences": _read(connection, "SELECT * FROM recurring_sentences"),
        "repeated_keys": _read(
            connection, "SELECT * FROM repeated_keys WHERE key_hash IN (SELECT key_hash FROM known_sentences)"
        ),
        "band_pairs": _read(connection, "SELECT * FROM band_pairs"),
        "met_shingles": _read(connection, "SELECT pair, SUM(shared)::BIGINT AS shared FROM met_shingles GROUP BY pair"),
        "sample_sizes": _read(connection, "SELECT * FROM sample_sizes"),
        "shared_facts": _read(connection, f"SELECT * FROM shared_facts WHERE pair IN {likely}"),
        "near_candidates": _read(connection, "SELECT * FROM near_candidates"),
        "meeting_sentences": _read(connection, "SELECT number, start_char FROM meeting_sentences"),
    }


def _read(connection: duckdb.DuckDBPyConnection, query: str) -> pl.DataFrame:
    return pl.DataFrame(connection.sql(query).to_arrow_table())


def _by_kernels(now: Tables, known: Tables, made: Tables) -> Tables:
    def columns(table: str, names: Sequence[str]) -> Iterator[Mapping[str, Any]]:
        for some in now[table].iter_slices(37):
            yield {
                name: some[name].fill_null(0 if some[name].dtype.is_unsigned_integer() else -1).to_numpy()
                for name in names
            }

    keys = known["known_sentences"]["key_hash"].to_numpy()
    repeated = meet.repeats(columns, keys)
    documents = made["numbered_documents"]
    numbers = meet.Documents(
        documents["doc"].to_numpy(),
        number=documents["number"].to_numpy(),
        stays=(documents["fate"] == 0).cast(pl.Int8).to_numpy(),
    )
    overlaps = meet.overlaps(columns, made["candidate_pairs"], known["known_sketches"])
    firsts = made["first_of_kind"]
    near = now["near_sentences"].join(documents, on="doc")
    compared = meet.meeting_sentences(
        columns,
        repeated,
        numbers,
        first_places=meet.places(firsts["number"].to_numpy(), firsts["start_char"].to_numpy()),
        near_sentences=meet.places(near["number"].to_numpy(), near["start_char"].to_numpy()),
        min_words=DedupPolicy().sentence_dedup.min_words_in_document,
    )
    meeting = now["sentences"].filter(pl.Series(np.concatenate(compared.chosen))).join(documents, on="doc")
    likely = made["likely_pairs"]
    facts = pl.DataFrame(overlaps.shared_facts()).filter(pl.col("pair").is_in(likely["pair"].implode()))
    sides = made["pair_sides"].select("number", "shingle_step", "number_step", "name_step")
    sizes = pl.DataFrame(overlaps.sample_sizes())
    return {
        "recurring_sentences": pl.concat(meet.recurring_sentences(columns, repeated, numbers)),
        "repeated_keys": pl.DataFrame(meet.repeated_keys(keys, columns, repeated)),
        "band_pairs": pl.DataFrame(meet.band_pairs(columns, made["near_eligible"], known["known_bands"])),
        "met_shingles": pl.DataFrame(overlaps.met_shingles()),
        "sample_sizes": sizes.join(sides, on=sides.columns, how="semi"),
        "shared_facts": facts.filter((pl.col("numbers") > 0) | (pl.col("names") > 0)),
        "near_candidates": meet.near_candidates(columns, compared, known["known_meetings"]),
        "meeting_sentences": meeting.select("number", "start_char"),
    }


def _rows(table: pl.DataFrame, columns: Sequence[str]) -> list[tuple[Any, ...]]:
    return sorted(table.select(columns).rows(), key=lambda row: [(value is not None, value) for value in row])
