"""Programs of patterns: the kernel finds in every line what the engine finds there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl import kernels
from etl import settings as told_settings
from etl.boilerplate import native, programs, rules
from etl.boilerplate.lines import split_lines
from etl.boilerplate.patterns import Chars, read_pattern
from etl.boilerplate.rules import Family, Rule, RuleSet, compile_rules
from etl.settings import freeze, parse, read_files, thaw
from tests.boilerplate.test_heads import patterns

pytestmark = pytest.mark.skipif(not native.available(), reason="no C compiler was there when the environment was made")

RULESET = parse(read_files(None), {}, passes=()).rules
TOLD = rules.with_passes(RULESET, rules.packed_passes(RULESET), rules.packed_tables(RULESET))
EXAMPLES = [text for rule in RULESET.rules for text in (*(e.text for e in rule.removes), *rule.keeps, *rule.leaves)]
ODD = "\0 \t\u00a0\u200b\u00ad\u0130\u0131\u017f\u212aΣσςßẞ\u0345🇩🇪👍🏽\U0010ffff\u2028\ufeff–—-•*►|`’_0٣Ⅷǅ한東А"


def own(*entries: Rule) -> RuleSet:
    """A rule set with programs, of rules that aren't the product's."""
    made = compile_rules([Family(name="own", file="own.yaml", about="", languages=("en",), rules=entries)])
    return rules.with_passes(made, rules.packed_passes(made), rules.packed_tables(made))


def rule(name: str, *found: str, **told: Any) -> Rule:
    return replace(Rule(id=name, family="own", why="why", patterns=tuple(("en", one) for one in found)), **told)


def assert_alike(texts: list[str], ruleset: RuleSet) -> None:
    assert ruleset.tables is not None
    lines = split_lines(pl.Series(texts, dtype=pl.String))
    for quick, plain in zip(
        rules.judge_lines(lines, ruleset), rules.judge_lines(lines, replace(ruleset, arrays=None)), strict=True
    ):
        assert quick.equals(plain)


def test_every_example_of_every_rule_is_judged_alike() -> None:
    assert not TOLD.tables or not TOLD.tables.left
    assert_alike(EXAMPLES, TOLD)


def test_real_pages_are_judged_alike() -> None:
    pages = [path.read_text(encoding="utf-8") for path in sorted(Path("tests/pages").rglob("*.txt"))]
    assert pages
    assert_alike(pages, TOLD)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(EXAMPLES),
            st.integers(0, 80),
            st.text(alphabet=ODD + "aA sS.:,!()", max_size=6),
            st.sampled_from([str.upper, str.lower, str.title, str, str.swapcase]),
        ),
        min_size=50,
        max_size=200,
    )
)
@settings(max_examples=40, deadline=None)
def test_examples_with_something_odd_in_them_are_judged_alike(cases: list[tuple[str, int, str, type[str]]]) -> None:
    assert_alike([as_if(text[:at] + odd + text[at:]) for text, at, odd, as_if in cases], TOLD)


@given(st.lists(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=60), min_size=50, max_size=200))
@settings(max_examples=40, deadline=None)
def test_any_lines_are_judged_alike(texts: list[str]) -> None:
    assert_alike(texts, TOLD)


def test_lines_that_repeat_are_judged_alike_in_whatever_block_they_stand() -> None:
    shown = EXAMPLES[::40]
    others = [f"{kind} {number}" for number in range(3000) for kind in ("Comments:", "The vote, number")]
    assert_alike([*shown, *others, *shown[::-1], *others[::50], *shown], TOLD)


@given(
    st.lists(patterns(), min_size=1, max_size=4),
    st.sampled_from(["line", "start", "end"]),
    st.lists(st.text(alphabet="aAbBéÉ1 -sſkK!_", max_size=9), min_size=1, max_size=60),
)
@settings(max_examples=150, deadline=None)
def test_any_pattern_matches_the_same_lines(found: list[str], at: str, texts: list[str]) -> None:
    told = {} if at == "line" else {"reach": "match", "at": at}
    assert_alike(["x".join(texts), *texts], own(*(rule(f"r{n}", f"{one}b", **told) for n, one in enumerate(found))))


@pytest.mark.parametrize(
    ("found", "opened"),
    [
        (["[A-Z]+ ?[-–:]+ "], ["AB - ", "AB: ", "ABé: ", "AB – "]),  # a line of ASCII needs a dash or a colon
        (["[A-Z]+ ?[-–:]+ ", "[A-Z]+, "], ["AB - ", "AB, "]),
        (["[!-~]{3} ", "é"], ["é ", "abc "]),  # too many would do
        (["(?:AB)? ?"], ["AB ", "C"]),  # no character is needed
        (["一+"], ["一 ", "AB - "]),  # no line of ASCII can match
        (["[A-Z]+-"], ["AA-"]),  # at the last place that is looked at
        (["[A-Z]+-", r"\bAB!"], ["A-", "AB!"]),
    ],
)
def test_what_opens_a_line_is_found_wherever_what_it_needs_stands(found: list[str], opened: list[str]) -> None:
    long = "A" * (rules.SPAN_CHARS - 3)
    texts = [f"{space}{one}The end" for one in (*opened, *(f"{long}{one}" for one in opened)) for space in ("", " ")]
    assert_alike(texts, own(*(rule(f"r{n}", one, reach="match", at="start") for n, one in enumerate(found))))


@pytest.mark.parametrize(
    "pattern",
    [
        r"a\b.b",
        r".*\bab\b.*",
        r"(?:\ba|b)+",
        r"(?:a|b)*a(?:a|b){12}",
        r"(?:^a|b$)+",
        r"(?-i:A)b|(?-i)Ab(?i)c|d",
        r"(?i-u:\w)+ ?[^ab]{0,3}",
        r"a{2,}b{0,2}?",
        r"",
        r"[\p{Lu}k-]+",
        r"[^]a-]+\]?",
        r"\x{41}\u0062+",
    ],
)
def test_what_patterns_are_made_of(pattern: str) -> None:
    random = np.random.default_rng(0)
    texts = ["".join(random.choice(list("abABk K-]é"), size)) for size in random.integers(1, 9, 300)]
    texts += ["".join(random.choice(list("ab"), size)) for size in random.integers(10, 90, 600)]
    assert_alike(texts, own(rule("one", pattern)))


def test_a_pattern_that_has_no_program_goes_the_old_way() -> None:
    ruleset = own(rule("one", r"[a-z&&[^b]]+ now"), rule("two", "b+ now"))
    assert ruleset.tables is not None
    assert ruleset.tables.left
    assert_alike(["aa now", "bb now", "ab now", "AA now"], ruleset)


def test_the_first_rule_of_a_pass_names_the_line() -> None:
    ruleset = own(
        rule("one", "read more.*", max_chars=60), rule("two", "read .*", max_chars=60), rule("three", "read more")
    )
    assert_alike(["Read more", "Read on", "read more " + "of it " * 9], ruleset)


def test_sets_of_characters_are_those_of_the_engine() -> None:
    node = read_pattern(r"k[aſ](?-i:s)[^é.].(?s:.)\-[б-г]İi")
    assert not isinstance(node, Chars)
    for chars in node.parts:
        assert isinstance(chars, Chars)
        assert list(programs.ranges_of(chars, {})) == join(kernels.matching_ranges(f"^{chars.written}$"), chars)


def join(ranges: list[tuple[int, int]], chars: Chars) -> list[tuple[int, int]]:
    """Of a negated set the gap of surrogates is no gap: no text holds one. Of others, a range is as many sets of one."""
    if chars.negated:
        return [(a, d) for (a, _), (_, d) in [(ranges[0], ranges[-1])]] if len(ranges) == 2 else merged(ranges)
    return [(code, code) for low, high in ranges for code in range(low, high + 1)]


def merged(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for low, high in ranges:
        if found and found[-1][1] == 0xD7FF and low == 0xE000:
            found[-1] = found[-1][0], high
        else:
            found.append((low, high))
    return found


def test_what_the_package_keeps_of_its_own_rules_is_up_to_date() -> None:
    kept, made = rules.kept_tables(RULESET), rules._tables(RULESET, programs.kept_ranges())
    assert kept is not None, "run make tables"
    for name in native.RULE_ARRAYS:
        assert np.array_equal(kept[name], made[name]), "run make tables"
    for written, told in list(programs.kept_ranges().items())[::10]:
        assert told == [list(pair) for pair in kernels.matching_ranges(f"^{written}$")], "run make tables"


def test_tables_of_other_rules_are_frozen_with_them(tmp_path: Path) -> None:
    files = {name: text for name, text in read_files(None).items() if "share" in name or "/" not in name}
    told = parse(files, {}, passes=())
    freeze(tmp_path, files, {}, told)
    frozen = thaw(tmp_path)
    told_settings._THAWED.clear()
    thawed = thaw(tmp_path)
    for one in (frozen.rules, thawed.rules):
        assert_alike(EXAMPLES, one)
    assert (tmp_path / told_settings.TABLES_FILE).exists()
