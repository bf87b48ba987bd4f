from __future__ import annotations

import re
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.dedup import normalize
from etl.dedup.normalize import code_points, fold, fold_codes, key_hash, kinds_of, slice_hashes


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("It’s a “test” — really!", 'it\'s a "test" - REALLY'),
        ("Straße", "STRASSE"),
        ("İSTANBUL'da", "istanbul'da"),
        ("TARAFINDAN", "tarafından"),
        ("Pen\u0303a", "Peña"),
        ("Viê\u0323t", "Việt"),
        ("ＡＢＣ　ﾊﾟｿｺﾝ", "abc パソコン"),
        ("soft\u00adhyphen, zero\u200bwidth", "softhyphen zerowidth"),
        ("wait\u00a0for   it …", "wait for it"),
        ("• item | one", "item one"),
        ("ﬁne", "fine"),
        ("Ο ΛΟΓΟΣ", "ο λόγος".replace("ό", "ο")),
    ],
)
def test_texts_that_differ_in_dress_only_fold_together(one: str, other: str) -> None:
    assert fold(one) == fold(other)
    assert key_hash(one) == key_hash(other)


@pytest.mark.parametrize(
    "variants",
    [
        ["rose 3.5", "rose 35", "rose 3 5", "rose -3.5", "rose 3,5", "rose 3.5%", "rose $3.5", "rose 3.5‰"],
        ["won 3-1", "won 31", "won 3 1", "won 1-3"],
        ["at 10:30", "at 1030", "at 10 30"],
        ["10² metres", "102 metres", "10 2 metres"],
        ["½ cup", "12 cup", "1 2 cup"],
        ["up .5 percent", "up 5 percent", "up -.5 percent"],
        ["-$5 a share", "$5 a share", "5 a share", "€5 a share"],
        ["at 5°", "at 5"],
        ["3·5 mg", "35 mg"],
        ["١٢٫٥", "١٢٥"],
        ["a + b", "a b"],
    ],
)
def test_numbers_are_never_folded_away(variants: list[str]) -> None:
    assert len({fold(text) for text in variants}) == len(variants)


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("COVID-19, F-16.", "covid 19 f 16"),
        ("It rose 3.5. Then 4,", "it rose 3.5 then 4"),
        ("1,234.50", "1,234.50"),
        ("1’000 2019–20", "1'000 2019-20"),
        ("don't", "don t"),
        ("“-5”", "-5"),
        ("...", ""),
        ("", ""),
    ],
)
def test_what_a_text_folds_to(text: str, folded: str) -> None:
    assert fold(text) == folded


@given(st.text())
def test_folding_twice_is_folding_once_where_words_are_kept(text: str) -> None:
    once = fold(text)
    assert "  " not in once
    assert re.findall(r"[0-9]", once) == re.findall(r"[0-9]", fold(once))


@given(st.lists(st.from_regex(r"-?[1-9][0-9]{0,3}([.,][0-9]{1,2})?", fullmatch=True), min_size=1, max_size=6))
def test_the_numbers_of_a_text_can_be_read_back(numbers: list[str]) -> None:
    assert fold("Of " + " and ".join(numbers) + ".").split()[1::2] == numbers


@given(st.text(alphabet=st.characters(categories=["L", "P", "Z"], max_codepoint=0x24FF)))
def test_composed_and_decomposed_letters_fold_together(text: str) -> None:
    plain = "".join(char for char in text if unicodedata.normalize("NFC", unicodedata.normalize("NFD", char)) == char)
    kept = "".join(
        char for char in plain if not unicodedata.combining(char) and unicodedata.ucd_3_2_0.category(char) != "Cn"
    )
    if all(len(unicodedata.normalize("NFD", char)) <= 2 for char in kept):
        assert fold(unicodedata.normalize("NFD", kept)) == fold(unicodedata.normalize("NFC", kept))


@given(st.text(min_size=1))
def test_every_folded_character_knows_where_it_came_from(text: str) -> None:
    codes = code_points(text)
    folded = fold_codes(codes, kinds_of(codes))
    assert len(folded.codes) == len(folded.source)
    assert (np.diff(folded.source) >= 0).all()
    assert len(folded.source) == 0 or folded.source[-1] < len(text)


def test_hashes_are_those_of_every_machine() -> None:
    codes = code_points("hello world")
    assert (
        slice_hashes(codes, np.array([0]), np.array([11])).tolist()
        == [key_hash("Hello, world!")]
        == [4814980911672735237]
    )
    low, high = (slice_hashes(codes, np.array([0, 0]), np.array([11, 5]), seed=seed) for seed in (0, 1))
    assert low[0] != low[1] and high[0] != high[1] and low[0] != high[0]


def test_what_the_package_keeps_of_characters_is_what_python_tells() -> None:
    kept, made = normalize.tables(), normalize._made()
    for name in ("kind", "fold", "pairs", "composed"):
        ours, theirs = getattr(kept, name), getattr(made, name)
        assert ours.dtype == theirs.dtype and np.array_equal(ours, theirs), "run make tables"
    assert list(kept.many.items()) == list(made.many.items()), "run make tables"
