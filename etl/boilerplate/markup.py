"""What HTML said of lines, for those documents that were HTML: an extractor's word, and how much of a line is links.

Ingest hands on a letter for each line (`schema.markup_letter`). Each letter moves the line model's log odds; the steps
were fitted by logistic regression on labelled pages, see docs/decisions/0012-html.md.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from etl import schema

ODDS: Final = "markup_odds"
"""The column of lines that holds what the markup adds to the log odds of being boilerplate."""

_OF_LINKS: Final = (0.0, 0.0, 1.0, 1.2)
_NOT_MAIN: Final = 1.5
_MAIN: Final = -1.1
_FIRST: Final = ord("a")


def _steps() -> npt.NDArray[np.float64]:
    """Log odds of each letter, from `a`."""
    of_extractor = ((False, _NOT_MAIN), (True, _MAIN), (None, 0.0))
    steps = np.zeros(schema.LINK_LEVELS * len(of_extractor))
    for is_main, of_word in of_extractor:
        for level, of_links in enumerate(_OF_LINKS):
            steps[ord(schema.markup_letter(level, is_main=is_main)) - _FIRST] = of_word + of_links
    return steps


STEPS: Final = _steps()


def add_odds(lines: pl.DataFrame, docs: pl.DataFrame) -> pl.DataFrame:
    """`lines` with the column ODDS, where a document of the batch was HTML. docs: text and markup, a row for each `doc`.

    A document whose lines are no longer those that the letters were given to says nothing.
    """
    letters = docs["markup"]
    if letters.null_count() == len(letters):
        return lines
    fits = letters.str.len_bytes() == docs["text"].str.count_matches("\n", literal=True) + 1
    told = pl.select(pl.when(fits).then(letters)).to_series().fill_null("")
    sizes = told.str.len_bytes().to_numpy()
    codes = np.frombuffer("".join(told.to_list()).encode(), np.uint8)
    doc = lines["doc"].to_numpy()
    known = sizes[doc] > 0
    odds = np.zeros(len(doc))
    place = (np.cumsum(sizes) - sizes)[doc[known]] + lines["line"].to_numpy()[known]
    odds[known] = STEPS[codes[place] - _FIRST]
    return lines.with_columns(pl.Series(ODDS, odds))


def main_text(docs: pl.DataFrame) -> pl.DataFrame:
    """`docs` with the text of HTML cut down to the lines that an extractor took for main text, where it found any.

    For runs in which no step judges lines: raw documents then hold what the extractor found, as if it had been read alone.
    """
    letters = docs["markup"]
    if letters.null_count() == len(letters):
        return docs
    main = {schema.markup_letter(level, is_main=True) for level in range(schema.LINK_LEVELS)}
    texts = []
    for text, told in zip(
        docs["text"].to_list(), letters.to_list(), strict=True
    ):  # pages of HTML: parsing them took longer
        lines = text.split("\n")
        if told is not None and not main.isdisjoint(told) and len(told) == len(lines):
            text = "\n".join(line for line, letter in zip(lines, told, strict=True) if letter in main)
        texts.append(text)
    return docs.with_columns(text=pl.Series(texts, dtype=pl.String), markup=pl.lit(None, pl.String))
