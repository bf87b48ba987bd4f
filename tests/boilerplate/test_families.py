"""The product's own rule families: every example holds, every language is shown, well-known pages come clean."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from etl.boilerplate.lines import split_lines
from etl.boilerplate.rules import RuleSet, apply_code_rules, apply_rules, check_examples, compile_rules, parse_family

FOLDER = Path(__file__).parents[2] / "config" / "boilerplate"
FILES = sorted(FOLDER.glob("*.yaml"))
LANGUAGES = {"en", "de", "fr", "es", "pt", "it", "nl", "pl", "ru", "tr", "el", "ar", "zh", "ja", "ko", "id"}


@pytest.fixture(scope="module")
def ruleset() -> RuleSet:
    return compile_rules([parse_family(path.name, path.read_text(encoding="utf-8")) for path in FILES])


def left(text: str, ruleset: RuleSet) -> list[str]:
    """The lines that no rule takes whole."""
    lines = split_lines(pl.Series([text]))
    marks = pl.concat([apply_rules(lines, ruleset), apply_code_rules(lines)]).filter(pl.col("unit") == "line")
    return [line.strip() for line in lines.join(marks, on=["doc", "line"], how="anti").sort("line")["text"]]


def test_every_rule_cuts_its_removes_and_no_rule_touches_a_keeps(ruleset: RuleSet) -> None:
    assert check_examples(ruleset) == []


@pytest.mark.parametrize("path", [path for path in FILES if path.stem != "keeps"], ids=lambda path: path.stem)
def test_a_family_has_examples_in_every_language_it_claims(path: Path) -> None:
    family = parse_family(path.name, path.read_text(encoding="utf-8"))
    shown = {example.language for rule in family.rules for example in rule.removes}
    assert set(family.languages) <= shown
    assert set(family.languages) >= LANGUAGES


def test_no_pass_is_so_large_that_the_engine_leaves_its_fast_path(ruleset: RuleSet) -> None:
    # Polars keeps 32 compiled patterns; with more, each batch would compile them all again.
    assert len(ruleset.passes) <= 32
    assert not any(r"\b" in one.regex.replace(r"(?-u:\b)", "") for one in ruleset.passes), "a Unicode \\b is slow"


PROSE = (
    "The harbour board met for six hours and put off its decision, because two of its members wanted to read the survey first.",
    "Nobody in the hall was surprised, and the fishermen who had come to listen went back to their boats before the tide turned.",
    "The survey is to be ready in the spring, the engineer told them, unless the winter storms are as hard as four years ago.",
)

PAGES = {
    "share, see also, syndication and sign-off": [
        "Share this on",
        PROSE[0],
        "Source: Rappler",
        "Source: Rappler",
        PROSE[1],
        "SEE ALSO: Jack Ma warns that artificial intelligence is a ‘threat’ to humanity",
        "Alibaba Group chairman Jack Ma shares a light moment with President Duterte | MALACANANG PHOTO",
        "Alibaba Group chairman Jack Ma shares a light moment with President Duterte | MALACANANG PHOTO",
        PROSE[2],
        "Source :Bloomberg Politics",
        "This article was originally published on our sister website Tech Wire Asia",
        "Thank you for reading until here",
        "Share this post",
        "    scroll to top",
    ],
    "a byline and a comment form": [
        "By Jing Shuiyu and Qi Xin in Zhengzhou and He Wei in Shanghai | China Daily",
        *PROSE,
        "Leave a Reply",
        "Fill in your details below or click an icon to log in: Logo",
        "You are commenting using your account. Log Out /  Change )",
        "Twitter picture",
        "You are commenting using your Twitter account. Log Out /  Change )",
        "Facebook photo",
        "You are commenting using your Facebook account. Log Out /  Change )",
        "Connecting to %s",
    ],
    "a German page": [
        "Teilen",
        "Von Max Muster",
        *PROSE,
        "Lesen Sie auch: Der Hafen wird größer",
        "Foto: dpa",
        "Das könnte Sie auch interessieren",
        "Schreibe einen Kommentar",
        "Deine E-Mail-Adresse wird nicht veröffentlicht. Erforderliche Felder sind mit * markiert",
        "Name *",
        "Impressum",
    ],
    "a Chinese page": [
        "来源：新华社",
        *PROSE,
        "责任编辑：李明",
        "相关阅读：港口在等待",
        "分享到微信朋友圈",
        "返回顶部",
    ],
}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_left_with_its_prose(name: str, ruleset: RuleSet) -> None:
    assert left("\n\n".join(PAGES[name]), ruleset) == list(PROSE)


@pytest.mark.parametrize(
    "text",
    [
        "Home\nis where the heart is\nand the heart\nis a stone",
        "Regulators fined the company for setting cookies without asking, and the company said that it would appeal the fine in court.",
        "The paywall came down for a week, and readers came, and most of them left when it rose again.",
        "“Share this with your mother,” the doctor said, and handed him the leaflet.",
        "By the shore of the lake we sat down, and the boats came in one by one before the storm.",
        "He asked the readers to subscribe, and nobody did.",
        "Reply to the letter by Monday, the clerk told him.",
        "Search parties went out at dawn.",
        "Comment on peut vivre ici, personne ne le sait.",
        "Читайте детям вслух, советует врач, и они полюбят книги.",
        "分享是一种美德，老师对孩子们说。",
        "Teilen heißt nicht verlieren, sagte sie.",
    ],
)
def test_an_article_about_such_things_is_kept(text: str, ruleset: RuleSet) -> None:
    assert left(text, ruleset) == text.split("\n")
