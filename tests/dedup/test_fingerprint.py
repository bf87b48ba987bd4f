from __future__ import annotations

import datetime
import random

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.dedup.fingerprint import NAME, NEVER, NUMBER, SHINGLE, SKETCH_BITS, TABLES, ShardTables, shard_tables
from etl.dedup.normalize import fold
from etl.dedup.policy import SentencePolicy

DAY = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
VOCABULARY = [f"w{chr(97 + i % 26)}{chr(97 + i // 26 % 26)}x{chr(97 + i // 676)}" for i in range(3000)]


def tables(
    *texts: str, published: datetime.datetime | None = None, fetched: datetime.datetime | None = None
) -> ShardTables:
    rows = []
    for doc, text in enumerate(texts):
        at = 0
        for line, part in enumerate(text.split("\n")):
            if part.strip():
                rows.append((doc, line, at, at + len(part), part))
            at += len(part) + 1
    kinds = {"doc": pl.UInt32, "line": pl.UInt32, "start": pl.UInt32, "end": pl.UInt32, "text": pl.String}
    times = pl.Datetime("us", "UTC")
    docs = pl.DataFrame(
        {
            "doc": range(len(texts)),
            "doc_id": [f"{i:016x}{0:016x}" for i in range(len(texts))],
            "published_at": [published] * len(texts),
            "fetched_at": [fetched] * len(texts),
        },
        schema={"doc": pl.UInt32, "doc_id": pl.String, "published_at": times, "fetched_at": times},
    )
    return shard_tables(docs, pl.DataFrame(rows, schema=kinds, orient="row"))


def prose(words: int, seed: int = 0) -> str:
    pick = random.Random(seed)
    return (
        ". ".join(" ".join(pick.choice(VOCABULARY) for _ in range(12)).capitalize() for _ in range(words // 12)) + "."
    )


def hashes(made: ShardTables, doc: int, kind: int) -> set[int]:
    return set(made.sketches.filter(doc=doc, kind=kind)["h"].to_list())


def test_lines_case_and_punctuation_leave_the_key_numbers_change_it() -> None:
    made = tables("One two.\nThree 3.5!", "ONE TWO THREE\n\n“3.5”", "One two. Three 35!")
    keys = made.fingerprints.select("key_hash", "key_check").rows()
    assert keys[0] == keys[1] != keys[2]


def test_seen_at_is_the_first_date_there_is() -> None:
    micros = int(DAY.timestamp() * 1_000_000)
    assert tables("A b c.", published=DAY).fingerprints["seen_at"].to_list() == [micros]
    assert tables("A b c.", fetched=DAY).fingerprints["seen_at"].to_list() == [micros]
    assert tables("A b c.").fingerprints["seen_at"].to_list() == [NEVER]


def test_every_table_has_its_schema_with_or_without_rows() -> None:
    for made in (tables(), tables("?!"), tables("One."), tables(prose(100))):
        for name, schema in TABLES.items():
            assert getattr(made, name).schema == schema


@pytest.mark.parametrize("words", [24, 60, 120, 600, 3000])
def test_a_sample_has_some_tens_of_shingles_whatever_the_length(words: int) -> None:
    made = tables(prose(words))
    sample = made.sketches.filter(kind=SHINGLE)
    row = made.fingerprints.row(0, named=True)
    assert (sample["h"] % 2 ** row["shingle_level"] == 0).all()
    assert min(words - 3, 40) <= sample.height <= 170
    assert set(made.bands["h"] & ((1 << SKETCH_BITS) - 1)) == set(
        sample["h"].filter(sample["h"] % 2 ** row["band_level"] == 0)
    )
    assert 1 <= made.bands.height <= 50


@pytest.mark.parametrize("rate", [0.0, 0.05, 0.15])
def test_the_sample_tells_how_much_of_a_text_is_shared(rate: float) -> None:
    text = prose(1200)
    pick = random.Random(1)
    edited = " ".join(pick.choice(VOCABULARY) if pick.random() < rate else word for word in text.split())
    made = tables(text, edited)
    one, other = hashes(made, 0, SHINGLE), hashes(made, 1, SHINGLE)
    a, b = (fold(t).split() for t in (text, edited))
    grams = [set(zip(*(words[i:] for i in range(4)), strict=False)) for words in (a, b)]
    truth = len(grams[0] & grams[1]) / len(grams[0])
    assert abs(len(one & other) / min(len(one), len(other)) - truth) < 0.2


def test_a_shorter_text_samples_what_the_longer_one_does() -> None:
    long = prose(4000)
    short = " ".join(long.split()[:2200])
    made = tables(long, short)
    deeper = made.fingerprints["shingle_level"].max()
    one, other = (
        {h for h in hashes(made, doc, SHINGLE) if h % 2**deeper == 0}  # type: ignore[operator]
        for doc in (0, 1)
    )
    assert len(other - one) <= 1


def test_numbers_and_names_are_told() -> None:
    made = tables(
        "The firm Acme Widgets sold 15 plants for $2.5 million in March 2019.",
        "For $2.5 million, in 2019, the firm Acme Widgets sold 15 plants in March.",
        "The firm Bolt Makers sold 16 plants for $3.5 million in April 2018.",
    )
    for kind, count in ((NUMBER, 3), (NAME, 3)):
        assert len(hashes(made, 0, kind)) == count
        assert hashes(made, 0, kind) == hashes(made, 1, kind)
        assert not hashes(made, 0, kind) & hashes(made, 2, kind)


def test_letters_mixed_with_digits_are_no_numbers() -> None:
    assert hashes(tables("The i5 and b2 and 5trike and covid-l9 models."), 0, NUMBER) == set()


def test_near_sentences_are_looked_for_only_when_the_policy_says_so() -> None:
    text = "The council approved the new budget on Tuesday.\nThe council approevd the new budget on Tuesday."
    assert tables(text).near_sentences.height == 1
    docs = pl.DataFrame({"doc": [0], "doc_id": ["a" * 32], "published_at": [DAY], "fetched_at": [DAY]}).cast(
        {"doc": pl.UInt32}
    )
    lines = text.split("\n")
    segments = pl.DataFrame({"doc": [0, 0], "line": [0, 1], "start": [0, 48], "end": [47, 95], "text": lines}).cast(
        dict.fromkeys(("doc", "line", "start", "end"), pl.UInt32)
    )
    assert shard_tables(docs, segments, SentencePolicy(near=False)).near_sentences.height == 0


TEXTS = st.lists(st.text(alphabet="abc AB.\n1?5%-é中ن", max_size=80), max_size=6)


@given(TEXTS)
@settings(deadline=None)
def test_a_document_has_the_same_rows_whatever_stands_beside_it(texts: list[str]) -> None:
    together = tables(*texts)
    for doc, text in enumerate(texts):
        alone = tables(text)
        for name in TABLES:
            one = getattr(alone, name)
            mine = getattr(together, name).filter(doc=doc)
            assert one.drop("doc_id", "doc", strict=False).equals(mine.drop("doc_id", "doc", strict=False))


@given(st.lists(st.sampled_from(["1", "15", "2,000", "3.5%", "-4", "$7"]), max_size=5))
def test_each_number_of_a_text_is_in_its_sample(numbers: list[str]) -> None:
    made = tables("Of " + " and ".join(numbers) + " things.")
    assert len(hashes(made, 0, NUMBER)) == len(set(numbers))
