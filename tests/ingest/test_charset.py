from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.ingest.charset import codec_for, declared_charset, decode, is_binary

GERMAN = "Die Größe der Straße überraschte den Müller, der für schöne Grüße bekannt ist.\n"
RUSSIAN = "Комитет собрался во вторник и утвердил бюджет на следующий год.\n"
JAPANESE = "委員会は火曜日に会合を開き、来年度の予算を承認した。\n"


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"])
@pytest.mark.parametrize("text", [GERMAN, RUSSIAN, JAPANESE])
def test_unicode_is_read_with_and_without_a_mark(text: str, codec: str) -> None:
    assert decode(text.encode(codec))[0] == text


@pytest.mark.parametrize(
    ("text", "codec"),
    [
        (GERMAN, "cp1252"),
        (RUSSIAN, "cp1251"),
        (RUSSIAN, "koi8-r"),
        (RUSSIAN, "cp866"),
        (JAPANESE, "shift_jis"),
        (JAPANESE, "euc-jp"),
        (JAPANESE, "iso-2022-jp"),
        ("Rozhodl o tom ve středu večer nejvyšší soud, který žalobu zamítl.\n", "cp1250"),
        ("위원회는 화요일에 모여 내년 예산을 승인했다.\n", "euc-kr"),
        ("委员会于星期二开会，批准了明年的预算。\n", "gb18030"),
    ],
)
def test_legacy_charsets_are_detected(text: str, codec: str) -> None:
    assert decode(text.encode(codec) * 3)[0] == text * 3


@pytest.mark.parametrize("text", [GERMAN, RUSSIAN, JAPANESE])
@pytest.mark.parametrize("place", [0, 1, -1])
def test_one_bad_byte_does_not_make_utf_8_something_else(text: str, place: int) -> None:
    lines = [text.encode()] * 5
    lines[place] = b"\x96" + lines[place]
    decoded, encoding = decode(b"".join(lines))
    assert encoding == "utf-8 (1 bad byte)"
    assert decoded.replace("\ufffd", "") == text * 5


def test_a_cut_last_character_is_one_bad_byte() -> None:
    assert decode((GERMAN + "ü").encode()[:-1]) == (GERMAN + "\ufffd", "utf-8 (1 bad byte)")


def test_a_genuine_replacement_character_is_not_a_bad_byte() -> None:
    assert decode("so \ufffd it was".encode()) == ("so \ufffd it was", "utf-8")


@pytest.mark.parametrize(
    ("declared", "codec", "text"),
    [
        ("iso-8859-1", "cp1252", "“It’s the café,” he said."),  # as browsers read it
        ("latin1", "utf-8", GERMAN),  # wrong, but the bytes are UTF-8
        ("utf-8", "cp1252", GERMAN),  # wrong: the bytes are not UTF-8
        ("shift_jis", "cp1251", RUSSIAN * 5),  # wrong: it plainly is something else
        ("no-such-charset", "cp1252", GERMAN),
        ("koi8-u", "koi8-u", RUSSIAN),
    ],
)
def test_a_declared_charset_is_one_candidate(declared: str, codec: str, text: str) -> None:
    assert decode(text.encode(codec), declared=declared)[0] == text


@pytest.mark.parametrize(
    ("head", "charset"),
    [
        (b'<html><head><meta charset="windows-1251">', "windows-1251"),
        (b"<meta http-equiv=Content-Type content='text/html; charset=ISO-8859-2'>", "iso-8859-2"),
        (b'<?xml version="1.0" encoding="EUC-JP"?><html>', "euc-jp"),
        (b"<html><p>charset=nonsense</p>", None),
    ],
)
def test_a_page_declares_its_charset(head: bytes, charset: str | None) -> None:
    assert declared_charset(head) == charset


def test_codecs_that_are_no_charsets_are_not_declared_ones() -> None:
    assert [codec_for(n) for n in ("hex", "rot13", "zlib", "", "x" * 50, "idna\0")] == [None] * 6
    assert codec_for("UTF-16") == "utf-8"


@pytest.mark.parametrize(
    "data", [b"\x89PNG\r\n\x1a\n" + bytes(50), b"%PDF-1.4 abc", bytes(1000), bytes(range(256)) * 4]
)
def test_binary_data_is_seen(data: bytes) -> None:
    assert is_binary(data)


@pytest.mark.parametrize("text", [GERMAN, RUSSIAN, JAPANESE, "a\0b and the rest of the line", "", "\x1b[31mred\x1b[0m"])
def test_text_is_not_binary(text: str) -> None:
    for codec in ("utf-8", "utf-16", "utf-32"):
        assert not is_binary(text.encode(codec))


@settings(deadline=None)
@given(st.binary(max_size=300), st.sampled_from([None, "utf-8", "latin-1", "big5", "utf-16", "x"]))
def test_any_bytes_give_text_that_can_be_stored(data: bytes, declared: str | None) -> None:
    text, encoding = decode(data, declared=declared)
    text.encode()
    assert encoding
    assert decode(data, declared=declared) == (text, encoding)


@settings(deadline=None)
@given(st.text(max_size=200).filter(lambda t: "\0" not in t and not any(c < " " and c not in "\n\t" for c in t)))
def test_valid_utf_8_is_read_as_it_is(text: str) -> None:
    assert decode(text.encode())[0] == text.removeprefix("\ufeff")
