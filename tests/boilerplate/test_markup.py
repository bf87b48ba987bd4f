"""What HTML said of a line moves the line model; of a document whose lines changed since, it says nothing."""

from __future__ import annotations

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from etl.boilerplate import markup, model
from etl.boilerplate.lines import split_lines
from etl.schema import LINK_LEVELS, markup_letter

MAIN, CHROME, SILENT = (markup_letter(0, is_main=said) for said in (True, False, None))


def frame(texts: list[str], letters: list[str | None]) -> pl.DataFrame:
    return pl.DataFrame(
        {"text": texts, "markup": letters}, schema={"text": pl.String, "markup": pl.String}
    ).with_row_index("doc")


def test_letters_are_distinct_and_links_speak_for_boilerplate() -> None:
    assert len({markup_letter(n, is_main=said) for n in range(LINK_LEVELS) for said in (True, False, None)}) == 12
    for at in range(0, 12, LINK_LEVELS):
        assert list(markup.STEPS[at : at + LINK_LEVELS]) == sorted(markup.STEPS[at : at + LINK_LEVELS])


def test_each_line_gets_the_step_of_its_letter() -> None:
    docs = frame(["a\n\nb", "plain", "c\nd"], [CHROME + SILENT + MAIN, None, MAIN + CHROME])
    lines = markup.add_odds(split_lines(docs["text"]), docs)
    steps = {letter: markup.STEPS[ord(letter) - ord("a")] for letter in (MAIN, CHROME)}
    assert lines[markup.ODDS].to_list() == [steps[CHROME], steps[MAIN], 0.0, steps[MAIN], steps[CHROME]]


def test_without_html_nothing_is_added() -> None:
    docs = frame(["a\nb"], [None])
    assert markup.ODDS not in markup.add_odds(split_lines(docs["text"]), docs).columns
    assert markup.main_text(docs).equals(docs)


@given(st.lists(st.tuples(st.text("ab\n ", max_size=8), st.none() | st.text("abehl", max_size=6)), max_size=5))
def test_a_document_whose_lines_changed_says_nothing(pages: list[tuple[str, str | None]]) -> None:
    docs = frame([text for text, _ in pages], [letters for _, letters in pages])
    lines = markup.add_odds(split_lines(docs["text"]), docs)
    if markup.ODDS in lines.columns:
        for doc, line, odds in lines.select("doc", "line", markup.ODDS).iter_rows():
            text, letters = pages[doc]
            fits = letters is not None and len(letters) == text.count("\n") + 1
            assert odds == (markup.STEPS[ord(letters[line]) - ord("a")] if fits and letters else 0.0)


def test_the_model_scores_by_it_and_names_it() -> None:
    prose = [
        "The council met on Tuesday evening and talked for hours about the bridge that nobody wants to pay for."
    ] * 6
    text = "\n".join([*prose, "Council and bridge", "Weather"])
    docs = frame([text], [MAIN * 6 + markup_letter(3, is_main=False) * 2])
    lines = split_lines(docs["text"])
    before, after = model.score(lines), model.score(markup.add_odds(lines, docs))
    assert np.all(after[:6] <= before[:6])
    assert np.all(after[6:] >= before[6:])
    marks = model.mark(markup.add_odds(lines, docs))
    assert "the page's HTML" in marks.filter(pl.col("line") >= 6)["reason"][0]


def test_main_text_is_what_the_extractor_found() -> None:
    docs = frame(["Home\nThe text.", "Home\nNo main text", "plain"], [CHROME + MAIN, SILENT * 2, None])
    assert markup.main_text(docs)["text"].to_list() == ["The text.", "Home\nNo main text", "plain"]
