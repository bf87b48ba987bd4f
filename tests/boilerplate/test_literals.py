"""What a pattern's matches must hold: never too much, and enough to be of use."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from etl.boilerplate import native, rules
from etl.boilerplate.heads import folded
from etl.boilerplate.literals import END, LITERAL_CHARS, START, literals_of, tails_of
from etl.settings import parse, read_files
from tests.boilerplate.test_heads import WITH_HEADS, patterns

needs_kernels = pytest.mark.skipif(
    not native.available(), reason="no C compiler was there when the environment was made"
)

TEXTS = st.text(alphabet="aAbBéÉ1 -sſkKß東\U0001fdd0", max_size=12)


def holds(text: str, literals: frozenset[str]) -> bool:
    return any(literal in f"{START}{folded(text)}{END}" for literal in literals)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("read more", {"read more"}),
        ("(?:see|watch) also.*", {"see also", "watch also"}),
        (r".*(?:©|\(c\)) ?\d+", {"©", "(c)"}),
        ("[^x]*(?:Foto|Bild): [^x]+", {"foto: ", "bild: "}),
        ("x?yq.*", {"yq"}),
        (r"\d+ ?(?:qux|(?:zip)+)", {"qux", "zip"}),
        (r"(?:[^.]* )?(?:via |/)(?:qz(?: photo)?|zq(?:, .*)?)", {"via qz", "/qz", "via zq", "/zq"}),
        ("^(?:qxq)$", {f"{START}qxq{END}"}),
        (
            "(?:(?:faq|rss)(?:,|$)){2,}",
            {f"{a},{b}{c}" for a in ("faq", "rss") for b in ("faq", "rss") for c in (",", END)},
        ),
        ("(?-i:QxQ)", {"qxq"}),
        ("jx{2}z.*", {"jxxz"}),
        ("(?:jq){2,}.*", {"jqjq"}),
    ],
)
def test_literals_of_a_pattern(pattern: str, expected: set[str]) -> None:
    assert literals_of(pattern) == expected


@pytest.mark.parametrize(
    "pattern",
    [
        ".*",
        "e",
        "",
        "[a-z]+",
        r"\w\d",
        "(?x)a",
        "q*",
        "x**",
        "(?m)^qxz$",
        r".*\<qxz\>.*",
        "[q--x]zzk",
        r"(?:\z){2,}",
        "(?:$){4}",
        f"a{START}b",
    ],
)
def test_nothing_is_known_of_what_is_in_any_text_or_not_understood(pattern: str) -> None:
    assert literals_of(pattern) is None


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (r"\((?:ap|afp)\)", {"(ap)", "(afp)"}),
        (r"\([^()]+[)\]]", {")", "]"}),
        ("x(?:qz)?", {"x", "xqz"}),
        ("(?:q(?:, .*z)?)", {"q", "z"}),
        ("e|a", None),
        (".*", None),
    ],
)
def test_tails_of_a_pattern(pattern: str, expected: set[str] | None) -> None:
    assert tails_of(pattern) == (None if expected is None else {text + END for text in expected})


@given(patterns(), st.lists(TEXTS, min_size=1, max_size=30))
@example("(?:a|b$)+", ["ab", "ba"])
@example("(?:^a|b)+", ["ab", "ba"])
@example("(?:é*)+", ["", "éé"])
@example("(?:bé|$){2,}", ["xx", "bébé"])
@example("ΐ1b", ["\u1fd31b"])
@settings(max_examples=400, deadline=None)
def test_every_text_that_matches_holds_one_and_ends_so(pattern: str, texts: list[str]) -> None:
    series = pl.Series(texts)
    for whole in (f"^(?:{pattern})$", pattern, f"(?:{pattern})z"):
        known = literals_of(whole)
        for text, met in zip(texts, series.str.contains(f"(?i){whole}"), strict=True):
            assert not met or known is None or holds(text, known), (whole, text)
    tails = tails_of(pattern)
    for text, met in zip(texts, series.str.contains(f"(?i)(?:{pattern})$"), strict=True):
        assert not met or tails is None or any(f"{folded(text)}{END}".endswith(tail) for tail in tails), text


@needs_kernels
@given(
    st.dictionaries(st.text(alphabet=f"abké s1K東{START}{END}".replace("K", "k"), min_size=1, max_size=16), st.integers(0, 62).map(lambda bit: 1 << bit), max_size=30),
    st.lists(st.text(alphabet="aAbBkKéÉ sſ1K東\x00\U0001fdd0", max_size=40), min_size=1, max_size=20),
    st.sampled_from([0, 1, 3, 8, 12, -1, -3, -8, -12]),
)  # fmt: skip
@settings(max_examples=300, deadline=None)
def test_the_kernel_finds_the_literals_that_a_text_holds(
    by_literal: dict[str, int], texts: list[str], chars: int
) -> None:
    proper = {
        x: bits for x, bits in by_literal.items() if x.strip(START + END) and START not in x[1:] and END not in x[:-1]
    }
    found = native.literal_bits(pl.Series(texts), native.literal_table({"": 1 << 62, **proper}), chars=chars)
    for text, bits in zip(texts, found.tolist(), strict=True):
        part = text[:chars] if chars > 0 else text[chars:]
        exact = 1 << 62
        for literal, bit in proper.items():
            exact |= bit * (literal in f"{START}{folded(part)}{END}")
        assert bits & exact == exact, (text, proper)


@needs_kernels
def test_the_kernel_finds_little_else() -> None:
    table = native.literal_table(
        {"qxz": 1, "quite so": 2, f"{START}zq": 4, f"ab{END}": 8, "©": 16, "東京": 32, "/": 64}
    )
    texts = [
        "qxy",
        "QXZ",
        "Quite So",
        "quite s",
        "zq",
        "a zq",
        "ab",
        "abc",
        "e ©",
        "東 京 é",
        "東京",
        "a/b",
        "a|b",
        "",
        "a tab",
        "quab",
        "the zq",
    ]
    assert native.literal_bits(pl.Series(texts), table).tolist() == [
        0,
        1,
        2,
        0,
        4,
        0,
        8,
        0,
        16,
        0,
        32,
        64,
        0,
        0,
        8,
        8,
        0,
    ]


def test_most_passes_of_the_product_know_what_their_lines_hold() -> None:
    unknown = [one for one in WITH_HEADS.passes if one.heads is None and one.literals is None]
    assert len(unknown) <= 2
    assert sum(len(one.regex) for one in unknown) <= 5_000


@needs_kernels
def test_a_long_line_is_asked_for_what_it_needs_with_and_without_the_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    ruleset = parse(read_files(None), {}).rules
    filler = "The harbour board met for six hours and put off what it had to decide. " * 4
    texts = [f"{word.upper()} {filler}" for word in ruleset.needs] + [filler, "é" * 300]
    table = pl.DataFrame({"row": range(len(texts)), "text": texts, "chars": [len(text) for text in texts]})
    quick = rules._short_enough(table, ruleset)
    monkeypatch.setattr(native, "available", lambda: False)
    plain = rules._short_enough(table, ruleset)
    assert sorted(quick.tolist()) == sorted(plain.tolist())
    assert 100 < len(plain) < len(texts)


def test_a_literal_is_cut_to_its_rarest_part() -> None:
    known = literals_of("these are, and that is the end of it, the quizzical ones")
    assert known is not None
    assert all(len(literal) <= LITERAL_CHARS for literal in known)
    assert "zz" in next(iter(known))
