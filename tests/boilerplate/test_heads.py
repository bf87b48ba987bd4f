"""What a pattern's matches can begin with: never too little, and enough to be of use."""

from __future__ import annotations

import re

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.boilerplate import heads, native, rules
from etl.boilerplate.heads import ANYTHING, HEAD, folded, heads_of
from etl.boilerplate.lines import split_lines
from etl.settings import parse, read_files

RULESET = parse(read_files(None), {}).rules
WITH_HEADS = rules.compile_rules(
    [rules.parse_family(name, text) for name, text in read_files(None).items() if name.startswith("boilerplate/")],
    passes=rules.packed_passes(RULESET),
)


def can_begin(pattern: str, line: str) -> bool:
    found = re.search(r"[^\W\d_][\s\S]{0,5}", line)
    head = folded(found[0]) if found else ""
    return any(head.startswith(one) for one in heads_of(pattern))


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("share this", {"share "}),
        ("(?:tweet|pin) it", {"tweet ", "pin it"}),
        (
            "a?b+c",
            {"ab" + "b" * n + "c" for n in range(4)} | {"b" + "b" * n + "c" for n in range(5)} | {"abbbbb", "bbbbbb"},
        ),
        (r"\d+ comments?", {"commen"}),
        (r"[^\"\p{L}]*read more", {"read m"}),
        (r"\W*(?:see|watch) also", {"see al", "watch "}),
        ("(?-i:By) [a-z]", {"by " + letter for letter in "abcdefghijklmnopqrstuvwxyz"}),
        ("x.*", {"x"}),
        ("ÉTÉ", {"été"}),
        ("[ab]c(?:d|ef)", {"acd", "acef", "bcd", "bcef"}),
        (r"\x{0430}б\u{0432}", {"абв"}),
        ("(?P<name>go)", {"go"}),
        ("a{2,}", {"a" * n for n in range(2, 7)}),
    ],
)
def test_heads_of_a_pattern(pattern: str, expected: set[str]) -> None:
    assert heads_of(pattern) == expected


@pytest.mark.parametrize(
    "pattern",
    [
        ".*x",
        r"\p{Lu}x",
        "[a-z]*",
        r"\w+",
        "[[a-z]&&[^b]]",
        "",
        "[^x]y",
        "(?x)a",
        "x**",
        r"\<ab",
        r"ab\>",
        "[q--x]zz",
        "[a&&b]",
    ],
)
def test_what_is_not_understood_can_begin_with_anything(pattern: str) -> None:
    assert heads_of(pattern) == ANYTHING


ATOMS = st.sampled_from(["a", "B", "é", "1", " ", "ab", "[ab]", "[^a]", ".", r"\d", r"\s", r"\w", r"\W", "-", "ſ", "K"])


def patterns() -> st.SearchStrategy[str]:
    quantified = st.tuples(ATOMS, st.sampled_from(["", "?", "*", "+", "{2}", "{1,3}"])).map("".join)
    return st.recursive(
        quantified,
        lambda inner: st.one_of(
            st.lists(inner, min_size=1, max_size=4).map("".join),
            st.lists(inner, min_size=1, max_size=3).map(lambda parts: "(?:" + "|".join(parts) + ")"),
            st.tuples(inner, st.sampled_from(["?", "*", "+"])).map(lambda parts: f"(?:{parts[0]}){parts[1]}"),
        ),
        max_leaves=8,
    )


@given(patterns(), st.lists(st.text(alphabet="aAbBéÉ1 -sſkK!", max_size=6), min_size=1, max_size=30))
@settings(max_examples=400, deadline=None)
def test_no_line_that_matches_begins_otherwise(pattern: str, lines: list[str]) -> None:
    matched = pl.Series(lines).str.contains(rf"(?i)^(?:{pattern})$")
    for line, met in zip(lines, matched, strict=True):
        assert not met or can_begin(pattern, line), line


def test_every_example_of_a_rule_can_begin_as_its_patterns_say() -> None:
    lines = split_lines(
        pl.Series(
            [example.text for rule in RULESET.rules for example in rule.removes]
            + [k for r in RULESET.rules for k in r.keeps]
        )
    )
    plain, quick = rules.judge_lines(lines, RULESET), rules.judge_lines(lines, WITH_HEADS)
    assert plain[0].drop("rule", "reason").equals(quick[0].drop("rule", "reason"))
    assert plain[1].select("doc", "line").equals(quick[1].select("doc", "line"))


def test_most_passes_of_the_product_know_how_their_matches_begin() -> None:
    whole = [one for one in WITH_HEADS.passes if not one.at]
    assert sum(one.heads is not None for one in whole) >= 0.7 * len(whole)


def test_a_lines_head_is_its_first_letter_and_what_follows() -> None:
    assert pl.Series(["1. Read more", "«É t»", "…"]).str.extract(HEAD, 0).to_list() == ["Read m", "É t»", None]
    assert heads.folded("É Tſ") == "é ts"


def test_the_table_folds_as_each_character_is_folded() -> None:
    asked = [code for first, last in heads._CASED + heads._CASED_BEYOND for code in range(first, last)]
    table = heads.fold_table()
    assert [chr(code) for code in table[asked].tolist()] == [heads._fold(chr(code)) for code in asked]
    assert (table[0x4E00:0xA000] == range(0x4E00, 0xA000)).all()


def test_what_the_package_keeps_of_its_own_rules_is_up_to_date() -> None:
    kept = heads.kept()
    patterns = {
        pattern.translate(rules._AS_WRITTEN)
        for rule in RULESET.rules
        if rule.reach != "match"
        for _, pattern in rule.patterns
    }
    assert set(kept) == {heads._name(pattern) for pattern in patterns}, "run make tables"
    for pattern in sorted(patterns):
        assert frozenset(kept[heads._name(pattern)]) == heads_of(pattern), "run make tables"
    assert rules._kept_passes() == (RULESET.name, rules._packed(RULESET)), "run make tables"


@pytest.mark.skipif(not native.available(), reason="no C compiler was there when the environment was made")
@given(st.lists(st.text(alphabet="abcABCéÉ1 -ſK東", max_size=8), min_size=1, max_size=20))
def test_the_compiled_kernel_finds_the_same_heads(lines: list[str]) -> None:
    by_head = {"": 1, "a": 2, "ab": 4, "abc": 8, "é": 16, "s": 32, "k1": 64, "東": 128, "a c": 256}
    expected = []
    for line in lines:
        found = re.search(r"[^\W\d_][\s\S]{0,5}", line)
        expected.append(rules._passes_of(found[0] if found else "", by_head))
    assert native.bits_of(pl.Series(lines), native.head_table(by_head)).tolist() == expected


def test_more_passes_than_bits_lose_no_match() -> None:
    kept = rules.packed_passes(RULESET)
    spare = {**next(one for one in kept if one["heads"]), "regex": "(?i)^(?:(?P<r0>never this))$", "rules": [0]}
    many = rules.compile_rules(
        [rules.parse_family(name, text) for name, text in read_files(None).items() if name.startswith("boilerplate/")],
        passes=[*[spare] * 70, *kept],
    )
    assert len(many.passes) > rules.PASS_BITS
    lines = split_lines(pl.Series([example.text for rule in RULESET.rules for example in rule.removes]))
    assert rules.apply_rules(lines, many).equals(rules.apply_rules(lines, RULESET))
