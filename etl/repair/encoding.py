"""What ftfy makes of mojibake, in a third of the time: its steps and its tests, asked only where they can find something.

ftfy spends most of its time on one large pattern, tried at every character. All that the pattern matches is close to
characters beyond ASCII, so it is tried there only. Pieces that stand by themselves are the same few, and kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import Final

import ftfy
from ftfy import badness as ftfy_badness
from ftfy.badness import BADNESS_RE
from ftfy.chardata import ALTERED_UTF8_RE, C1_CONTROL_RE, CHARMAP_ENCODINGS, UTF8_DETECTOR_RE, possible_encoding
from ftfy.fixes import fix_c1_controls, replace_lossy_sequences, restore_byte_a0

from etl.repair import native

_NEAR: Final = (
    2  # characters of ASCII that a match may have before and after those beyond; between them no more than twice that
)
_AROUND: Final = re.compile(r"[^\x00-\x7f]+(?:[\x00-\x7f]{1,4}[^\x00-\x7f]+)*")
_LONGEST_KEPT: Final = 60


def is_bad(text: str) -> bool:
    """What ftfy's `is_bad` says."""
    if text.isascii():
        return False
    signs = _signs() if native.available() else None
    if signs:
        return native.is_bad(text, signs)
    if not _is_local():
        return ftfy_badness.is_bad(text)
    return any(BADNESS_RE.search(text, start, end) for start, end in _around(text))


def badness(text: str) -> int:
    """What ftfy's `badness` says."""
    if not _is_local():
        return ftfy_badness.badness(text)
    if not is_bad(text):
        return 0
    return sum(len(BADNESS_RE.findall(text, start, end)) for start, end in _around(text))


def fix_encoding(text: str) -> str:
    """What ftfy's `fix_encoding` makes of it."""
    while is_bad(text):
        fixed = _step(text)
        if fixed == text:
            break
        text = fixed
    return text


def badness_pattern() -> str:
    """ftfy's verbose pattern in the syntax of Polars' engine: there, blanks in a class need to be escaped, and \\w is other characters."""
    out: list[str] = []
    in_class = comment = False
    for c in BADNESS_RE.pattern:
        if comment:
            comment = c != "\n"
        elif in_class:
            out.append({" ": r"\x20"}.get(c, c))
            in_class = c != "]"
        elif c == "#":
            comment = True
        elif not c.isspace():
            out.append(c)
            in_class = c == "["
    return "".join(out).replace(r"\w", native.WORD)


@cache
def _signs() -> native.Signs | None:
    return native.signs_of(badness_pattern(), ())


@cache
def _is_local() -> bool:
    """Whether all that the pattern matches is near to characters beyond ASCII."""
    return native.is_local(badness_pattern())


def _around(text: str) -> Iterator[tuple[int, int]]:
    """The places of characters beyond ASCII, with those around them that can matter. None overlap."""
    for found in _AROUND.finditer(text):
        yield max(found.start() - _NEAR, 0), found.end() + _NEAR


def _step(text: str) -> str:
    """One step of ftfy's on text that is bad."""
    latin_1 = False
    for codec in CHARMAP_ENCODINGS:
        if not possible_encoding(text, codec):
            continue
        latin_1 = latin_1 or codec == "latin-1"
        data = text.encode(codec)
        if codec != "macroman" and ALTERED_UTF8_RE.search(data):
            data = restore_byte_a0(data)
        if codec.startswith("sloppy"):
            data = replace_lossy_sequences(data)
        try:
            return data.decode("utf-8-variants" if 0xED in data or 0xC0 in data else "utf-8")
        except UnicodeDecodeError:
            pass
    fixed = UTF8_DETECTOR_RE.sub(lambda found: _fix_piece(found[0]) if len(found[0]) < len(text) else found[0], text)
    if fixed != text:
        return fixed
    if latin_1:
        try:
            fixed = text.encode("latin-1").decode("windows-1252")
        except UnicodeDecodeError:
            fixed = text
        if fixed != text:
            return fixed
    return fix_c1_controls(text) if C1_CONTROL_RE.search(text) else text


def _fix_piece(piece: str) -> str:
    return _fix_short(piece) if len(piece) <= _LONGEST_KEPT else ftfy.fix_encoding(piece)


@lru_cache(maxsize=1 << 14)
def _fix_short(piece: str) -> str:
    return fix_encoding(piece)
