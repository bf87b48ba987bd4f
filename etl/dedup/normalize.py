"""The form in which two texts are compared: folded code points, and the hashes of them.

Case, punctuation, quotes, dashes, spaces, width and composed or decomposed accents fold together. Numbers never do: a
digit keeps its decimal point, its minus, its currency sign and its percent sign, so 3.5, 35, 3 5 and -3.5 stay four
different things.

Everything works on arrays of code points, so an offset found in the array is an offset in the text. Folding uses the
character data of Unicode 3.2 that Python carries beside the current one (a character younger than that stays as it
is): the same text gives the same hash on every Python version, and history stays valid.
"""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt
import xxhash

from etl import packed

Codes = npt.NDArray[np.uint32]
Kinds = npt.NDArray[np.uint8]
Indices = npt.NDArray[np.intp]
Hashes = npt.NDArray[np.int64]

# What a character is, for splitting and folding. From SYMBOL on, a character is part of a word.
NEWLINE: Final = 0
SPACE: Final = 1
INVISIBLE: Final = 2  # zero-width and soft hyphen: as if it weren't there
OTHER: Final = 3
OPEN: Final = 4
CLOSE: Final = 5
QUOTE: Final = 6  # opens or closes: " '
DASH: Final = 7  # - and − are also a minus before a digit
COMMA: Final = 8  # , : / and their like: part of a number between two digits
DOT: Final = 9
STOP: Final = 10  # ends a sentence when a space follows: ! ? … ؟ ।
WIDE_STOP: Final = 11  # ends a sentence without a space: 。！？
SYMBOL: Final = 12  # $ % ° + and pictures
DIGIT: Final = 13
LOWER: Final = 14
UPPER: Final = 15
CASELESS: Final = 16  # a letter of a script without case, or a mark
DENSE: Final = 17  # a letter of a script that puts no spaces between words
ACCENT: Final = 18  # a mark that can join the letter before it

KNOWN: Final = "characters.zst"
BLANK: Final = 32
_LAST: Final = sys.maxunicode + 1

_MINUS: Final = "-−–‐‑－﹣"
_KINDS: Final = (
    ("|~^¬¦©®™℠№§¶†‡", OTHER),  # marks of typesetting, not of meaning
    ("“‘„‚«‹「『《〈【〔（［｛([{¿¡", OPEN),
    ("”»›」』》〉】〕）］｝)]}", CLOSE),
    ("\"'`´＂＇’′″", QUOTE),
    (_MINUS + "—―‒⸺﹘•‣▪●■", DASH),
    (",:/·٫٬⁄，：／", COMMA),
    (".．", DOT),
    ("!?…؟۔।॥։‼⁇⁈⁉", STOP),
    ("。！？｡", WIDE_STOP),
    ("%‰°+", SYMBOL),
    (
        "\u00ad\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff",
        INVISIBLE,
    ),
    ("\n", NEWLINE),
)
_SAME: Final = (("ıİ", "i"), ("ς", "σ"), (_MINUS, "-"), ("’＇", "'"))
_DENSE_RANGES: Final = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x3005, 0x3007),
    (0x3040, 0x30FF),  # kana
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x3FFFF),
)
_BOXES: Final = ((0x2190, 0x21FF), (0x2500, 0x25FF))  # arrows, boxes and bullets: layout
_MANY: Final = _LAST  # fold table entry: this character becomes several


@dataclass(frozen=True, slots=True)
class Folded:
    """A text in comparable form: words of folded characters, one blank after each.

    codes: the folded code points. source: for each of them, its index in the text it came from (never decreasing).
    """

    codes: Codes
    source: Indices

    def positions(self, offsets: npt.NDArray[np.integer]) -> Indices:
        """Where in `codes` the text from each offset of the source on begins."""
        return np.searchsorted(self.source, offsets).astype(np.intp)


@dataclass(frozen=True, slots=True)
class _Tables:
    kind: Kinds
    fold: Codes
    many: dict[int, tuple[int, ...]]
    pairs: npt.NDArray[np.uint64]  # base << 32 | mark, sorted
    composed: Codes


def code_points(text: str) -> Codes:
    """The text as an array of code points."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


def kinds_of(codes: Codes) -> Kinds:
    """What each character is (NEWLINE … DENSE)."""
    return tables().kind.take(codes)


def fold_codes(codes: Codes, kinds: Kinds) -> Folded:
    """The comparable form of a text."""
    table = tables()
    visible: Indices | None = None
    if (kinds == INVISIBLE).any():
        visible = np.flatnonzero(kinds != INVISIBLE)
        codes, kinds = codes[visible], kinds[visible]
    folded = table.fold.take(codes)
    word = kinds >= SYMBOL
    _keep_number_signs(folded, kinds, word)
    keep = word.copy()
    keep[1:] |= word[:-1]  # one blank where a word ends
    keep[_compose(table, folded, kinds)] = False
    kept = np.flatnonzero(keep)
    source = kept if visible is None else visible.take(kept)
    result = np.where(word.take(kept), folded.take(kept), np.uint32(BLANK))
    return _expand(table, Folded(result, source), codes, kept)


def fold(text: str) -> str:
    """The comparable form of one text, for tests and for a person; the pipeline folds whole batches."""
    codes = code_points(text)
    return fold_codes(codes, kinds_of(codes)).codes.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass").strip()


def slice_hashes(
    codes: Codes, starts: npt.NDArray[np.integer], ends: npt.NDArray[np.integer], *, seed: int = 0
) -> Hashes:
    """XXH64 of each slice of folded code points (little-endian), as signed integers: SQL engines have no other."""
    view = memoryview(np.ascontiguousarray(codes, dtype="<u4").tobytes())
    digest = xxhash.xxh64_intdigest
    pairs: Iterable[tuple[int, int]] = zip((starts * 4).tolist(), (ends * 4).tolist(), strict=True)
    return np.fromiter((digest(view[a:b], seed) for a, b in pairs), dtype=np.uint64, count=len(starts)).view(np.int64)


def key_hash(text: str) -> int:
    """The key of one sentence or text, as the sentences and fingerprints tables hold it."""
    return int.from_bytes(xxhash.xxh64_digest(fold(text).encode("utf-32-le", "surrogatepass")), "big", signed=True)


@cache
def tables() -> _Tables:
    """The character tables. They are kept, for to make them takes 0.05 s (`make tables` writes the file)."""
    kept = packed.unpack_arrays(packed.read("etl.dedup", KNOWN))
    fold_to = np.arange(_LAST, dtype=np.uint32)
    fold_to[kept["folded"]] = kept["fold_to"]
    fold_to.flags.writeable = False
    ends = kept["ends"].tolist()
    parts = kept["parts"].tolist()
    many = {
        code: tuple(parts[low:high]) for code, low, high in zip(kept["many"].tolist(), [0, *ends], ends, strict=False)
    }
    return _Tables(kept["kind"], fold_to, many, kept["pairs"], kept["composed"])


def pack_tables() -> bytes:
    """The file KNOWN."""
    table = _made()
    folded = np.flatnonzero(table.fold != np.arange(_LAST, dtype=np.uint32)).astype(np.uint32)
    return packed.pack_arrays(
        {
            "kind": table.kind,
            "folded": folded,
            "fold_to": table.fold[folded],
            "many": np.array(list(table.many), np.uint32),
            "ends": np.cumsum([len(parts) for parts in table.many.values()]),
            "parts": np.array([part for parts in table.many.values() for part in parts], np.uint32),
            "pairs": table.pairs,
            "composed": table.composed,
        }
    )


def _made() -> _Tables:
    """The character tables, made anew of the oldest Unicode that Python knows, which is the same in each Python."""
    known = unicodedata.ucd_3_2_0
    kind = np.full(_LAST, CASELESS, dtype=np.uint8)
    fold_to = np.arange(_LAST, dtype=np.uint32)
    many: dict[int, list[int]] = {}
    pairs: dict[tuple[int, int], int] = {}
    for code in _folding_range():
        char = chr(code)
        category = known.category(char)
        if category == "Cn":
            continue
        kind[code] = _kind(category)
        if category in ("Nl", "No"):
            continue  # 10² is not 102
        target = known.normalize("NFKC", known.normalize("NFKC", char).casefold())
        if len(target) == 1:
            fold_to[code] = ord(target)
        else:
            many[code] = list(map(ord, target))
        decomposed = known.decomposition(char).split()
        if len(decomposed) == 2 and decomposed[0][0] != "<" and known.normalize("NFC", char) == char:
            pairs[int(decomposed[0], 16), int(decomposed[1], 16)] = code
    for first, last in _BOXES:
        kind[first : last + 1] = OTHER
    for first, last in _DENSE_RANGES:
        kind[first : last + 1][kind[first : last + 1] == CASELESS] = DENSE
    for chars, value in _KINDS:
        kind[[ord(char) for char in chars]] = value
    for code, parts in many.items():
        words = [int(fold_to[part]) for part in parts if kind[part] >= SYMBOL]
        many[code] = words
        fold_to[code] = _MANY if len(words) > 1 else words[0] if words else code
    for chars, char in _SAME:
        fold_to[[ord(variant) for variant in chars]] = ord(char)
    for (base, mark), code in sorted(pairs.items()):  # the accents in the other order: ê with a dot below
        inner = known.decomposition(chr(base)).split()
        if len(inner) == 2 and inner[0][0] != "<":
            swapped = known.normalize("NFC", chr(int(inner[0], 16)) + chr(mark))
            if len(swapped) == 1 and known.normalize("NFC", swapped + chr(int(inner[1], 16))) == chr(code):
                pairs[ord(swapped), int(inner[1], 16)] = code
    # Pairs are looked up after folding, so they hold folded characters.
    folded_pairs = {
        int(fold_to[base]) << 32 | int(fold_to[mark]): int(fold_to[code])
        for (base, mark), code in sorted(pairs.items())
    }
    kind[np.isin(fold_to, [mark for _, mark in pairs])] = ACCENT
    keys = np.array(sorted(folded_pairs), dtype=np.uint64)
    composed = np.array([folded_pairs[key] for key in keys.tolist()], dtype=np.uint32)
    for table in (kind, fold_to, keys, composed):
        table.flags.writeable = False
    return _Tables(kind, fold_to, {code: tuple(parts) for code, parts in many.items()}, keys, composed)


def _folding_range() -> Iterable[int]:
    """The characters that aren't simply themselves: no ideographs, no Hangul syllables, no private use."""
    yield from range(0x3400)
    yield from range(0xA000, 0xAC00)
    yield from range(0xD7A4, 0xD800)
    yield from range(0xF900, 0x10000)
    yield from range(0x10300, 0x10450)
    yield from range(0x1D000, 0x1D800)
    yield from range(0x2F800, 0x2FA20)
    yield from range(0xE0000, 0xE0080)


def _kind(category: str) -> int:
    match category:
        case "Lu" | "Lt":
            return UPPER
        case "Ll":
            return LOWER
        case "Nd" | "Nl" | "No":
            return DIGIT
        case "Zs" | "Zl" | "Zp" | "Cc":
            return SPACE
        case "Cf":
            return INVISIBLE
        case "Ps" | "Pi":
            return OPEN
        case "Pe" | "Pf":
            return CLOSE
        case "Pd":
            return DASH
        case "Sc" | "Sm" | "So":
            return SYMBOL
        case "Po" | "Pc" | "Sk":
            return OTHER
        case _:
            return CASELESS


def _keep_number_signs(codes: Codes, kinds: Kinds, word: npt.NDArray[np.bool_]) -> None:
    """Make a decimal point, a comma between digits or a minus a part of the number it belongs to, in place."""
    signs = np.flatnonzero((kinds >= QUOTE) & (kinds <= DOT))
    if not len(signs):
        return
    last = len(kinds) - 1
    kind, code = kinds[signs], codes[signs]
    before = np.where(signs > 0, kinds[np.maximum(signs - 1, 0)], SPACE)
    after = np.where(signs < last, kinds[np.minimum(signs + 1, last)], SPACE)
    beyond = np.where(signs < last - 1, kinds[np.minimum(signs + 2, last)], SPACE)
    minus = code == ord("-")
    point = kind == DOT
    between = (before == DIGIT) & (after == DIGIT) & (minus | point | (kind == COMMA) | (code == ord("'")))
    free = ((before < DASH) | (before > DOT)) & ((before < DIGIT) | (before == DENSE))
    number_follows = (after == DIGIT) | ((after == SYMBOL) | (after == DOT)) & (beyond == DIGIT)
    leads = (minus & free & number_follows) | (point & (free | (before == DASH)) & (after == DIGIT))
    word[signs[between | leads]] = True


def _compose(table: _Tables, folded: Codes, kinds: Kinds) -> Indices:
    """Put each accent that has a composed form into the letter before it, in place; returns where the accents were."""
    accents = np.flatnonzero(kinds == ACCENT)
    if not len(accents) or not accents[-1]:
        return accents[:0]
    joined = []
    first = accents[(accents > 0) & (kinds[np.maximum(accents - 1, 0)] != ACCENT)]
    second = accents[
        (accents > 1) & (kinds[np.maximum(accents - 1, 0)] == ACCENT) & (kinds[np.maximum(accents - 2, 0)] != ACCENT)
    ]
    for marks, back in ((first, 1), (second, 2)):  # no letter of a living script carries three
        pair = folded[marks - back].astype(np.uint64) << np.uint64(32) | folded[marks]
        slot = np.minimum(np.searchsorted(table.pairs, pair), len(table.pairs) - 1)
        found = table.pairs[slot] == pair
        folded[marks[found] - back] = table.composed[slot[found]]
        joined.append(marks[found])
    return np.concatenate(joined)


def _expand(table: _Tables, folded: Folded, original: Codes, kept: Indices) -> Folded:
    """Write out the characters that fold to several: ß as ss, ﬁ as fi."""
    at = np.flatnonzero(folded.codes == _MANY)
    if not len(at):
        return folded
    codes, source, done = [], [], 0
    for place, code in zip(
        at.tolist(), original[kept[at]].tolist(), strict=True
    ):  # one in some hundreds of characters at most
        parts = table.many[code]
        codes += [folded.codes[done:place], np.array(parts, dtype=np.uint32)]
        source += [folded.source[done:place], np.full(len(parts), folded.source[place])]
        done = place + 1
    return Folded(np.concatenate([*codes, folded.codes[done:]]), np.concatenate([*source, folded.source[done:]]))
