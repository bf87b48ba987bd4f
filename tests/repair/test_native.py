"""The kernels against the patterns they stand in for, and ftfy's steps against ftfy."""

from __future__ import annotations

import ftfy
import numpy as np
import polars as pl
import pytest
from ftfy import badness as ftfy_badness
from hypothesis import example, given, settings
from hypothesis import strategies as st

from etl.repair import encoding, mojibake, native
from etl.repair.mojibake import CODECS, Repair, repair, repair_line

ODD = (
    "\x80\x85\x93\x99\x9d\xa0\xad\xaa\xba\xbf\xd7\xdf²½ÂÃÅÎÐØÙàâéÀÑœŒ§°€£™©®“”‘’‚„«»‹›•…–—´·"
    "αΒβΞώаВГеРСёъђіЂāăšťŁłŻ┌═▀√≈№ﬁ\u0301\u200b\u2028\u2029\ufeff\ufdd0\ufffd\ufffe\U0001f600\U0001fffe日あ"
)
PIECES = st.sampled_from(
    [
        *ODD,
        *(
            "a",
            "z",
            "M",
            " ",
            " ",
            "\n",
            "\n\n\n",
            "\t",
            "     ",
            ".",
            "_",
            "7",
            "?",
            "\x1a",
            "\x1c",
            "\x7f",
            "\0",
            "\r\n",
        ),
        *("&", "&amp;", "&#x27;", "&#13;", "&nbsp;", "&amp;#8217;", "&x", ";", "#", "ВЂВ", "‚Ä†", "Ã\xa0", "ГўВЂВ.a"),
    ]
)


@st.composite
def texts(draw: st.DrawFn) -> str:
    """Words and signs, some of them UTF-8 read in another charset, once or more."""
    text = "".join(draw(st.lists(PIECES | st.characters(codec="utf-8"), max_size=12)))
    for codec in draw(st.lists(st.sampled_from((*CODECS, "cp1251", "cp1250")), max_size=2)):
        start = draw(st.integers(0, max(len(text) - 1, 0)))
        try:
            text = text[:start] + text[start:].encode().decode(codec)
        except UnicodeError:
            continue
    return text


@pytest.mark.skipif(not native.available(), reason="the kernels are not installed")
@settings(deadline=None)
@given(st.lists(texts(), max_size=6), st.sampled_from((1, 4)))
@example(
    [
        "",
        " ",
        "\t\t",
        "caf\u00c3\u00a9 caf\u00c3\u00a9\tna\u00c3\u00afve",
        "\u0420\u0457\u0421\u0402\u0420\u0451 x",
        "\u00c3\u00c3\u00a9",
    ],
    4,
)
@example(
    [
        "a\U0001f600\u00f0\u0178\u02dc\u20ac \u00ed\u00a0\u0080 \u00c0\u0080",
        "Za\u00c3\u00adZ \u00c3\u00a9\u00c3\u00a8\u00c3\u00aa",
        "\u251c\u2310" * 9,
    ],
    1,
)
def test_the_kernel_reads_words_as_python_does(lines: list[str], layers: int) -> None:
    told = [mojibake._by_words(line, layers=layers) for line in lines]
    evidences, readings = native.by_words(lines, mojibake._charsets(), layers=layers)
    assert list(zip(evidences, readings, strict=True)) == told


@pytest.mark.skipif(not native.available(), reason="the kernels are not installed")
@given(st.lists(texts(), max_size=6))
@example(["", "\n", " ", "é", "Â ", "x\nÃ \ny", "Œ", "Œ\n", "é »é", "aé€", "пример", "РїСЂРё", "РїСЂРё,\tx"])
def test_the_kernels_find_what_the_patterns_find(given_texts: list[str]) -> None:
    series = pl.Series("text", given_texts, dtype=pl.String)
    assert native.untidy(series).to_list() == series.str.contains(mojibake._UNTIDY).to_list()
    signs = mojibake._signs()
    assert signs
    found = native.suspicious_lines(series, signs)
    lines = [(i, line) for i, text in enumerate(given_texts) for line in text.split("\n")]
    met = pl.Series([line for _, line in lines], dtype=pl.String).str.contains(mojibake.SUSPICIOUS)
    data = found.data.tobytes()
    assert [(i, data[a:b].decode()) for i, a, b in zip(found.text, found.start, found.end, strict=True)] == [
        line for line, is_met in zip(lines, met, strict=True) if is_met
    ]
    assert [data[a:b].decode() for a, b in zip(found.first, found.past, strict=True)] == [
        given_texts[i] for i in found.text
    ]


@pytest.mark.skipif(not native.available(), reason="the kernels are not installed")
@pytest.mark.parametrize(
    "what",
    [
        "\x08",
        "\x7f",
        "\u2028",
        "\ufeff",
        "\ufdd0",
        "\U0001ffff",
        " \n",
        "\t\n",
        "\n\n\n",
        "\n\n",
        "\n",
        "’",
        "\u2027",
        "é",
        "\t",
    ],
)
def test_what_is_untidy_is_found_wherever_it_stands(what: str) -> None:
    texts = [f"{'x' * before}{what}{'y' * after}" for before in range(70) for after in (0, 1, 2, 3, 31, 40)]
    series = pl.Series("text", texts)
    assert native.untidy(series).to_list() == series.str.contains(mojibake._UNTIDY).to_list()


@pytest.mark.skipif(not native.available(), reason="the kernels are not installed")
@settings(deadline=None)
@given(st.lists(texts(), max_size=6))
@example(["", "\n", "x\nÂ\xa0", "aÁ", "AéA", "éÁ", "яa", "aя", "a∞", "Œ", "Œ\nŒ", "РїСЂРё", "x\nРїСЂРё"])
def test_the_kernel_sees_the_signs_that_the_patterns_match(given_texts: list[str]) -> None:
    asked = tuple(mojibake._PATTERNS)
    told = mojibake._signs_of(given_texts, *asked)
    assert told == [mojibake._contains(given_texts, mojibake._PATTERNS[each]) for each in asked]


@settings(deadline=None)
@given(st.lists(texts(), max_size=6))
@example(
    [
        "they\u00c3\u00a2\u00e2\u201a\u00ac\u00e2\u201e\u00a2re",
        "\u00c3\u00a9\u00c3\u00a8\u00c3\u00aa",
        "&#195;&#169;",
        "\u00c3\u00a9 Z\u00e9Z",
    ]
)
def test_many_lines_are_repaired_as_each_is_by_itself(given_texts: list[str]) -> None:
    lines = pl.Series([line for text in given_texts for line in text.split("\n") if line], dtype=pl.String)
    plain = pl.Series(list(map(mojibake._unescape, lines)), dtype=pl.String)
    lines = lines.filter(plain.str.contains(mojibake._MISREAD))  # others are asked for their entities alone
    assert mojibake._repair_each(lines.to_list()) == list(map(repair_line, lines))


def lines_of(texts: list[str]) -> native.Lines:
    """Texts of one line each, as lines to repair."""
    parts = [text.encode() for text in texts]
    ends = np.cumsum([*map(len, parts)], dtype=np.int64)
    starts = ends - [*map(len, parts)]
    return native.Lines(
        np.arange(len(parts)), starts, ends, starts, ends, np.frombuffer(b"".join(parts) + b".", np.uint8)
    )


def mended(lines: list[str]) -> list[Repair | None]:
    """What the kernel makes of lines; None where it is not certain."""
    signs = mojibake._signs()
    assert signs
    done = native.mend(lines_of(lines), signs, mojibake._charsets(), mojibake._entities())
    texts = [done.text[a:b].tobytes().decode() for a, b in zip(done.starts, done.ends, strict=True)]
    told = zip(done.ask, texts, done.mojibake, done.entities, strict=True)
    return [None if ask else Repair(text, bool(is_mojibake), int(n)) for ask, text, is_mojibake, n in told]


ENTITIES = st.sampled_from(
    [
        *(
            "&amp;",
            "&lt;",
            "&quot;",
            "&nbsp;",
            "&hellip;",
            "&EACUTE;",
            "&fjlig;",
            "&foo;",
            "&NewLine;",
            "&Tab;",
            "&AMP;",
        ),
        *(
            "&#39;",
            "&#x2019;",
            "&#8217;",
            "&#038;",
            "&#59;",
            "&#128;",
            "&#10;",
            "&#xD800;",
            "&#12a;",
            "&#x;",
            "&#64976;",
        ),
        *(
            "&amp;lt;",
            "'&amp;'",
            "`&lt;`",
            '"&amp;quot;"',
            "= '",
            "=\xa0'",
            "{ ",
            "{\x85",
            "); ",
            "=>",
            "&&",
            "</a",
            "<!",
        ),
        *(
            "&CounterClockwiseContourIntegral;",
            "&#0000000039;",
            "&#1114112;",
            "caf\xc3\xa9",
            "\xe2\x80\x99",
            "it's",
            " a ",
        ),
    ]
)


@pytest.mark.skipif(not native.available(), reason="the kernels are not installed")
@given(st.lists(texts() | st.lists(ENTITIES | PIECES, max_size=5).map("".join), max_size=8))
@settings(deadline=None)
@example(["\xc3\xa9 &amp; \x85", "a &lt; b {", "\xc2\x85\x93 \xe2\x82\xac", "", "x" * 10_001])
def test_what_the_kernel_mends_is_what_python_makes_of_it(given_texts: list[str]) -> None:
    lines = [line for text in given_texts for line in text.split("\n")]
    for told, right in zip(mended(lines), mojibake._repair_each(lines), strict=True):
        if told:
            assert told == right._replace(text=mojibake._C1.sub("", right.text))


@pytest.mark.skipif(not native.available(), reason="the kernels are not installed")
@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("the mayor\xe2\u20ac\u2122s caf\xc3\xa9", "the mayor\u2019s caf\xe9"),
        ("the mayor\xe2\x80\x99s caf\xc3\xa9", "the mayor\u2019s caf\xe9"),
        ("twice over: \xc3\xa2\xe2\u201a\xac\xe2\u201e\xa2s", "twice over: \u2019s"),
        ("R&amp;D in the mayor&#8217;s caf&eacute;", "R&D in the mayor\u2019s caf\xe9"),
    ],
)
def test_what_is_common_needs_no_python(line: str, text: str) -> None:
    (told,) = mended([line])
    assert told and told.text == text


@pytest.mark.skipif(not native.available(), reason="the kernels are not installed")
@settings(deadline=None)
@given(st.lists(texts(), max_size=6))
def test_repairs_are_the_same_without_the_kernels(given_texts: list[str]) -> None:
    series = pl.Series("text", given_texts, dtype=pl.String)
    text, done = repair(series)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native, "available", lambda: False)
        same_text, same_done = repair(series)
    assert (text.to_list(), done.to_list()) == (same_text.to_list(), same_done.to_list())


@given(texts())
@example("Ã¢â‚¬Å“quotedÃ¢â‚¬Â\x9d")
@example("word Ã£Â»Â¾ word")
@example("é Ã\xa0Â®Â³")
@example("à®²")
@example("à®½ à®¼ à®¹ à®\u0301 ¼é ①Ã")
def test_ftfy_says_the_same(text: str) -> None:
    assert encoding.is_bad(text) == ftfy_badness.is_bad(text)
    assert encoding.badness(text) == ftfy_badness.badness(text)
    assert encoding.fix_encoding(text) == ftfy.fix_encoding(text)


def test_ftfys_pattern_is_as_simple_as_the_kernel_wants_it() -> None:
    assert native.is_local(encoding.badness_pattern())
    assert mojibake._signs() is not None


@pytest.mark.parametrize("pattern", ["(a|b)é", "é+", "abcé", "éabc", "abc", "é{2}"])
def test_other_patterns_are_left_to_polars(pattern: str) -> None:
    assert not native.is_local(pattern)
