from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from etl import settings
from etl.boilerplate import markup, model, strip, templates
from etl.boilerplate.lines import split_lines
from etl.config import Boilerplate
from etl.ingest.html import html_to_document
from etl.schema import MARKUP

TEXT = "The committee met on Tuesday and agreed on a budget for the coming year, a spokesman of the town said."
PAGE = f"""<html><body><nav class="menu"><ul><li><a href="/">Home</a></li><li><a href="/w">Weather</a></li></ul></nav>
<article><h1>Budget agreed</h1><p>{TEXT}</p><p>{TEXT.replace("Tuesday", "Wednesday")}</p><p>{TEXT.replace("town", "city")}</p>
</article><aside class="related"><ul><li><a href="/1">Storm over the coast expected at the weekend</a></li>
<li><a href="/2">Why the harbour stays closed this winter</a></li></ul></aside>
<footer><p><a href="/about">About us</a></p></footer></body></html>"""


def stripped(*texts: tuple[str, bytes | None]) -> strip.Stripped:
    docs = pl.DataFrame(
        {"doc": range(len(texts)), "markup": [marks for _, marks in texts], "site": ["news.example"] * len(texts)}
    ).with_columns(
        pl.col("doc").cast(pl.UInt32),
        pl.lit(None, pl.String).alias("url"),
        pl.lit(None, pl.String).alias("title"),
        pl.lit(None, pl.List(pl.String)).alias("authors"),
        pl.lit(None, pl.Datetime("us", "UTC")).alias("published_at"),
    )
    lines = split_lines(pl.Series([text for text, _ in texts]))
    lines = templates.add_evidence(
        lines,
        templates.line_keys(lines["text"]),
        docs,
        templates.SITE_LINES.to_frame(),
        templates.SITE_PAGES.to_frame(),
    )
    return strip.strip_boilerplate(lines, docs, settings.parse(settings.read_files(None), {}).rules, Boilerplate())


def test_the_article_stays_and_what_is_around_it_goes_with_a_word_on_the_markup() -> None:
    page = html_to_document(PAGE, None)
    made = stripped((page.text, page.markup))
    left = made.segments["text"].to_list()
    assert [line for line in left if line != "Budget agreed"] == [
        TEXT,
        TEXT.replace("Tuesday", "Wednesday"),
        TEXT.replace("town", "city"),
    ]
    gone = made.marks.filter(rule=markup.RULE)
    assert gone["reason"].str.contains("markup: ").any()
    assert (gone["reason"] != "").all()


def test_pages_without_markup_are_judged_as_if_alone() -> None:
    page = html_to_document(PAGE, None)
    alone = stripped((page.text, None)).marks
    beside = stripped((page.text, page.markup), (page.text, None)).marks.filter(doc=1)
    assert alone.drop("doc").equals(beside.drop("doc"))
    assert markup.RULE not in alone["rule"].to_list()


def test_kernels_and_their_twin_judge_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    page = html_to_document(PAGE, None)
    first = stripped((page.text, page.markup)).marks
    monkeypatch.setattr("etl.boilerplate.native.available", lambda: False)
    assert stripped((page.text, page.markup)).marks.equals(first)


def test_markup_of_texts_that_repair_split_or_joined_is_dropped() -> None:
    marks = pl.Series([b"a", b"b", None], dtype=pl.Binary)
    kept = markup.in_step(marks, pl.Series(["x\ny", "x\ny", "x"]), pl.Series(["x\nz", "x", "x"]))
    assert kept.to_list() == [b"a", None, None]


def test_each_line_gets_its_own_bytes() -> None:
    width = len(MARKUP)
    docs = pl.DataFrame({"doc": [0, 1, 2], "markup": [b"\1" * width + b"\2" * width, None, b"\3" * width]})
    lines = pl.DataFrame({"doc": [0, 0, 1, 2], "line": [0, 1, 0, 0]}, schema={"doc": pl.UInt32, "line": pl.UInt32})
    assert markup.add(lines, docs)["markup"].to_numpy()[:, 0].tolist() == [1, 2, 0, 3]
    assert markup.add(lines, docs.drop("markup")).equals(lines)


def test_features_are_in_the_order_of_their_names() -> None:
    n = 4
    matrix = markup.featurize(
        np.zeros((n, len(MARKUP)), np.uint8),
        np.zeros(n, np.int64),
        np.arange(1.0, n + 1),
        np.ones(n, bool),
        first=np.zeros(n, np.float32),
        second=np.full(n, 0.25, np.float32),
    )
    assert matrix.shape == (n, len(markup.FEATURE_NAMES))
    assert set(matrix[:, markup.FEATURE_NAMES.index("text score")]) == {0.25}
    assert set(matrix[:, markup.FEATURE_NAMES.index("ends as a sentence")]) == {1.0}
    assert set(matrix[:, markup.FEATURE_NAMES.index("text kept on the page")]) == {0.75}


def test_the_packaged_weights_load() -> None:
    assert isinstance(markup.load(), model.Forest)
