"""Repeated captions: a picture's alternative text and its caption, saved one after the other.

Both lines go: a caption is not the article, and a sentence that ends as one is left to sentence deduplication, which
keeps one copy. Verse, tables and lists repeat lines too, so a pair must stand against prose, be no longer run than
three, and be made of words.
"""

from __future__ import annotations

from typing import Final

import polars as pl
from rapidfuzz.distance import Indel

from etl.boilerplate.lines import MARKS

MIN_CHARS: Final = 12  # shorter repeats are table cells ("N/A"), verse ("la la la") and labels
MAX_CHARS: Final = 300
MAX_RUN: Final = 3  # alt text, title text and caption; a fourth copy is a refrain or a table
RATIO_MIN: Final = 0.96  # of 1; one word changed in a caption of ten falls below
PROSE_CHARS: Final = 120
PROSE_CHARS_CJK: Final = 40

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
    table = _runs(_near_equal(_candidates(lines)))
    run = pl.struct("doc", "run")
    beside_prose = (pl.col("prose_above").first() | pl.col("prose_below").last()).over(run)
    title = pl.col("first").first().over(run)  # a repeated title, which has its own rule
    credit = pl.col("credit").all().over(run)
    sentence = pl.col("sentence").any().over(run)
    size = pl.len().over(run)
    return (
        table.filter((size >= 2) & (size <= MAX_RUN) & (credit | (beside_prose & ~title & ~sentence)))
        .sort("doc", "line")
        .select(
            "doc",
            "line",
            "start",
            "end",
            unit=pl.lit("line"),
            rule=pl.lit(RULE),
            score=pl.lit(1.0, dtype=pl.Float32),
            reason=pl.lit(REASON),
        )
        .cast(MARKS)
    )


def _candidates(lines: pl.DataFrame) -> pl.DataFrame:
    """`lines` with what decides: the stripped text, its length, place, the neighbours; only lines that may pair up.

    A pair needs a line of about its own length beside it, which leaves few rows for the work below.
    """
    cjk = (pl.col("text").str.len_bytes() * 2 > pl.col("chars") * 5) & (pl.col("chars") >= PROSE_CHARS_CJK)
    prose = (pl.col("chars") >= PROSE_CHARS) | cjk
    alike = pl.col("initial") == pl.col("initial").shift(-1)
    longer, shorter = pl.max_horizontal("chars", "chars_below"), pl.min_horizontal("chars", "chars_below")
    near = (longer - shorter <= 60) & (shorter >= MIN_CHARS) & (longer <= MAX_CHARS)
    return (
        lines.lazy()
        .select("doc", "line", "start", "end", "text")
        .with_columns(
            chars=pl.col("end").cast(pl.Int64) - pl.col("start"),
            initial=pl.col("text").str.strip_chars_start().str.head(8),
        )
        .with_columns(
            prose=prose,
            same_above=pl.col("doc") == pl.col("doc").shift(1),
            same_below=pl.col("doc") == pl.col("doc").shift(-1),
        )
        .with_columns(
            first=(pl.col("doc") != pl.col("doc").shift(1)).fill_null(True),
            prose_above=(pl.col("prose").shift(1) & pl.col("same_above")).fill_null(False),
            prose_below=(pl.col("prose").shift(-1) & pl.col("same_below")).fill_null(False),
            chars_below=pl.col("chars").shift(-1),
        )
        .with_columns(opens=(pl.col("same_below") & near & alike).fill_null(False))
        .with_columns(closes=(pl.col("opens").shift(1) & pl.col("same_above")).fill_null(False))
        .filter(pl.col("opens") | pl.col("closes"))
        .with_columns(text=pl.col("text").str.strip_chars())
        .with_columns(text_below=pl.when("opens").then(pl.col("text").shift(-1)))
        .collect()
    )


def _near_equal(table: pl.DataFrame) -> pl.DataFrame:
    """`table` with `pair`: this line and the next one say the same."""
    table = table.with_columns(pair=(pl.col("text") == pl.col("text_below")).fill_null(False)).with_row_index("row")
    digits = r"[^\p{Nd}]+"
    fuzzy = table.filter(
        ~pl.col("pair")
        & pl.col("text_below").is_not_null()
        & (
            pl.col("text").str.replace_all(digits, " ").str.strip_chars()
            == pl.col("text_below").str.replace_all(digits, " ").str.strip_chars()
        )
    ).select("row", "text", "text_below")
    # A Python loop over neighbours that begin alike and hold the same numbers: a handful in a thousand lines.
    same = [row for row, text, below in fuzzy.iter_rows() if _says_the_same(text, below)]
    return table.with_columns(
        pair=pl.col("pair") | pl.col("row").is_in(pl.Series(same, dtype=pl.get_index_type()).implode())
    )


def _says_the_same(one: str, other: str) -> bool:
    """Whether two captions differ in a character or two, or one only adds a credit."""
    if Indel.normalized_similarity(one, other, score_cutoff=RATIO_MIN) >= RATIO_MIN:
        return True
    short, long = sorted((one, other), key=len)
    rest = long[len(short) :].strip()
    return len(short) >= 2 * MIN_CHARS and long.startswith(short) and rest[:1] in ("©", "(", "[", "|", "/")


def _runs(table: pl.DataFrame) -> pl.DataFrame:
    """The lines of `table` that belong to a pair, numbered by `run`, with what a whole run is judged by."""
    joins_above = (pl.col("pair").shift(1) & (pl.col("doc") == pl.col("doc").shift(1)) & pl.col("closes")).fill_null(
        False
    )
    letters = pl.col("text").str.count_matches(r"[\p{L}\p{M}]")
    return (
        table.with_columns(joins_above=joins_above)
        .with_columns(run=(~pl.col("joins_above")).cum_sum())
        .filter(pl.col("pair") | pl.col("joins_above"))
        .with_columns(
            credit=pl.col("text").str.contains(CREDIT),
            sentence=pl.col("text").str.contains(SENTENCE_END) | (letters * 2 < pl.col("text").str.len_chars()),
        )
    )
