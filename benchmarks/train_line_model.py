"""Rebuild the line model's weights from the labelled pages, and print what unseen sites get.

    train_line_model.py --data ../shared/data [--more FOLDER]... [--out FILE] [--folds FOLDER] [--no-cross-validation]

DATA holds text_track.dev.jsonl.gz (pages with labelled lines) and html_weak.dev/ (pages without; their labels are made
here, from what three settings of trafilatura agree on). A FOLDER of `--more` holds other HTML pages, labelled in the same
way. Pages of the source `wad` are never trained on. Every page is trained on several times: as it is, as a careful
scraper saved it, with a random part of its chrome, its article alone, whole and cut short, and with strange chrome
between its lines; besides pages of unrelated sentences, so that prose counts even where it has no thread. What a site's
other pages say, and what rules and metadata say, is computed as the product computes it. The same data gives the same
bytes. With --folds, the weights that never saw a fold's sites are kept for benchmarks/cross_validate.py.

Needs catboost besides the project's own dependencies; the product needs neither it nor this script.
"""

from __future__ import annotations

import argparse
import gzip
import json
import logging
import lzma
import random
import re
import tempfile
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import xxhash

from etl import config, settings
from etl.boilerplate import features, model, strip, templates
from etl.boilerplate.lines import LINES
from etl.engine.local import LocalEngine
from etl.ingest import visible

PACKAGED = Path(model.__file__).with_name("weights") / model.WEIGHTS
UNSEEN = "wad"  # the source that is for evaluation alone
FOLDS = 5
THREADS = 2  # fixed: the order of CatBoost's sums, and so the last bits, may depend on it
FIRST = {"iterations": 100, "learning_rate": 0.13}
SECOND = {"iterations": 150, "learning_rate": 0.1}
DEPTH = 6
L2 = 8.0
FEATURE_SHARE = 0.4
BORDERS = 64
OTHER_SCRIPT = 0.3  # share of pages trained on a second time in a made-up script: a third without case, the rest also
# without spaces; scripts that the labelled pages lack
SITE_DROPPED = 0.5  # share of pages trained on without what the site's other pages say
URL_DROPPED = 0.3  # and without their address, which tells the title
WEIGHT_OF_KIND = {
    "full": 1.0,
    "light": 1.0,
    "thin": 1.0,
    "article": 4.0,
    "part": 2.0,
    "mixed": 1.6,
    "strewn": 1.6,
}
WEIGHT_AS_SCORED = {
    "full": 1.0,
    "light": 1.0,
    "thin": 0.6,
    "article": 0.6,
    "part": 0.4,
    "mixed": 0.2,
    "strewn": 0.2,
}
WEIGHT_OF_SILVER = 0.7
BY_LENGTH = 0.8  # part of a page's weight that goes by the length of its lines; 0.5 is 0.003 of F1 worse
MOST_CHROME = 3.0  # a page's boilerplate weighs at most this many times its article
FAR_FROM_TEXT = 8  # boilerplate lines farther than this from the article are thinned out, the rest weigh for them
FAR_KEPT = 0.25
MADE_PAGES = 500  # pages of unrelated prose, and as many articles strewn with chrome
SILVER_TEXT = 200  # characters of agreed main text that a page must have for its silver labels to count
SMALLEST_PAGE = 3000  # characters of HTML; less is no real page
AGREED_SHORT = 25  # a shorter line must be a whole line of an extractor's output, not just occur in it
LEXICON_SIZE = 130  # only lines shorter than this teach what words say
LEXICON_SITES = 4  # a word on fewer sites says nothing; and this many sites of the mean are added to each word

Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Page:
    """One page as one scraper saved it. labels: m main, b boilerplate, t title, d second copy, ? unknown.

    kind: full, light, thin (part of the chrome), article (its main lines alone), part (a part of those), strewn (those
    with strange chrome between), mixed (main lines of many pages). gold: the article as labelled, empty where there is
    none. seen: other pages of the site with the same line. fold: the fold of the site.
    """

    kind: str
    source: str
    site: str
    lang: str
    lines: tuple[str, ...]
    labels: str
    gold: str = ""
    titles: tuple[str, ...] = ()
    seen: tuple[int, ...] = ()
    site_pages: int = 0
    url: str = ""
    fold: int = 0


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path, default=Path("../shared/data"))
    arguments.add_argument("--more", type=Path, action="append", default=[], help="a folder of HTML pages")
    arguments.add_argument("--folds", type=Path, help="keep the weights of each fold in this folder")
    arguments.add_argument("--out", type=Path, default=PACKAGED, help="where the weights go (the package)")
    arguments.add_argument("--no-cross-validation", action="store_true", help="only make the weights: half the time")
    arguments.add_argument(
        "--scores", type=Path, help="also save the cross-validated scores of the labelled pages' lines here"
    )
    options = arguments.parse_args()
    logging.disable(logging.WARNING)
    pages = read_pages(options.data)
    silver = evidence([*silver_pages(options.data), *(page for folder in options.more for page in more_pages(folder))])
    training = training_pages(pages, silver)
    print(f"{len(pages)} pages read, {len(training)} to train on", flush=True)
    held_out = [] if options.no_cross_validation else pages
    weights_file, scores = train(training, held_out, folds=options.folds)
    options.out.write_bytes(weights_file)
    print(f"{options.out}: {len(weights_file)} bytes, xxh3_128 {xxhash.xxh3_128_hexdigest(weights_file)}")
    if held_out:
        if options.scores:
            np.save(options.scores, scores)
        for threshold in (0.35, 0.4, 0.45, 0.5):
            print_figures(f"cross-validated by site, threshold {threshold}", held_out, scores, threshold)


def read_pages(data: Path) -> list[Page]:
    """Labelled pages, full and light, and the article of each."""
    pages = []
    with gzip.open(data / "text_track.dev.jsonl.gz", "rt", encoding="utf-8") as file:
        records = [json.loads(line) for line in file]
    for kind, lines, labels in (("full", "lines", "labels"), ("light", "light_lines", "light_labels")):
        pages += evidence([_labelled(kind, r, r[lines], r[labels], r["gold_body"]) for r in records])
    articles = [(r, r["gold"].split("\n")) for r in records]
    # with a site like the others, lest an unknown site come to mean a clean page
    return pages + evidence([_labelled("article", r, lines, "m" * len(lines), r["gold"]) for r, lines in articles])


def _labelled(kind: str, r: dict[str, object], lines: Sequence[str], labels: Sequence[str], gold: str) -> Page:
    about = {"gold": gold, "titles": tuple(r["titles"]), "url": r["url"] or ""}
    return _page(kind, r["src"], r["site"], r["lang"], lines, labels, **about)


def _page(
    kind: str, source: str, site: str, lang: str, lines: Sequence[str], labels: Sequence[str], **more: object
) -> Page:
    visible = [n for n, line in enumerate(lines) if line.strip("\u200b\ufeff\u200e\u200f\xad \t\r\xa0\u3000")]
    return replace(
        Page(kind, source, site, lang, tuple(lines[n] for n in visible), "".join(labels[n] for n in visible)),
        fold=fold_of(site),
        **more,
    )


def evidence(pages: list[Page]) -> list[Page]:
    """`pages` with what the other pages of each site say of their lines, counted as the product counts."""
    lines = table(pages)
    docs = pl.DataFrame(
        {"doc": range(len(pages)), "key": range(len(pages)), "site": [page.site for page in pages]}
    ).cast({"doc": pl.UInt32, "key": pl.Int64})
    keys = templates.line_keys(lines["text"])
    seen, held = templates.page_evidence(lines, keys, docs, run_key="")
    script = resources.files("etl.boilerplate").joinpath("templates.sql").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        views = {"pages": seen.to_arrow(), "page_lines": held.to_arrow()}
        views |= {name: templates.STATE[table].to_frame().to_arrow() for name, table in templates.KNOWN.items()}
        views["params"] = templates.params(config.Templates(), run_key="").to_arrow()
        made = {name: Path(folder) / name for name in ("site_lines", "site_pages")}
        LocalEngine().sql(script, views=views, outputs=made, temp=Path(folder))
        told = templates.add_evidence(
            lines.select(LINES.names()), keys, docs, *(pl.read_parquet(path) for path in made.values())
        )
    result, at = [], 0
    for page in pages:
        rows = told[at : at + len(page.lines)]
        at += len(page.lines)
        known = int(rows["site_pages"][0]) if len(rows) else 0
        result.append(replace(page, seen=tuple(rows["site_near"].to_list()), site_pages=known))
    return result


def silver_pages(data: Path) -> list[Page]:
    """Pages of html_weak.dev with labels that three settings of trafilatura agree on, checked against known segments."""
    made = []
    with (data / "html_weak.dev" / "index.jsonl").open(encoding="utf-8") as file:
        records = [json.loads(line) for line in file]
    for r in records:
        raw = gzip.decompress((data / "html_weak.dev" / r["html"]).read_bytes()).decode("utf-8", "replace")
        lines = list(visible_lines(raw))
        labels = silver_labels(lines, _extracted(raw), present=r["present"], absent=r["absent"])
        if labels:
            made.append(_page("full", "silver", r["site"], "", lines, labels))
    return made


def more_pages(folder: Path) -> list[Page]:
    """HTML pages below `folder`, labelled by what three settings of trafilatura agree on.

    A page's site is its name, up to "--"; of pages named source.html the name of their folder, without a number at its
    end, and an article in expected.html beside it must agree too.
    """
    made = []
    for path in sorted(folder.rglob("*.html")):
        raw = path.read_text(encoding="utf-8", errors="replace")
        if path.name == "expected.html" or len(raw) < SMALLEST_PAGE:
            continue
        by_folder = path.name == "source.html"
        site = path.parent.name.rstrip("-0123456789") if by_folder else path.stem.split("--")[0].removeprefix("www.")
        texts = _extracted(raw)
        beside = path.with_name("expected.html")
        if by_folder and beside.exists():
            texts.append("\n".join(visible_lines(beside.read_text(encoding="utf-8"))))
        lines = list(visible_lines(raw))
        labels = silver_labels(lines, texts, present=(), absent=())
        if labels:
            made.append(_page("full", "silver", site, "", lines, labels))
    return made


def _extracted(raw: str) -> list[str]:
    """The main text of a page by three settings of trafilatura."""
    import trafilatura

    return [
        trafilatura.extract(raw, include_comments=False, favor_precision=precise, favor_recall=generous) or ""
        for precise, generous in ((True, False), (False, False), (False, True))
    ]


def silver_labels(lines: Sequence[str], texts: Sequence[str], *, present: Sequence[str], absent: Sequence[str]) -> str:
    """A label for each line, "" when the page can't be trusted: too little text agreed on, or a known segment denied."""
    squashed = [_squash(text) for text in texts]
    whole = [Counter(_squash(line) for line in text.split("\n")) for text in texts]
    often = Counter(_squash(line) for line in lines)
    labels, denied = [], 0
    for line in lines:
        key = _squash(line)
        found = [key in squashed[n] if len(key) >= AGREED_SHORT else whole[n][key] > 0 for n in range(len(texts))]
        label = "?" if not key else "m" if all(found) else "?" if any(found) else "b"
        has = any(segment in line for segment in present)
        lacks = any(segment in line for segment in absent)
        if has and not lacks:
            denied += label == "b" and len(line) > 40
            label = "m" if len(line) > 40 else label
        elif lacks and not has:
            denied += label == "m"
            label = "b" if label == "b" or line.strip() in absent else "?"
        if label == "m" and len(key) < AGREED_SHORT and often[key] > whole[0][key]:
            label = "?"
        labels.append(label)
    agreed = sum(len(line) for line, label in zip(lines, labels, strict=True) if label == "m")
    unsure = sum(len(line) for line, label in zip(lines, labels, strict=True) if label == "?")
    return "" if agreed < SILVER_TEXT or unsure > agreed or denied > 1 or len(lines) > 3000 else "".join(labels)


HIDDEN = visible.HIDDEN | {visible.BUTTON}
INLINE = visible.INLINE


def visible_lines(raw: str) -> Iterator[str]:
    """The visible text of an HTML page, a line for each block."""
    import lxml.html

    parser = lxml.html.HTMLParser(encoding="utf-8", remove_comments=True)
    stack: list[tuple[str, object]] = [("element", lxml.html.fromstring(raw.encode("utf-8"), parser=parser))]
    pieces: list[str] = []
    while stack:
        what, item = stack.pop()
        if what == "text":
            pieces.append(str(item))
            continue
        inline = what == "element" and item.tag in INLINE  # type: ignore[attr-defined]
        if not inline:
            line = re.sub(r"\s+", " ", "".join(pieces)).strip()
            pieces.clear()
            if line:
                yield line
        if what == "end" or not isinstance(item.tag, str) or item.tag in HIDDEN:  # type: ignore[attr-defined]
            continue
        if not inline:
            stack.append(("end", None))
        for child in reversed(item):  # type: ignore[call-overload]
            if child.tail:
                stack.append(("text", child.tail))
            stack.append(("element", child))
        if item.text:  # type: ignore[attr-defined]
            stack.append(("text", item.text))  # type: ignore[attr-defined]
    line = re.sub(r"\s+", " ", "".join(pieces)).strip()
    if line:
        yield line


def _squash(text: str) -> str:
    return re.sub(r"\W+", "", text).casefold()


def training_pages(pages: Sequence[Page], silver: Sequence[Page]) -> list[Page]:
    """What the model is trained on: no page of UNSEEN, and variants of all others. Half know nothing of their site."""
    rng = random.Random(11)
    known = [page for page in (*pages, *silver) if page.source != UNSEEN]
    made = list(known)
    for page in known:
        if page.kind == "full":
            made.append(_rows(page, _thinned(page.labels, rng), "thin"))
        if page.kind == "full" and page.source == "silver":
            made.append(_rows(page, [n for n, label in enumerate(page.labels) if label == "m"], "part"))
        if page.kind == "article" and len(page.lines) >= 4:
            low = rng.randint(0, len(page.lines) // 2)
            made.append(_rows(page, range(low, rng.randint(low + 2, len(page.lines))), "part"))
    made += _made_pages(known, rng)
    for page in tuple(made):
        chance = rng.random()
        if chance < OTHER_SCRIPT:
            written = _without_case if chance < OTHER_SCRIPT / 3 else _without_spaces
            made.append(replace(page, lines=tuple(written(line) for line in page.lines), url="", lang="made"))
    made = [replace(p, seen=(), site_pages=0) if rng.random() < SITE_DROPPED else p for p in made if p.lines]
    return [replace(p, url="") if rng.random() < URL_DROPPED else p for p in made]


def _made_pages(known: Sequence[Page], rng: random.Random) -> list[Page]:
    """Pages of unrelated prose with a few lines of chrome, and articles strewn with chrome; each from one fold's pages."""
    prose: dict[int, list[str]] = defaultdict(list)
    chrome: dict[int, list[str]] = defaultdict(list)
    for page in known:
        if page.kind in ("full", "article"):
            for line, label in zip(page.lines, page.labels, strict=True):
                if label == "m" and len(line) >= 50 and line.rstrip()[-1:] in '.!?"”’)':
                    prose[page.fold].append(line)
                elif label == "b" and len(line) < 70 and page.source != "silver":
                    chrome[page.fold].append(line)
    made = []
    for number in range(MADE_PAGES):
        fold = number % FOLDS
        size = min(60, max(3, int(rng.lognormvariate(2.6, 0.8))))
        rows = [(rng.choice(prose[fold]), "m") for _ in range(size)]
        _strew(rows, chrome[fold], rng, rng.randint(1, 4) if rng.random() < 0.7 else 0)
        rows += [(rng.choice(chrome[fold]), "b") for _ in range(rng.randint(1, 7) if rng.random() < 0.3 else 0)]
        made.append(_of_rows(Page("mixed", "made", f"made {fold}", "", (), "", fold=fold), rows))
    articles = [page for page in known if page.kind == "article" and len(page.lines) >= 3]
    for _ in range(MADE_PAGES):
        page = rng.choice(articles)
        rows = list(zip(page.lines, page.labels, strict=True))
        if rng.random() < 0.5:
            low = rng.randint(0, len(rows) // 2)
            rows = rows[low : low + max(3, rng.randint(2, 40))]
        _strew(rows, chrome[page.fold], rng, rng.randint(1, 8))
        made.append(_of_rows(replace(page, kind="strewn", seen=(), site_pages=0), rows))
    return made


def _strew(rows: list[tuple[str, str]], chrome: Sequence[str], rng: random.Random, number: int) -> None:
    for _ in range(number):
        rows.insert(rng.choice((0, len(rows), rng.randint(0, len(rows)))), (rng.choice(chrome), "b"))


def _of_rows(page: Page, rows: Sequence[tuple[str, str]]) -> Page:
    return replace(page, lines=tuple(line for line, _ in rows), labels="".join(label for _, label in rows))


def _without_case(line: str) -> str:
    """`line` as a script without capitals has it."""
    return line.lower()


def _without_spaces(line: str) -> str:
    """`line` as if in Chinese: a word becomes one to four characters, always the same ones, and spaces go."""
    pieces = []
    for word, rest in _WORD_OR_OTHER.findall(line):
        if word:
            digest = xxhash.xxh3_64_intdigest(word.lower().encode())
            pieces += [chr(0x4E00 + (digest >> 12 * n) % 3000) for n in range(min(4, max(1, (len(word) + 1) // 3)))]
        elif not rest.isspace():
            pieces.append(rest.translate(_FULL_WIDTH))
    return "".join(pieces)


_WORD_OR_OTHER = re.compile(r"([^\W\d_]+)|(.)", re.DOTALL)
_FULL_WIDTH = str.maketrans(".,:;?!()", "。，：；？！（）")


def _rows(page: Page, rows: Iterable[int], kind: str) -> Page:
    rows = list(rows)
    return replace(
        page,
        kind=kind,
        lines=tuple(page.lines[n] for n in rows),
        labels="".join(page.labels[n] for n in rows),
        seen=tuple(page.seen[n] for n in rows) if page.seen else (),
    )


def _thinned(labels: str, rng: random.Random) -> list[int]:
    """Rows of all lines that aren't boilerplate, and of a random part of four in ten runs of boilerplate."""
    rows: list[int] = []
    for run in re.finditer(r"b+|[^b]+", labels):
        low, high = run.span()
        if labels[low] == "b":
            if rng.random() >= 0.4:
                continue
            size = min(high - low, 1 + int(rng.expovariate(1 / 6)))
            side = rng.random()
            low = low if side < 0.4 else high - size if side < 0.8 else rng.randint(low, high - size)
            high = low + size
        rows.extend(range(low, high))
    return rows


def table(pages: Sequence[Page]) -> pl.DataFrame:
    """The lines of `pages`, as the product's steps take them."""
    sizes = np.array([len(page.lines) for page in pages], np.int64)
    seen = [n for page in pages for n in (page.seen or (0,) * len(page.lines))]
    lines = pl.DataFrame(
        {
            "doc": np.repeat(np.arange(len(pages), dtype=np.uint32), sizes),
            "line": np.concatenate([np.arange(size, dtype=np.uint32) for size in (*sizes.tolist(), 0)]),
            "text": [line for page in pages for line in page.lines],
            "site": [page.site for page in pages for _ in page.lines],
            "site_near": np.array(seen, np.uint32),
            "site_pages": np.repeat(np.array([page.site_pages for page in pages], np.uint32), sizes),
        }
    )
    chars = pl.col("text").str.len_chars()
    return lines.with_columns(end=((chars + 1).cum_sum().over("doc") - 1).cast(pl.UInt32)).with_columns(
        start=(pl.col("end") - chars).cast(pl.UInt32)
    )


def with_hits(lines: pl.DataFrame, pages: Sequence[Page]) -> pl.DataFrame:
    """`lines` with the column `hit`: what rules, captions and metadata say of each, as in the product."""
    ruleset = settings.parse(settings.read_files(None), {}).rules
    hits = [pl.Series([], dtype=pl.UInt8)]
    for low in range(0, len(pages), BATCH_PAGES):
        part = pages[low : low + BATCH_PAGES]
        batch = lines.filter(pl.col("doc").is_between(low, low + len(part) - 1)).with_columns(pl.col("doc") - low)
        docs = pl.DataFrame(
            {"doc": range(len(part)), "url": [page.url or None for page in part], "site": [page.site for page in part]}
        )
        docs = docs.with_columns(pl.lit(None, kind).alias(name) for name, kind in UNTOLD.items())
        certain, _, _ = strip.certain_marks(
            batch, docs.cast({"doc": pl.UInt32, "url": pl.String}), ruleset, config.Boilerplate()
        )
        hits.append(strip.hits(batch, certain, ruleset))
    return lines.with_columns(hit=pl.concat(hits))


BATCH_PAGES = 500
UNTOLD = {"title": pl.String(), "authors": pl.List(pl.String()), "published_at": pl.Datetime("us", "UTC")}


def weights(pages: Sequence[Page], size: Doubles) -> Doubles:
    """How much each line counts: the mean of two views.

    In one a page counts as the root of its number of lines, shared out by length and by line. In the other all pages
    count alike and a line by its share of the article's length, as the shingle scores have it.
    """
    page = np.repeat(np.arange(len(pages)), [len(p.lines) for p in pages])
    label = np.frombuffer("".join(p.labels for p in pages).encode(), np.uint8)
    counted, chrome = np.isin(label, list(b"mbd")), np.isin(label, list(b"bd"))
    lines = np.bincount(page, minlength=len(pages)).astype(np.float64)
    length = np.minimum(size, 1500.0) + 10
    silver = np.array([WEIGHT_OF_SILVER if p.source == "silver" else 1.0 for p in pages])
    of_page = silver * np.array([WEIGHT_OF_KIND[p.kind] for p in pages])
    share = BY_LENGTH * length / np.bincount(page, weights=length)[page] + (1 - BY_LENGTH) / lines[page]
    by_page = share * (of_page * np.sqrt(lines))[page] * counted
    article = np.maximum(np.bincount(page, weights=length * (counted & ~chrome), minlength=len(pages)), 400.0)
    around = np.bincount(page, weights=length * chrome, minlength=len(pages))
    cap = np.minimum(1.0, MOST_CHROME * article / np.maximum(around, 1))
    made = np.array([0.7 if p.lang == "made" else 1.0 for p in pages])
    of_page = silver * made * np.array([WEIGHT_AS_SCORED[p.kind] for p in pages])
    as_scored = length / article[page] * np.where(chrome, cap[page], 1.0) * of_page[page] * counted
    return by_page / by_page.mean() + as_scored / as_scored.mean()


def train(
    training: Sequence[Page], held_out: Sequence[Page], *, folds: Path | None = None
) -> tuple[bytes, npt.NDArray[np.float32]]:
    """The weights file; and the scores of `held_out` by models that were trained on no page of the same site.

    The second forest learns from first scores of sites that the first forest hadn't seen, and all learn from words as
    sites that had no part in the lexicon show them, for so they will meet them. The scores of the first pass are made
    once: a fold's second forest never sees the fold's pages, but first scores that they had a part in.
    """
    taught, asked = _Table(training), _Table(held_out)
    seen = np.array([p.source != UNSEEN for p in held_out], bool)[asked.page]
    lexicons = {fold: taught.lexicon(without=fold) for fold in range(-1, FOLDS)}
    names = features.FEATURE_NAMES
    taught_first, asked_first = taught.first(lexicons), asked.first(lexicons, lambda: ~seen)
    whole = _forest(taught_first, taught.target, taught.weight, names, FIRST)
    once, asked_once = np.zeros(len(taught.fold)), _scores(whole, names, asked_first)
    firsts = []
    for fold in range(FOLDS):
        out, asked_out = taught.fold == fold, seen & (asked.fold == fold)
        forest = _forest(taught_first[~out], taught.target[~out], taught.weight[~out], names, FIRST)
        once[out] = _scores(forest, names, taught_first[out])
        asked_once[asked_out] = _scores(forest, names, asked_first[asked_out])
        firsts.append(forest)
    names = features.FEATURE_NAMES + features.SECOND_NAMES
    both, asked_both = taught.both(taught_first, once), asked.both(asked_first, asked_once)
    last = _forest(both, taught.target, taught.weight, names, SECOND)
    twice = _scores(last, names, asked_both)
    for fold in range(FOLDS if held_out else 0):
        out, asked_out = taught.fold == fold, seen & (asked.fold == fold)
        forest = _forest(both[~out], taught.target[~out], taught.weight[~out], names, SECOND)
        twice[asked_out] = _scores(forest, names, asked_both[asked_out])
        if folds is not None:
            folds.mkdir(parents=True, exist_ok=True)
            (folds / f"{fold}.xz").write_bytes(packed(firsts[fold], forest, lexicons[fold]))
    return packed(whole, last, lexicons[-1]), twice.astype(np.float32)


class _Table:
    """The lines of some pages as the forests take them: targets, weights, folds, and features on demand."""

    def __init__(self, pages: Sequence[Page]) -> None:
        sizes = np.array([len(p.lines) for p in pages], np.int64)
        self.pages = pages
        self.batches = [features.measure(batch) for batch in model.batches(with_hits(table(pages), pages))]
        self.page = np.repeat(np.arange(len(pages)), sizes)
        self.fold = np.array([p.fold for p in pages], np.int64)[self.page]
        self.label = np.frombuffer("".join(p.labels for p in pages).encode(), np.uint8)
        self.target = np.isin(self.label, list(b"bd")).astype(np.float64)
        self.size = np.concatenate([batch.size for batch in self.batches] or [np.zeros(0)])
        self.weight = weights(pages, self.size) * self._thinned() if pages else np.zeros(0)

    def _spans(self) -> Iterator[tuple[slice, features.Measured]]:
        at = 0
        for batch in self.batches:
            yield slice(at, at + len(batch.size)), batch
            at += len(batch.size)

    def _thinned(self) -> Doubles:
        """What each line weighs when only some of those far from the article do."""
        near = np.zeros(len(self.label), bool)
        for span, batch in self._spans():
            text = np.isin(self.label[span], list(b"mt"))
            back, ahead = features._distances(text, batch.first, batch.last)
            near[span] = text | (np.minimum(back, ahead) <= FAR_FROM_TEXT)
        chosen = np.random.default_rng(3).random(len(near)) < FAR_KEPT
        return np.where(near, 1.0, np.where(chosen, 1 / FAR_KEPT, 0.0))

    def lexicon(self, *, without: int) -> features.Lexicon:
        """What each word says: how much of a site's short lines with it are boilerplate, over the sites that have it."""
        entries, sites, chrome = [], [], []
        number = {site: n for n, site in enumerate(sorted({p.site for p in self.pages}))}
        site_of = np.array([number[p.site] for p in self.pages])
        real = np.array([p.kind in ("full", "light") and p.lang != "made" and p.fold != without for p in self.pages])
        for span, batch in self._spans():
            label, page = self.label[span], self.page[span]
            line = batch.words.entry_line
            asked = ((batch.size < LEXICON_SIZE) & np.isin(label, list(b"mbd")) & real[page])[line]
            entries.append(batch.words.entry[asked].astype(np.int64))
            sites.append(site_of[page[line[asked]]])
            chrome.append(label[line[asked]] != ord("m"))
        pair, back = np.unique(np.concatenate(entries) * len(number) + np.concatenate(sites), return_inverse=True)
        share = np.bincount(back, weights=np.concatenate(chrome)) / np.bincount(back)
        entry = pair // len(number)
        slots = 1 << features.LEXICON_BITS
        on_sites = np.bincount(entry, minlength=slots)
        total = np.bincount(entry, weights=share, minlength=slots)
        mean = total.sum() / max(1, on_sites.sum())
        odds = np.clip((total + LEXICON_SITES * mean) / (on_sites + LEXICON_SITES), 0.005, 0.995)
        says = np.log(odds / (1 - odds)) - np.log(mean / (1 - mean))
        return np.where(on_sites >= LEXICON_SITES, np.clip(np.round(says * 16), -60, 60), 0).astype(np.int8)

    def first(
        self, lexicons: dict[int, features.Lexicon], whole: Callable[[], npt.NDArray[np.bool_]] | None = None
    ) -> Floats:
        """Features of the first pass, each line's words read by the lexicon without its fold (or by the `whole` one)."""
        parts = [np.zeros((0, len(features.FEATURE_NAMES)), np.float32)]
        by_whole = whole() if whole else np.zeros(len(self.fold), bool)
        for span, batch in self._spans():
            fold = np.where(by_whole[span], -1, self.fold[span])
            words = batch.words
            says = np.stack([lexicons[n] for n in range(-1, FOLDS)])[fold[words.entry_line] + 1, words.entry]
            own = np.arange(len(says), dtype=np.int32)  # each word as an entry of its own
            parts.append(features.first_features(replace(batch, words=replace(words, entry=own)), says))
        return np.concatenate(parts)

    def both(self, first: Floats, scores: Doubles) -> Floats:
        """Features of the second pass, given the first one's scores."""
        parts = [features.second_features(batch, scores[span]) for span, batch in self._spans()]
        return np.concatenate(
            (first, np.concatenate(parts or [np.zeros((0, len(features.SECOND_NAMES)), np.float32)])), axis=1
        )


def packed(first: dict[str, object], second: dict[str, object], lexicon: features.Lexicon) -> bytes:
    """Both forests and the lexicon as the file that the package holds."""
    known = np.flatnonzero(lexicon)
    words = {"step": np.diff(known, prepend=0).tolist(), "says": lexicon[known].tolist()}
    text = json.dumps({"first": first, "second": second, "lexicon": words}, separators=(",", ":"), ensure_ascii=True)
    return lzma.compress(text.encode(), preset=9)


def fold_of(site: str) -> int:
    """The fold that all pages of `site` are in."""
    return xxhash.xxh3_64_intdigest(site.encode()) % FOLDS


def _forest(
    matrix: Floats, target: Doubles, weight: Doubles, names: Sequence[str], settings: dict[str, float]
) -> dict[str, object]:
    """A forest of symmetric trees, trained by CatBoost, in the form that etl.boilerplate.model reads."""
    from catboost import CatBoostClassifier, Pool

    used = weight > 0
    trained = CatBoostClassifier(
        **settings,
        depth=DEPTH,
        l2_leaf_reg=L2,
        rsm=FEATURE_SHARE,
        border_count=BORDERS,
        boosting_type="Plain",
        bootstrap_type="No",
        random_strength=1,
        random_seed=1,
        thread_count=THREADS,
        allow_writing_files=False,
        verbose=0,
    )
    trained.fit(Pool(np.ascontiguousarray(matrix[used]), target[used], weight=weight[used]))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.json"
        trained.save_model(str(path), format="json")
        raw = json.loads(path.read_text(encoding="utf-8"))
    place = {f["feature_index"]: f["flat_feature_index"] for f in raw["features_info"]["float_features"]}
    scale, bias = raw["scale_and_bias"][0], raw["scale_and_bias"][1][0]
    questions = [
        [(place[s["float_feature_index"]], s["border"]) for s in t["splits"] or ()] for t in raw["oblivious_trees"]
    ]
    asked = sorted({feature for tree in questions for feature, _ in tree})
    trees: dict[str, list[list[float]]] = {"feature": [], "border": [], "leaf": [], "share": []}
    for tree, splits in zip(raw["oblivious_trees"], questions, strict=True):
        if not splits:
            bias += tree["leaf_values"][0]
            continue
        leaf, share = np.array(tree["leaf_values"]) * scale, np.array(tree["leaf_weights"])
        while len(splits) < DEPTH:  # a tree that stopped early: a question with one answer
            splits = [*splits, (splits[0][0], float(np.finfo(np.float32).max))]
            leaf, share = np.concatenate((leaf, 0 * leaf)), np.concatenate((share, 0 * share))
        trees["feature"].append([asked.index(feature) for feature, _ in splits])
        trees["border"].append([float(np.float32(border)) for _, border in splits])
        trees["leaf"].append([round(value * model.LEAF_UNIT) for value in leaf.tolist()])
        trees["share"].append([round(value) for value in share.tolist()])
    return {"names": [names[f] for f in asked], **trees, "bias": round(bias * model.LEAF_UNIT)}


def _scores(forest: dict[str, object], names: tuple[str, ...], matrix: Floats) -> Doubles:
    return model.probability(model.log_odds(model.forest(forest, names), matrix))


@dataclass(frozen=True, slots=True)
class Figures:
    """What removal did to a group of pages. cut: share of all characters; over_5_percent: share of pages that lost more."""

    pages: int
    f1: float
    precision: float
    recall: float
    line_f1: float
    cut: float
    over_5_percent: float


def print_figures(title: str, pages: Sequence[Page], scores: npt.NDArray[np.float32], threshold: float) -> None:
    """F1, precision, recall and harm on `pages` when every line that scores `threshold` goes."""
    print(
        f"\n{title}\n{'pages':28}{'n':>6}{'shingle F1':>12}{'precision':>11}{'recall':>8}{'line F1':>9}{'cut':>9}{'over 5 %':>10}"
    )
    for name, f in figures_of(pages, gone_at(table(pages), scores, threshold)).items():
        quality = f"{f.f1:12.4f}{f.precision:11.4f}{f.recall:8.4f}{f.line_f1:9.4f}"
        harm = f"{f.cut:9.4f}{f.over_5_percent:10.4f}"
        print(f"{name:28}{f.pages:6}" + (f"{'':40}{harm}" if name.startswith("article") else quality))


def gone_at(lines: pl.DataFrame, scores: npt.NDArray[np.float32], threshold: float) -> npt.NDArray[np.bool_]:
    """Which of `lines` the model would cut."""
    size = lines["text"].str.len_chars().to_numpy().astype(np.float64)
    return model.decide(lines["doc"].to_numpy(), size, scores, threshold=threshold).gone


def figures_of(pages: Sequence[Page], gone: npt.NDArray[np.bool_]) -> dict[str, Figures]:
    """Figures for each kind of page, and its sources and languages with at least 10 pages."""
    groups: dict[str, list[tuple[float, float, int, int, int, int, int]]] = defaultdict(list)
    at = 0
    for page in pages:
        cut = gone[at : at + len(page.lines)]
        at += len(page.lines)
        kept = [line for line, out in zip(page.lines, cut, strict=True) if not out]
        right = sum(label == "m" and not out for label, out in zip(page.labels, cut, strict=True))
        extra = sum(label == "b" and not out for label, out in zip(page.labels, cut, strict=True))
        missed = sum(label == "m" and out for label, out in zip(page.labels, cut, strict=True))
        precision, recall = (np.nan, np.nan) if page.kind == "article" else _shingle_precision_recall(page, kept)
        chars = sum(len(re.sub(r"\s+", "", line)) for line in page.lines)
        lost = chars - sum(len(re.sub(r"\s+", "", line)) for line in kept)
        for group in ("all", page.source, f"language {page.lang or '?'}"):
            groups[f"{page.kind} {group}"].append((precision, recall, right, extra, missed, chars, lost))
    return {name: _figures(rows) for name, rows in sorted(groups.items()) if len(rows) >= 10}


def _figures(rows: Sequence[tuple[float, float, int, int, int, int, int]]) -> Figures:
    found = [r[0] for r in rows if not np.isnan(r[0])]
    asked = [r[1] for r in rows if not np.isnan(r[1])]
    precision, recall = (sum(values) / max(1, len(values)) for values in (found, asked))
    right, extra, missed, chars, lost = (sum(r[n] for r in rows) for n in (2, 3, 4, 5, 6))
    return Figures(
        pages=len(rows),
        f1=2 * precision * recall / max(1e-9, precision + recall),
        precision=precision,
        recall=recall,
        line_f1=2 * right / max(1, 2 * right + extra + missed),
        cut=lost / max(1, chars),
        over_5_percent=sum(r[6] > 0.05 * r[5] for r in rows) / len(rows),
    )


_CJK = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_TOKEN = re.compile(rf"[{_CJK}]|[^\W{_CJK}]+")


def _shingle_precision_recall(page: Page, kept: Sequence[str]) -> tuple[float, float]:
    """Shares of the kept text's and of the article's four-word shingles that the other has too; NaN where there is none."""
    titles = {_tokens(title) for title in page.titles}
    gold, text = _shingles(page.gold), _shingles("\n".join(line for line in kept if _tokens(line) not in titles))
    both = sum((gold & text).values())
    return (both / sum(text.values()) if text else np.nan, both / sum(gold.values()) if gold else np.nan)


def _tokens(text: str) -> tuple[str, ...]:
    return tuple(_TOKEN.findall(unicodedata.normalize("NFKC", text).casefold()))


def _shingles(text: str) -> Counter[tuple[str, ...]]:
    words = _TOKEN.findall(text)
    return Counter(tuple(words[n : n + 4]) for n in range(max(1, len(words) - 3)) if words)


if __name__ == "__main__":
    main()
