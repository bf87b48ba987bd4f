"""Repaired text, and what was repaired: mojibake, HTML entities, control characters, line ends and blank lines.

ftfy costs 400 to 1,300 CPU-s per GB, so it sees only the lines that one regex on Polars' engine lets through: ftfy's own
pattern of badness, words that from end to end are UTF-8 read in a legacy charset, and entities. Other text is not looked at.

For a line that is let through several readings compete: ftfy's of the whole line, ftfy's of each sentence (a line may be mojibake
in part), and a reading word by word, which finds the charsets that ftfy hardly sees. The one that leaves least to suspect wins.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
from ftfy.chardata import HTML_ENTITIES
from ftfy.fixes import unescape_html

from etl import kernels
from etl.late import late
from etl.repair import native
from etl.repair.encoding import badness, badness_pattern, fix_encoding, is_bad
from etl.repair.native import Lines, Mended

Array = npt.NDArray[Any]

CODECS: Final = (
    "latin-1",
    "sloppy-windows-1252",
    "sloppy-windows-1251",
    "sloppy-windows-1250",
    "sloppy-windows-1253",
    "sloppy-windows-1254",
    "sloppy-windows-1257",
    "iso-8859-2",
    "mac_roman",
    "cp437",
)
"""The legacy charsets that UTF-8 is read in by mistake, commonest first; the sloppy ones are ftfy's."""

EVIDENCE_MIN: Final = 3  # sequences that are UTF-8 in a legacy charset; "Spaß“" or "DrÃ¥ber" alone proves nothing
LOST_SPACE_EVIDENCE_MIN: Final = 6
MAX_LAYERS: Final = 4  # mojibake of mojibake of …
MAX_ROUNDS: Final = 5
LONGEST_PIECE: Final = 10_000  # characters; a longer line is repaired in pieces cut at blanks
_LONGEST_CACHED: Final = 60

_LIKELY: Final = (
    "\xa0-\xff\u0100-\u017f\u01a0\u01a1\u01af\u01b0\u0218-\u021b\u0300-\u0304\u0323\u0384-\u03ce\u0400-\u045f\u0490\u0491"
    "\u05be\u05d0-\u05ea\u060c\u061b\u061f\u0621-\u0652\u0660-\u0669\u067e-\u06d5\u06f0-\u06f9"
    "\u0900-\u0dff\u0e00-\u0e7f\u10a0-\u10ff\u1e00-\u1eff\u200b-\u200f\u2010-\u2026\u2030-\u203a\u20a0-\u20bf\u2100-\u214f"
    "\u2190-\u22ff\u25a0-\u27bf\u3000-\u30ff\u3400-\u9fff\uac00-\ud7a3\uff00-\uffef\ufe0f\U0001f000-\U0001faff"
)
"""What a repaired word may hold: the letters and signs of living languages. "Spaß“" would become NKo, "CAFÉ»" phonetics."""

_PLAUSIBLE: Final = f"\0-\x7f{_LIKELY}"
_LIKELY_TEXT: Final = re.compile(f"[{_PLAUSIBLE}]*")
_WORD: Final = re.compile(r"[^ \t]+")
_SENTENCE: Final = late(r"[^.!?…。！？؟।]*(?:[.!?…。！？؟।]+\s*|$)")
_OTHER: Final = "\u0370-\u04ff\u2200-\u22ff\u2500-\u25ff"  # Greek, Cyrillic, mathematical signs, box drawing
_MIXED_SCRIPTS: Final = late(f"[A-Za-z][{_OTHER}]|[{_OTHER}][A-Za-z]")
_HIGH_SMALL: Final = "ß-öø-ÿ"
_HIGH_CAPITALS: Final = "À-ÖØ-Þ\u0102\u0104\u0106\u010c\u010e\u0110\u0118\u011a\u0139\u0141\u0147\u0158\u015a\u015e\u0160\u0164\u016e\u0170\u0179\u017b\u017d"
_ODD_CAPITAL: Final = re.compile(f"[a-z{_HIGH_SMALL}][{_HIGH_CAPITALS}]")
_ODD_SMALL: Final = re.compile(f"[A-Z][{_HIGH_SMALL}][A-Z]")
_LOST_SPACE: Final = re.compile(rb"[\xe0-\xef](?: [\x80-\xbf]|[\x80-\xbf] )|[\xc2-\xdf] ")
_ENTITY: Final = re.compile(r"&#?[0-9A-Za-z]{1,24};")
_QUOTED_ENTITY: Final = re.compile(r"[`\"'](?:&amp;|&)#?[0-9A-Za-z]{1,24};[`\"']")
_SOURCE_CODE: Final = late(r"</?[A-Za-z!]|&&|=\s?[\"']|\{\s*$|\);\s*$|=>")

_BREAKS: Final = r"\r\n|[\r\x0B\x0C\u2028\u2029]"
_CONTROLS: Final = (
    r"[\x00-\x08\x0E-\x1B\x7F\u{FEFF}\u{FDD0}-\u{FDEF}"
    + "".join(rf"\u{{{plane:X}FFFE}}\u{{{plane:X}FFFF}}" for plane in range(1, 17))
    + r"\u{FFFE}\u{FFFF}]"
)
_SEPARATORS: Final = r"[\x1C-\x1F]"
_C1: Final = re.compile("[\x80-\x9f]")
_BLANK_LINES: Final = r"\n{3,}"
_TRAILING_BLANKS: Final = r"[ \t]+(\n|\z)"
_OUTER_BLANK_LINES: Final = r"\A(?:[ \t]*\n)+|[ \t\n]+\z"
_UNTIDY: Final = rf"{_BREAKS}|{_SEPARATORS}|{_CONTROLS}|[ \t]\n|\n\n\n|\A[ \t]*\n|[ \t\n]\z"

_COUNTS: Final = ("mojibake", "entities", "control")


class Repair(NamedTuple):
    """A repaired line, whether it was mojibake, and how many entities were in it."""

    text: str
    mojibake: bool
    entities: int


def repair(texts: pl.Series | pa.ChunkedArray) -> tuple[pl.Series, pl.Series]:
    """The repaired texts, and for each the list of what was done, as `name:count`.

    Names: mojibake (lines), entities, control (characters removed). Not listed: line ends become \\n, blanks at the end of a line and
    all but one of several blank lines go. A second repair changes nothing.
    """
    given = (texts if isinstance(texts, pl.Series) else pl.Series(texts)).cast(pl.String).fill_null("").rename("text")
    text, control = _tidy(given)
    counts = {name: np.zeros(len(text), np.int64) for name in _COUNTS}
    counts["control"] += control
    todo = np.arange(len(text))
    for _ in range(MAX_ROUNDS):  # a second round where the first changed something: entities can hide line ends
        before = text.gather(todo) if len(todo) < len(text) else text
        found = _suspicious_lines(before)
        if not len(found.text):
            break
        places, mended, done = _repair_lines(found)
        after, control = _tidy(mended)
        todo = todo[places]
        for name in _COUNTS:
            counts[name][todo] += done[name]
        counts["control"][todo] += control
        changed = (after != before.gather(places)).to_numpy()
        text = kernels.replaced(text, todo, after)
        todo = todo[changed]
    return text, _listed(counts)


def load() -> None:
    """Make the tables that the kernels need, before processes are forked from this one."""
    if native.available() and _signs():
        _charsets()
        _entities()
        is_bad("é")


def repair_line(line: str) -> Repair:
    """One line repaired. Entities go where the line can't be source code; then mojibake, layer by layer, until nothing changes."""
    if len(line) > LONGEST_PIECE:
        parts = [repair_line(piece) for piece in _pieces(line)]
        return Repair("".join(p.text for p in parts), any(p.mojibake for p in parts), sum(p.entities for p in parts))
    text, entities, mojibake, stable = line, 0, False, None
    for _ in range(MAX_ROUNDS):
        plain = _unescape(text)
        entities += _entities_gone(text, plain)
        fixed = plain if plain == stable or plain.isascii() else _decode(plain)
        stable = plain if fixed == plain else None
        mojibake = mojibake or fixed != plain
        if fixed == text:
            return Repair(text, mojibake, entities)
        text = fixed
    return Repair(line, False, 0)  # readings that chase each other are no reading


def _tidy(text: pl.Series) -> tuple[pl.Series, Array]:
    """The texts with \\n as the only line end, without control characters, blanks at line ends and spare blank lines; the count of the characters."""
    untidy = native.untidy(text) if native.available() else text.str.contains(_UNTIDY)
    control = np.zeros(len(text), np.int64)
    if not untidy.any():
        return text, control
    rows = untidy.arg_true()
    part = text.gather(rows)
    control[rows.to_numpy()] = part.str.count_matches(_CONTROLS).to_numpy()
    part = part.str.replace_all(_BREAKS, "\n").str.replace_all(_SEPARATORS, " ").str.replace_all(_CONTROLS, "")
    part = part.str.replace_all(_TRAILING_BLANKS, "$1").str.replace_all(_BLANK_LINES, "\n\n")
    return kernels.replaced(text, rows.to_numpy(), part.str.replace_all(_OUTER_BLANK_LINES, "")), control


def _suspicious_lines(text: pl.Series) -> Lines:
    """The lines that are looked at, in their order."""
    signs = _signs() if native.available() else None
    if signs:
        return native.suspicious_lines(text, signs)
    met = text.str.contains(SUSPICIOUS).arg_true()
    some = text.gather(met)
    data, offsets = kernels.text_buffers(some)
    lines = (
        pl.DataFrame({"text": np.arange(len(some)), "line": some.str.split("\n")})
        .explode("line")
        .with_columns(past=(pl.col("line").str.len_bytes().cast(pl.Int64) + 1).cum_sum() - 1 - pl.col("text"))
        .filter(pl.col("line").str.contains(SUSPICIOUS))
    )
    rows, ends = lines["text"].to_numpy(), lines["past"].to_numpy() + offsets[0]
    starts = ends - lines["line"].str.len_bytes().cast(pl.Int64).to_numpy()
    return Lines(met.cast(pl.Int64).to_numpy()[rows], starts, ends, offsets[rows], offsets[rows + 1], data)


def _repair_lines(found: Lines) -> tuple[Array, pl.Series, dict[str, Array]]:
    """The numbers of the texts with lines to repair, those texts repaired, and what was done in each."""
    signs = _signs() if native.available() else None
    mended = native.mend(found, signs, _charsets(), _entities()) if signs else _untold(len(found.start))
    if mended.ask.any():
        mended = _with_asked(mended, found)
    places, owner = np.unique(found.text, return_inverse=True)
    texts = native.spliced(found, mended) if signs else _spliced(found, mended, owner)
    totals = {name: np.bincount(owner, getattr(mended, name), len(places)).astype(np.int64) for name in _COUNTS}
    return places, texts.rename("text"), totals


def _untold(n: int) -> Mended:
    """So many lines of which nothing is known yet."""
    none = np.zeros(n, np.int64)
    return Mended(np.ones(n, np.bool_), none, none, none, np.zeros(0, np.uint8), none, none)


def _with_asked(mended: Mended, found: Lines) -> Mended:
    """`mended` with the lines that are to be asked for. A line that recurs is repaired once."""
    data, rows = found.data.data, np.flatnonzero(mended.ask)
    asked = (found.start[rows].tolist(), found.end[rows].tolist())
    lines = [str(data[a:b], "utf-8") for a, b in zip(*asked, strict=True)]
    distinct = list(dict.fromkeys(lines))
    repairs = dict(zip(distinct, _repair_each(distinct), strict=True))
    done = [repairs[line] for line in lines]
    told = [_C1.sub("", one.text) for one in done]
    texts = [line.encode() for line in told]
    columns = {name: getattr(mended, name).astype(np.int64) for name in (*_COUNTS, "starts", "ends")}
    columns["mojibake"][rows] = [one.mojibake for one in done]
    columns["entities"][rows] = [one.entities for one in done]
    columns["control"][rows] = [len(one.text) - len(line) for one, line in zip(done, told, strict=True)]
    columns["ends"][rows] = len(mended.text) + np.cumsum([*map(len, texts)], dtype=np.int64)
    columns["starts"][rows] = columns["ends"][rows] - [*map(len, texts)]
    text = np.concatenate([mended.text, np.frombuffer(b"".join(texts), np.uint8)])
    return mended._replace(text=text, **columns)


def _spliced(found: Lines, mended: Mended, owner: Array) -> pl.Series:
    """The texts that the lines `found` are of, with these replaced. owner: the number of each line's text among them."""
    data, new = found.data.data, mended.text.data
    columns = (owner, found.start, found.end, found.first, found.past, mended.starts, mended.ends)
    parts: list[list[memoryview]] = [[] for _ in range(int(owner[-1]) + 1)]
    copied, last = [0] * len(parts), [0] * len(parts)
    for text, start, end, first, past, a, b in zip(*(column.tolist() for column in columns), strict=True):
        parts[text] += (data[copied[text] or first : start], new[a:b])
        copied[text], last[text] = end, past
    texts = [b"".join([*part, data[a:b]]).decode() for part, a, b in zip(parts, copied, last, strict=True)]
    return pl.Series(texts, dtype=pl.String)


def _repair_each(lines: list[str]) -> list[Repair]:
    """What `repair_line` makes of each line, most of them in less time.

    Loops over the lines that the pattern let through, 1 to 3 % of a crawl. Python reads them; whether a reading leaves
    something to suspect is asked of all at once. Only where it does are there more readings to weigh.
    """
    plain = [_unescape(line) if len(line) <= LONGEST_PIECE else line for line in lines]
    misread, bad = _signs_of(plain, native.IS_MISREAD, native.IS_BAD)
    evidences, readings, doubtful = [0] * len(plain), plain.copy(), [False] * len(plain)
    told = evidences, readings, doubtful
    rows = [row for row, wrong in enumerate(misread) if wrong and len(plain[row]) <= LONGEST_PIECE]
    _put(rows, *told, *_all_by_words([plain[row] for row in rows], layers=MAX_LAYERS))
    # Where no charset stands out, or something is left to suspect, ftfy knows more cases.
    rows = [row for row in rows if (evidences[row] or doubtful[row] if readings[row] != plain[row] else bad[row])]
    fixed = [fix_encoding(plain[row]) for row in rows]
    _put(rows, *told, _all_by_words(fixed, layers=1)[0], fixed)
    repairs = []
    for line, text, wrong, is_bad_line, evidence, reading, doubt in zip(
        lines, plain, misread, bad, evidences, readings, doubtful, strict=True
    ):
        if reading == text:  # and not only because ftfy took back what words were read as
            settled = not wrong or (not is_bad_line and evidence < EVIDENCE_MIN)
        else:
            settled = evidence == 0 and not doubt
        if not settled or len(line) > LONGEST_PIECE or ("&" in reading and _unescape(reading) != reading):
            repairs.append(repair_line(line))
        else:
            repairs.append(Repair(reading, reading != text, _entities_gone(line, text)))
    return repairs


def _put(
    rows: list[int],
    evidences: list[int],
    readings: list[str],
    doubtful: list[bool],
    some_evidence: list[int],
    some_readings: list[str],
) -> None:
    """Note the readings of some rows, with the evidence that is left in them, and whether anything else is strange."""
    (strange,) = _signs_of(some_readings, native.IS_BAD | native.IS_ODD)
    for row, evidence, reading, doubt in zip(rows, some_evidence, some_readings, strange, strict=True):
        evidences[row], readings[row], doubtful[row] = evidence, reading, doubt


def _all_by_words(texts: list[str], *, layers: int) -> tuple[list[int], list[str]]:
    """What `_by_words` tells of each text, in at most so many layers: the evidence left, and the text read."""
    if native.available():
        return native.by_words(texts, _charsets(), layers=layers)
    told = [_by_words(text, layers=layers) for text in texts]
    return [evidence for evidence, _ in told], [reading for _, reading in told]


def _signs_of(texts: list[str], *asked: int) -> list[list[bool]]:
    """For each sum of signs that is asked for, in the numbers of native.py: whether each text has one of them."""
    signs = _signs() if native.available() else None
    if not signs:
        return [_contains(texts, _PATTERNS[each]) for each in asked]
    found = native.strange(texts, signs, _charsets())
    broken = [row for row, text in enumerate(texts) if "\n" in text]  # an entity was a line end
    told = []
    for each in asked:
        met: list[bool] = ((found & each) > 0).tolist()
        for row, is_met in zip(broken, _contains([texts[row] for row in broken], _PATTERNS[each]), strict=True):
            met[row] = is_met
        told.append(met)
    return told


def _contains(texts: list[str], pattern: str) -> list[bool]:
    return pl.Series(texts, dtype=pl.String).str.contains(pattern).to_list() if texts else []


def _entities_gone(before: str, after: str) -> int:
    return max(len(_ENTITY.findall(before)) - len(_ENTITY.findall(after)), 0) if before != after else 0


def _listed(counts: dict[str, Array]) -> pl.Series:
    """The counts that are not zero, as lists of `name:count`. A loop over the texts that were repaired, a tenth of them."""
    n = len(counts[_COUNTS[0]])
    done = np.zeros(n, np.bool_)
    for values in counts.values():
        done |= values > 0
    rows = np.flatnonzero(done)
    each = zip(*(counts[name][rows].tolist() for name in _COUNTS), strict=True)
    lists = [[f"{name}:{count}" for name, count in zip(_COUNTS, told, strict=True) if count > 0] for told in each]
    sizes = np.zeros(n + 1, np.int64)
    sizes[rows + 1] = [*map(len, lists)]
    names = pl.Series([one for some in lists for one in some], dtype=pl.String)
    held = pa.LargeListArray.from_arrays(
        pl.Series(np.cumsum(sizes)).to_arrow(), names.to_arrow(compat_level=pl.CompatLevel.oldest())
    )
    listed = pl.from_arrow(held)
    assert isinstance(listed, pl.Series)
    return listed.rename("repairs")


def _pieces(line: str) -> Iterator[str]:
    """The line in pieces of at most LONGEST_PIECE characters, cut after a blank where there is one."""
    start = 0
    while start < len(line):
        end = start + LONGEST_PIECE
        if end < len(line):
            end = line.rfind(" ", start + 1, end) + 1 or end
        yield line[start:end]
        start = end


def _unescape(line: str) -> str:
    """The line without HTML entities, unless it looks like source code, or talks about entities."""
    if "&" not in line or not _ENTITY.search(line) or _SOURCE_CODE.search(line) or _QUOTED_ENTITY.search(line):
        return line
    return unescape_html(line)


def _decode(line: str) -> str:
    """The reading of `line` that leaves the least to suspect; the earlier one of equals, so ftfy's comes before all others."""
    words = _by_words(line)[1]
    if words == line and not is_bad(line):
        return line
    if words != line and not _suspicion(words):
        return words  # nothing is left to suspect, so ftfy, which costs more, could do no better
    whole = fix_encoding(line)
    left = _suspicion(whole)
    if not left:
        return whole
    readings = [whole] if words in (line, whole) else [whole, fix_encoding(words)]
    if left >= 1:
        readings.insert(0, _with_lost_spaces(line))
        for start in dict.fromkeys((line, words)):
            sentences = _SENTENCE.findall(start)
            readings.append("".join(fix_encoding(s) for s in sentences))
            readings.append("".join(fix_encoding(_by_words(s)[1]) for s in sentences))
    distinct = list(dict.fromkeys(readings))
    return min(distinct, key=_suspicion) if len(distinct) > 1 else whole


def _by_words(text: str, *, layers: int = MAX_LAYERS) -> tuple[int, str]:
    """The text with its words read in the one charset that the evidence favours, layer by layer; what evidence is left."""
    evidence = 0
    for _ in range(layers):
        evidence, reading = _best_charset(text)
        if evidence < EVIDENCE_MIN:
            break
        text = reading
    return evidence, text


def _best_charset(text: str) -> tuple[int, str]:
    """How much speaks for some words of `text` being UTF-8 read in a legacy charset, and the text read rightly."""
    totals: dict[int, list[int]] = {}  # number of the codec -> evidence, oddities gone, words read
    found: list[tuple[int, int, dict[int, _Reading]]] = []
    end = 0
    while pair := _MISREAD_PAIR.search(text, end):
        blank = max(text.rfind(" ", end, pair.start()), text.rfind("\t", end, pair.start()))
        word = _WORD.match(text, blank + 1 if blank >= 0 else end)
        assert word is not None
        end = word.end()
        readings = _read_word(word[0]) if len(word[0]) <= _LONGEST_CACHED else _read_word.__wrapped__(word[0])
        if readings:
            found.append((word.start(), end, readings))
            for number, reading in readings.items():
                total = totals.setdefault(number, [0, 0, 0])
                total[0] += reading.weight
                total[1] += reading.tidied
                total[2] += 1
    best, winner = 0, -1
    for number in sorted(totals):
        evidence, tidied, words = totals[number]
        evidence += min(tidied, words) if tidied > 0 else 3 * tidied
        if evidence > best:
            best, winner = evidence, number
    if winner < 0:
        return 0, text
    parts: list[str] = []
    done = 0
    for start, end, readings in found:
        if winner in readings:
            parts += (text[done:start], readings[winner].text)
            done = end
    return best, "".join(parts) + text[done:]


class _Reading(NamedTuple):
    """A word read in another charset, how much it proves, and how many odd capitals it rids the word of."""

    text: str
    weight: int
    tidied: int


@lru_cache(maxsize=1 << 15)
def _read_word(word: str) -> dict[int, _Reading]:
    """Number of the codec -> the word read as UTF-8, if all of it was UTF-8 read in that codec and a likely word comes out."""
    readings: dict[int, _Reading] = {}
    told: dict[str, _Reading | None] = {}  # several charsets read a word alike
    for number, codec in enumerate(CODECS):
        try:
            right = word.encode(codec).decode("utf-8")
        except UnicodeError:
            continue
        if right not in told:
            likely = _LIKELY_TEXT.fullmatch(right) and not _ODD_SMALL.search(right)
            told[right] = _Reading(right, _weight(word, right), _oddities(word) - _oddities(right)) if likely else None
        reading = told[right]
        if reading:
            readings[number] = reading
    return readings


def _weight(word: str, right: str) -> int:
    """How much a word that is UTF-8 in a legacy charset proves: its sequences, long ones double, more if it mixed scripts."""
    weight = sum(2 if c > "\u07ff" else c > "\x7f" for c in right)
    return weight + (3 if _MIXED_SCRIPTS.search(word) and not _MIXED_SCRIPTS.search(right) else 0)


def _oddities(text: str) -> int:
    """Capitals after small letters and the reverse, as a wrong charset strews them."""
    return len(_ODD_CAPITAL.findall(text)) + len(_ODD_SMALL.findall(text))


def _suspicion(text: str) -> float:
    """How much of `text` still looks like mojibake; below 1 nothing does, and the rest breaks ties."""
    evidence, _ = _best_charset(text)
    certain = (
        badness(text)
        + _oddities(text)
        + len(_MIXED_SCRIPTS.findall(text))
        + (evidence if evidence >= EVIDENCE_MIN else 0)
    )
    return certain + min(0.1 * evidence, 0.9)


def _with_lost_spaces(line: str) -> str:
    """The line read as UTF-8 where no-break spaces that were bytes of letters had become blanks, if all of it can be; else as it was.

    ftfy does this for some letters only, as it must get by with one; here a whole line of sequences speaks for it.
    """
    for codec in ("sloppy-windows-1252", "latin-1"):
        try:
            data = _LOST_SPACE.sub(lambda m: m[0].replace(b" ", b"\xa0"), line.encode(codec))
            right = data.decode("utf-8")
        except UnicodeError:
            continue
        if sum(c > "\x7f" for c in right) >= LOST_SPACE_EVIDENCE_MIN and _LIKELY_TEXT.fullmatch(right):
            return right
    return line


_HARDLY_SEEN: Final = ("cp1251", "cp1250", "iso-8859-2", "mac_roman", "cp437")
"""The charsets whose mojibake ftfy's badness hardly sees."""


def _misread_words() -> str:
    """A pattern of words that are UTF-8 misread from end to end in such a charset."""
    return "|".join(_misread_word(*_misread_chars(codec)) for codec in _HARDLY_SEEN)


def _misread_word(lead_two: str, lead_three: str, later: str) -> str:
    tail = _class(later)
    sequence = f"(?:{_class(lead_two)}{tail}|{_class(lead_three)}{tail}{{2}})"
    return rf"(?:^|[ \t])[!-~]*{sequence}(?:[!-~]|{sequence})*(?:[ \t]|$)"


def _misread_chars(codec: str) -> tuple[str, str, str]:
    """What the charset makes of the leads of two bytes that may be a likely character, of the leads of three, of the later bytes."""
    leads = [
        first
        for first in range(0xC2, 0xE0)
        if any(_LIKELY_TEXT.fullmatch(bytes((first, b)).decode()) for b in range(0x80, 0xC0))
    ]
    lead_two, lead_three, later = (
        bytes(values).decode(codec, "ignore") for values in (leads, range(0xE0, 0xF0), range(0x80, 0xC0))
    )
    return lead_two, lead_three, later


@cache
def _charsets() -> native.Charsets:
    signs = (_PLAUSIBLE, "A-Z", f"a-z{_HIGH_SMALL}", _HIGH_CAPITALS, _HIGH_SMALL, "A-Za-z", _OTHER)
    return native.charsets_of(CODECS, signs, evidence_min=EVIDENCE_MIN)


@cache
def _signs() -> native.Signs | None:
    return native.signs_of(_BAD, [_misread_chars(codec) for codec in _HARDLY_SEEN])


@cache
def _entities() -> native.Entities:
    return native.entities_of(HTML_ENTITIES)


def _class(chars: str) -> str:
    return "[" + "".join(rf"\u{{{ord(c):X}}}" for c in chars) + "]"


_BAD: Final = badness_pattern()
"""What ftfy's `is_bad` asks of a text, in the syntax of Polars' engine."""

_MISREAD: Final = rf"(?m){_BAD}|{_misread_words()}"
"""The lines that may be mojibake."""

SUSPICIOUS: Final = rf"{_MISREAD}|&\#?[0-9A-Za-z]{{1,24}};"
"""The lines that are looked at."""

_DOUBTFUL: Final = rf"{_BAD}|{_ODD_CAPITAL.pattern}|{_ODD_SMALL.pattern}|{_MIXED_SCRIPTS.pattern}"
"""What `_suspicion` counts, but for evidence."""

_PATTERNS: Final = {
    native.IS_BAD: _BAD,
    native.IS_MISREAD: _MISREAD,
    native.IS_BAD | native.IS_ODD: _DOUBTFUL,
}


def _misread_pairs() -> str:
    """A pattern of two characters that in some legacy charset are a lead byte of UTF-8 and the byte after it.

    It begins with the class of all lead characters, which Python's engine looks for many times faster than for ten classes.
    """
    pairs = [
        (bytes(range(0xC2, 0xF5)).decode(c, "ignore"), bytes(range(0x80, 0xC0)).decode(c, "ignore")) for c in CODECS
    ]
    leads = "".join(sorted({c for lead, _ in pairs for c in lead}))
    readings = "|".join(f"(?<=[{re.escape(lead)}])[{re.escape(tail)}]" for lead, tail in pairs)
    return f"[{re.escape(leads)}](?:{readings})"


_MISREAD_PAIR: Final = late(_misread_pairs())
