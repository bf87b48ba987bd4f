"""Scraped text made safe to look at: whatever steers a terminal or reorders a page is shown, not obeyed."""

from __future__ import annotations

from typing import Final

_HIDDEN: Final = (
    *range(0x20),
    *range(0x7F, 0xA0),
    *(0xAD, 0x61C, 0x180E, 0x200B, 0x200E, 0x200F),
    *range(0x2028, 0x202F),
    *range(0x2060, 0x2070),
    *(0xFEFF, 0xFFF9, 0xFFFA, 0xFFFB),
    *range(0xD800, 0xE000),
    *range(0xE0000, 0xE0080),
)
"""C0 and C1 controls, bidirectional controls, invisible characters, lone surrogates, tags. The joiners of Persian, Hindi
and emoji (U+200C, U+200D) and the variation selectors stay."""
_SHOWN: Final = {
    code: chr(0x2400 + code) if code < 0x20 else "\u2421" if code == 0x7F else f"\u2039U+{code:04X}\u203a"
    for code in _HIDDEN
}
_MANY_LINES: Final = {code: shown for code, shown in _SHOWN.items() if code not in (0x09, 0x0A)}


def visible(text: str) -> str:
    """`text` with controls and invisible characters as signs that can be seen; newlines and tabs stay."""
    return text.translate(_MANY_LINES)


def one_line(text: str) -> str:
    """`text` made visible, and on one line: a newline, with the white space around it, is shown as a sign."""
    parts = (part.strip() for part in text.split("\n"))
    return " \u21b5 ".join(part for part in parts if part).translate(_SHOWN)
