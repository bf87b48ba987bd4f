from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.dedup import native, pairs
from etl.dedup.fingerprint import shard_tables
from etl.dedup.pairs import Likeness, likenesses, pointing_on

BASE = "The city council approved the new budget of 3.5 million on Tuesday, Mayor Anna Kowalska said."


def likeness(first: str, second: str) -> Likeness | None:
    return likenesses([first], [second], score_min=0.0)[0]


@pytest.mark.parametrize(
    "other",
    [
        BASE.replace("Tuesday,", "Tuesday"),
        BASE.replace(" ", "  "),
        "UPDATE: " + BASE,
        "Photo: " + BASE,
        "MANILA, Philippines — " + BASE,
        "(Reuters) - " + BASE,
        "• " + BASE,
        BASE + " (Reuters)",
        BASE + " | Daily News",
        BASE + " [1]",
        BASE[:-1] + " - Reuters",
        BASE.replace("approved", "approevd"),
        BASE.replace("council", "councll").replace("the new", "tbe new"),
        BASE.replace("budget", "budgct"),
        BASE.replace("of 3.5", "now of 3.5"),
        BASE[:70],
        BASE[:80] + "…",
        BASE.replace("the new", "thenew"),
    ],
)
def test_variants_that_say_the_same_are_alike(other: str) -> None:
    found = likeness(BASE, other)
    assert found is not None and found.score >= 0.85
    assert likeness(other, BASE) is not None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (BASE, BASE.replace("3.5", "7.1")),
        (BASE, BASE.replace("3.5", "35")),
        (BASE, BASE.replace("Tuesday", "Thursday")),
        (BASE, BASE.replace("approved", "didn't approve")),
        (BASE, BASE.replace("council approved", "council not approved")),
        (BASE, BASE.replace("Anna Kowalska", "Maria Santos")),
        (BASE, BASE.replace("approved", "rejected")),
        (BASE, BASE.replace("new", "old")),
        ("He met her in June in the old town hall.", "He met her in July in the old town hall."),
        ("Der Minister kam im Juni nach Berlin zurück.", "Der Minister kam im Juli nach Berlin zurück."),
        ("Das ist keine gute Lösung für die Stadt.", "Das ist eine gute Lösung für die Stadt."),
        ("Il est venu avec son frère dans la ville.", "Il est venu avec son frère sans la ville."),
        ("Bu konuda ne yapacağını çok iyi biliyor artık.", "Bu konuda ne yapacağını çok iyi bilmiyor artık."),
        ("Он не приехал в город вчера вечером поздно.", "Он приехал в город вчера вечером поздно."),
        ("Iran signed the treaty with the others today.", "Iraq signed the treaty with the others today."),
        ("The two organisations launched an appeal today.", "The three organisations launched an appeal today."),
        ("She said the plan would work for the city.", "He said the plan would work for the city."),
        ("Emissions of CO2 from the plant were lower.", "Emissions of CO7 from the plant were lower."),
        ("Paris lost to London in the final game today.", "London lost to Paris in the final game today."),
        ("The court found that it is legal in the state.", "The court found that it is illegal in the state."),
        ("He is a typical man of his age, they say.", "He is an atypical man of his age, they say."),
        ("Sales rose 5 percent.", "Sales rose 5 percent. Profit fell 3 percent in May."),
        ("The firm said it would sell the unit", "The firm said it would sell the unit not the whole company."),
    ],
)
def test_a_difference_in_meaning_keeps_both(one: str, other: str) -> None:
    assert likeness(one, other) is None
    assert likeness(other, one) is None


def test_the_sentence_that_was_cut_off_is_the_one_that_goes() -> None:
    found = likeness(BASE[:70], BASE)
    assert found is not None and found.poorer == 0


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_text_can_be_compared(one: str, other: str) -> None:
    found = likeness(one, other)
    assert found is None or 0 <= found.score <= 1


@given(
    st.lists(
        st.sampled_from(["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "not", "12", "15", "Monday"]),
        min_size=5,
        max_size=12,
    )
)
def test_a_number_more_or_less_is_never_alike(words: list[str]) -> None:
    one = " ".join(words) + "."
    assert likeness(one, one.replace("12", "15")) is None or "12" not in words


def near(text: str) -> list[tuple[str, str]]:
    docs = pl.DataFrame({"doc": [0], "doc_id": ["a"], "published_at": [None], "fetched_at": [None]}).cast(
        {"doc": pl.UInt32, "published_at": pl.Datetime("us", "UTC"), "fetched_at": pl.Datetime("us", "UTC")}
    )
    lines = text.split("\n")
    ends = np.cumsum([len(line) + 1 for line in lines]) - 1
    segments = pl.DataFrame(
        {
            "doc": [0] * len(lines),
            "line": range(len(lines)),
            "start": [int(e) - len(x) for e, x in zip(ends, lines, strict=True)],
            "end": ends,
            "text": lines,
        },
        schema={"doc": pl.UInt32, "line": pl.UInt32, "start": pl.UInt32, "end": pl.UInt32, "text": pl.String},
    )
    table = shard_tables(docs, segments).near_sentences
    return [
        (text[start:end], text[kept : kept + 10])
        for start, end, kept in table.select("start_char", "end_char", "kept_start").iter_rows()
    ]


def test_near_copies_in_a_document_are_found_and_one_stays() -> None:
    other = "Quite another thing was said about the harbour and its many ships last year."
    copies = [BASE, BASE.replace("approved", "approevd"), BASE.replace("budget", "budgett")]
    found = near("\n".join([copies[0], other, copies[1], other.replace("many", "few"), copies[2]]))
    assert [text for text, _ in found] == copies[1:]
    assert all(kept == BASE[:10] or kept == copies[1][:10] for _, kept in found)


def test_copies_of_one_key_are_left_to_the_barrier() -> None:
    assert near(f"{BASE}\n{BASE.upper()}") == []


def test_what_points_to_a_sentence_that_went_points_to_the_one_that_stays_for_it() -> None:
    rows = [
        ("c", 7, "b", 3, "exact-sentence", 1.0),
        ("c", 9, "b", 4, "exact-sentence", 1.0),
        ("d", 3, "c", 3, "exact-sentence", 1.0),
    ]
    names = ["doc_id", "start_char", "kept_doc_id", "kept_start", "rule", "score"]
    judged = pl.DataFrame(rows, schema=names, orient="row")
    gone = pl.DataFrame(
        [("b", 3, "a", 0, 0.9)], schema=["doc_id", "start_char", "kept_doc_id", "kept_start", "score"], orient="row"
    )
    assert pointing_on(judged, gone).rows() == [("c", 7, "a", 0, "near-sentence", 0.9), *rows[1:]]
    assert pointing_on(judged, gone.clear()).rows() == rows


TEXT = (
    "the a rn m clear dear vv w board broad council budget approved never not now just also However actually 5 15 1a $ £20 % - – | (Reuters) "
    "UPDATE: [photo] corn com über Zürich наши также 中 国家 harbour one-two e.g. 3.5 percent percent. hallo It’s it's ﬁne Ⓐ ² \u00a0 \x1f … new her"
)
TOLD = TEXT.split(" ")


@st.composite
def sentences_alike(draw: st.DrawFn) -> list[str]:
    """Texts that come from one, by slips, words more and less, joined and cut ones, labels and credits."""
    base = draw(st.lists(st.sampled_from(TOLD), min_size=1, max_size=16))
    texts = [" ".join(base)]
    for _ in range(draw(st.integers(1, 6))):
        words = list(base)
        for _ in range(draw(st.integers(0, 2))):
            at = draw(st.integers(0, len(words) - 1)) if words else 0
            word = words[at] if words else ""
            place = draw(st.integers(0, len(word)))
            other = draw(st.sampled_from(TOLD))
            words[at : at + 1] = draw(
                st.sampled_from(
                    (
                        [other],
                        [word, other],
                        [],
                        [word[:place] + "e" + word[place:]],
                        [word[:place], word[place:]],
                        [word[:place] + word[place + 1 : place + 2] + word[place : place + 1] + word[place + 2 :]],
                        [word.replace("rn", "m").replace("i", "l").replace("o", "0")],
                        [word + "".join(words[at + 1 : at + 2])],
                    )
                )
            )
        words = words[: draw(st.sampled_from((len(words), len(words), max(4, len(words) * 2 // 3))))]
        before, after = (
            draw(st.sampled_from(("", "", "UPDATE: ", "1. ", "• "))),
            draw(st.sampled_from(("", "", ".", "…", " - AP"))),
        )
        texts.append(before + " ".join(words) + after)
    return texts


@pytest.mark.skipif(not native.available(), reason="the kernels are not installed")
@given(sentences_alike())
def test_what_the_kernel_says_is_unlike_is_nothing_alike(texts: list[str]) -> None:
    first, second = (side.ravel() for side in np.indices((len(texts), len(texts))))
    unlike = native.unlike(pl.Series(texts), first, second, pairs._FILLERS)
    judged = likenesses([texts[n] for n in first], [texts[n] for n in second], score_min=0.0)
    assert not [
        pair
        for pair, surely, alike in zip(zip(first, second, strict=True), unlike, judged, strict=True)
        if surely and alike
    ]


@pytest.mark.skipif(not native.available(), reason="the kernels are not installed")
@pytest.mark.parametrize(
    "other",
    [
        BASE.replace("city", "town"),
        BASE.replace("3.5", "3.6"),
        BASE.replace("approved the", "the"),
        BASE.replace("approved the new", "has never seen any"),
        BASE.replace("The city", "In a note the city"),
        BASE.replace("Kowalska said", "Nowak told us"),
    ],
)
def test_the_kernel_tells_other_words_without_more_ado(other: str) -> None:
    pair = np.array([0], np.uint32), np.array([1], np.uint32)
    assert native.unlike(pl.Series([BASE, other]), *pair, pairs._FILLERS).tolist() == [True]
    assert native.unlike(pl.Series([BASE, BASE + " (Reuters)"]), *pair, pairs._FILLERS).tolist() == [False]


def test_pairs_are_judged_alike_with_and_without_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = pl.Series([BASE, BASE.replace("approved", "approevd"), BASE.replace("3.5", "3.6"), "UPDATE: " + BASE])
    later, earlier = np.array([1, 2, 3, 0]), np.array([0, 0, 0, 3])

    def found() -> list[tuple[int, float]]:
        likely = pairs.likely_pairs(texts, later, earlier)
        rows, scores = pairs.alike_pairs(texts, later[likely], earlier[likely], similarity_min=0.85)
        return list(zip(likely[rows].tolist(), scores, strict=True))

    by_kernel = found()
    monkeypatch.setattr(native, "available", lambda: False)
    assert by_kernel == found()
    assert [row for row, _ in by_kernel] == [0, 2]
