"""Boilerplate rules: YAML families of phrases and patterns, each rule with the examples that prove it.

A family is one YAML file. A rule names whole lines, either by `phrases` (the line is exactly that, bullets, arrows and
letter case aside) or by `match` (a pattern for the Rust regex engine), and says how far it reaches:

    line     the line
    match    only the matched part, at the line's start or end (`at`)
    to_end   the line and all that follows, if that is short (`max_after_chars`, `max_after_line`) and late (`after_share`)
    block    the line, and the lines below as long as they are `members` or short (`max_lines`, `short_chars`)

and where the line must stand (`where`): anywhere; top or bottom, with at most one line of prose above or below, or
either of them (ends); between sentences, other furniture and the document's edge, so not in verse or a list.

Patterns see a copy of the line: stripped, odd spaces and typographic quotes made plain, dashes made "-", bullets and
arrows at both ends dropped. They match whole lines, need no ^ and $, and ignore case; `(?-i:…)` brings case back. The
patterns of `match` see the line as it is. `words` gives names to pieces of pattern: {{name}}. Rules of all languages
apply to every text. One alternation for all rules of a kind runs over the distinct lines that are short enough; the
rule is named for the hits alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, cached_property, lru_cache
from itertools import chain, groupby
from pathlib import PurePath
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl
import xxhash

from etl import kernels, packed
from etl.boilerplate import heads, literals, native, programs
from etl.boilerplate.captions import repeated_captions
from etl.boilerplate.heads import ANYTHING, HEAD, folded, known_heads
from etl.boilerplate.lines import MARKS, edges, split_lines
from etl.boilerplate.literals import literals_of, tails_of
from etl.config import load_yaml
from etl.errors import ConfigError

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
T = TypeVar("T")

REACHES: Final = ("line", "match", "to_end", "block")
PLACES: Final = ("anywhere", "top", "bottom", "ends", "between")
ACTIONS: Final = ("remove", "keep")
LENGTHS: Final = (60, 100, 160, 300, 600)  # what max_chars may be: rules of one length share a pass over the lines
LONG_CHARS: Final = 160  # most longer lines are prose: a rule for them says in `needs` which words to look for first
PASSES: Final = "passes.json.zst"  # what is kept of the product's own rules
PASSES_A_THREAD: Final = 16  # see _THREAD
PASS_CHARS: Final = 12_000  # pattern in one alternation; the engine refuses a regex that compiles to more than 10 MB
PASS_BITS: Final = 63  # passes that can be chosen by what is known of a line: bits of a signed number; the rest see all
MAX_CHARS: Final = 100  # a longer line is rarely furniture alone
NEEDS_CHARS: Final = 140  # where a long line must hold one of those words
SPAN_CHARS: Final = 200  # how much of a line's start or end a `match` rule sees
PROSE_CHARS: Final = 120  # a line this long counts as prose when a rule asks where in the document it stands
PROSE_CHARS_CJK: Final = 40
SENTENCE_CHARS: Final = 60  # a line this long, or one that ends as a sentence, is no list entry and no verse
SENTENCE_END: Final = r"""[.!?…。！？؟।｡]["'”’»)\]）」』]*\s*$"""
PROSE_LINES: Final = 2  # `top` ends, and `bottom` begins, at the second prose line

FAMILY_KEYS: Final = ("about", "languages", "words", "rules")
RULE_KEYS: Final = (
    *("id", "why", "reach", "action", "where", "at", "max_chars", "match", "phrases", "needs", "removes", "keeps"),
    *("protects", "leaves", "members", "max_lines", "short_chars", "max_after_chars", "max_after_line", "after_share"),
)

# Patterns of these languages see only lines that hold a letter of a script other than Latin.
OTHER_LANGUAGES: Final = frozenset(
    {"ar", "be", "bg", "el", "fa", "he", "hi", "hy", "ja", "ka", "ko", "mk", "sr", "th", "uk", "ur", "ru", "zh"}
)
OTHER_SCRIPTS: Final = r"[\x{0370}-\x{10FFFF}&&\p{L}]"

# Patterns and phrases are folded too, all but their dashes and spaces.
_FOLD_LETTERS: Final = {
    **dict.fromkeys("‘’‚‛′´`", "'"),
    **dict.fromkeys("“”„‟″＂", '"'),
    **dict(zip("İıάέήίόύώΆΈΉΊΌΎΏϊϋΐΰςأإآىё", "Iiαεηιουωαεηιουωιυιυσااايе", strict=True)),
}
_FOLD_MARKS: Final = {
    **dict.fromkeys("‐‑‒–—―−", "-"),
    **dict.fromkeys(
        "\t\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000", " "
    ),
    **dict(zip("：｜（）／！？，＞＜", ":|()/!?,><", strict=True)),
}
_FOLD: Final = _FOLD_LETTERS | _FOLD_MARKS
_AS_WRITTEN: Final = str.maketrans(_FOLD_LETTERS)
_INVISIBLE: Final = (
    "\u00ad\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2061\u2062\u2063\u2064\ufe0e\ufe0f\ufeff"
)
_ORNAMENT: Final = r"[\s•·∙◦▪■□◆◇●○★☆✓✔‣⁃|¦*+~=_»›>←→↑↓⇒➔➜➤►▶▸▼▾▲△▽\p{So}&&[^©®℗°]]"
_ENDING: Final = r"[\s•·▪■●|¦~=_»›>«‹<←→↑↓⇒➔➜➤►▶▸▼▾▲\p{So}&&[^©®℗°]]"
_LEADING: Final = rf"^(?:{_ORNAMENT}|-+\s)+"
_TRAILING: Final = rf"(?:{_ENDING}|\s-+)+$"
CHARACTERS: Final = (
    native.SPACE,
    _ORNAMENT,
    _ENDING,
    OTHER_SCRIPTS,
)  # kinds of characters, in the order of their bits in rules.c
_BARE_TAIL: Final = ".! -:…"
_BARE_ENDS: Final = " -:;,*#()[]{}<>«»‹›【】「」『』〈〉《》…/\\|。！"


@dataclass(frozen=True, slots=True)
class Example:
    """A text that a rule must hit, one or more lines. cut: the part that must go; "" when all of it must."""

    text: str
    language: str
    cut: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a family; the module's docstring tells the fields that YAML gives.

    patterns, phrases: (language, text). leaves: what a rule with `action: keep` must not protect.
    """

    id: str
    family: str
    why: str
    reach: str = "line"
    action: str = "remove"
    where: str = "anywhere"
    at: str = "start"
    max_chars: int = MAX_CHARS
    patterns: tuple[tuple[str, str], ...] = ()
    phrases: tuple[tuple[str, str], ...] = ()
    members: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    max_lines: int = 40
    short_chars: int = 0
    max_after_chars: int = 3000
    max_after_line: int = 300
    after_share: float = 0.5
    removes: tuple[Example, ...] = ()
    keeps: tuple[str, ...] = ()
    leaves: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Family:
    """The rules of one file. name: the file's stem; file: the name that faults are reported under."""

    name: str
    file: str
    about: str
    languages: tuple[str, ...]
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Pass:
    """Rules that run as one alternation. at: "" for whole lines. rules: their places in RuleSet.rules.

    other: only lines that hold a letter of OTHER_SCRIPTS can match. heads: how lines that match can begin (see heads.py),
    literals: of which they hold one, or with which they end where `at` is "end" (see literals.py); None when that is not known.
    patterns: (rule, pattern), as long as the pass is being made.
    """

    at: str
    other: bool
    max_chars: int
    regex: str
    rules: tuple[int, ...]
    heads: frozenset[str] | None = None
    literals: frozenset[str] | None = None
    patterns: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Told:
    """What the rules of a set say, one entry a rule; see Rule."""

    keeps: Flags
    reach: npt.NDArray[np.object_]
    where: npt.NDArray[np.object_]
    max_chars: Ints
    max_after_chars: Ints
    max_after_line: Ints
    after_share: npt.NDArray[np.float64]


@dataclass(frozen=True)  # no slots: the head table is made when it is first asked for
class RuleSet:
    """Families made ready to run.

    table: rule_no, rule, family, reason, reach, action, where, max_chars. phrases: bare, rule_no. members: regex by rule_no.
    needs: words one of which a line longer than LONG_CHARS holds, if any rule is for it.
    """

    rules: tuple[Rule, ...]
    passes: tuple[Pass, ...]
    table: pl.DataFrame
    phrases: pl.DataFrame
    phrase_chars: int
    needs: tuple[str, ...]
    members: Mapping[int, str]
    arrays: Mapping[str, Any] | None = None

    @cached_property
    def name(self) -> str:
        """A hash of all that passes depend on."""
        told = [
            (r.id, r.reach, r.action, r.where, r.at, r.max_chars, r.patterns, r.phrases, r.members) for r in self.rules
        ]
        return xxhash.xxh3_64_hexdigest(repr(told).encode())

    @cached_property
    def tables(self) -> native.RuleTables | None:
        """What the kernels judge lines by; None where there are none, or nothing was packed for them."""
        if self.arrays is None or not native.available():
            return None
        return native.RuleTables(self.arrays, _kinds(), _plain_table(), self.phrase_chars)

    @cached_property
    def known_phrases(self) -> dict[str, tuple[int, ...]]:
        """Lines that may be phrases, and the rules whose they are: as many as were met."""
        return {}

    @cached_property
    def told(self) -> Told:
        """What the rules say, as arrays."""
        guards = ((r.max_after_chars, r.max_after_line, r.after_share) for r in self.rules)
        chars, line, share = zip(*guards, strict=True) if self.rules else ((), (), ())
        return Told(
            keeps=(self.table["action"] == "keep").to_numpy(),
            reach=self.table["reach"].to_numpy(),
            where=self.table["where"].to_numpy(),
            max_chars=self.table["max_chars"].to_numpy(),
            max_after_chars=np.array(chars, np.int64),
            max_after_line=np.array(line, np.int64),
            after_share=np.array(share, np.float64),
        )

    @cached_property
    def by_head(self) -> dict[str, int]:
        """Bits of `passes` by the heads of the lines that they match; "" has those of which none is known."""
        return _bits(one.heads for one in self.passes[:PASS_BITS])

    @cached_property
    def by_literal(self) -> dict[str, int]:
        """The same by the literals of whole lines,"""
        return _bits(frozenset() if one.at else one.literals for one in self.passes[:PASS_BITS])

    @cached_property
    def by_tail(self) -> dict[str, int]:
        """and of lines' ends."""
        return _bits(one.literals if one.at == "end" else frozenset() for one in self.passes[:PASS_BITS])

    @cached_property
    def head_table(self) -> native.HeadTable:
        """`by_head` as the kernel takes it."""
        return native.head_table(self.by_head)

    @cached_property
    def literal_table(self) -> native.LiteralTable:
        """`by_literal` as the kernel takes it."""
        return native.literal_table(self.by_literal)

    @cached_property
    def tail_table(self) -> native.LiteralTable:
        """`by_tail` as the kernel takes it."""
        return native.literal_table(self.by_tail)

    @cached_property
    def need_table(self) -> native.LiteralTable:
        """`needs` as the kernel takes them."""
        return native.literal_table({literals.rarest_part(folded(word)): 1 for word in self.needs})


_THREAD: Final = ThreadPoolExecutor(1, thread_name_prefix="rules")
"""Where rules run. Polars keeps the last 32 compiled patterns of each thread; in threads of their own the passes' patterns
are compiled once (0.3 s), in one that also runs the other steps' patterns again for every batch."""


@cache
def _thread_of_passes(number: int) -> ThreadPoolExecutor:
    """Where the passes from number * PASSES_A_THREAD on run."""
    return ThreadPoolExecutor(1, thread_name_prefix=f"passes-{number}")


def _in_threads(task: Callable[[int, Pass], T], passes: Sequence[Pass], wanted: Iterable[int]) -> list[T]:
    """`task` of each pass `wanted`, in order, and its number, each in the thread that keeps the pattern; one after the other."""
    found: list[T] = []
    for thread, numbers in groupby(wanted, lambda number: number // PASSES_A_THREAD):
        some = list(numbers)
        found += _thread_of_passes(thread).submit(lambda: [task(one, passes[one]) for one in some]).result()  # noqa: B023 (waited for)
    return found


CODE_RULES: Final[tuple[Callable[[pl.DataFrame], pl.DataFrame], ...]] = (repeated_captions,)
"""Rules that need the lines around: functions from the table of lines to marks, in the order in which they run."""


def parse_family(name: str, text: str, *, proven: bool = False) -> Family:
    """The family in the YAML `text`; `name` is its file name, for faults. Raises ConfigError with every fault.

    proven: the patterns are known to be good, which saves the time to try each.
    """
    faults: list[str] = []
    family = _Reader(name, faults).family(text)
    if not faults and not proven:
        faults.extend(_regex_faults(family))
    if faults:
        raise ConfigError(faults)
    return family


def compile_rules(
    families: Iterable[Family],
    *,
    passes: Sequence[Mapping[str, Any]] | None = None,
    tables: Mapping[str, Any] | None = None,
) -> RuleSet:
    """The rules of all families, ready to run, in the order of the families' names and of their files.

    passes, tables: what `packed_passes` and `packed_tables` made of the same families: without them, they are made anew
    and slower.
    """
    ordered = sorted(families, key=lambda family: family.name)
    files = {family.name: family.file for family in ordered}
    rules = tuple(rule for family in ordered for rule in family.rules)
    owner: dict[str, Rule] = {}
    faults = [
        f"{files[rule.family]}: rule {rule.id}: id is {rule.id!r}; expected an id of its own, {files[owner[rule.id].family]} has it"
        for rule in rules
        if owner.setdefault(rule.id, rule) is not rule
    ]
    if faults:
        raise ConfigError(faults)
    phrases = [
        (phrase.translate(_AS_WRITTEN), number) for number, rule in enumerate(rules) for _, phrase in rule.phrases
    ]
    table = pl.DataFrame(
        {
            "rule_no": range(len(rules)),
            "rule": [rule.id for rule in rules],
            "family": [rule.family for rule in rules],
            "reason": [rule.why for rule in rules],
            "reach": [rule.reach for rule in rules],
            "action": [rule.action for rule in rules],
            "where": [rule.where for rule in rules],
            "max_chars": [rule.max_chars if rule.patterns else LENGTHS[-1] for rule in rules],
        },
        schema_overrides={"rule_no": pl.UInt32, "max_chars": pl.UInt32},
    )
    compiled = RuleSet(
        rules=rules,
        passes=(),
        table=table.cast(dict.fromkeys(table.columns[1:-1], pl.String)),
        phrases=pl.DataFrame(phrases, schema={"bare": pl.String, "rule_no": pl.UInt32}, orient="row")
        .with_columns(bare=_bare(_plain(pl.col("bare"))))
        .unique(maintain_order=True),
        phrase_chars=max((len(phrase) for phrase, _ in phrases), default=0) + 8,
        needs=tuple(sorted({word for rule in rules for word in rule.needs})),
        members={
            number: _whole_line(_unit(rule.members).replace(r"\b", r"(?-u:\b)"))
            for number, rule in enumerate(rules)
            if rule.members
        },
    )
    made = _with_passes(compiled, _passes(rules, read=False) if passes is None else map(_unpacked, passes))
    return replace(made, arrays=tables)


def with_passes(ruleset: RuleSet, passes: Sequence[Mapping[str, Any]], tables: Mapping[str, Any]) -> RuleSet:
    """`ruleset` with what `packed_passes` and `packed_tables` made of it: what `compile_rules` makes of them, for less."""
    return replace(_with_passes(ruleset, map(_unpacked, passes)), arrays=tables)


def _with_passes(ruleset: RuleSet, passes: Iterable[Pass]) -> RuleSet:
    made = tuple(passes)
    made = (*made[:PASS_BITS], *(replace(one, heads=None, literals=None) for one in made[PASS_BITS:]))
    return replace(ruleset, passes=made)


def packed_passes(ruleset: RuleSet) -> list[dict[str, Any]]:
    """The passes of a rule set as plain values, for `compile_rules` in another process.

    Made with all that is known of how matches begin and of what they hold: that takes a second for some fifty patterns that
    aren't the product's own.
    """
    of, passes = _kept_passes()
    return passes if of == ruleset.name else _packed(ruleset)


@cache
def _kept_passes() -> tuple[str, list[dict[str, Any]]]:
    """A name for the product's own rules, and their passes."""
    kept = packed.unpack(packed.read("etl.boilerplate", "weights", PASSES))
    return kept["of"], kept["passes"]


def _packed(ruleset: RuleSet) -> list[dict[str, Any]]:
    return [
        {
            "at": one.at,
            "other": one.other,
            "max_chars": one.max_chars,
            "regex": one.regex,
            "rules": list(one.rules),
            "heads": None if one.heads is None else sorted(one.heads),
            "literals": None if one.literals is None else sorted(one.literals),
        }
        for one in _read_passes(ruleset.rules)
    ]


@lru_cache(maxsize=1)
def _read_passes(rules: tuple[Rule, ...]) -> tuple[Pass, ...]:
    return tuple(_passes(rules, read=True))


def packed_tables(ruleset: RuleSet) -> dict[str, Any]:
    """What the kernels need to judge lines by a rule set, for `with_passes` in another process: arrays by name."""
    kept = kept_tables(ruleset)
    return _tables(ruleset, programs.kept_ranges()) if kept is None else kept


def kept_tables(ruleset: RuleSet) -> dict[str, Any] | None:
    """The same for the product's own rules, None for others."""
    of, tables = _kept_tables()
    return dict(tables) if of == ruleset.name else None


def preload() -> None:
    """Read what is kept of the product's own rules."""
    _kept_tables()
    _kept_passes()


@cache
def _kept_tables() -> tuple[str, Mapping[str, Any]]:
    """A name for the product's own rules, and their arrays."""
    kept = programs.kept()
    return kept["of"].tobytes().decode(), {name: kept[name] for name in native.RULE_ARRAYS}


def _tables(ruleset: RuleSet, told: Mapping[str, programs.Ranges]) -> dict[str, Any]:
    """Arrays by name, as `native.RuleTables` has them, of the passes with all that is known of their patterns."""
    passes = _read_passes(ruleset.rules)
    entries: list[tuple[int, int, int, str]] = []  # pass, place, rule, pattern
    made: list[programs.Program] = []
    left = []
    for number, one in enumerate(passes):
        if one.at:
            continue
        found = [programs.program_of(pattern.translate(_AS_WRITTEN)) for _, pattern in one.patterns]
        if None in found:
            left.append(number)
            continue
        made += [program for program in found if program is not None]
        entries += [(number, one.rules.index(rule), rule, pattern) for rule, pattern in one.patterns]
    at_ends: dict[str, int] = {}
    for name, at, before in (("begun", "start", ""), ("ended", "end", "(?s:.)*")):
        texts = [text for one in passes if one.at == at for _, text in one.patterns]
        program = programs.program_of(f"{before}(?:{_unit(texts, folded=False)})") if texts else None
        at_ends[name] = -1 if program is None else len(made)
        made += [] if program is None else [program]
    linked = programs.link(made, told)
    of = [passes[number] for number, *_ in entries]
    known = [_HEADS if one.heads is not None else _LITERALS if one.literals is not None else 0 for one in of]
    by_head = _numbers((number, _heads(entry[3])) for number, entry in enumerate(entries) if known[number] == _HEADS)
    by_literal = _numbers(
        (number, _literals(entry[3], "") or ()) for number, entry in enumerate(entries) if known[number] == _LITERALS
    )
    bit_of = {
        number: place % PASS_BITS for place, number in enumerate(n for n in range(len(known)) if known[n] == _LITERALS)
    }
    by_bit = [[number for number, bit in bit_of.items() if bit == wanted] for wanted in range(64)]
    always = [number for number in range(len(known)) if not known[number]]
    return {
        **{name: getattr(linked, name) for name in ("steps", "begin", "first", "klass", "word", "sets")},
        "head": _code_points(list(by_head)),
        **_lists("of_head", "by_head", by_head.values()),
        **native.packed_literals(
            native.literal_table({text: sum(1 << bit_of[one] for one in of_one) for text, of_one in by_literal.items()})
        ),
        **_lists("of_bit", "by_bit", by_bit),
        "always": np.array(always, np.uint16),
        "pass_of": np.array([entry[0] for entry in entries], np.int32),
        "place": np.array([entry[1] for entry in entries], np.int32),
        "rule": np.array([entry[2] for entry in entries], np.int32),
        "most_chars": np.array([one.max_chars for one in of], np.int32),
        "foreign": np.array([one.other for one in of], np.uint8),
        **{name: np.array([number]) for name, number in at_ends.items()},
        "left": np.array(left, np.int64),
        "phrases": native.name_table([heads.folded(phrase) for phrase in ruleset.phrases["bare"]]),
    }


def _numbers(known: Iterable[tuple[int, Iterable[str]]]) -> dict[str, list[int]]:
    """For each text the numbers that it is known for, texts in order."""
    found: dict[str, list[int]] = {}
    for number, texts in known:
        for text in texts:
            found.setdefault(text, []).append(number)
    return dict(sorted(found.items()))


def _code_points(texts: Sequence[str]) -> npt.NDArray[np.uint32]:
    """A row for each text, with zeros after it."""
    longest = max(map(len, texts), default=0)
    points = [list(map(ord, text.ljust(longest, "\0"))) for text in texts]
    return np.array(points, np.uint32).reshape(len(texts), longest)


def _lists(begin: str, held: str, lists: Iterable[Sequence[int]]) -> dict[str, Any]:
    """Lists one after the other, and where each begins, and one more."""
    made = list(lists)
    return {
        begin: np.cumsum([0, *map(len, made)]),
        held: np.array([number for one in made for number in one], np.uint16),
    }


def _unpacked(one: Mapping[str, Any]) -> Pass:
    known = {name: None if one[name] is None else frozenset(one[name]) for name in ("heads", "literals")}
    return Pass(**{**one, **known, "rules": tuple(one["rules"])})


def apply_rules(lines: pl.DataFrame, ruleset: RuleSet) -> pl.DataFrame:
    """What the rules cut from `lines`, as MARKS in the order of the text; no line is cut both whole and in part.

    Lines that a rule with `action: keep` names are never cut whole. Where a line stands, and what follows it, is
    judged by the lines that other rules left, so that a second run on what remains finds nothing more.
    """
    return judge_lines(lines, ruleset)[0]


def apply_keeps(lines: pl.DataFrame, ruleset: RuleSet) -> pl.DataFrame:
    """The lines that neither the model nor a site template may remove: doc, line and the rule that says so."""
    return judge_lines(lines, ruleset)[1]


def judge_lines(lines: pl.DataFrame, ruleset: RuleSet) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What `apply_rules` and `apply_keeps` give, for the price of one."""
    return _THREAD.submit(_judge, lines, ruleset).result()


def warm(ruleset: RuleSet) -> None:
    """Have the tables or the patterns (0.2 s) made ready while this thread does other things; `judge_lines` waits for it."""
    _THREAD.submit(_make_ready, ruleset)


def _make_ready(ruleset: RuleSet) -> None:
    if ruleset.tables is not None:
        for made in ("need_table", "tail_table", "told"):
            getattr(ruleset, made)
        return
    nothing = pl.Series([""])
    _in_threads(lambda _, one: nothing.str.contains(one.regex), ruleset.passes, range(len(ruleset.passes)))


def _judge(lines: pl.DataFrame, ruleset: RuleSet) -> tuple[pl.DataFrame, pl.DataFrame]:
    table = _measured(lines)
    page = _Page.of(table)
    row, rule_no = _line_hits(table, ruleset)
    told = ruleset.told
    keeps = np.flatnonzero(told.keeps[rule_no])
    kept_by = _first(row[keeps], rule_no[keeps], table.height)
    kept = kept_by >= 0
    open_to_all = np.flatnonzero(~told.keeps[rule_no] & ~kept[row])
    hits = _Hits(row[open_to_all], rule_no[open_to_all])
    cut = _first(*hits.of((told.reach == "line") & (told.where == "anywhere")), table.height)
    _with_blocks(table, page, hits, cut, kept, ruleset)
    known = -1
    while known < (
        known := int((cut >= 0).sum())
    ):  # a tail that goes can bring a line to the end: rarely a second round
        _with_placed(table, page, hits, cut, ruleset)
        _with_ends(page, hits, cut, kept, ruleset)
    gone = np.flatnonzero(cut >= 0)
    whole = table[gone].select(
        "doc", "line", "start", "end", pl.Series("rule_no", cut[gone], pl.UInt32), unit=pl.lit("line")
    )
    spans = _spans(table, np.flatnonzero(cut < 0), ruleset)
    marks = pl.concat([whole, spans], rechunk=True)
    place = marks["doc"].to_numpy().astype(np.int64) << 32 | marks["start"].to_numpy()
    marks = marks[np.argsort(place, kind="stable")]  # of two parts, each in order
    about = ruleset.table.select("rule", "reason")[marks["rule_no"].to_numpy()]
    marks = (
        pl.concat([marks, about], how="horizontal")
        .with_columns(score=pl.lit(1.0))
        .select(pl.col(name).cast(kind) for name, kind in MARKS.items())
    )
    names = ruleset.table.select("rule_no", "rule")
    shielded = table[np.flatnonzero(kept)].select("doc", "line", pl.Series("rule_no", kept_by[kept], pl.UInt32))
    return marks, shielded.join(names, on="rule_no").sort("doc", "line").select("doc", "line", "rule")


def apply_code_rules(lines: pl.DataFrame) -> pl.DataFrame:
    """What CODE_RULES cut from `lines`, as MARKS in the order of the text; the first rule to name a line counts."""
    marks = pl.concat([rule(lines) for rule in CODE_RULES])
    return marks.unique(["doc", "line", "start"], keep="first", maintain_order=True).sort("doc", "line", "start")


def check_examples(ruleset: RuleSet) -> list[str]:
    """A sentence for every example that fails: a line that its rule leaves, or a line to keep that a rule cuts."""
    return [*_missed(ruleset), *_overreached(ruleset), *_misprotected(ruleset)]


def labelled_report(lines: pl.DataFrame, ruleset: RuleSet) -> pl.DataFrame:
    """How each rule does on `lines` with a column `label` (m main text, b or d boilerplate, anything else neutral).

    Columns: family, rule, lines (whole lines cut), wrong (those of the main text), precision (null without a hit on
    either label), spans (parts of lines cut), chars; a row for every rule, most lines first.
    """
    marks = apply_rules(lines, ruleset).join(lines.select("doc", "line", "label"), on=["doc", "line"])
    whole = pl.col("unit") == "line"
    right = (whole & pl.col("label").is_in(["b", "d"])).sum()
    wrong = (whole & (pl.col("label") == "m")).sum()
    counts = marks.group_by("rule").agg(
        lines=whole.sum(),
        wrong=wrong,
        precision=pl.when(right + wrong > 0).then(right / (right + wrong)),
        spans=(~whole).sum(),
        chars=(pl.col("end") - pl.col("start")).sum(),
    )
    return (
        ruleset.table.select("family", "rule")
        .join(counts, on="rule", how="left")
        .with_columns(pl.col("lines", "wrong", "spans", "chars").fill_null(0))
        .sort(["lines", "spans", "family", "rule"], descending=[True, True, False, False])
    )


# ---- running


def _measured(lines: pl.DataFrame) -> pl.DataFrame:
    """`lines` with row, chars and prose: the columns that are cheap to have."""
    place = lines["doc"].to_numpy().astype(np.int64) << 32 | lines["line"].to_numpy()
    if (place[1:] < place[:-1]).any():
        lines = lines.sort("doc", "line")
    chars = lines["end"].to_numpy().astype(np.int64) - lines["start"].to_numpy()
    cjk = (chars >= PROSE_CHARS_CJK) & (edges(lines["text"]).size * np.int64(2) > chars * 5)
    return (
        lines.select("doc", "line", "start", "end", "text")
        .with_columns(chars=pl.Series(chars), prose=pl.Series((chars >= PROSE_CHARS) | cjk))
        .with_row_index("row")
    )


@dataclass(frozen=True, slots=True)
class _Page:
    """What rules ask of where a line stands. One entry a line: first, last: rows of its document's first and last line."""

    first: Ints
    last: Ints
    chars: Ints
    prose: Flags

    @classmethod
    def of(cls, table: pl.DataFrame) -> _Page:
        """Of the lines of whole documents, in order."""
        doc = table["doc"].to_numpy()
        starts = np.flatnonzero(np.r_[True, doc[1:] != doc[:-1]]) if len(doc) else np.zeros(0, np.intp)
        lengths = np.diff(np.r_[starts, len(doc)])
        first = np.repeat(starts, lengths)
        return cls(first, first + np.repeat(lengths, lengths) - 1, table["chars"].to_numpy(), table["prose"].to_numpy())

    def above(self, values: Ints) -> Ints:
        """For each line the sum of `values` from its document's first line down to it."""
        sums = np.cumsum(values)
        return sums - (sums - values)[self.first]

    def longest_below(self, values: Ints) -> Ints:
        """For each line the largest of `values` further down in its document, 0 for the last line."""
        beyond = int(values.max(initial=0)) + 1
        of_doc = (len(self.first) - self.first) * beyond  # more than any value of a later document
        most = np.maximum.accumulate((values + of_doc)[::-1])[::-1] - of_doc
        below = np.zeros_like(values)
        below[:-1] = np.where(self.first[1:] == self.first[:-1], most[1:], 0)
        return below


@dataclass(frozen=True, slots=True)
class _Hits:
    """Rules that name lines and may cut them: row of the line, number of the rule. A line may have several."""

    row: Ints
    rule_no: Ints

    def of(self, wanted: Flags) -> tuple[Ints, Ints]:
        """Rows and rules of the hits of the rules that are `wanted`, one flag a rule."""
        some = wanted[self.rule_no]
        return self.row[some], self.rule_no[some]


@cache
def _kinds() -> npt.NDArray[np.uint8]:
    """Of each code point the bits of rules.c."""
    bits = np.zeros(kernels.CODE_POINTS, np.uint8)
    for bit, pattern in enumerate(CHARACTERS):
        bits |= (kernels.character_table(pattern) > 0).astype(np.uint8) << bit
    for bit, chars in enumerate((_BARE_ENDS, _BARE_TAIL), len(CHARACTERS)):
        bits[list(map(ord, chars))] |= 1 << bit
    return bits


@cache
def _plain_table() -> npt.NDArray[np.uint32]:
    """What `_plain` makes of each code point."""
    table = np.arange(kernels.CODE_POINTS, dtype=np.uint32)
    table[list(map(ord, _FOLD))] = list(map(ord, _FOLD.values()))
    table[list(map(ord, _INVISIBLE))] = native.GONE
    return table


def _line_hits(table: pl.DataFrame, ruleset: RuleSet) -> tuple[Ints, Ints]:
    """Which rules name which lines: rows, and the number of a rule for each. A line may have several, one of a pass."""
    tables = ruleset.tables
    if tables is None:
        return _by_patterns(table, ruleset)
    found = native.named_lines(table["text"], _short_enough(table, ruleset), tables)
    row, rule_no = _phrased(table["text"], found["phrased"], ruleset)
    fits = found["size"] <= ruleset.told.max_chars[found["rule"]]
    row, rule_no = np.concatenate([row, found["row"][fits]]), np.concatenate([rule_no, found["rule"][fits]])
    if tables.left:
        more = _by_patterns(table, ruleset, tables.left)
        row, rule_no = np.concatenate([row, more[0]]), np.concatenate([rule_no, more[1]])
    one_each = _one_each(row << 32 | rule_no)
    return one_each >> 32, one_each & 0xFFFFFFFF


def _one_each(values: Ints) -> Ints:
    """What `np.unique` gives, of some ten thousand values in a tenth of the time: it hashes them before it sorts."""
    values = np.sort(values)
    different: Ints = values[np.append(True, values[1:] != values[:-1])[: len(values)]]
    return different


def _phrased(texts: pl.Series, rows: Ints, ruleset: RuleSet) -> tuple[Ints, Ints]:
    """Which rules' phrases the lines at `rows` are: rows, and the number of a rule for each.

    They are few and mostly the same ones, so what was found is kept.
    """
    known = ruleset.known_phrases
    given = texts.gather(rows).to_list()
    if new := sorted(set(given) - known.keys()):
        if len(known) > _MOST_KNOWN:
            known.clear()
            new = sorted(set(given))
        known.update(dict.fromkeys(new, ()))
        asked = pl.DataFrame({"text": new}).with_row_index("row").with_columns(chars=pl.col("text").str.len_chars())
        found = _keys(asked, ruleset).select("row", "size", "bare").join(ruleset.phrases, on="bare")
        for row, size, rule_no in found.select("row", "size", "rule_no").iter_rows():
            if size <= ruleset.told.max_chars[rule_no]:
                known[new[row]] += (rule_no,)
    named = [known[text] for text in given]
    return np.repeat(rows, list(map(len, named))), np.array(list(chain.from_iterable(named)), np.int64)


_MOST_KNOWN: Final = 20_000


def _by_patterns(table: pl.DataFrame, ruleset: RuleSet, wanted: Iterable[int] | None = None) -> tuple[Ints, Ints]:
    """The same by the patterns of all passes, or of those `wanted`, one alternation each."""
    some = table[_short_enough(table, ruleset)].select("row", "text", "chars", like=pl.col("row").first().over("text"))
    keys = _keys(some.filter(pl.col("row") == pl.col("like")), ruleset)
    asked = _asked(keys, ruleset)
    phrases = keys.filter(pl.col("bare").is_not_null()).select("row", "size", "bare").join(ruleset.phrases, on="bare")
    passes = range(len(ruleset.passes)) if wanted is None else wanted
    matched = _in_threads(lambda number, one: _pass_hits(keys, asked[number], one), ruleset.passes, passes)
    found = [phrases.select("row", "size", "rule_no"), *(hits for hits in matched if hits is not None)]
    like, size, rule_no = (
        pl.concat([hits[name] for hits in found]).to_numpy().astype(np.int64) for name in found[0].columns
    )
    fits = size <= ruleset.told.max_chars[rule_no]
    one_each = _one_each(like[fits] << 32 | rule_no[fits])
    like, rule_no = one_each >> 32, one_each & 0xFFFFFFFF
    # From the first line of a text to all of the same text.
    order = np.argsort(some["like"].to_numpy(), kind="stable")
    likes, rows = some["like"].to_numpy()[order], some["row"].to_numpy()[order].astype(np.int64)
    low, high = np.searchsorted(likes, like, "left"), np.searchsorted(likes, like, "right")
    times = high - low
    place = np.repeat(low - np.cumsum(times) + times, times) + np.arange(times.sum())
    return rows[place], np.repeat(rule_no, times)


def _short_enough(table: pl.DataFrame, ruleset: RuleSet) -> Ints:
    """The rows of the lines that are short enough for a rule."""
    spare = 20  # ornaments and indents are dropped before the key is measured
    chars = table["chars"].to_numpy()
    some = np.flatnonzero(chars <= LONG_CHARS + spare)
    if not ruleset.needs:
        return some
    long = np.flatnonzero((chars > LONG_CHARS + spare) & (chars <= LENGTHS[-1] + spare))
    if native.available():
        long = long[native.literal_bits(table["text"], ruleset.need_table, rows=long, chars=NEEDS_CHARS) != 0]
    needed = (
        table["text"]
        .gather(long)
        .str.head(NEEDS_CHARS)
        .str.contains_any(list(ruleset.needs), ascii_case_insensitive=True)
    )
    return np.concatenate([some, long[needed.to_numpy()]])


def _keys(texts: pl.DataFrame, ruleset: RuleSet) -> pl.DataFrame:
    """`texts` (row, text, chars; distinct) with key (what patterns see), its size, and bare (what phrases see)."""
    keys = texts.with_columns(
        key=pl.col("text"),
        ascii=pl.col("text").str.len_bytes() == pl.col("chars"),
        framed=pl.col("text").str.contains(r"^[^\p{L}\p{N}]") | pl.col("text").str.contains(r"[^\p{L}\p{N}.]$"),
    ).drop("text")
    keys = _where(keys, ~pl.col("ascii"), key=_plain(pl.col("key")))
    keys = _where(keys, pl.col("key").str.contains("  ", literal=True), key=pl.col("key").str.replace_all("  +", " "))
    keys = _where(
        keys, pl.col("framed"), key=pl.col("key").str.strip_chars().str.replace(_LEADING, "").str.replace(_TRAILING, "")
    )
    keys = keys.with_columns(
        size=pl.col("key").str.len_chars(), bare=pl.lit(None, dtype=pl.String), other=pl.lit(False)
    )
    keys = _where(keys, ~pl.col("ascii"), other=pl.col("key").str.contains(OTHER_SCRIPTS))
    return _where(keys, pl.col("size") <= ruleset.phrase_chars, bare=_bare(pl.col("key"))).rechunk()


def _where(table: pl.DataFrame, condition: pl.Expr, **columns: pl.Expr) -> pl.DataFrame:
    """`table` with `columns` reckoned for the rows that meet `condition` alone; those rows come last."""
    met = table.select(condition.alias("met"))["met"]
    return pl.concat([table.filter(~met), table.filter(met).with_columns(**columns)])


def _asked(keys: pl.DataFrame, ruleset: RuleSet) -> list[Ints]:
    """For each pass the rows of `keys` that it can match, by their length, script, beginning, and what they hold.

    What they hold is only looked at where the kernels are; without them more lines meet the patterns.
    """
    passes = ruleset.passes[:PASS_BITS]
    size, other = keys["size"].to_numpy(), keys["other"].to_numpy()
    bits = np.full(keys.height, _all(not one.at for one in passes), np.int64)
    for chars in {one.max_chars for one in passes}:
        bits[size > chars] &= ~_all(one.max_chars == chars for one in passes)
    bits[~other] &= ~_all(one.other for one in passes)
    by_head = _all(one.heads is not None for one in passes)
    by_literal = _all(one.literals is not None for one in passes)
    if by_head or by_literal:
        bits &= _by_head(keys["key"], ruleset)
    if by_literal and native.available():
        bits &= native.literal_bits(keys["key"], ruleset.literal_table)
    known = by_head | by_literal
    some = np.flatnonzero(bits & known)
    few = bits[some]
    asked = [
        some[few & 1 << bit != 0] if known >> bit & 1 else np.flatnonzero(bits & 1 << bit) for bit in range(len(passes))
    ]
    rest = ruleset.passes[PASS_BITS:]
    return asked + [np.flatnonzero((size <= one.max_chars) & (other | (not one.other)) & (not one.at)) for one in rest]


def _by_head(texts: pl.Series, ruleset: RuleSet) -> Ints:
    """For each text the bits of the passes that it can match by how it begins."""
    if native.available():
        return native.bits_of(texts, ruleset.head_table)
    begins = texts.str.extract(HEAD, 0).fill_null("").to_list()
    return np.array([_passes_of(head, ruleset.by_head) for head in begins], np.int64)


def _passes_of(head: str, by_head: Mapping[str, int]) -> int:
    text = folded(head)
    bits = by_head.get("", 0)
    for size in range(1, len(text) + 1):
        bits |= by_head.get(text[:size], 0)
    return bits


def _all(wanted: Iterable[bool]) -> int:
    """The bits of the passes that are `wanted`."""
    return sum(1 << bit for bit, one in enumerate(wanted) if one)


def _bits(known: Iterable[frozenset[str] | None]) -> dict[str, int]:
    """For each head, or each literal, the bits of the passes that have it; those of which none is known are at ""."""
    bits: dict[str, int] = {}
    for bit, texts in enumerate(known):
        for text in ("",) if texts is None else texts:
            bits[text] = bits.get(text, 0) | 1 << bit
    return bits


def _pass_hits(keys: pl.DataFrame, asked: Ints, one: Pass) -> pl.DataFrame | None:
    """row, size and rule_no of the keys, of those `asked`, that a pass matches, None for none; hits alone meet the groups that tell the rule."""
    if not len(asked):
        return None
    text = keys["key"].gather(asked)
    met = np.flatnonzero(text.str.contains(one.regex).to_numpy())
    if not len(met):
        return None
    hits = pl.DataFrame([keys["row"].gather(asked[met]), keys["size"].gather(asked[met]), text.gather(met)])
    return hits.select_seq("row", "size", rule_no=_which(pl.col("key"), one))  # in this thread, which keeps the pattern


def _which(text: pl.Expr, one: Pass) -> pl.Expr:
    groups = text.str.extract_groups(one.regex)
    return pl.coalesce(
        pl.when(groups.struct.field(f"r{number}").is_not_null()).then(pl.lit(number, dtype=pl.UInt32))
        for number in one.rules
    )


def _first(row: Ints, rule_no: Ints, n_lines: int) -> Ints:
    """For each line the rule that comes first in the rule set of those that name it, -1 for none."""
    first = np.full(n_lines, -1, np.int64)
    order = np.argsort(-rule_no, kind="stable")
    first[row[order]] = rule_no[order]  # of several for one place the last is left
    return first


def _with_blocks(table: pl.DataFrame, page: _Page, hits: _Hits, cut: Ints, kept: Flags, ruleset: RuleSet) -> None:
    """Cut the lines of blocks: from a line that opens one, down to the first line that doesn't belong."""
    rows, numbers = hits.of(ruleset.told.reach == "block")
    row = np.arange(len(cut))
    for number in np.unique(numbers).tolist():
        rule = ruleset.rules[number]
        opens = np.zeros(len(cut), bool)
        opens[rows[numbers == number]] = True
        opened = np.maximum.accumulate(np.where(opens, row, -1))
        inside = (opened >= page.first) & (row - opened <= rule.max_lines)
        belongs = opens | (~kept & ((cut >= 0) | (page.chars <= rule.short_chars)))
        if number in ruleset.members:
            asked = np.flatnonzero(inside & ~belongs & ~kept)
            key = _plain(pl.col("text")).str.strip_chars().str.replace(_LEADING, "").str.replace(_TRAILING, "")
            belongs[asked] = table[asked].select(key.str.contains(ruleset.members[number])).to_series().to_numpy()
        ended = np.maximum.accumulate(np.where(belongs, -1, row))
        cut[inside & (ended < opened) & (cut < 0)] = number


def _with_placed(table: pl.DataFrame, page: _Page, hits: _Hits, cut: Ints, ruleset: RuleSet) -> None:
    """Cut the lines named by rules for one end of a document. A line of prose is never taken by its place."""
    told = ruleset.told
    row, rule_no = hits.of((told.reach == "line") & (told.where != "anywhere"))
    left = cut[row] < 0
    row, rule_no = row[left], rule_no[left]
    if not len(row):
        return
    above = page.above((page.prose & (cut < 0)).astype(np.int64))
    top = above < PROSE_LINES
    bottom = above[page.last] - above < PROSE_LINES
    at_top, at_bottom = np.isin(told.where, ("top", "ends")), np.isin(told.where, ("bottom", "ends"))
    stands = ~page.prose[row] & ((top[row] & at_top[rule_no]) | (bottom[row] & at_bottom[rule_no]))
    _add(cut, _first(row[stands], rule_no[stands], len(cut)))
    loose = (told.where == "between")[rule_no] & (cut[row] < 0)
    _add(cut, _between(table, page, _first(row[loose], rule_no[loose], len(cut)), cut))


def _add(cut: Ints, more: Ints) -> None:
    """Cut the lines of `more` too, each by the rule it names."""
    np.copyto(cut, more, where=more >= 0)


def _between(table: pl.DataFrame, page: _Page, loose: Ints, cut: Ints) -> Ints:
    """The `loose` lines whose run, lines already cut included, has a sentence or the document's edge at both sides.

    So a button's one word goes between paragraphs, and stays as a line of verse or the entry of a list.
    """
    run_line = (loose >= 0) | (cut >= 0)
    row = np.arange(len(cut))
    begins, ends = row == page.first, row == page.last
    new_run, run_ends = begins.copy(), ends.copy()
    new_run[1:] |= run_line[1:] != run_line[:-1]
    run_ends[:-1] |= run_line[1:] != run_line[:-1]
    found = np.flatnonzero(loose >= 0)
    first = np.maximum.accumulate(np.where(new_run, row, 0))[found]
    last = np.minimum.accumulate(np.where(run_ends, row, len(row))[::-1])[::-1][found]
    above, below = first[~begins[first]] - 1, last[~ends[last]] + 1
    asked = np.union1d(above, below)
    sentence = begins.copy()  # whether a line is one; asked of the few around such runs
    sentence[asked] = (
        table[asked]
        .select((pl.col("chars") >= SENTENCE_CHARS) | pl.col("text").str.contains(SENTENCE_END))
        .to_series()
        .to_numpy()
    )
    stands = (begins[first] | sentence[np.maximum(first - 1, 0)]) & (
        ends[last] | sentence[np.minimum(last + 1, len(row) - 1)]
    )
    standing = np.full_like(loose, -1)
    standing[found[stands]] = loose[found[stands]]
    return standing


def _with_ends(page: _Page, hits: _Hits, cut: Ints, kept: Flags, ruleset: RuleSet) -> None:
    """Cut the tails of documents: from the first line whose rule says so, if what follows is no article.

    That line may be cut already, by a rule for the line alone; lines that are cut don't count for how much follows.
    """
    told = ruleset.told
    first = _first(*hits.of(told.reach == "to_end"), len(cut))
    first[first == cut] = -1
    row = np.flatnonzero(first >= 0)
    if not len(row):
        return
    rule_no = first[row]
    chars = np.where(cut < 0, page.chars, 0)
    through = page.above(chars)
    total = through[page.last[row]]
    after = total - through[row]
    before = np.divide(through[row] - chars[row], total, out=np.full(len(row), np.inf), where=total > 0)
    longest = page.longest_below(chars)[row]
    starts = (
        (after <= told.max_after_chars[rule_no])
        & (longest <= told.max_after_line[rule_no])
        & (before >= told.after_share[rule_no])
    )
    _, opening = np.unique(page.first[row[starts]], return_index=True)  # of each document the first
    begun = np.full(len(cut), -1, np.int64)
    begun[row[starts][opening]] = row[starts][opening]
    begun = np.maximum.accumulate(begun)
    tail = (begun >= page.first) & ~kept & (cut < 0)
    cut[tail] = first[begun[tail]]


def _spans(table: pl.DataFrame, rows: Ints, ruleset: RuleSet) -> pl.DataFrame:
    """The parts of the lines at `rows` that `match` rules cut: doc, line, start, end, rule_no, unit; one at each end of a line."""
    passes, wanted = ruleset.passes, [number for number, one in enumerate(ruleset.passes) if one.at]
    begun, ended = rows, None
    if (tables := ruleset.tables) is not None:
        starts, ended = native.line_ends(table["text"], rows, tables, ruleset.tail_table, most=SPAN_CHARS)
        begun = rows[starts]

    def asked(bit: int, one: Pass) -> Ints:
        if one.at == "start":
            return begun
        return rows if ended is None or one.literals is None else rows[ended >> bit & 1 != 0]

    found = _in_threads(lambda bit, one: _pass_spans(one, table, asked(bit, one)), passes, wanted)
    if not found:
        return table.select(
            "doc", "line", "start", "end", pl.lit(0, dtype=pl.UInt32).alias("rule_no"), unit=pl.lit("span")
        ).clear()
    spans = pl.concat(found).sort("doc", "line", "start", "rule_no")
    # Two cuts that overlap (the line is a credit from end to end): the first one counts.
    return spans.filter((pl.col("start") >= pl.col("end").shift(1).over("doc", "line")).fill_null(True))


def _pass_spans(one: Pass, table: pl.DataFrame, rows: Ints) -> pl.DataFrame:
    """What a pass for parts of lines gives to `_spans`, of the lines at `rows`."""
    bare = table["text"].gather(rows).str.strip_chars()
    window = bare.str.head(one.max_chars) if one.at == "start" else bare.str.tail(one.max_chars)
    met = np.flatnonzero(window.str.contains(one.regex).to_numpy())
    hits = pl.DataFrame([window.gather(met).alias("window")]).select_seq(
        size=pl.col("window").str.extract(one.regex, 0).str.len_chars(), rule_no=_which(pl.col("window"), one)
    )
    lines = table.select("doc", "line", "start", "text")[rows[met]]
    found = []  # a Python loop: only the lines that match
    for (doc, line, start, text), inner, (size, rule_no) in zip(
        lines.iter_rows(), bare.gather(met), hits.iter_rows(), strict=True
    ):
        lead = text.index(inner)
        whole = size == len(inner)
        low = start if one.at == "start" or whole else start + lead + len(inner) - size
        high = start + len(text) if one.at == "end" or whole else start + lead + size
        found.append((doc, line, low, high, rule_no, "line" if whole else "span"))
    kinds = {name: table.schema[name] for name in ("doc", "line")}
    schema = pl.Schema({**kinds, **dict.fromkeys(("start", "end", "rule_no"), pl.UInt32()), "unit": pl.String()})
    return pl.DataFrame(found, schema=schema, orient="row")


def _plain(text: pl.Expr) -> pl.Expr:
    """Text with odd spaces, quotes, dashes and some letters folded, and invisible characters gone."""
    return text.str.replace_many([*_FOLD, *_INVISIBLE], [*_FOLD.values(), *("" for _ in _INVISIBLE)])


def _bare(key: pl.Expr) -> pl.Expr:
    """A key in lower case without what may stand around a button's words; a full stop goes only after two words."""
    words = key.str.strip_chars(_BARE_ENDS).str.to_lowercase()
    return pl.when(words.str.contains(" ", literal=True)).then(words.str.strip_chars_end(_BARE_TAIL)).otherwise(words)


# ---- compiling


def _passes(rules: tuple[Rule, ...], *, read: bool) -> Iterator[Pass]:
    """Passes of rules alike in where they match, script and length (but for other scripts, whose lines are few).

    Within a pass the first rule that matches names the line, so rules that ask least of the place come first. A kind
    with much pattern takes several passes; a rule may be in two.
    """
    kinds: dict[_Kind, list[tuple[int, str]]] = {}
    for number, rule in sorted(enumerate(rules), key=lambda entry: (_rank(entry[1]), entry[0])):
        at = rule.at if rule.reach == "match" else ""
        for language, pattern in rule.patterns:
            other = not at and language in OTHER_LANGUAGES
            # The engine's fast path gives up on a Unicode word boundary; other scripts have no ASCII words to bound.
            plain = pattern.replace(r"\b", "" if language in OTHER_LANGUAGES else r"(?-u:\b)")
            kind = (
                at,
                other,
                _known(plain, at, read=read),
                SPAN_CHARS if at else LENGTHS[-1] if other else rule.max_chars,
            )
            kinds.setdefault(kind, []).append((number, plain))
    for kind, entries in sorted(kinds.items()):
        for part in _parts(entries):
            yield from _pass(kind, part, read=read)


_Kind = tuple[str, bool, int, int]
"""at, other, what is known of a match (see _known), max_chars."""
_LITERALS: Final = 1
_HEADS: Final = 2


def _known(pattern: str, at: str, *, read: bool) -> int:
    """What is known of a pattern's matches: how they begin, or else what they hold, or neither.

    Without having read it: a pattern that may begin with anything reads every line to its end, and is kept from the others.
    """
    if not read:
        return 0 if not at and _floats(pattern) else _HEADS
    if not at and _heads(pattern) != ANYTHING:
        return _HEADS
    return 0 if _literals(pattern, at) is None else _LITERALS


def _heads(pattern: str) -> frozenset[str]:
    return known_heads(pattern.translate(_AS_WRITTEN))


@lru_cache(maxsize=1 << 12)
def _literals(pattern: str, at: str) -> frozenset[str] | None:
    """Literals of which a line holds one where `pattern` matches, and with which it ends where it matches at the end.

    At the start of a line a pattern finds out for itself, as fast.
    """
    if not at:
        return literals_of(f"^(?:{pattern.translate(_AS_WRITTEN)})$")
    return tails_of(pattern) if at == "end" else None


def pack_tables(ruleset: RuleSet) -> bytes:
    """What the package keeps of its own rules for the kernels (see programs.py)."""
    patterns = (text.translate(_AS_WRITTEN) for one in _read_passes(ruleset.rules) for _, text in one.patterns)
    sets = {chars for program in map(programs.program_of, patterns) if program is not None for chars in program.sets}
    asked = programs.told_by_engine(sets)
    return programs.pack(ruleset.name, _tables(ruleset, asked), asked)


def pack_heads(ruleset: RuleSet) -> bytes:
    """What the package keeps of its own rules (see heads.py)."""
    patterns = (pattern for rule in ruleset.rules if rule.reach != "match" for _, pattern in rule.patterns)
    found = {text: known_heads(text) for text in (pattern.translate(_AS_WRITTEN) for pattern in patterns)}
    return heads.pack(found)


def pack_passes(ruleset: RuleSet) -> bytes:
    """The passes of the product's own rules, for `packed_passes`."""
    return packed.pack({"of": ruleset.name, "passes": _packed(ruleset)})


def _rank(rule: Rule) -> int:
    return (
        (rule.action == "remove") * 8
        + (rule.reach != "block") * 4
        + (rule.reach == "to_end") * 2
        + (rule.where != "anywhere")
    )


def _floats(pattern: str) -> bool:
    """Whether a pattern may begin with anything: such a one reads every line to its end, and is kept from the others."""
    return pattern.lstrip("(?:").startswith((".", "[^"))


def _pass(kind: _Kind, part: list[tuple[int, str]], *, read: bool) -> Iterator[Pass]:
    """The pass for `part`, or two for its halves when the engine finds it too large."""
    by_rule = {number: [pattern for other, pattern in part if other == number] for number, _ in part}
    at, other, known, max_chars = kind
    branches = "|".join(f"(?P<r{number}>{_unit(patterns, folded=not at)})" for number, patterns in by_rule.items())
    regex = {"": _whole_line(branches), "start": rf"(?i)^(?:{branches})\s*", "end": rf"(?i)\s*(?:{branches})$"}[at]
    if len(part) > 1 and _refusal(regex):
        yield from _pass(kind, part[: len(part) // 2], read=read)
        yield from _pass(kind, part[len(part) // 2 :], read=read)
    else:
        patterns = [pattern for _, pattern in part]
        begun = frozenset().union(*map(_heads, patterns)) if read and known == _HEADS else None
        held = (
            frozenset().union(*(_literals(pattern, at) or () for pattern in patterns))
            if read and known == _LITERALS
            else None
        )
        yield Pass(at, other, max_chars, regex, tuple(by_rule), heads=begun, literals=held, patterns=tuple(part))


def _parts(entries: list[tuple[int, str]]) -> Iterator[list[tuple[int, str]]]:
    """`entries` in runs of about PASS_CHARS of pattern."""
    part: list[tuple[int, str]] = []
    size = 0
    for number, pattern in entries:
        if part and size + len(pattern) > PASS_CHARS:
            yield part
            part, size = [], 0
        part.append((number, pattern))
        size += len(pattern)
    if part:
        yield part


def _unit(patterns: Iterable[str], *, folded: bool = True) -> str:
    return "|".join(f"(?:{pattern.translate(_AS_WRITTEN) if folded else pattern})" for pattern in patterns)


def _whole_line(branches: str) -> str:
    return f"(?i)^(?:{branches})$"


def _refusal(regex: str) -> str:
    """Why the Rust engine refuses `regex`, in one line; "" when it doesn't."""
    try:
        pl.Series([""]).str.contains(regex, literal=False)
    except pl.exceptions.ComputeError as error:
        return " ".join(str(error).split())
    return ""


def _regex_faults(family: Family) -> Iterator[str]:
    for rule in family.rules:
        patterns = [*(pattern for _, pattern in rule.patterns), *rule.members]
        if patterns and _refusal(_whole_line(_unit(patterns))):
            for pattern in patterns:
                if why := _refusal(_whole_line(_unit([pattern]))):
                    yield f"{family.file}: rule {rule.id}: match is {pattern!r}; expected a pattern that Rust's regex engine takes ({why[-200:]})"


# ---- examples


def _missed(ruleset: RuleSet) -> Iterator[str]:
    examples = [(rule, example) for rule in ruleset.rules for example in rule.removes if rule.action == "remove"]
    marks = _marks_by_text([_setting(rule, example.text) for rule, example in examples], ruleset)
    unproved = [
        (rule, example)
        for (rule, example), found in zip(examples, marks, strict=True)
        if not _proves(rule, example, found)
    ]
    for rule in {rule.id: rule for rule, _ in unproved}.values():
        family = Family(name=rule.family, file=rule.family, about="", languages=(), rules=(rule,))
        alone = [example for other, example in unproved if other.id == rule.id]
        for example, found in zip(
            alone,
            _marks_by_text([_setting(rule, example.text) for example in alone], compile_rules([family])),
            strict=True,
        ):
            if _proves(rule, example, found):
                continue
            shown = example.cut or example.text
            yield f"{rule.family}.yaml: rule {rule.id}: removes has {shown!r}; expected a text that the rule cuts, it leaves this one"


def _proves(rule: Rule, example: Example, found: Sequence[tuple[str, str, str]]) -> bool:
    """Whether the cuts `found` show `rule` at work on its example; other rules may take part in a block or a tail."""
    cuts = [cut.strip() for cut, _, name in found if name == rule.id]
    if example.cut:
        return cuts == [example.cut.strip()]
    wanted = [line.strip() for line in example.text.split("\n") if line.strip()]
    every = {cut.strip() for cut, unit, _ in found if unit == "line"}
    phrase = any(phrase == example.text for _, phrase in rule.phrases)  # matches itself, another rule may be named
    return bool(cuts or phrase) and all(line in every for line in wanted)


def _overreached(ruleset: RuleSet) -> Iterator[str]:
    settings = ((), ()), ((), _PROSE), (_PROSE, _PROSE), (_PROSE, ())
    keeps = [(rule, keep, setting) for rule in ruleset.rules for keep in rule.keeps for setting in settings]
    marks = _marks_by_text([(before, keep, after) for _, keep, (before, after) in keeps], ruleset)
    seen = set()
    for (rule, keep, _), found in zip(keeps, marks, strict=True):
        for _, _, name in found:
            if (keep, name) not in seen:
                seen.add((keep, name))
                yield f"{rule.family}.yaml: rule {rule.id}: keeps has {keep!r}; expected a text that no rule touches, rule {name} does"


def _misprotected(ruleset: RuleSet) -> Iterator[str]:
    cases = [
        (rule, text, True)
        for rule in ruleset.rules
        if rule.action == "keep"
        for text in (example.text for example in rule.removes)
    ]
    cases += [(rule, text, False) for rule in ruleset.rules for text in rule.leaves]
    kept = apply_keeps(split_lines(pl.Series([text for _, text, _ in cases], dtype=pl.String)), ruleset)
    protected = {(doc, rule) for doc, rule in kept.select("doc", "rule").iter_rows()}
    for doc, (rule, text, wanted) in enumerate(cases):
        if ((doc, rule.id) in protected) != wanted:
            key, expected = (
                ("protects", "a line that the rule protects")
                if wanted
                else ("leaves", "a line that the rule doesn't protect")
            )
            yield f"{rule.family}.yaml: rule {rule.id}: {key} has {text!r}; expected {expected}"


def _setting(rule: Rule, text: str) -> tuple[Sequence[str], str, Sequence[str]]:
    """Prose around an example where its rule looks at the place."""
    before = _PROSE if rule.where == "bottom" or rule.reach == "to_end" else ()
    after = _PROSE if rule.where in ("top", "ends") else ()
    return before, text, after


def _marks_by_text(
    settings: Sequence[tuple[Sequence[str], str, Sequence[str]]], ruleset: RuleSet
) -> list[list[tuple[str, str, str]]]:
    """For each text between its prose: what was cut from it, as (text cut, unit, rule)."""
    documents = ["\n".join([*before, text, *after]) for before, text, after in settings]
    found: list[list[tuple[str, str, str]]] = [[] for _ in documents]
    marks = apply_rules(split_lines(pl.Series(documents, dtype=pl.String)), ruleset)
    for doc, start, end, unit, rule in marks.select("doc", "start", "end", "unit", "rule").iter_rows():
        found[doc].append((documents[doc][start:end], unit, rule))
    return found


_PROSE: Final = (
    "The harbour board met for six hours and put off its decision, because two of the members wanted to see the survey of the sea wall first.",
    "Nobody in the hall seemed surprised, and the fishermen who had come to listen went back to their boats before the tide turned again.",
    "The survey is to be ready in the spring, the engineer told them, unless the winter storms are as hard as they were four years ago.",
)


# ---- reading


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads one family's YAML and notes every fault. file: the name in faults."""

    file: str
    faults: list[str]

    def family(self, text: str) -> Family:
        name = PurePath(self.file).stem
        empty = Family(name=name, file=self.file, about="", languages=(), rules=())
        try:
            raw = load_yaml(text)
        except ValueError as error:
            self.faults.append(f"{self.file}: the file is no YAML ({error}); expected a family")
            return empty
        if not isinstance(raw, dict):
            self.fault("", "the file", raw, "a mapping with about, languages and rules")
            return empty
        self.unknown("", raw, FAMILY_KEYS)
        languages = self.strings("", "languages", raw.get("languages"))
        for language in languages:
            if not (language.isascii() and language.isalpha() and language.islower() and len(language) in (2, 3)):
                self.fault("", "languages", language, "ISO 639 codes in lower case, such as en")
        entries = raw.get("rules")
        if not isinstance(entries, list) or not entries:
            self.fault("", "rules", entries, "a list of rules")
            return empty
        words = self.words(raw.get("words"))
        rules = tuple(
            self.rule(f"rules[{number}]", entry, name, languages, words) for number, entry in enumerate(entries)
        )
        ids = [rule.id for rule in rules]
        for double in sorted({one for one in ids if one and ids.count(one) > 1}):
            self.fault(f"rule {double}", "id", double, "an id of its own, another rule of this file has it")
        shown = {example.language for rule in rules for example in rule.removes}
        for language in languages:
            if language not in shown:
                self.fault("", "languages", language, "an example under removes in every language the family claims")
        return Family(
            name=name,
            file=self.file,
            about=self.string("", "about", raw.get("about")),
            languages=languages,
            rules=rules,
        )

    def words(self, value: object) -> dict[str, str]:
        """Pieces of pattern by name: {{name}} in a pattern, or in a later piece, stands for the piece."""
        if value is None:
            return {}
        if isinstance(value, dict) and all(isinstance(part, str) and part for pair in value.items() for part in pair):
            found: dict[str, str] = {}
            for name, piece in value.items():
                found[f"{{{{{name}}}}}"] = f"(?:{_filled(piece, found)})"
            return found
        self.fault("", "words", value, "pieces of pattern by name")
        return {}

    def rule(
        self, place: str, entry: object, family: str, languages: tuple[str, ...], words: Mapping[str, str]
    ) -> Rule:
        if not isinstance(entry, dict):
            self.fault("", place, entry, "a mapping with id, match or phrases, reach, why, removes, keeps")
            return Rule(id="", family=family, why="")
        raw: dict[object, object] = entry
        rule_id = self.string(place, "id", raw.get("id"))
        if rule_id and not (rule_id.replace("-", "").isalnum() and rule_id.isascii() and rule_id == rule_id.lower()):
            self.fault(place, "id", rule_id, "lower-case words joined by hyphens, such as share-button")
        place = f"rule {rule_id}" if rule_id else place
        self.unknown(place, raw, RULE_KEYS)
        reach = self.choice(place, "reach", raw.get("reach", "line"), REACHES)
        action = self.choice(place, "action", raw.get("action", "remove"), ACTIONS)
        where = self.choice(place, "where", raw.get("where", "anywhere"), PLACES)
        patterns = self.patterns(place, "match", raw.get("match"), languages, words)
        phrases = self.by_language(place, "phrases", raw.get("phrases"), languages)
        members = tuple(pattern for _, pattern in self.patterns(place, "members", raw.get("members"), languages, words))
        proof = "removes" if action == "remove" else "protects"
        examples = self.examples(place, proof, raw.get(proof), languages) if proof in raw or not phrases else ()
        rule = Rule(
            id=rule_id,
            family=family,
            why=self.string(place, "why", raw.get("why")),
            reach=reach,
            action=action,
            where=where,
            at=self.choice(place, "at", raw.get("at", "start"), ("start", "end")),
            max_chars=self.length(place, raw.get("max_chars", MAX_CHARS)),
            patterns=patterns,
            phrases=phrases,
            members=members,
            needs=self.strings(place, "needs", raw.get("needs")) if "needs" in raw else (),
            max_lines=int(self.number(place, "max_lines", raw.get("max_lines", 40), 1, 1000)),
            short_chars=int(self.number(place, "short_chars", raw.get("short_chars", 0), 0, PROSE_CHARS - 1)),
            max_after_chars=int(self.number(place, "max_after_chars", raw.get("max_after_chars", 3000), 0, 1_000_000)),
            max_after_line=int(self.number(place, "max_after_line", raw.get("max_after_line", 300), 0, 1_000_000)),
            after_share=self.number(place, "after_share", raw.get("after_share", 0.5), 0, 1),
            removes=(*examples, *(Example(text=phrase, language=language) for language, phrase in phrases)),
            keeps=self.strings(place, "keeps", raw.get("keeps")) if action == "remove" else (),
            leaves=self.strings(place, "leaves", raw.get("leaves")) if action == "keep" else (),
        )
        self.together(place, rule, raw)
        return rule

    def together(self, place: str, rule: Rule, raw: Mapping[object, object]) -> None:
        """Notes keys that make no sense beside one another."""
        if not rule.patterns and not rule.phrases:
            self.fault(place, "match", None, "a pattern under match, or lines under phrases")
        shown = {example.language for example in rule.removes}
        for language in sorted({language for language, _ in (*rule.patterns, *rule.phrases)} - shown):
            self.fault(
                place,
                "removes",
                sorted(shown),
                f"an example in {language} too, for which the rule has patterns or phrases",
            )
        if (rule.max_chars > LONG_CHARS and rule.reach != "match") != bool(rule.needs):
            self.fault(
                place,
                "needs",
                list(rule.needs) or None,
                f"words that the longest lines must hold, with max_chars above {LONG_CHARS} and only there",
            )
        for key, reaches in _ONLY_FOR.items():
            if key in raw and rule.reach not in reaches:
                self.fault(place, key, raw[key], f"{key} with reach {' or '.join(reaches)} only, reach is {rule.reach}")
        for key, action in (("removes", "remove"), ("keeps", "remove"), ("protects", "keep"), ("leaves", "keep")):
            if key in raw and rule.action != action:
                self.fault(place, key, raw[key], f"{key} with action {action} only")
        if rule.where != "anywhere" and rule.reach != "line":
            self.fault(place, "where", rule.where, "anywhere, unless reach is line")
        if rule.action == "keep" and rule.reach != "line":
            self.fault(place, "reach", rule.reach, "line with action keep")
        if rule.reach == "match" and rule.phrases:
            self.fault(
                place,
                "phrases",
                [phrase for _, phrase in rule.phrases],
                "match with reach match; phrases are whole lines",
            )
        for example in rule.removes:
            if (rule.reach == "match") != bool(example.cut):
                self.fault(
                    place,
                    "removes",
                    example.text,
                    "examples with line and cut for reach match, plain lines for other reaches",
                )
        for _, pattern in rule.patterns:
            if "(?P<" in pattern or "(?<" in pattern:
                self.fault(place, "match", pattern, "groups without names")

    def examples(self, place: str, key: str, value: object, languages: tuple[str, ...]) -> tuple[Example, ...]:
        found = []
        given = value if isinstance(value, dict) else {_ONE_LANGUAGE: value}
        for language, texts in given.items():
            if language not in languages:
                self.fault(place, key, language, f"a language that the family claims ({', '.join(languages)})")
            if not isinstance(texts, list) or not texts:
                self.fault(place, f"{key}.{language}", texts, "a list of examples")
                continue
            for text in texts:
                if (
                    isinstance(text, dict)
                    and set(text) == {"line", "cut"}
                    and all(isinstance(part, str) and part for part in text.values())
                ):
                    if text["cut"] not in text["line"]:
                        self.fault(place, f"{key}.{language}", text["cut"], "a cut that is part of its line")
                    found.append(Example(text=text["line"], language=str(language), cut=text["cut"]))
                elif isinstance(text, str) and text.strip():
                    found.append(Example(text=text, language=str(language)))
                else:
                    self.fault(place, f"{key}.{language}", text, "a text, or line and cut")
        return tuple(found)

    def by_language(
        self, place: str, key: str, value: object, languages: tuple[str, ...]
    ) -> tuple[tuple[str, str], ...]:
        """(language, text) of a value that is a text, a list of texts, or either of them by language."""
        found = []
        given = value if isinstance(value, dict) else {_ONE_LANGUAGE: value} if value is not None else {}
        for language, texts in given.items():
            if language not in languages:
                self.fault(place, key, language, f"a language that the family claims ({', '.join(languages)})")
            for text in texts if isinstance(texts, list) and texts else [texts]:
                if isinstance(text, str) and text.strip():
                    found.append((str(language), text))
                else:
                    self.fault(
                        place, f"{key}.{language}", text, "a text that is not empty; quote yes, no, on, off and numbers"
                    )
        return tuple(found)

    def patterns(
        self, place: str, key: str, value: object, languages: tuple[str, ...], words: Mapping[str, str]
    ) -> tuple[tuple[str, str], ...]:
        found = []
        for language, pattern in self.by_language(place, key, value, languages):
            pattern = _filled(pattern, words)
            if "{{" in pattern:
                self.fault(place, f"{key}.{language}", pattern, f"names from words ({', '.join(words) or 'none'})")
            found.append((language, pattern))
        return tuple(found)

    def strings(self, place: str, key: str, value: object) -> tuple[str, ...]:
        if isinstance(value, list) and value and all(isinstance(text, str) and text.strip() for text in value):
            return tuple(value)
        self.fault(place, key, value, "a list of texts, at least one")
        return ()

    def string(self, place: str, key: str, value: object) -> str:
        if isinstance(value, str) and value.strip():
            return value
        self.fault(place, key, value, "a text that is not empty")
        return ""

    def choice(self, place: str, key: str, value: object, choices: tuple[str, ...]) -> str:
        if isinstance(value, str) and value in choices:
            return value
        self.fault(place, key, value, f"one of {', '.join(choices)}")
        return choices[0]

    def length(self, place: str, value: object) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and value in LENGTHS:
            return value
        self.fault(place, "max_chars", value, f"one of {', '.join(map(str, LENGTHS))}")
        return MAX_CHARS

    def number(self, place: str, key: str, value: object, low: float, high: float) -> float:
        if isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high:
            return value
        self.fault(place, key, value, f"a number from {low} to {high}")
        return low

    def unknown(self, place: str, raw: Mapping[object, object], known: tuple[str, ...]) -> None:
        for key in raw:
            if key not in known:
                self.fault(place, str(key), raw[key], f"no such key; the keys are {', '.join(known)}")

    def fault(self, place: str, key: str, value: object, expected: str) -> None:
        shown = "missing" if value is None else repr(value) if len(repr(value)) <= 120 else repr(value)[:117] + "..."
        self.faults.append(f"{self.file}: {place + ': ' if place else ''}{key} is {shown}; expected {expected}")


def _filled(pattern: str, words: Mapping[str, str]) -> str:
    for name, piece in words.items():
        pattern = pattern.replace(name, piece)
    return pattern


_ONE_LANGUAGE: Final = "en"  # what a value without a language stands for
_ONLY_FOR: Final = {
    "at": ("match",),
    "members": ("block",),
    "max_lines": ("block",),
    "short_chars": ("block",),
    "max_after_chars": ("to_end",),
    "max_after_line": ("to_end",),
    "after_share": ("to_end",),
}
