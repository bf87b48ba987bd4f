"""The line model's features: what they count, that pages don't see each other, that batches don't matter."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.boilerplate import features
from etl.boilerplate.lines import split_lines

PROSE = "The council met on Tuesday to decide whether the old bridge should be closed to lorries until the repairs are done."


NO_LEXICON = np.zeros(1 << features.LEXICON_BITS, np.int8)


def featurize(lines: pl.DataFrame) -> features.Floats:
    """Features of `lines` where no word is known."""
    return features.featurize(lines, NO_LEXICON)


def column(pages: list[str], name: str) -> list[float]:
    """The feature `name` of every line of `pages`."""
    return [
        float(x)
        for x in featurize(split_lines(pl.Series(pages, dtype=pl.String)))[:, features.FEATURE_NAMES.index(name)]
    ]


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("abcd efg", "size", 8),
        ("  abcd efg\t", "size", 8),
        ("新華社", "size", 6),
        ("abcd efg hi", "words", 3),
        ("新華社北京", "words", 3),
        ("10 of 12", "digits", 0.5),
        ("10 of 12", "numbers", 2 / 3),
        ("AbCd", "capitals", 0.5),
        ("Привет", "capitals", 1 / 6),
        ("Élan Österreich", "capitals", 2 / 14),
        ("a | b | c", "separators", 2),
        ("Home » News » Sport", "separators", 2),
        ("one, two; three", "commas", 2),
        ("One. Two! Three?", "sentence ends", 3),
        ("3.5 and 4.5", "sentence ends", 0),
        ("at 12:30 today", "times", 1),
        ("write to a@b.example", "links", 1),
        ("© Example", "symbols", 1),
        ("Read more", "last sign", 0),
        ("See also:", "last sign", 1),
        ("And then…", "last sign", 2),
        ("And then...", "last sign", 2),
        ("It ended.", "last sign", 3),
        ("“It ended.”", "last sign", 3),
        ("他走了。", "last sign", 3),
        ("lower", "first letter", 2),
        ("Upper", "first letter", 3),
        ("7 days", "first letter", 1),
        ("- item", "first letter", 0),
    ],
)
def test_a_line_is_counted(text: str, name: str, expected: float) -> None:
    assert column([text], name) == [pytest.approx(expected, abs=1e-6)]


def test_every_feature_has_its_own_name() -> None:
    names = features.FEATURE_NAMES + features.SECOND_NAMES
    assert len(set(names)) == len(names)


def test_no_lines_give_an_empty_matrix_with_all_columns() -> None:
    assert featurize(split_lines(pl.Series([], dtype=pl.String))).shape == (0, len(features.FEATURE_NAMES))


def test_a_line_that_shares_its_words_with_the_article_is_told_from_one_that_does_not() -> None:
    other = "Lorries over the bridge had been banned before, the council said, but never for the length of the repairs."
    shared = column([f"{PROSE}\n{other}\nBridge closed\nSubscribe newsletter"], "words shared with long lines")
    assert shared[2] == 1
    assert shared[3] == 0


def test_a_lines_own_words_do_not_count_as_shared() -> None:
    assert column([PROSE], "words shared with long lines") == [0]


def test_copies_are_counted_within_the_page() -> None:
    assert column(["Share\nText\nShare", "Share"], "copies on the page") == [2, 1, 2, 1]
    assert column(["Share\nText\nShare", "Share"], "copies above") == [0, 0, 1, 0]


def test_the_lines_above_and_below_are_seen_but_not_over_the_edge_of_the_page() -> None:
    assert column(["a\nbb\nccc", "dddd"], "size 1 above") == [-1, 1, 2, -1]
    assert column(["a\nbb\nccc", "dddd"], "size 1 below") == [2, 3, -1, -1]


def test_the_stretch_of_long_lines_is_found_between_the_chrome() -> None:
    page = "\n".join(["Home", "News", PROSE, PROSE + " Again.", "Share", "Terms"])
    assert column([page], "lines to the long stretch") == [2, 1, 0, -1, -2, -3]
    assert column([page], "lines past the long stretch") == [-3, -2, -1, 0, 1, 2]


def test_blank_lines_change_nothing() -> None:
    lines = ["Home", PROSE, "Share", PROSE]
    close, loose = (featurize(split_lines(pl.Series([gap.join(lines)]))) for gap in ("\n", "\n\n \n"))
    assert np.array_equal(close, loose)


def test_site_columns_may_be_missing_and_then_say_nothing() -> None:
    lines = split_lines(pl.Series([f"Home\n{PROSE}"]))
    empty = lines.with_columns(site_near=pl.lit(0, pl.UInt32), site_pages=pl.lit(0, pl.UInt32))
    assert np.array_equal(featurize(lines), featurize(empty))
    seen = featurize(lines.with_columns(site_near=pl.lit(3, pl.UInt32), site_pages=pl.lit(4, pl.UInt32)))
    assert seen[0, features.FEATURE_NAMES.index("share of the site's pages with this line")] == 0.75


def test_pages_of_no_known_site_tell_nothing_about_each_other() -> None:
    lines = split_lines(pl.Series([f"Home\n{PROSE}"]))
    counted = lines.with_columns(site=pl.lit(""), site_near=pl.lit(900, pl.UInt32), site_pages=pl.lit(1000, pl.UInt32))
    assert np.array_equal(featurize(counted), featurize(lines))


PAGES = st.lists(
    st.lists(
        st.one_of(st.text(min_size=1, max_size=60), st.just(PROSE), st.just("新華社北京電。")), min_size=1, max_size=8
    ).map("\n".join),
    min_size=1,
    max_size=5,
)


@settings(max_examples=60, deadline=None)
@given(PAGES)
def test_a_page_has_the_same_features_alone_and_among_others(pages: list[str]) -> None:
    together = split_lines(pl.Series(pages))
    alone = [featurize(split_lines(pl.Series([page]))) for page in pages]
    assert np.array_equal(featurize(together), np.concatenate(alone))


@settings(max_examples=60, deadline=None)
@given(PAGES)
def test_all_features_are_finite(pages: list[str]) -> None:
    lines = split_lines(pl.Series(pages))
    measured = features.measure(lines)
    scores = np.linspace(0, 1, lines.height)
    assert np.isfinite(features.first_features(measured, NO_LEXICON)).all()
    assert np.isfinite(features.second_features(measured, scores)).all()


def test_a_line_longer_than_the_head_is_scaled_up() -> None:
    assert column(["word " * 200], "words") == [pytest.approx(200, abs=2)]


def test_a_batch_boundary_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = split_lines(pl.Series([f"Home\n{PROSE}\n新華社北京電\nShare", PROSE]))
    whole = featurize(lines)
    monkeypatch.setattr(features, "BATCH_BYTES", 8)
    assert np.array_equal(featurize(lines), whole)


def entry_of(word: str) -> int:
    """The place of `word` in a lexicon."""
    (entry,) = features.measure(split_lines(pl.Series([word]))).words.entry
    return int(entry)


def test_words_are_looked_up_in_the_lexicon_whatever_their_case() -> None:
    lexicon = NO_LEXICON.copy()
    lexicon[entry_of("share")], lexicon[entry_of("he")] = 32, -16
    lines = split_lines(pl.Series(["Share SHARE now\nHe said so", "Nothing here"]))
    told = features.featurize(lines, lexicon)
    for name, expected in (
        ("wording", [64, -16, 0]),
        ("mean wording", [64 / 3, -16 / 3, 0]),
        ("wording most like boilerplate", [32, 0, 0]),
        ("wording most like text", [0, -16, 0]),
        ("share of words known", [2 / 3, 1 / 3, 0]),
        ("wording within 3", [24, 24, 0]),
    ):
        assert told[:, features.FEATURE_NAMES.index(name)].tolist() == pytest.approx(expected, abs=1e-5)


def test_hits_of_rules_and_metadata_are_seen_from_afar_but_not_over_the_edge_of_the_page() -> None:
    lines = split_lines(pl.Series(["Title\nBy Ann\nText\nReply", "Text"])).with_columns(
        hit=pl.Series([features.TITLE, features.BYLINE, 0, features.COMMENTS, 0], dtype=pl.UInt8)
    )
    told = featurize(lines)
    far = features.FAR
    for name, expected in (
        ("marked by a rule", [1, 1, 0, 1, 0]),
        ("kind of metadata", [1, 2, 0, 0, 0]),
        ("lines since the title", [far, 1, 2, 3, far]),
        ("lines to the next byline or date", [1, far, far, far, far]),
        ("lines to the next ruled line", [3, 2, 1, far, far]),
        ("lines since a rule on comments", [far, far, far, far, far]),
        ("marked lines on the page", [3, 3, 3, 3, 0]),
    ):
        assert told[:, features.FEATURE_NAMES.index(name)].tolist() == expected


def test_the_largest_block_is_the_one_with_most_text() -> None:
    page = "\n".join(["Home", PROSE, "Menu", PROSE, PROSE, "Share"])
    assert column([page], "lines past the largest block") == [-3, -2, -1, 0, 1, 2]
    assert column([page], "text of the block against the largest") == [0, 0.5, 0, 1, 1, 0]
