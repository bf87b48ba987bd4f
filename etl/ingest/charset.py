"""Text out of bytes: a byte order mark, then strict UTF-8, then UTF-8 with a few bad bytes, then what was declared or detected.

chardet alone takes a UTF-8 page with one bad byte for a legacy charset four times out of five, so that case is settled first.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from typing import Final

BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_SAMPLE_BYTES: Final = 200_000  # chardet looks no further, and neither do the checks here
_WIDE: Final = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
_WIDE_CONTROLS_MIN: Final = 0.02  # share of control bytes from which bytes can't be text in a narrow charset
_WIDE_ASCII_MAX: Final = 0.7  # in UTF-16 at most every other byte is ASCII, whatever the language
_TIE: Final = 0.97  # chardet's confidence relative to the best from which windows-1252, or what was declared, wins
_PLAIN_CONFIDENCE: Final = 0.3  # detection below this never overrules a declared charset that decodes
_DECLARED_SHARE: Final = 0.6  # nor does it when the declared one is this near to the best
_GUESS: Final = 0.11  # below this detection is a guess, and the web's default needs only
_GUESS_SHARES: Final = (0.8, 0.5)  # this share of the best, the second for charsets of DOS and the old Mac
_BEFORE_THE_WEB: Final = ("mac", "cp4", "cp7", "cp8", "hp-")
_WEB_DEFAULT: Final = "cp1252"

_ASCII_TEXT: Final = bytes(range(32, 127)) + b"\t\n\r"
_CONTROLS: Final = bytes(b for b in range(32) if b not in b"\t\n\r\f\x0e\x0f\x1b")  # shifts and escape are ISO-2022
_DECLARED: Final = re.compile(
    rb"<(?:meta\s[^>]{0,300}?charset|\?xml\s[^>]{0,200}?encoding)\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]{2,40})"
)
_WHATWG: Final = {
    "latin-1": "cp1252",
    "iso8859-1": "cp1252",
    "ascii": "cp1252",
    "gb2312": "gb18030",
    "gbk": "gb18030",
} | {
    "euc_kr": "cp949",
    "shift_jis": "cp932",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "tis-620": "cp874",
    "big5": "big5hkscs",
}
"""What browsers read a declared charset as: its superset."""

_CHECKED_NAMES: Final = {"cp1252": "windows-1252"}


def decode(data: bytes, *, declared: str | None = None) -> tuple[str, str]:
    """The text of `data` and the codec it was read with, such as `utf-8`, `windows-1252`, `utf-8 (2 bad bytes)`.

    Bytes that the codec can't decode become U+FFFD. declared: what a header says; it loses to UTF-8 that is valid, and to
    what is detected when it can't decode the data or the data plainly speaks against it.
    """
    for mark, name in BOMS:
        if data.startswith(mark):
            return data[len(mark) :].decode(name, "replace"), name
    escaped = b"\x1b" in data or b"~{" in data
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        wide = wide_charset(data)
        if wide:
            return data.decode(wide, "replace"), wide
        lenient = data.decode("utf-8", "replace")
        bad = _bad_utf8(data, lenient)
        if bad:
            return lenient, f"utf-8 ({bad} bad byte{'s' if bad > 1 else ''})"
    else:
        wide = wide_charset(data)
        if wide:
            return data.decode(wide, "replace"), wide
        if escaped and (seven_bit := _seven_bit_charset(data)):
            return data.decode(seven_bit, "replace"), seven_bit
        return text, "utf-8"
    name = _choose(data, declared)
    return data.decode(name, "replace"), _CHECKED_NAMES.get(name, name)


def declared_charset(head: bytes) -> str | None:
    """The charset named by an HTML meta element or an XML declaration in the first kilobytes of a page."""
    found = _DECLARED.search(head[:4096].lower())
    return found[1].decode("ascii") if found else None


def codec_for(declared: str | None) -> str | None:
    """The Python codec for a declared charset, as browsers read it: latin-1 means windows-1252. None when unknown."""
    if not declared:
        return None
    try:
        name = codecs.lookup(declared.strip().strip("\"'")).name
    except (LookupError, ValueError):
        return None
    if name in ("utf-8-sig", "utf-8", "utf-7") or name.startswith(("utf-16", "utf-32")):
        return "utf-8"  # as WHATWG: a page that could say so in ASCII is not UTF-16
    return _WHATWG.get(name, name) if _is_text_codec(name) else None


def wide_charset(data: bytes) -> str | None:
    """UTF-16 or UTF-32 without a byte order mark, if `data` is that; None otherwise.

    Such text in an alphabet is full of NUL and other control bytes, which no narrow text is.
    """
    sample = data[:_SAMPLE_BYTES]
    if len(sample) < 4 or len(sample) - len(sample.translate(None, _CONTROLS)) < _WIDE_CONTROLS_MIN * len(sample):
        return None
    if len(sample) - len(sample.translate(None, _ASCII_TEXT)) > _WIDE_ASCII_MAX * len(sample):
        return None
    best, best_score = None, 0.9
    for name in _WIDE:
        width = 4 if "32" in name else 2
        try:
            text = sample[: len(sample) // width * width].decode(name)
        except UnicodeDecodeError:
            continue
        score = _plausibility(text)
        if score > best_score:
            best, best_score = name, score
    return best


def is_binary(data: bytes) -> bool:
    """Whether `data` can't be text in any charset: a picture, an archive, a PDF, machine code."""
    sample = data[:_SAMPLE_BYTES]
    if sample.startswith(
        (
            b"%PDF-",
            b"\x89PNG",
            b"GIF8",
            b"\xff\xd8\xff",
            b"PK\x03\x04",
            b"\x7fELF",
            b"\xd0\xcf\x11\xe0",
            b"Rar!",
            b"7z\xbc\xaf",
        )
    ):
        return True
    if any(sample.startswith(mark) for mark, _ in BOMS):
        return False
    controls = len(sample) - len(sample.translate(None, _CONTROLS))
    return controls > max(2, 0.05 * len(sample)) and wide_charset(data) is None


def _plausibility(text: str) -> float:
    """How much `text` looks like language: the share of letters, digits, marks, punctuation and blanks.

    Less for a wide spread of code pages, over which the wrong byte order scatters an alphabet.
    """
    sample = text[:5000]
    if not sample:
        return 0.0
    good = sum(c in "\n\r\t" or unicodedata.category(c)[0] in "LNPZMS" for c in sample) / len(sample)
    pages = len({ord(c) >> 8 for c in sample})
    rows = len({ord(c) & 255 for c in sample})
    return good + (0.05 if pages <= rows else -0.05)


def _bad_utf8(data: bytes, lenient: str) -> int:
    """How many places of `data` are not UTF-8, if it is UTF-8 all the same; 0 if it is rather something else.

    It is UTF-8 when the valid longer sequences are at least as many as the bad places, or the lines with valid ones only at
    least as many as the lines with bad ones. Legacy text stays far below (the most, EUC-JP, has 0.36, on mixed lines).
    """
    bad = lenient.count("\ufffd") - data.count(b"\xef\xbf\xbd")
    good = len(lenient) - len(lenient.encode("ascii", "ignore")) - lenient.count("\ufffd")
    if bad <= 0 or good == 0 or bad > 0.1 * len(lenient):
        return 0
    if good >= bad:
        return bad
    lines = [line for line in lenient.split("\n") if not line.isascii()]
    broken = sum("\ufffd" in line for line in lines)
    return bad if len(lines) - broken >= broken else 0


def _seven_bit_charset(data: bytes) -> str | None:
    """ISO-2022 or HZ, which are plain ASCII to look at; None when the escapes in `data` are something else."""
    import chardet  # which few files need

    name = chardet.detect(data[:_SAMPLE_BYTES], compat_names=False)["encoding"]
    return name if name and _is_text_codec(name) and name.startswith(("iso2022", "hz")) else None


def _choose(data: bytes, declared: str | None) -> str:
    """The codec of bytes that are not UTF-8: the best detected, unless a declared one or the web's default does as well."""
    import chardet

    eras = chardet.EncodingEra.ALL & ~chardet.EncodingEra.MAINFRAME  # no page is in EBCDIC
    sample = data[:_SAMPLE_BYTES]
    ranked = [
        (r["encoding"], r["confidence"])
        for r in chardet.detect_all(sample, compat_names=False, ignore_threshold=True, encoding_era=eras)
        if r["encoding"] and _is_text_codec(r["encoding"])
    ]
    codec = codec_for(declared)
    best, confidence = ranked[0] if ranked else (_WEB_DEFAULT, 0.0)
    if codec and codec != "utf-8" and _decodes(sample, codec):
        trust = max((c for n, c in ranked if codec_for(n) == codec), default=0.0)
        if confidence < _PLAIN_CONFIDENCE or trust >= _DECLARED_SHARE * confidence:
            return codec
    near = _GUESS_SHARES[best.startswith(_BEFORE_THE_WEB)] if confidence < _GUESS else _TIE
    if any(n == _WEB_DEFAULT and c >= near * confidence for n, c in ranked):
        return _WEB_DEFAULT
    return best


def _decodes(sample: bytes, codec: str) -> bool:
    """Whether `codec` reads `sample`; a sequence cut off at its end is no fault."""
    try:
        codecs.getincrementaldecoder(codec)().decode(sample)
    except (UnicodeDecodeError, LookupError):
        return False
    return True


def _is_text_codec(name: str) -> bool:
    try:
        return codecs.lookup(name)._is_text_encoding
    except LookupError:
        return False
