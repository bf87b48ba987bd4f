"""Repaired text, and what was repaired: mojibake, HTML entities, control characters, line ends and blank lines.

ftfy costs 400 to 1,300 CPU-s per GB, so it sees only the lines that one regex on Polars' engine lets through: ftfy's own
pattern of badness, words that from end to end are UTF-8 read in a legacy charset, and entities. Other text is not looked at.

For a line that is let through several readings compete: ftfy's of the whole line, ftfy's of each sentence (a line may be mojibake
in part), and a reading word by word, which finds the charsets that ftfy hardly sees. The one that leaves least to suspect wins.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, NamedTuple

import ftfy
import polars as pl
import pyarrow as pa
from ftfy.badness import BADNESS_RE, badness, is_bad
from ftfy.fixes import unescape_html

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

_NEUTRAL: Final = ftfy.TextFixerConfig(
    unescape_html=False,  # done here
    remove_terminal_escapes=False,
    fix_latin_ligatures=False,
    fix_character_width=False,
    uncurl_quotes=False,
    fix_line_breaks=False,
    remove_control_chars=False,
    normalization=None,
    explain=False,
)

_LIKELY: Final = (
    "\xa0-\xff\u0100-\u017f\u01a0\u01a1\u01af\u01b0\u0218-\u021b\u0300-\u0304\u0323\u0384-\u03ce\u0400-\u045f\u0490\u0491"
    "\u05be\u05d0-\u05ea\u060c\u061b\u061f\u0621-\u0652\u0660-\u0669\u067e-\u06d5\u06f0-\u06f9"
    "\u0900-\u0dff\u0e00-\u0e7f\u10a0-\u10ff\u1e00-\u1eff\u200b-\u200f\u2010-\u2026\u2030-\u203a\u20a0-\u20bf\u2100-\u214f"
    "\u2190-\u22ff\u25a0-\u27bf\u3000-\u30ff\u3400-\u9fff\uac00-\ud7a3\uff00-\uffef\ufe0f\U0001f000-\U0001faff"
)
"""What a repaired word may hold: the letters and signs of living languages. "Spaß“" would become NKo, "CAFÉ»" phonetics."""

_LIKELY_TEXT: Final = re.compile(f"[\0-\x7f{_LIKELY}]*")
_WORD: Final = re.compile(r"[^ \t]+")
_SENTENCE: Final = re.compile(r"[^.!?…。！？؟।]*(?:[.!?…。！？؟।]+\s*|$)")
_OTHER: Final = "\u0370-\u04ff\u2200-\u22ff\u2500-\u25ff"  # Greek, Cyrillic, mathematical signs, box drawing
_MIXED_SCRIPTS: Final = re.compile(f"[A-Za-z][{_OTHER}]|[{_OTHER}][A-Za-z]")
_ODD_CAPITAL: Final = re.compile(
    "[a-zß-öø-ÿ][À-ÖØ-Þ\u0102\u0104\u0106\u010c\u010e\u0110\u0118\u011a\u0139\u0141\u0147\u0158\u015a\u015e\u0160\u0164\u016e\u0170\u0179\u017b\u017d]"
)
_ODD_SMALL: Final = re.compile("[A-Z][ß-öø-ÿ][A-Z]")
_LOST_SPACE: Final = re.compile(rb"[\xe0-\xef](?: [\x80-\xbf]|[\x80-\xbf] )|[\xc2-\xdf] ")
_ENTITY: Final = re.compile(r"&#?[0-9A-Za-z]{1,24};")
_QUOTED_ENTITY: Final = re.compile(r"[`\"'](?:&amp;|&)#?[0-9A-Za-z]{1,24};[`\"']")
_SOURCE_CODE: Final = re.compile(r"</?[A-Za-z!]|&&|=\s?[\"']|\{\s*$|\);\s*$|=>")

_BREAKS: Final = r"\r\n|[\r\x0B\x0C\u2028\u2029]"
_CONTROLS: Final = (
    r"[\x00-\x08\x0E-\x1B\x7F\u{FEFF}\u{FDD0}-\u{FDEF}"
    + "".join(rf"\u{{{plane:X}FFFE}}\u{{{plane:X}FFFF}}" for plane in range(1, 17))
    + r"\u{FFFE}\u{FFFF}]"
)
_SEPARATORS: Final = r"[\x1C-\x1F]"
_C1: Final = r"[\u{80}-\u{9F}]"
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
    before = (texts if isinstance(texts, pl.Series) else pl.Series(texts)).cast(pl.String).fill_null("").rename("text")
    frame = _tidy(
        before.to_frame().with_row_index("doc").with_columns(pl.lit(0, pl.Int64).alias(name) for name in _COUNTS)
    )
    todo = frame.filter(pl.col("text").str.contains(SUSPICIOUS))
    done = [frame.join(todo, on="doc", how="anti")]
    for _ in range(MAX_ROUNDS):  # a second round where the first changed something: entities can hide line ends
        if todo.is_empty():
            break
        fixed = _tidy(_repair_lines(todo))
        stable = fixed["text"] == todo["text"]
        done.append(fixed.filter(stable))
        todo = fixed.filter(~stable)
    after = pl.concat([*done, todo]).sort("doc")
    return after["text"], _listed(after)


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


def _tidy(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame's texts with \\n as the only line end, without control characters, blanks at line ends and spare blank lines."""
    text = pl.col("text")
    untidy = frame["text"].str.contains(_UNTIDY)
    if not untidy.any():
        return frame
    tidied = (
        frame.filter(untidy)
        .with_columns(control=pl.col("control") + text.str.count_matches(_CONTROLS))
        .with_columns(
            text=text.str.replace_all(_BREAKS, "\n").str.replace_all(_SEPARATORS, " ").str.replace_all(_CONTROLS, "")
        )
        .with_columns(text=text.str.replace_all(_TRAILING_BLANKS, "$1").str.replace_all(_BLANK_LINES, "\n\n"))
        .with_columns(text=text.str.replace_all(_OUTER_BLANK_LINES, ""))
    )
    return pl.concat([frame.filter(~untidy), tidied]).sort("doc")


def _repair_lines(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with the suspicious lines of its texts repaired and the counts raised. A line that recurs is repaired once."""
    lines = frame.select("doc", line=pl.col("text").str.split("\n")).explode("line")
    found = lines.filter(pl.col("line").str.contains(SUSPICIOUS)).select(pl.col("line").unique(maintain_order=True))[
        "line"
    ]
    repairs = _repair_each(found.to_list())
    table = pl.DataFrame(
        {
            "line": found,
            "fixed": pl.Series([r.text for r in repairs], dtype=pl.String),
            "mojibake": pl.Series([int(r.mojibake) for r in repairs], dtype=pl.Int64),
            "entities": pl.Series([r.entities for r in repairs], dtype=pl.Int64),
        }
    )
    new = (
        lines.join(table, on="line", how="left", maintain_order="left")
        .with_columns(text=pl.coalesce("fixed", "line"))
        .with_columns(control=pl.col("text").str.count_matches(_C1), text=pl.col("text").str.replace_all(_C1, ""))
        .group_by("doc", maintain_order=True)
        .agg(pl.col("text").str.join("\n"), pl.col("mojibake", "entities", "control").sum().cast(pl.Int64))
    )
    return frame.select("doc").hstack(
        [new["text"], *(frame[name] + new[name] for name in _COUNTS)],
    )


def _repair_each(lines: list[str]) -> list[Repair]:
    """What `repair_line` makes of each line, most of them in less time.

    Loops over the lines that the pattern let through, 1 to 3 % of a crawl. Python reads them; whether a reading leaves
    something to suspect is asked of all at once. Only where it does are there more readings to weigh.
    """
    plain = [_unescape(line) if len(line) <= LONGEST_PIECE else line for line in lines]
    misread, bad = _contains(plain, _MISREAD), _contains(plain, _BAD)
    readings = []
    for text, wrong, is_bad_line in zip(plain, misread, bad, strict=True):
        evidence, reading = _by_words(text) if wrong else (0, text)
        if (
            is_bad_line and reading == text and len(text) <= LONGEST_PIECE
        ):  # no charset stands out: ftfy knows more cases
            reading = _by_ftfy(text)
            evidence, _ = _best_charset(reading)
        readings.append((evidence, reading))
    doubtful = _contains([text for _, text in readings], _DOUBTFUL)
    repairs = []
    for line, text, wrong, (evidence, reading), doubt in zip(lines, plain, misread, readings, doubtful, strict=True):
        settled = not wrong or (evidence == 0 and reading != text and not doubt)
        if not settled or len(line) > LONGEST_PIECE or ("&" in reading and _unescape(reading) != reading):
            repairs.append(repair_line(line))
        else:
            repairs.append(Repair(reading, reading != text, _entities_gone(line, text)))
    return repairs


def _contains(texts: list[str], pattern: str) -> list[bool]:
    return pl.Series(texts, dtype=pl.String).str.contains(pattern).to_list()


def _entities_gone(before: str, after: str) -> int:
    return max(len(_ENTITY.findall(before)) - len(_ENTITY.findall(after)), 0) if before != after else 0


def _listed(frame: pl.DataFrame) -> pl.Series:
    """The counts that are not zero, as lists of `name:count`."""
    named = [pl.when(pl.col(n) > 0).then(pl.concat_str(pl.lit(f"{n}:"), pl.col(n).cast(pl.String))) for n in _COUNTS]
    return frame.select(repairs=pl.concat_list(named).list.drop_nulls())["repairs"]


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
    whole = _by_ftfy(line)
    readings = [whole] if words in (line, whole) else [whole, _by_ftfy(words)]
    if _suspicion(whole) >= 1:
        readings.insert(0, _with_lost_spaces(line))
        for start in dict.fromkeys((line, words)):
            sentences = _SENTENCE.findall(start)
            readings.append("".join(_by_ftfy(s) for s in sentences))
            readings.append("".join(_by_ftfy(_by_words(s)[1]) for s in sentences))
    distinct = list(dict.fromkeys(readings))
    return min(distinct, key=_suspicion) if len(distinct) > 1 else whole


def _by_ftfy(text: str) -> str:
    return text if text.isascii() else ftfy.fix_encoding(text, _NEUTRAL)


def _by_words(text: str) -> tuple[int, str]:
    """The text with its words read in the one charset that the evidence favours, layer by layer; what evidence is left."""
    evidence = 0
    for _ in range(MAX_LAYERS):
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


def _badness_for_polars() -> str:
    """ftfy's verbose pattern in the syntax of Polars' engine: there, blanks in a class need no care only when they are escaped."""
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
    return "".join(out)


def _misread_words() -> str:
    """A pattern of words that are UTF-8 misread from end to end in a charset that ftfy's badness hardly sees."""
    return "|".join(_misread_word(codec) for codec in ("cp1251", "cp1250", "iso-8859-2", "mac_roman", "cp437"))


def _misread_word(codec: str) -> str:
    tail = _class(codec, range(0x80, 0xC0))
    pairs = [
        first
        for first in range(0xC2, 0xE0)
        if any(_LIKELY_TEXT.fullmatch(bytes((first, b)).decode()) for b in range(0x80, 0xC0))
    ]
    sequence = f"(?:{_class(codec, pairs)}{tail}|{_class(codec, range(0xE0, 0xF0))}{tail}{{2}})"
    return rf"(?:^|[ \t])[!-~]*{sequence}(?:[!-~]|{sequence})*(?:[ \t]|$)"


def _class(codec: str, values: range | list[int]) -> str:
    chars = bytes(values).decode(codec, "ignore")
    return "[" + "".join(rf"\u{{{ord(c):X}}}" for c in chars) + "]"


_BAD: Final = _badness_for_polars()
"""What ftfy's `is_bad` asks of a text, in the syntax of Polars' engine."""

_MISREAD: Final = rf"(?m){_BAD}|{_misread_words()}"
"""The lines that may be mojibake."""

SUSPICIOUS: Final = rf"{_MISREAD}|&\#?[0-9A-Za-z]{{1,24}};"
"""The lines that are looked at."""

_DOUBTFUL: Final = rf"{_BAD}|{_ODD_CAPITAL.pattern}|{_ODD_SMALL.pattern}|{_MIXED_SCRIPTS.pattern}"
"""What `_suspicion` counts, but for evidence."""


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


_MISREAD_PAIR: Final = re.compile(_misread_pairs())
