from __future__ import annotations

import re

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from etl.repair import mojibake
from etl.repair.mojibake import CODECS, LONGEST_PIECE, repair


def repaired(text: str) -> tuple[str, list[str]]:
    texts, repairs = repair(pl.Series([text]))
    return texts[0], repairs[0].to_list()


def broken(text: str, *codecs: str) -> str:
    for codec in codecs:
        text = text.encode().decode(codec)
    return text


SENTENCES = {
    "de": "Die Größe der Straße überraschte Müller, der für schöne Grüße bekannt ist.",
    "fr": "L’année dernière, l’équipe a été félicitée à Évry pour sa très bonne idée.",
    "es": "El niño comió una piña en la montaña y después bebió café.",
    "pl": "Źdźbło trawy rosło na łące, gdzie pasły się żółte kozły i gęsi.",
    "cs": "Příliš žluťoučký kůň úpěl ďábelské ódy.",
    "ru": "Комитет собрался во вторник и утвердил бюджет на следующий год.",
    "el": "Η επιτροπή συνεδρίασε την Τρίτη και ενέκρινε τον προϋπολογισμό.",
    "vi": "Ủy ban đã họp hôm thứ Ba và thông qua ngân sách cho năm tới.",
    "ja": "委員会は火曜日に会合を開き、来年度の予算を承認した。",
    "ko": "위원회는 화요일에 모여 내년 예산을 승인했다.",
    "he": "הוועדה התכנסה ביום שלישי ואישרה את התקציב לשנה הבאה.",
    "en": "“It’s a budget,” she said — and that was all…",
}


@pytest.mark.parametrize("codec", ["latin-1", "sloppy-windows-1252", "mac_roman"])
@pytest.mark.parametrize("language", SENTENCES)
def test_mojibake_is_undone(language: str, codec: str) -> None:
    text = SENTENCES[language]
    assert repaired(broken(text, codec)) == (text, ["mojibake:1"])


@pytest.mark.parametrize("codec", ["sloppy-windows-1251", "sloppy-windows-1250", "iso-8859-2", "cp437"])
@pytest.mark.parametrize("language", ["de", "fr", "es", "en"])
def test_mojibake_in_charsets_that_ftfy_hardly_sees_is_undone(language: str, codec: str) -> None:
    text = SENTENCES[language]
    assert repaired(broken(text, codec))[0] == text


@pytest.mark.parametrize("language", ["de", "fr", "ru", "vi", "ja"])
def test_layers_of_mojibake_are_undone(language: str) -> None:
    text = SENTENCES[language]
    for layers in (2, 3):
        assert repaired(broken(text, *["sloppy-windows-1252"] * layers))[0] == text


@pytest.mark.parametrize("language", SENTENCES)
def test_a_line_that_is_mojibake_in_part_is_mended_in_part(language: str) -> None:
    text = SENTENCES[language]
    line = f"{text} {broken(text, 'sloppy-windows-1252')}"
    assert repaired(line)[0] == f"{text} {text}"
    assert repaired(f"{text}\n{broken(text, 'sloppy-windows-1252')}\n{text}") == (
        f"{text}\n{text}\n{text}",
        ["mojibake:1"],
    )


def test_no_break_spaces_lost_in_the_middle_of_letters_come_back() -> None:
    for language in ("he", "ko", "ja"):
        text = SENTENCES[language]
        assert repaired(broken(text, "sloppy-windows-1252").replace("\xa0", " "))[0] == text


@pytest.mark.parametrize("text", [*SENTENCES.values(), *(s.upper() for s in SENTENCES.values())])
def test_clean_text_is_left_alone(text: str) -> None:
    assert repaired(text) == (text, [])


@pytest.mark.parametrize(
    "text",
    [
        "Spaß“, sagte er, „großer Spaß“ und „Gruß“, „Fuß“, „Maß“.",
        "CAFÉ» — «CLICHÉ» — «RÉSUMÉ»",
        "RĂŞINARI, ÎMPĂRĂŞIE, ĂŞTIA",
        "Він сказав: «Пі», «США» і «РФ».",
        "Bremer/Mccoy – DrÃ¥ber",
        "Con il corpo e lo spirito ammaccato,\xa0è come se nel cuore avessi un vetro.",
        "│ box │ drawing │\n├───┼───┤",
        "Ångström, naïve, Øre, ¿qué?, 20\xa0°C, 5\xa0€, ½, ×, ÷, §\xa05",
        "(ノಠ益ಠ)ノ彡┻━┻ and 👨‍👩‍👧 and e\u0301",
        "soft\u00adhyphen, zero\u200bwidth, \u202ebidi\u202c, ﬁ ligature, Ｆｕｌｌ width, “curly”, ‘quotes’",
        "if (a &amp;&amp; b) { return '&lt;'; }",
        '<a href="x?a=1&amp;b=2">link</a>',
        "Write `&amp;` for an ampersand.",
        "AT&T; R&D, Q&A; this&that",
    ],
)
def test_what_only_looks_broken_is_left_alone(text: str) -> None:
    assert repaired(text) == (text, [])


@pytest.mark.parametrize(
    ("text", "expected", "repairs"),
    [
        ("Tom &amp; Jerry", "Tom & Jerry", ["entities:1"]),
        ("It&#8217;s &quot;fine&quot;&nbsp;now", 'It’s "fine"\xa0now', ["entities:4"]),
        ("double &amp;#8217; escaped &amp;amp; more", "double ’ escaped & more", ["entities:2"]),
        ("I <3 &eacute;clairs", "I <3 éclairs", ["entities:1"]),
        ("&acirc;€” and more", "— and more", ["mojibake:1", "entities:1"]),
        ("nul\0 and \x08 bell\x07", "nul and  bell", ["control:3"]),
        ("a\ufeffb\ufffec\ufdd0d\U0001ffffe", "abcde", ["control:4"]),
        ("\x93quoted\x94 it\x92s", "“quoted” it’s", ["mojibake:1"]),
        ("a\r\nb\rc\u2028d\u2029e\x0cf\x0bg", "a\nb\nc\nd\ne\nf\ng", []),
        ("one\x1ftwo\x1cthree", "one two three", []),
        ("  indented\ntrailing \t \n\n\n\n\nend\n\n", "  indented\ntrailing\n\nend", []),
        ("\n \n\t\nfirst", "first", []),
        ("", "", []),
        (" \n ", "", []),
        ("line&#8232;end and &#10;another", "line\nend and\nanother", ["entities:2"]),
    ],
)
def test_entities_controls_and_line_ends(text: str, expected: str, repairs: list[str]) -> None:
    assert repaired(text) == (expected, repairs)


def test_columns_of_either_kind_and_nulls_are_taken() -> None:
    for column in (
        pl.Series(["a &amp; b", None, "c"]),
        pa.chunked_array([["a &amp; b", None], ["c"]], pa.large_string()),
    ):
        texts, repairs = repair(column)
        assert texts.to_list() == ["a & b", "", "c"]
        assert repairs.to_list() == [["entities:1"], [], []]
    texts, repairs = repair(pl.Series([], dtype=pl.String))
    assert (texts.to_list(), repairs.to_list(), repairs.dtype) == ([], [], pl.List(pl.String))


def test_rows_keep_their_order_and_do_not_touch_each_other() -> None:
    rows = ["clean", "cafÃ©", "a\r\nb", "", "Ã¼ber &amp; unter\n\n\n\nx ", "end"]
    together, _ = repair(pl.Series(rows))
    assert together.to_list() == [repaired(row)[0] for row in rows]


def test_a_long_line_is_repaired_in_pieces() -> None:
    text = (SENTENCES["de"] + " ") * (3 * LONGEST_PIECE // len(SENTENCES["de"]))
    assert repaired(broken(text, "sloppy-windows-1252"))[0] == text.strip()


_PIECES = st.sampled_from(
    [*SENTENCES.values(), *(broken(s, "sloppy-windows-1252") for s in SENTENCES.values())]
    + [broken(s, "mac_roman") for s in SENTENCES.values()]
    + [
        "Ã",
        "Â ",
        "â€",
        "&amp;",
        "&amp;lt;",
        "&#10;",
        "<b>",
        "\x85",
        "\x9d",
        "\r",
        "\u2028",
        "\0",
        " ",
        "\n",
        "\t",
        ". ",
        "é",
        "├▒",
        "Г©",
        "\ufffd",
        "'",
    ]
)


@settings(deadline=None, max_examples=150)
@given(st.lists(_PIECES | st.text(max_size=4), max_size=8).map("".join))
@example("Ã\0©")
@example("&amp;amp;amp;amp;amp;amp;amp;lt;")
@example("&\0amp;")
@example("&am&amp;p;")
def test_what_is_repaired_once_is_not_changed_again(text: str) -> None:
    once = repaired(text)[0]
    assert repaired(once)[0] == once
    assert not any(c in once for c in "\r\0\u2028\x85\x9d")


@settings(deadline=None)
@given(st.lists(st.text(max_size=30), max_size=6))
def test_any_text_gives_as_many_texts_and_what_was_done(texts: list[str]) -> None:
    after, repairs = repair(pl.Series(texts, dtype=pl.String))
    assert len(after) == len(repairs) == len(texts)
    assert all(r.partition(":")[0] in ("mojibake", "entities", "control") for row in repairs.to_list() for r in row)


def _pairs_one_charset_after_another() -> re.Pattern[str]:
    pairs = (
        (bytes(range(0xC2, 0xF5)).decode(c, "ignore"), bytes(range(0x80, 0xC0)).decode(c, "ignore")) for c in CODECS
    )
    return re.compile("|".join(f"[{re.escape(lead)}][{re.escape(tail)}]" for lead, tail in pairs))


_PAIRS = _pairs_one_charset_after_another()


def _best_charset_word_by_word(text: str) -> tuple[int, str]:
    """What `_best_charset` says, each word of the text asked in each charset."""
    words = []
    for word in re.finditer(r"[^ \t]+", text):
        readings = {}
        for number, codec in enumerate(CODECS if _PAIRS.search(word[0]) else ()):
            try:
                right = word[0].encode(codec).decode()
            except UnicodeError:
                continue
            if mojibake._LIKELY_TEXT.fullmatch(right) and not mojibake._ODD_SMALL.search(right):
                tidied = mojibake._oddities(word[0]) - mojibake._oddities(right)
                readings[number] = (right, mojibake._weight(word[0], right), tidied)
        words.append((word, readings))
    best, winner = 0, -1
    for number in range(len(CODECS)):
        mine = [readings[number] for _, readings in words if number in readings]
        tidied = sum(one[2] for one in mine)
        evidence = sum(one[1] for one in mine) + (min(tidied, len(mine)) if tidied > 0 else 3 * tidied)
        if mine and evidence > best:
            best, winner = evidence, number
    parts, done = [], 0
    for word, readings in words:
        if winner in readings:
            parts += [text[done : word.start()], readings[winner][0]]
            done = word.end()
    return best, "".join(parts) + text[done:]


def _misread(text: str, codec: str) -> str:
    try:
        return text.encode().decode(codec)
    except UnicodeError:
        return text


_MISREAD_WORDS = st.builds(
    _misread,
    st.sampled_from(["Größe", "café", "“so”", "Привет", "το", "łódź", "日本", "Ål", "plain", "x–y", "DrÅber"]),
    st.sampled_from(CODECS),
)


@settings(deadline=None, max_examples=300)
@given(
    st.lists(
        st.sampled_from(["", "ok", "naïve", "«É»", "Г©", "вЂ™"]) | _MISREAD_WORDS | st.text(max_size=6), max_size=9
    ),
    st.sampled_from([" ", "\t", "  ", " \t ", "\n", ""]),
)
def test_the_charset_of_words_is_found_as_if_each_word_were_asked(words: list[str], blank: str) -> None:
    text = blank.join(words)
    assert mojibake._best_charset(text) == _best_charset_word_by_word(text)


def test_a_long_line_of_one_word_or_of_many_is_no_trouble() -> None:
    for text in ("é" * 200_000, "Ã© " * 50_000, "a\t" * 100_000 + "Ã©", "x" * 200_000 + "Ã©"):
        assert mojibake._best_charset(text)[1] == _best_charset_word_by_word(text)[1]
