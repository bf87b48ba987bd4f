from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.report.visible import one_line, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "␛[31mred␛[0m"),
        ("a\u202eb\u2066c", "a‹U+202E›b‹U+2066›c"),
        ("bell\x07 and \x9b csi", "bell␇ and ‹U+009B› csi"),
        ("one\r\ntwo\tthree", "one␍\ntwo\tthree"),
        ("می\u200cخواهم 👩\u200d👧 ❤\ufe0f", "می\u200cخواهم 👩\u200d👧 ❤\ufe0f"),
        ("\ud800", "‹U+D800›"),
    ],
)
def test_what_steers_a_terminal_or_reorders_a_page_is_shown(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_a_text_on_one_line_tells_where_its_lines_ended() -> None:
    assert one_line("\n Share \n\n\ton Facebook\u2028now") == "Share ↵ on Facebook‹U+2028›now"


@given(st.text())
def test_no_control_is_left(text: str) -> None:
    left = {char for char in one_line(text) if unicodedata.category(char) in ("Cc", "Zl", "Zp", "Cs")}
    assert not left
    assert not set(visible(text)) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\x1b")


@given(st.text())
def test_twice_is_the_same_as_once(text: str) -> None:
    assert visible(visible(text)) == visible(text)
