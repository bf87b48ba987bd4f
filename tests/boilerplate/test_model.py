"""The line model: what it keeps and cuts, that it says why, and that its scores are the same everywhere."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.boilerplate import features, model
from etl.boilerplate.lines import MARKS, split_lines

ARTICLE = [
    "The council met on Tuesday evening to decide whether the old stone bridge should be closed to lorries for the summer.",
    "Engineers who surveyed the bridge in March found that two of its seven arches had moved by several centimetres since 2019.",
    "“We cannot wait for another winter,” said the head of the roads department, who has asked for 2.4 million euros.",
    "Shopkeepers on the western bank fear that the diversion will cost them customers, and some have threatened to sue.",
    "The council will vote again in September, when a second survey of the bridge and its foundations is due.",
]
MENU = ["Home", "News", "Sport", "Business", "Weather", "Video", "Culture", "Travel", "Log in", "Subscribe"]
FOOT = [
    "Share",
    "Tweet",
    "Print",
    "Most read",
    "Contact us",
    "Privacy",
    "Cookies",
    "Terms of use",
    "Sitemap",
    "© 2026 Example",
]
PAGE = "\n".join([*MENU, *ARTICLE, *FOOT])


def lines_of(*pages: str) -> pl.DataFrame:
    """The table of lines of `pages`."""
    return split_lines(pl.Series(pages, dtype=pl.String))


def test_chrome_goes_and_the_article_stays() -> None:
    marks = model.mark(lines_of(PAGE))
    gone = set(marks["line"])
    article = set(range(len(MENU), len(MENU) + len(ARTICLE)))
    assert not gone & article
    assert len(gone) >= 18


def test_a_clean_article_is_left_alone() -> None:
    assert model.mark(lines_of("\n\n".join(ARTICLE))).is_empty()


def test_marks_point_at_whole_lines_with_rule_score_and_reason() -> None:
    marks = model.mark(lines_of(PAGE), threshold=0.6)
    assert marks.schema == MARKS
    assert set(marks["unit"]) == {"line"}
    assert set(marks["rule"]) == {model.RULE}
    assert marks["score"].min() >= 0.6
    assert [PAGE[start:end] for start, end in marks.select("start", "end").iter_rows()] == [
        PAGE.split("\n")[line] for line in marks["line"]
    ]
    known = {phrase for phrase, _ in model.PHRASES}
    for reason, score in marks.select("reason", "score").iter_rows():
        named, asked = re.fullmatch(r"(.+) \((\d\.\d\d) asked\)", reason).groups()
        assert score >= float(asked) - 0.005 and float(asked) >= 0.6
        assert 1 <= len(named.split(", ")) <= model.NAMED_FEATURES
        assert set(named.split(", ")) <= known


def test_a_long_page_never_goes_whole() -> None:
    page = "\n".join((MENU + FOOT) * 2)
    lines = lines_of(page, PAGE)
    assert lines.filter(doc=0).height > model.REST_LINES
    for threshold in (0.5, 0.01, 0.0):
        marks = model.mark(lines, threshold=threshold)
        assert set(lines["doc"]) == set(lines.join(marks, on=["doc", "line"], how="anti")["doc"])


def test_a_short_rest_without_an_article_goes_whole_unless_it_is_one_line_or_holds_a_likely_one() -> None:
    def left(*scores: float, settled: int = 0) -> int:
        scored = np.array(scores, np.float32)
        known = np.arange(len(scored)) < settled
        decided = model.decide(np.zeros(len(scored), np.int64), np.full(len(scored), 20.0), scored, settled=known)
        assert (decided.score[decided.gone] >= decided.asked[decided.gone]).all() or (~decided.gone).any()
        return int((~decided.gone & ~known).sum())

    assert left(0.75, 0.75, 0.75) == 0
    assert left(0.75, 0.75, 0.125) >= 1
    assert left(0.51, 0.51, 0.51) >= 1
    assert left(0.99) == 1
    assert left(0.99, 0.75, settled=1) == 1
    assert left(0.99, 0.75, 0.75, settled=1) == 0
    assert left(*[0.75] * (model.REST_LINES + 1)) >= 1


def test_a_page_with_a_sentence_never_goes_whole() -> None:
    doc, size, scores = np.zeros(2, np.int64), np.full(2, 20.0), np.full(2, 0.99, np.float32)
    assert model.decide(doc, size, scores).gone.all()
    assert not model.decide(doc, size, scores, prose=np.array([True, False])).gone.all()


def test_what_rules_leave_of_a_page_does_not_go_because_a_line_of_theirs_looks_like_text() -> None:
    doc, size = np.zeros(3, np.int64), np.array([80.0, 20.0, 20.0])
    scores = np.array([0.99, 0.99, 0.1], np.float32)
    told = model.decide(doc, size, scores, prose=np.array([True, False, False]), settled=np.array([False, False, True]))
    assert not told.gone[0]


def test_lines_of_the_same_page_move_a_score() -> None:
    scores = np.array([0.5, 0.9, 0.5, 0.5, 0.5], np.float32)
    heard = model.with_neighbours(scores, np.array([0, 3, 4]))
    assert heard[0] == heard[2] > 0.5 and heard[1] == model.with_neighbours(scores[1:2], np.zeros(1, int))
    assert heard[3] == heard[4] == 0.5
    assert (heard * model.STEPS == np.floor(heard * model.STEPS)).all()


def test_a_run_of_lines_speaks_louder_than_one_but_not_without_end() -> None:
    def last(*said: float) -> float:
        return float(model.with_neighbours(np.array([*said, 0.5], np.float32), np.zeros(1, int))[-1])

    assert 0.5 < last(0.7) < last(0.7, 0.7) < last(*[0.7] * 5) == last(*[0.99] * 50)
    assert last(*[0.99] * 50, *[0.3] * 3) < 0.5


def test_against_prose_a_run_says_no_more_than_the_lines_next_to_it() -> None:
    scores = np.array([0.9, 0.9, 0.9, 0.6, 0.5, 0.6, 0.9, 0.9], np.float32)
    start = np.zeros(1, int)
    prose = np.arange(len(scores)) == 4
    loud, soft = model.with_neighbours(scores, start)[4], model.with_neighbours(scores, start, prose)[4]
    assert loud > soft == model.with_neighbours(scores[3:6], start, prose[3:6])[1] > 0.5
    friendly = 1 - scores  # a run that speaks for it is heard as before
    assert model.with_neighbours(friendly, start, prose)[4] == model.with_neighbours(friendly, start)[4] < 0.5


def test_the_lines_of_another_page_change_no_decision() -> None:
    rng = np.random.default_rng(1)
    pages = [np.floor(rng.random(n) * model.STEPS).astype(np.float32) / model.STEPS for n in (1, 5, 30, 2, 19)]
    size = [np.floor(rng.random(len(page)) * 300) for page in pages]
    doc = np.repeat(np.arange(len(pages)), [len(page) for page in pages])
    together = model.decide(doc, np.concatenate(size), np.concatenate(pages)).gone
    apart = [model.decide(np.zeros(len(p), np.int64), s, p).gone for p, s in zip(pages, size, strict=True)]
    assert np.array_equal(together, np.concatenate(apart))


def test_a_lower_threshold_takes_all_that_a_higher_one_takes() -> None:
    lines = lines_of(PAGE)
    loose, strict = (set(model.mark(lines, threshold=t)["line"]) for t in (0.3, 0.8))
    assert strict <= loose


def test_scores_and_marks_are_the_same_together_and_apart() -> None:
    lines = lines_of(PAGE, "\n".join(ARTICLE))
    scores, marks = model.score_and_mark(lines, threshold=0.6)
    assert np.array_equal(scores, model.score(lines))
    assert marks.equals(model.mark(lines, threshold=0.6))


def test_a_page_without_surely_boilerplate_is_asked_for_more() -> None:
    doc, size = np.zeros(20, np.int64), np.full(20, 80.0)
    doubtful = np.full(20, 0.6, np.float32)
    doubtful[:5] = 0.1
    assert not model.decide(doc, size, doubtful, threshold=0.5, clean_threshold=0.8).gone.any()
    surer = doubtful.copy()
    surer[-3:] = 0.95
    assert model.decide(doc, size, surer, threshold=0.5, clean_threshold=0.8).gone.sum() == 15


def test_sentences_stay_on_a_page_without_chrome_of_its_own() -> None:
    doc, size = np.zeros(10, np.int64), np.full(10, 80.0)
    scores = np.full(10, 0.2, np.float32)
    scores[3] = 0.9
    prose = np.ones(10, bool)
    settled = np.zeros(10, bool)
    settled[8:] = True
    scores[8:] = 0.99  # what rules took is no chrome of the page's own
    told = {"threshold": 0.5, "clean_threshold": 0.5, "prose": prose, "settled": settled}
    assert not model.decide(doc, size, scores, **told).gone[3]
    scores[5], prose[5] = 0.99, False
    assert model.decide(doc, size, scores, **told).gone[3]


def test_no_lines_give_no_marks_and_no_scores() -> None:
    lines = lines_of()
    assert model.mark(lines).schema == MARKS
    assert len(model.score(lines)) == 0


def test_every_feature_has_a_plain_phrase() -> None:
    for name in features.FEATURE_NAMES + features.SECOND_NAMES:
        assert model.phrase_of(name)


def test_the_weights_are_small_and_name_known_features() -> None:
    folder = model.importlib.resources.files("etl.boilerplate").joinpath("weights")
    assert sum(len(file.read_bytes()) for file in folder.iterdir()) <= 3_000_000
    loaded = model.load()
    assert loaded.first.feature.max() < len(features.FEATURE_NAMES)
    assert loaded.second.feature.max() < len(features.FEATURE_NAMES) + len(features.SECOND_NAMES)


def test_the_parts_that_the_features_play_add_up_to_the_score() -> None:
    trained = model.load()
    forest = trained.first
    matrix = features.featurize(lines_of(PAGE), trained.lexicon)
    groups = np.arange(len(forest.names))
    parts = model.contributions(forest, matrix, groups, len(groups)).sum(axis=0)
    base = forest.bias + forest.means[0].sum()
    assert parts + base == pytest.approx(model.log_odds(forest, matrix), abs=1)


def test_batches_change_no_score(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = lines_of(PAGE, "\n".join(ARTICLE), "\n".join(MENU), PAGE)
    whole = model.score(lines)
    monkeypatch.setattr(model, "BATCH_LINES", 3)
    monkeypatch.setattr(model, "BLOCK", 2)
    assert np.array_equal(model.score(lines), whole)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.sampled_from([*MENU, *ARTICLE, *FOOT]), min_size=1, max_size=12), min_size=1, max_size=4))
def test_the_order_of_pages_changes_no_score(pages: list[list[str]]) -> None:
    texts = ["\n".join(page) for page in pages]
    alone = [model.score(lines_of(text)) for text in texts]
    assert np.array_equal(model.score(lines_of(*texts)), np.concatenate(alone))


def test_scoring_imports_no_machine_learning_library() -> None:
    code = "import sys, etl.boilerplate.model as m; m.load(); print(sorted({'lightgbm', 'sklearn', 'scipy', 'pandas', 'catboost'} & set(sys.modules)))"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )
