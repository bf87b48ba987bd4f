"""The language of a text, from the bundled model: offline, bounded, the same every time."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.boilerplate import language

SENTENCES = {
    "en": "The ferry company lost its licence in the winter, and nobody would say when it might come back.",
    "de": "Die Fährgesellschaft verlor im Winter ihre Lizenz, und niemand wollte sagen, wann sie wieder fährt.",
    "fr": "La compagnie de ferries a perdu sa licence cet hiver et personne ne veut dire quand elle reviendra.",
    "es": "La compañía de transbordadores perdió su licencia en invierno y nadie quiere decir cuándo volverá.",
    "it": "La compagnia di traghetti ha perso la licenza in inverno e nessuno vuole dire quando tornerà.",
    "pl": "Firma promowa straciła zimą licencję i nikt nie chce powiedzieć, kiedy ją odzyska.",
    "ru": "Паромная компания потеряла лицензию зимой, и никто не хочет сказать, когда она её вернёт.",
    "el": "Η εταιρεία των πλοίων έχασε την άδειά της τον χειμώνα και κανείς δεν λέει πότε θα επιστρέψει.",
    "tr": "Feribot şirketi kışın ruhsatını kaybetti ve kimse ne zaman geri geleceğini söylemek istemiyor.",
    "ar": "فقدت شركة العبارات رخصتها في الشتاء ولا يريد أحد أن يقول متى ستعود",
    "zh": "渡轮公司在冬天失去了执照，没有人愿意说什么时候能够恢复。",
    "ja": "フェリー会社は冬に免許を失い、いつ戻るのか誰も言おうとしない。",
    "ko": "여객선 회사는 겨울에 면허를 잃었고 언제 돌아올지 아무도 말하지 않는다.",
}


def detect(*texts: str | None) -> list[tuple[str | None, float | None]]:
    return language.detect(pl.Series(texts, dtype=pl.String)).rows()


@pytest.mark.parametrize(("lang", "sentence"), SENTENCES.items())
def test_a_sentence_is_recognised(lang: str, sentence: str) -> None:
    [(found, score)] = detect(sentence)
    assert found == lang
    assert score is not None and score > 0.5


@pytest.mark.parametrize(("lang", "sentence"), [(k, v) for k, v in SENTENCES.items() if k in ("en", "de", "pl", "ru")])
def test_capitals_do_not_change_the_language(lang: str, sentence: str) -> None:
    assert detect(sentence.upper())[0][0] == lang


@pytest.mark.parametrize("text", ["", " ", "\n\n", "123 456", "--- *** …", "2018-01-30 | 10:22", None, "🙂🙂"])
def test_text_without_a_letter_has_no_language(text: str | None) -> None:
    assert detect(text) == [(None, None)]


def test_letters_outside_the_middle_are_found_all_the_same() -> None:
    assert detect(SENTENCES["de"] + "\n" + "=" * 3000)[0][0] == "de"


def test_navigation_in_another_language_does_not_decide() -> None:
    text = "\n".join(["Home", "Login", *[SENTENCES["fr"]] * 4, "Share", "Print", "Subscribe"])
    assert detect(text)[0][0] == "fr"


def test_addresses_and_numbers_are_not_read() -> None:
    assert detect("https://www.example.com/the/english/words/in/an/address " + SENTENCES["pl"])[0][0] == "pl"


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(max_size=300) | st.none(), max_size=6))
def test_there_is_one_answer_a_text_and_a_text_decides_it_alone(texts: list[str | None]) -> None:
    together = detect(*texts)
    assert together == [detect(text)[0] for text in texts]
    assert all(score is None or 0 <= score <= 1 for _, score in together)
    assert all((lang is None) == (score is None) for lang, score in together)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(max_size=2000), min_size=1, max_size=4))
def test_a_sample_is_bounded_and_one_line(texts: list[str]) -> None:
    for sample in language.samples(pl.Series(texts)):
        assert len(sample) <= 2 * language.SAMPLE_CHARS  # lower case of a few letters is two characters
        assert "\n" not in sample
