"""The rule engine: strict reading of families, and what each reach and place cuts."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from etl.boilerplate.lines import MARKS, split_lines
from etl.boilerplate.rules import (
    RuleSet,
    apply_code_rules,
    apply_keeps,
    apply_rules,
    check_examples,
    compile_rules,
    judge_lines,
    labelled_report,
    parse_family,
)
from etl.errors import ConfigError

PROSE = (
    "The harbour board met for six hours and put off its decision, because two of its members wanted to read the survey first.",
    "Nobody in the hall was surprised, and the fishermen who had come to listen went back to their boats before the tide turned.",
    "The survey is to be ready in the spring, the engineer told them, unless the winter storms are as hard as four years ago.",
)

FAMILY = """
about: Rules to test the engine with.
languages: [en, de]
words:
  net: 'facebook|twitter'
rules:
  - id: share
    why: a button
    phrases: {en: [Share this, Tweet], de: [Teilen]}
    keeps: [Share this bread.]
  - id: share-on
    why: a button with a network
    match: {en: 'share (on|via) {{net}}', de: 'auf {{net}} teilen'}
    removes: {en: [Share on Facebook], de: [Auf Twitter teilen]}
    keeps: [He shares it on Facebook.]
  - id: word
    why: a word of a menu
    where: between
    phrases: [Home]
    keeps: ["what is left\\nHome\\nand the sea"]
  - id: byline
    why: names the writer
    where: top
    match: 'by (?-i:[A-Z][a-z]+ [A-Z][a-z]+)'
    removes: [By Jane Doe]
    keeps: [by the river]
  - id: sign-off
    why: ends an article
    where: bottom
    phrases: [The end]
    keeps: [The end came.]
  - id: form
    why: a comment form
    reach: block
    phrases: [Leave a reply]
    members: 'name ?\\*|e-?mail ?\\*'
    max_lines: 3
    removes: ["Leave a reply\\nName *\\nEmail *"]
    keeps: [Leave a reply for him.]
  - id: thread
    why: the comments below
    reach: to_end
    match: '\\d+ comments'
    max_after_chars: 200
    max_after_line: 100
    removes: ["3 comments\\nI was there."]
    keeps: [3 comments were read.]
  - id: dateline
    why: opens a wire story
    reach: match
    match: '[A-Z]+ \\(AP\\) [-–—] '
    removes: [{line: LONDON (AP) — The board met., cut: 'LONDON (AP) — '}]
    keeps: [The AP said so.]
  - id: credit
    why: closes a wire story
    reach: match
    at: end
    match: '\\(Reporting by [^()]*\\)'
    removes: [{line: The board met. (Reporting by Jane Doe), cut: (Reporting by Jane Doe)}]
    keeps: [Reporting by Jane Doe won a prize.]
  - id: quote
    action: keep
    why: what somebody said
    match: '".+," said .+'
    protects: ['“Share this,” said Jane Doe.']
    leaves: [Share this]
"""


def ruleset(text: str = FAMILY) -> RuleSet:
    return compile_rules([parse_family("config/boilerplate/test.yaml", text)])


RULES = ruleset()


def lines_of(*documents: str) -> pl.DataFrame:
    return split_lines(pl.Series(documents, dtype=pl.String))


def cuts(*documents: str, rules: RuleSet = RULES) -> list[tuple[str, str]]:
    """(what was cut, rule) in the order of the text."""
    marks = apply_rules(lines_of(*documents), rules)
    return [
        (documents[doc][start:end], rule)
        for doc, start, end, rule in marks.select("doc", "start", "end", "rule").iter_rows()
    ]


def faults_of(text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        parse_family("config/boilerplate/test.yaml", text)
    return caught.value.faults


def test_every_example_of_the_test_family_holds() -> None:
    assert check_examples(RULES) == []


@pytest.mark.parametrize(
    "line",
    [
        "Share this",
        "  share THIS:  ",
        "• Share this »",
        "[Share this]",
        "Share\u00a0this",
        "Sh\u200bare this…",
        "📷 Share this!",
        "Teilen",
        "SHARE ON FACEBOOK",
        "→ share via twitter",
    ],
)
def test_a_button_goes_whatever_stands_around_its_words(line: str) -> None:
    assert [cut for cut, _ in cuts(line)] == [line]


@pytest.mark.parametrize(
    "line", ["Share this now", "She said: share this", "Share on Facebook and on paper", "Sharethis"]
)
def test_a_line_that_says_more_is_kept(line: str) -> None:
    assert cuts(line) == []


def test_a_mark_covers_the_line_as_it_stands_and_gives_the_rule_and_its_reason() -> None:
    marks = apply_rules(lines_of("é\n  Share this \nend"), RULES)
    assert marks.schema == MARKS
    assert marks.to_dicts() == [
        {
            "doc": 0,
            "line": 1,
            "start": 2,
            "end": 15,
            "unit": "line",
            "rule": "share",
            "score": 1.0,
            "reason": "a button",
        }
    ]


def test_a_match_rule_cuts_its_part_only_at_either_end_of_a_line() -> None:
    text = " LONDON (AP) — The board met. (Reporting by Jane Doe) "
    assert cuts(text) == [(" LONDON (AP) — ", "dateline"), (" (Reporting by Jane Doe) ", "credit")]


def test_a_match_that_is_the_whole_line_is_a_line() -> None:
    marks = apply_rules(lines_of("  (Reporting by Jane Doe)"), RULES)
    assert marks.select("start", "end", "unit").row(0) == (0, 25, "line")


@pytest.mark.parametrize(
    ("place", "gone"),
    [("top", True), ("after one paragraph", True), ("below", False)],
)
def test_a_byline_goes_near_the_top_alone(place: str, gone: bool) -> None:
    above = {"top": 0, "after one paragraph": 1, "below": 2}[place]
    text = "\n".join([*PROSE[:above], "By Jane Doe", *PROSE])
    assert cuts(text) == ([("By Jane Doe", "byline")] if gone else [])


def test_a_bottom_rule_waits_for_the_last_paragraph() -> None:
    assert cuts("\n".join(["The end", *PROSE])) == []
    assert cuts("\n".join([*PROSE, "The end"])) == [("The end", "sign-off")]


@pytest.mark.parametrize(
    ("text", "gone"),
    [
        ("Home", True),
        (f"{PROSE[0]}\nHome\n{PROSE[1]}", True),
        (f"{PROSE[0]}\nHome\nShare this\n{PROSE[1]}", True),
        (f"{PROSE[0]}\nShare this\nHome", True),
        ("what is left\nHome\nand the sea", False),
        (f"{PROSE[0]}\nbread\nHome\nsoap\n{PROSE[1]}", False),
        (f"{PROSE[0]}\nbread\nShare this\nHome\n{PROSE[1]}", False),
    ],
)
def test_a_single_word_goes_between_sentences_and_furniture_but_not_in_verse_or_lists(text: str, gone: bool) -> None:
    assert (("Home", "word") in cuts(text)) == gone


def test_a_block_goes_down_to_the_first_line_that_does_not_belong() -> None:
    text = f"Leave a reply\n\nName *\nTweet\nI was there too.\nName *\n{PROSE[0]}"
    assert cuts(text) == [("Leave a reply", "form"), ("Name *", "form"), ("Tweet", "share")]


def test_a_block_ends_at_its_limit() -> None:
    assert [cut for cut, _ in cuts("Leave a reply" + "\nName *" * 9)] == ["Leave a reply"] + ["Name *"] * 3


@pytest.mark.parametrize(
    ("after", "gone"),
    [("I was there.", True), (PROSE[0], False), ("\n".join(["A line of some length, not prose."] * 9), False)],
)
def test_to_end_takes_a_short_tail_and_never_prose(after: str, gone: bool) -> None:
    text = "\n".join([*PROSE, "3 comments", after])
    assert bool(cuts(text)) == gone
    if gone:
        assert cuts(text) == [("3 comments", "thread"), (after, "thread")]


def test_to_end_needs_most_of_the_text_above_it() -> None:
    assert cuts("The board met.\n3 comments\nI was there, and so were all of us.") == []


def test_a_keep_rule_shields_a_line_from_every_rule() -> None:
    quote = "“Leave a reply,” said Jane Doe."
    lines = lines_of(f"Share this\n{quote}")
    marks, keeps = judge_lines(lines, RULES)
    assert marks["line"].to_list() == [0]
    assert keeps.rows() == [(0, 1, "quote")]
    assert apply_keeps(lines, RULES).equals(keeps)


def test_nothing_in_nothing_out() -> None:
    assert apply_rules(lines_of(), RULES).schema == MARKS
    assert apply_rules(lines_of("", "\n\n"), RULES).is_empty()
    assert apply_rules(lines_of("Share this"), compile_rules([])).is_empty()
    assert apply_code_rules(lines_of()).schema == MARKS


def test_the_report_counts_hits_and_errors_by_rule() -> None:
    lines = lines_of("Share this\nTweet\nAuf Twitter teilen\nLONDON (AP) — The board met.\nTweet")
    report = labelled_report(lines.with_columns(label=pl.Series(["b", "m", "b", "m", "t"])), RULES)
    rows = {row["rule"]: row for row in report.to_dicts()}
    assert len(rows) == len(RULES.rules)
    assert (rows["share"]["lines"], rows["share"]["wrong"], rows["share"]["precision"]) == (3, 1, 0.5)
    assert (rows["share-on"]["lines"], rows["share-on"]["precision"]) == (1, 1.0)
    assert (rows["dateline"]["lines"], rows["dateline"]["spans"], rows["dateline"]["precision"]) == (0, 1, None)
    assert rows["form"]["lines"] == 0


# ---- properties

POOL = [
    *("Share this", "Tweet", "Home", "By Jane Doe", "The end", "Leave a reply", "Name *", "3 comments", "", "a list"),
    *("LONDON (AP) — The board met.", "The board met. (Reporting by Jane Doe)", "“Share this,” said Jane Doe."),
    *PROSE,
]
DOCUMENT = st.lists(st.sampled_from(POOL), max_size=12).map("\n".join)


@settings(max_examples=40, deadline=None)
@given(st.lists(DOCUMENT, max_size=4))
@example(["3 comments\n3 comments\n3 comments"])
def test_twice_is_the_same_as_once(documents: list[str]) -> None:
    lines = lines_of(*documents)
    whole = apply_rules(lines, RULES).filter(pl.col("unit") == "line")
    left = lines.join(whole, on=["doc", "line"], how="anti")
    assert apply_rules(left, RULES).filter(pl.col("unit") == "line").is_empty()


@settings(max_examples=25, deadline=None)
@given(st.lists(DOCUMENT, min_size=1, max_size=4))
def test_each_document_is_judged_by_itself(documents: list[str]) -> None:
    together = apply_rules(lines_of(*documents), RULES)
    for number, document in enumerate(documents):
        alone = apply_rules(lines_of(document), RULES)
        assert together.filter(pl.col("doc") == number).drop("doc").equals(alone.drop("doc"))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.one_of(st.sampled_from(POOL), st.text(max_size=60)), max_size=10).map("\n".join))
def test_marks_are_ordered_lie_in_their_lines_and_do_not_overlap(document: str) -> None:
    lines = lines_of(document)
    marks = apply_rules(lines, RULES)
    joined = marks.join(lines.select("doc", "line", lo="start", hi="end"), on=["doc", "line"], how="left")
    assert (joined["start"] >= joined["lo"]).all()
    assert (joined["end"] <= joined["hi"]).all()
    assert (marks["start"] < marks["end"]).all()
    assert (marks["start"].to_list()[1:] >= marks["end"].to_list()[:-1]) if len(marks) < 2 else True
    assert all(after >= before for before, after in zip(marks["end"][:-1], marks["start"][1:], strict=True))


@settings(max_examples=25, deadline=None)
@given(DOCUMENT)
def test_what_a_line_rule_cut_still_matches_that_rule(document: str) -> None:
    for cut, rule in cuts(document):
        if rule in ("share", "share-on", "word", "byline", "sign-off"):
            assert cuts(cut) == [(cut, rule)]


# ---- faults


def test_every_fault_is_told_at_once_with_file_key_value_and_what_would_be_right() -> None:
    faults = faults_of(
        """
about: Faulty
languages: [en, fr]
colour: red
rules:
  - id: One
    match: x
    reach: lines
    max_chars: 77
    why: ''
    removes: [x]
    keeps: []
  - id: two
    phrases: {de: [Teilen], en: [yes]}
    why: because
    keeps: [z]
    at: end
    hue: 3
"""
    )
    text = "\n".join(faults)
    assert all(fault.startswith("config/boilerplate/test.yaml: ") and "; expected " in fault for fault in faults)
    for part in (
        "colour is 'red'",
        "id is 'One'; expected lower-case words",
        "reach is 'lines'; expected one of line, match, to_end, block",
        "max_chars is 77; expected one of 60, 100, 160, 300, 600",
        "rule One: why is ''",
        "rule One: keeps is []",
        "phrases is 'de'; expected a language that the family claims (en, fr)",
        "phrases.en is True; expected a text that is not empty; quote yes, no",
        "rule two: at is 'end'; expected at with reach match only",
        "rule two: hue is 3",
        "languages is 'fr'; expected an example under removes in every language",
    ):
        assert part in text, part


@pytest.mark.parametrize(
    ("rule", "part"),
    [
        ("{id: a, why: b, match: '(x', removes: [x], keeps: [y]}", "match is '(x'; expected a pattern that Rust's"),
        ("{id: a, why: b, match: '(?=x)', removes: [x], keeps: [y]}", "look-around"),
        ("{id: a, why: b, match: '(?P<n>x)', removes: [x], keeps: [y]}", "expected groups without names"),
        ("{id: a, why: b, match: '{{net}}', removes: [x], keeps: [y]}", "expected names from words (none)"),
        ("{id: a, why: b, match: x, keeps: [y]}", "removes.en is missing; expected a list of examples"),
        ("{id: a, why: b, match: x, removes: [x]}", "keeps is missing"),
        ("{id: a, match: x, removes: [x], keeps: [y]}", "why is missing"),
        ("{id: a, why: b, removes: [x], keeps: [y]}", "match is missing; expected a pattern under match, or lines"),
        ("{id: a, why: b, match: x, max_chars: 300, removes: [x], keeps: [y]}", "needs is missing"),
        ("{id: a, why: b, match: x, reach: match, removes: [x], keeps: [y]}", "expected examples with line and cut"),
        (
            "{id: a, why: b, match: x, reach: block, where: top, removes: [x], keeps: [y]}",
            "where is 'top'; expected anywhere",
        ),
        ("{id: a, why: b, why: c, match: x, removes: [x], keeps: [y]}", "'why' is given twice"),
        ("{id: a, why: b, match: x, action: keep, removes: [x]}", "removes with action remove only"),
        ("[]", "rules[0] is []"),
    ],
)
def test_a_faulty_rule_is_refused(rule: str, part: str) -> None:
    text = "\n".join(faults_of(f"about: a\nlanguages: [en]\nrules:\n  - {rule}\n"))
    assert part in text


@pytest.mark.parametrize("text", ["", "[]", "rules: [", "about: a\nlanguages: [en]\nrules: []"])
def test_a_file_that_is_no_family_is_refused(text: str) -> None:
    assert faults_of(text)


def test_a_pattern_for_a_language_without_an_example_is_refused() -> None:
    text = "about: a\nlanguages: [en, de]\nrules:\n  - {id: a, why: b, match: {en: x, de: y}, removes: {en: [x]}, keeps: [z]}"
    assert any("an example in de too" in fault for fault in faults_of(text))


def test_an_id_is_nobody_elses() -> None:
    text = "about: a\nlanguages: [en]\nrules:\n  - {id: same, why: b, match: x, removes: [x], keeps: [y]}\n"
    one, other = parse_family("one.yaml", text), parse_family("two.yaml", text)
    with pytest.raises(
        ConfigError, match=r"two\.yaml: rule same: id is 'same'; expected an id of its own, one\.yaml has it"
    ):
        compile_rules([other, one])
    assert any("id of its own" in fault for fault in faults_of(text + text.split("rules:\n")[1]))


@pytest.mark.parametrize(
    ("rule", "part"),
    [
        ("{id: a, why: b, match: x+, removes: [z], keeps: [y]}", "removes has 'z'; expected a text that the rule cuts"),
        (
            "{id: a, why: b, match: x+, removes: [xx], keeps: [x]}",
            "keeps has 'x'; expected a text that no rule touches, rule a does",
        ),
        ("{id: a, why: b, match: x y, where: top, removes: [x y], keeps: ['x y']}", "keeps has 'x y'"),
        (
            "{id: a, why: b, action: keep, match: x, protects: [y], leaves: [z]}",
            "protects has 'y'; expected a line that",
        ),
        ("{id: a, why: b, action: keep, match: x, protects: [x], leaves: [x]}", "leaves has 'x'"),
        ("{id: a, why: b, reach: match, match: x, removes: [{line: x y, cut: y}], keeps: [z]}", "removes has 'y'"),
    ],
)
def test_an_example_that_fails_is_told(rule: str, part: str) -> None:
    found = check_examples(ruleset(f"about: a\nlanguages: [en]\nrules:\n  - {rule}\n"))
    assert len(found) == 1
    assert part in found[0]
