"""The compiled kernels of the line model and their numpy twins give the same numbers, whatever the lines."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.boilerplate import features, model, native, templates, titles
from etl.boilerplate.lines import split_lines

pytestmark = pytest.mark.skipif(
    not native.available(), reason="no C compiler was there when the environment was made, so there is no kernel"
)

LINES = st.sampled_from(
    [
        "Home",
        "Read more…",
        "By Jane Doe, 3 May 2021:",
        "He said “no”.",
        "Это длинная строка с разными словами, и она кончается точкой.",
        "这是一个很长的句子，里面没有空格。第二句话也在这里！",
        "한국어 문장입니다. 두 번째 문장.",
        "«É» — ok (12:30) | www.example.com // $5.99 #tag",
        "a" * 300,
        "word " * 80 + "end.",
        "..",
        "x",
        "?!",
        "ΑΒΓ αβγ 3,5 %",
        "\u3000wide\u3000",
    ]
)
PAGES = st.lists(
    st.lists(LINES | st.text(min_size=1, max_size=40), min_size=1, max_size=25).map("\n".join), min_size=1, max_size=4
)


@contextmanager
def without_kernels() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native, "available", lambda: False)
        yield


def lines_of(pages: list[str]) -> pl.DataFrame:
    lines = split_lines(pl.Series("text", pages, dtype=pl.String))
    seen = (pl.int_range(pl.len()) * 7919) % 5
    return lines.with_columns(
        site=pl.lit("s"),
        site_seen=seen.cast(pl.UInt32),
        site_near=seen.cast(pl.UInt32),
        site_pages=pl.lit(6, pl.UInt32),
        hit=(pl.int_range(pl.len()) % 11).clip(0, 6).cast(pl.UInt8),
    )


def assert_same(pages: list[str]) -> None:
    lines = lines_of(pages)
    if lines.is_empty():
        return
    lexicon = model.load().lexicon
    mine = features.measure(lines)
    first, scores = features.first_features(mine, lexicon), model.score_and_mark(lines)
    with without_kernels():
        twin = features.measure(lines)
        expected, plain = features.first_features(twin, lexicon), model.score_and_mark(lines)
    for name, values in twin.own.items():
        assert np.array_equal(values, mine.own[name]), name
    for column, name in enumerate(features.FEATURE_NAMES):
        assert np.array_equal(first[:, column], expected[:, column]), name
    once = np.arange(lines.height) * 997 % 4096 / 4096
    second = features.second_features(mine, once)
    with without_kernels():
        assert np.array_equal(second, features.second_features(twin, once))
    assert np.array_equal(scores[0], plain[0])
    assert scores[1].equals(plain[1])


@given(PAGES)
@settings(max_examples=150, deadline=None)
def test_any_lines_are_measured_and_scored_alike(pages: list[str]) -> None:
    assert_same(pages)


def test_real_pages_are_measured_and_scored_alike() -> None:
    folder = Path(__file__).parents[1] / "pages" / "news"
    assert_same([page.read_text(encoding="utf-8") for page in sorted(folder.glob("*.txt"))] * 3)


@given(
    PAGES,
    st.lists(
        st.text(alphabet="aA1٣., :/éΣςİß東 \u00a0\t\x1c\u2028", max_size=25)
        | st.text(alphabet="aZ@[`{09/ .\t\x1f\x7f", max_size=40)
        | st.lists(st.sampled_from(["Word", "of ", " ", "1,5", "2026", "é", "\xa0", "٣", "x" * 33]), max_size=40).map(
            "".join
        ),
        max_size=6,
    ),
)
@settings(max_examples=300, deadline=None)
def test_lines_are_split_and_named_alike(pages: list[str], lines: list[str]) -> None:
    texts = pl.Series("text", [*pages, *lines, "\n".join(lines)], dtype=pl.String)
    split = split_lines(texts)
    named = pl.concat([split["text"], pl.Series("text", lines, dtype=pl.String)])
    keys = templates.line_keys(named)
    with without_kernels():
        assert split.equals(split_lines(texts))
        twin = templates.line_keys(named)
    assert keys.equals(twin)


@given(PAGES, st.lists(st.sampled_from(["a.example", "b.example", ""]), min_size=1, max_size=3))
@settings(max_examples=200, deadline=None)
def test_evidence_is_the_same_by_both_ways(pages: list[str], sites: list[str]) -> None:
    texts = pl.Series(
        "text", [*pages, *(page.upper() + "\nPage 7 of 8\npage 9 of 8\n \n7" for page in pages)], dtype=pl.String
    )
    numbers = range(len(texts))
    docs = pl.DataFrame(
        {
            "doc": pl.Series(numbers, dtype=pl.UInt32),
            "key": pl.Series([(7919 * number) % 1009 - 500 for number in numbers], dtype=pl.Int64),
            "site": pl.Series([sites[number % len(sites)] for number in numbers], dtype=pl.String),
        }
    )
    seen, held, keys = templates.evidence(texts, docs, run_key="r")
    assert keys.equals(templates.line_keys(split_lines(texts)["text"]))
    with without_kernels():
        twin_seen, twin_held, twin_keys = templates.evidence(texts, docs, run_key="r")
    assert seen.equals(twin_seen)
    assert held.equals(twin_held)
    assert keys.equals(twin_keys)
    assert (seen.schema, held.schema) == (templates.PAGES, templates.PAGE_LINES)


EVERY_CHAR = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
TITLES = st.lists(
    LINES | st.text(st.sampled_from("Σσİıßŉ꟒ aB.,\u0307\u200b中-") | st.characters(codec="utf-8"), max_size=30)
)


def keys(texts: list[str]) -> tuple[list[str], list[str]]:
    with without_kernels():
        expected = titles.title_keys(pl.Series(texts, dtype=pl.String)).to_list()
    return titles.title_keys(pl.Series(texts, dtype=pl.String)).to_list(), expected


@given(texts=TITLES)
def test_the_keys_of_titles_are_the_same(texts: list[str]) -> None:
    made, expected = keys(texts)
    assert made == expected


def test_every_character_has_the_same_key_alone_and_beside_others() -> None:
    made, expected = keys([*EVERY_CHAR, *(f"A{char}b" for char in EVERY_CHAR)])
    assert made == expected


def test_texts_are_read_where_they_lie() -> None:
    long, short = "A line that is longer than a view holds\n\nB\n12 chars ok!\n13 chars long", "x\ny"
    chunks = pl.Series("text", [long, short, "", long], dtype=pl.String)
    texts = chunks.append(pl.Series("text", ["é " * 40, "\n", long], dtype=pl.String))
    for some in (texts, texts[1:6], texts[:0], texts.filter(pl.Series([True, False] * 3 + [True]))):
        split, keys = split_lines(some), templates.line_keys(some)
        with without_kernels():
            assert split.equals(split_lines(some))
            twin = templates.line_keys(some)
        assert keys.equals(twin)


def test_short_and_long_pages_are_scored_alike_together() -> None:
    line = "Line {} says something else than its neighbours do, and it ends here."
    long = "\n".join(line.format(number) if number % 3 else f"Share {number}" for number in range(700))
    assert_same(
        ["Home\nNews", *(["a\nb. c\nRead more"] * 120), long, "x", "\n".join(long.split("\n")[:128]), "Contact"]
    )


@given(st.lists(st.lists(st.integers(-700_000, 700_000), min_size=1, max_size=30), min_size=1, max_size=6))
def test_what_lines_hear_from_those_around(pages: list[list[int]]) -> None:
    odds = np.array([n for page in pages for n in page], np.float64)
    opens = np.array([at == 0 for page in pages for at in range(len(page))], np.bool_)
    assert np.array_equal(native.heard(odds, opens, model.MOST_HEARD), model._heard(odds, opens))
