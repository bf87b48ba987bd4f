"""Repeated captions: a picture's alternative text and its caption, saved one after the other.

Both lines go: a caption is not the article, and a sentence that ends as one is left to sentence deduplication, which
keeps one copy. Verse, tables and lists repeat lines too, so a pair must stand against prose, be no longer run than
three, and be made of words.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
from rapidfuzz import process
from rapidfuzz.distance import Indel

from etl.boilerplate.lines import MARKS, READER, Edges, edges

Array = npt.NDArray[Any]

MIN_CHARS: Final = 12  # shorter repeats are table cells ("N/A"), verse ("la la la") and labels
MAX_CHARS: Final = 300
ALIKE_CHARS: Final = 8  # with which both lines of a pair begin
MAX_DIFFERENCE: Final = 60  # of two lengths: a credit may be added
MAX_RUN: Final = 3  # alt text, title text and caption; a fourth copy is a refrain or a table
RATIO_MIN: Final = 0.96  # of 1; one word changed in a caption of ten falls below
PROSE_CHARS: Final = 120
PROSE_CHARS_CJK: Final = 40

CREDIT_MARKS: Final = ("©", "(", "[", "|", "/")
_SPACES: Final = "".join(filter(str.isspace, map(chr, range(0x3001))))
SENTENCE_END: Final = r"""[.!?…:。！？؟।：｡]["'”’»)\]）」』]*$"""
CREDIT: Final = (
    r"(?i)^\W*(?:photos?|pictures?|pics?|images?|sources?|credits?|file photo|courtesy|foto|fotos|bild|bilder|quelle|fuente|fonte|imagen"
    r"|imagem|immagine|crédits?|źródło|zdjęcie|фото|источник|kaynak|fotoğraf|φωτογραφία|πηγή|图片|图|来源|圖片|来源|写真|画像|出典|사진|출처|sumber|الصورة|المصدر|صورة)"
    r"\b[^:/|©]{0,20}[:：/|©]|©|\(c\)|\| .{0,40}\bphotos?\b|(?:photo|image|picture)s? (?:by|courtesy|credit)|/(?:afp|ap|reuters|getty|epa)\b|\((?:afp|ap|reuters|getty)"
)
REASON: Final = "the same caption twice in a row: a picture's alternative text and its caption"
RULE: Final = "repeated-caption"


def repeated_captions(lines: pl.DataFrame) -> pl.DataFrame:
    """Marks for every line of a run of two or three equal, or nearly equal, lines that is no sentence and no verse."""
    return READER.submit(_marks, lines).result()


def _marks(lines: pl.DataFrame) -> pl.DataFrame:
    doc, chars = lines["doc"].to_numpy(), lines["end"].to_numpy().astype(np.int64) - lines["start"].to_numpy()
    edge = edges(lines["text"])
    repeats = _repeats(lines["text"], doc, chars, edge)
    first, last = _runs(repeats)
    if not len(first):
        return MARKS.to_frame()
    # In Chinese and the like a letter takes three bytes, and a sentence fewer letters.
    prose = (chars >= PROSE_CHARS) | ((edge.size * 2 > chars * 5) & (chars >= PROSE_CHARS_CJK))
    above, below = first - 1, np.minimum(last + 1, len(doc) - 1)
    opens = (first == 0) | (doc[above] != doc[first])  # a repeated title, which has its own rule
    beside_prose = (prose[above] & ~opens) | (prose[below] & (below > last) & (doc[below] == doc[last]))
    sizes = last - first + 1
    at = np.cumsum(sizes) - sizes
    rows = np.repeat(first - at, sizes) + np.arange(sizes.sum())
    credit, sentence = _read(lines["text"].gather(rows).str.strip_chars())
    is_credit, has_sentence = np.logical_and.reduceat(credit, at), np.logical_or.reduceat(sentence, at)
    goes = is_credit | (beside_prose & ~opens & ~has_sentence)
    marked: pl.DataFrame = lines.select("doc", "line", "start", "end")[rows[np.repeat(goes, sizes)]]
    return marked.select(
        "doc",
        "line",
        "start",
        "end",
        unit=pl.lit("line"),
        rule=pl.lit(RULE),
        score=pl.lit(1.0, dtype=pl.Float32),
        reason=pl.lit(REASON),
    )


def _repeats(texts: pl.Series, doc: Array, chars: Array, edge: Edges) -> Array:
    """The lines that say the same as the line below them, as rows in order.

    A pair needs a line of about its own length beside it that begins alike, which leaves few rows to read.
    """
    near = (doc[:-1] == doc[1:]) & (np.abs(chars[:-1] - chars[1:]) <= MAX_DIFFERENCE)
    near &= (np.minimum(chars[:-1], chars[1:]) >= MIN_CHARS) & (np.maximum(chars[:-1], chars[1:]) <= MAX_CHARS)
    blank = edge.open_blank()
    near &= (edge.first[:-1] == edge.first[1:]) | blank[:-1] | blank[1:]
    maybe = np.flatnonzero(near)
    reads = np.zeros(len(doc), np.bool_)
    reads[maybe] = reads[maybe + 1] = True
    place = np.cumsum(reads)[maybe] - 1
    read = texts.gather(np.flatnonzero(reads)).str.strip_chars()
    initial = read.str.head(ALIKE_CHARS)
    alike = place[(initial == initial.shift(-1, fill_value="")).to_numpy()[place]]
    one, other = read.gather(alike), read.gather(alike + 1)
    same = one == other
    unlike = (~same).arg_true()
    same = same.scatter(unlike, _say_the_same(one.gather(unlike), other.gather(unlike)))
    told = np.zeros(len(read), np.bool_)
    told[alike] = same.to_numpy()
    found: Array = maybe[told[place]]
    return found


def _runs(repeats: Array) -> tuple[Array, Array]:
    """The first and the last row of each run of lines that say the same, of those short enough for captions."""
    if not len(repeats):
        return repeats, repeats
    ends = np.flatnonzero(np.diff(repeats, append=repeats[-1] + 2) != 1)
    first, last = repeats[np.r_[0, ends[:-1] + 1]], repeats[ends] + 1
    short = last - first < MAX_RUN
    return first[short], last[short]


def _read(texts: pl.Series) -> tuple[Array, Array]:
    """Which of `texts` give a credit, and which are a sentence, or not made of words."""
    text = pl.col("text")
    letters = text.str.count_matches(r"[\p{L}\p{M}]")
    told = texts.to_frame("text").select(
        credit=text.str.contains(CREDIT),
        sentence=text.str.contains(SENTENCE_END) | (letters * 2 < text.str.len_chars()),
    )
    return told["credit"].to_numpy(), told["sentence"].to_numpy()


def _say_the_same(texts: pl.Series, others: pl.Series) -> pl.Series:
    """Whether two captions differ in a character or two, or one only adds a credit; never in a number."""
    alike = process.cpdist(
        texts.to_list(),
        others.to_list(),
        scorer=Indel.normalized_similarity,
        score_cutoff=RATIO_MIN,
        dtype=np.float64,
    )
    text, other = pl.col("text"), pl.col("other")
    shorter = text.str.len_chars() <= other.str.len_chars()
    short, long = pl.when(shorter).then(text).otherwise(other), pl.when(shorter).then(other).otherwise(text)
    size = short.str.len_chars()
    rest = long.str.slice(size).str.strip_chars_start(_SPACES).str.head(1)
    credited = (size >= 2 * MIN_CHARS) & long.str.starts_with(short) & rest.is_in(CREDIT_MARKS)
    pairs = pl.DataFrame({"text": texts, "other": others, "alike": alike >= RATIO_MIN})
    said = pairs.select(pl.col("alike") | credited).to_series()
    maybe = pairs.filter(said)
    numbers = [_numbers(maybe[name]) for name in ("text", "other")]
    return said.scatter(said.arg_true(), numbers[0] == numbers[1])


def _numbers(texts: pl.Series) -> pl.Series:
    return texts.str.replace_all(r"[^\p{Nd}]+", " ").str.strip_chars()
