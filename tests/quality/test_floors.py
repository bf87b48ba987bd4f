"""Quality floors: figures on bundled pages that may rise but not fall.

floors.json pins each figure with the hash of the pages that it was measured on. Raising a floor is a commit; lowering one
needs a reason in it. The pages were written for this test, but for the five samples in tests/pages/news.

A page's lines begin with "+ " (the article, must stay), "- " (boilerplate, must go) or "= " (the title: either).
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import PAGES, Runner, read, write_jsonl

HERE = Path(__file__).parent
FLOORS = json.loads((HERE / "floors.json").read_text(encoding="utf-8"))
GOLD = PAGES.parent / "news_gold.json"
FILES = sorted([*(HERE / "pages").glob("*.txt"), *PAGES.glob("*.txt"), GOLD])


@dataclass(frozen=True)
class Page:
    """A page's lines, each with its label: + keep, - remove, = either."""

    name: str
    lines: tuple[tuple[str, str], ...]

    def text(self, labels: str = "+-=", gap: str = "\n") -> str:
        return gap.join(line for label, line in self.lines if label in labels)


def written(path: Path) -> Page:
    """A page of this folder."""
    return Page(path.stem, tuple((line[0], line[2:]) for line in path.read_text(encoding="utf-8").splitlines()))


def samples() -> list[Page]:
    """The five sample pages."""
    names = {"keep": "+", "remove": "-", "either": "="}
    made = []
    for gold in json.loads(GOLD.read_text(encoding="utf-8")):
        raw = (PAGES / gold["file"]).read_text(encoding="utf-8").split("\n")
        made.append(Page(gold["file"], tuple((names[row["label"]], raw[row["line"] - 1]) for row in gold["lines"])))
    return made


WRITTEN = [written(path) for path in sorted((HERE / "pages").glob("*.txt"))]


def line_figures(pages: list[Page], texts: dict[str, str]) -> dict[str, float]:
    """Share of article lines kept, and of boilerplate lines gone."""
    kept = gone = wanted = unwanted = 0
    for page in pages:
        have = Counter(line.strip() for line in texts.get(page.name, "").split("\n"))
        article = Counter(line.strip() for label, line in page.lines if label == "+")
        for label, line in page.lines:
            found = have[line.strip()] > 0
            if label == "+":
                wanted += 1
                kept += found
            elif label == "-" and line.strip() not in article:
                unwanted += 1
                gone += not found
    return {"kept": kept / wanted, "gone": gone / unwanted}


def measured(tmp_path: Path, run: Runner) -> dict[str, float]:
    """Every pinned figure, by the whole pipeline."""
    pages = [*WRITTEN, *samples()]
    clean = [Page(f"{page.name} alone", tuple(row for row in page.lines if row[0] == "+")) for page in WRITTEN]
    source = write_jsonl(
        tmp_path / "pages.jsonl",
        [{"id": page.name, "text": page.text(), "url": f"https://{page.name.lower()}.example/1"} for page in pages]
        + [{"id": page.name, "text": page.text(gap="\n\n")} for page in clean],
    )
    run(source, tmp_path / "out", skip=("sentence_dedup", "document_dedup"))
    texts = {row["source_id"]: row["text"] for row in read(tmp_path / "out", "documents").to_pylist()}
    figures = {}
    for page in WRITTEN:
        figures |= {f"{page.name} {name}": value for name, value in line_figures([page], texts).items()}
    figures |= {f"samples {name}": value for name, value in line_figures(samples(), texts).items()}
    size = sum(len("".join(page.text().split())) for page in clean)
    left = sum(len("".join(texts[page.name].split())) for page in clean)
    figures["clean text kept"] = left / size
    return figures


def test_the_pinned_figures_belong_to_these_pages() -> None:
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in FILES)).hexdigest()
    assert digest == FLOORS["sha256"], "the pages have changed: measure anew and write down figures and hash together"


def test_no_figure_is_below_its_floor(tmp_path: Path, run: Runner) -> None:
    figures = measured(tmp_path, run)
    assert set(figures) == set(FLOORS["floors"])
    low = {name: (value, FLOORS["floors"][name]) for name, value in figures.items() if value < FLOORS["floors"][name]}
    assert not low


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.name)
def test_a_page_has_an_article_and_boilerplate_on_both_sides_of_it(page: Page) -> None:
    labels = "".join(label for label, _ in page.lines)
    assert set(labels) <= set("+-=")
    assert labels.strip("-=") not in ("", labels)
