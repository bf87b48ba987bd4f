"""Bylines: the lines in the head of a page that name its authors, in many languages."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from etl.boilerplate.body import above_body
from etl.boilerplate.lines import edges, matching
from etl.late import late

Array = npt.NDArray[Any]

BYLINE_CHARS: Final = 140
NAME_CHARS: Final = 40
_SPLIT: Final = "\x1f"

# Words before the authors. Bare ones need names behind them; a label with a colon tells by itself.
_VERBS: Final = (
    *("written", "posted", "published", "reported", "story", "words", "text", "article", "analysis", "report"),
    *("review", "opinion", "researched", "submitted", "compiled"),
)
_BARE_WORDS: Final = (
    *(rf"{verb}\s+by" for verb in _VERBS),
    *("by", "von", "ein beitrag von", "par", "publié par", "écrit par", "propos recueillis par", "por"),
    *("escrito por", "publicado por", "di", "a cura di", "scritto da", "pubblicato da", "door"),
    *("geschreven door", "oleh", "ditulis oleh", "yazan", "haber", "του", "της", "των", "γράφει ο", "γράφει η"),
    *("γράφουν οι", "γράφει", "από τον", "από την", "επιμέλεια", "autor", "автор", "текст", "penulis", "بقلم"),
    *("كتب", "كتبت"),
)
_LABELS: Final = (
    *("by", "author", "authors", "written by", "posted by", "reporter", "writer", "text", "words", "autor"),
    *("autorin", "autoren", "verfasser", "redakteur", "auteur", "auteurs", "autores", "autora", "redactor"),
    *("texto", "autore", "autori", "testo", "tekst", "redactie", "autorka", "autorzy", "opracowanie"),
    *("opracował", "opracowała", r"oprac\.", "dodał", "dodała", "napisał", "napisała", "автор", "авторы"),
    *("автор статьи", "автор текста", "текст", "источник и автор", "подготовил", "подготовила", "yazan"),
    *("yazar", "haber", "muhabir", "συντάκτης", "συντάκτρια", "κείμενο", "ρεπορτάζ", "επιμέλεια", "γράφει"),
    *("γράφουν", "penulis", "reporter", "pewarta", "oleh", "بقلم", "كتب", "كتبت", "تحرير", "إعداد", "الكاتب"),
)
_BARE_BYLINE: Final = "(?:" + "|".join(_BARE_WORDS) + ")"
_LABEL_BYLINE: Final = "(?:" + "|".join(_LABELS) + ")"
_HAN_BYLINE: Final = r"(?:文|图文|圖文|撰文|作者|记者|記者|通讯员|编辑|編輯|责任编辑|責任編輯|实习编辑|取材・文|取材|執筆|著者|ライター|글|글쓴이)"

_PARTICLES: Final = frozenset(
    {
        *("de", "da", "do", "dos", "das", "di", "del", "della", "der", "den", "van", "von", "zu", "zum", "zur", "ter"),
        *("te", "la", "le", "las", "los", "el", "al", "bin", "ibn", "ben", "abu", "y", "e", "i", "af", "av"),
        *("du", "des", "st"),
    }
)
_JOINERS: Final = late(
    r"\s*(?:,|;|、|，|/|／|\s(?:and|und|et|y|e|en|i|oraz|и|και|ve|dan|with|&|\+)\s)\s*", re.IGNORECASE
)
_PLACES: Final = late(
    r"\s(?:in|for|from|at|of|on|aus|für|à|pour|para|em|dla|из|для|στην|στη|στο|uit|voor|w|we|im)\s.*$", re.IGNORECASE
)
_ROLES: Final = late(
    r"\b(?:staff|senior|chief|correspondent|reporter|editor|writer|columnist|contributor|contributing|journalist|bureau|"
    r"special|guest|associate|assistant|deputy|political|medical|business|science|health|sports|photographer|author|"
    r"redakteurin|redakteur|korrespondent|korrespondentin|journaliste|redacteur|redactor|redactora|giornalista|"
    r"dziennikarz|dziennikarka|корреспондент|обозреватель|muhabir|wartawan|phd|md|jr|sr|dr|prof|updated|published|"
    r"agencies|news|service|desk|team|online|digital|press|network|com|magazine)\b",
    re.IGNORECASE,
)


_CASED_BYLINE: Final = late(
    rf"[\s•·|>–—*_-]*(?:(?P<label>{_LABEL_BYLINE})\s?[:：]\s*|(?P<bare>{_BARE_BYLINE})\s+)(?P<names>\S.*)",
    re.IGNORECASE,
)
_HAN_BYLINE_LINE: Final = late(
    rf"[\s（(【\[]*{_HAN_BYLINE}\s?(?:[/／:：|｜丨=＝]|\s)\s*(?P<names>[^\W\d_a-z][^\d。！？!?，]{{1,40}}?)[\s）)】\]]*$"
)
_KOREAN_BYLINE: Final = late(
    r"[\s\[(]*(?:[가-힣A-Za-z]{2,10}\s*=\s*)?(?P<names>[가-힣]{2,4}(?:\s?[,·]\s?[가-힣]{2,4}){0,3})\s?(?:선임|인턴|객원|전문)?\s?(?:기자|특파원)"
    r"[\s\])]*(?:\S{1,40}@\S{1,60})?\s*$"
)
_HAN_REPORTER: Final = late(
    r"[^\d。！？!?]{0,12}?[/／╱|｜\s]?記者(?P<names>[\u4e00-\u9fff]{2,4}(?:[、\s][\u4e00-\u9fff]{2,4}){0,3})\s?[/／╱]\s?[\u4e00-\u9fff]{2,8}$"
)


@lru_cache(maxsize=1 << 14)  # the same names sign page after page
def _read_byline(text: str) -> tuple[str, ...]:
    """The authors that a byline names; empty when the line is no byline, or says more than a byline does."""
    line = text.strip()
    for pattern in (_KOREAN_BYLINE, _HAN_REPORTER, _HAN_BYLINE_LINE):
        hit = pattern.match(line)
        if hit:
            return tuple(n for n in re.split(r"[、,，·;；\s]+", hit["names"]) if 2 <= len(n) <= 20)[:8]
    hit = _CASED_BYLINE.match(line)
    if not hit:
        return ()
    body = hit["names"].strip(" -–—|•·:")
    body = re.split(r"\s*(?:[|｜•·»]|\s[-–—]\s)\s*", body)[0].rstrip(".,;: ")
    if not body or body[-1] in "!?…。" or len(body) > 100:
        return ()
    authors: list[str] = []
    for part in _JOINERS.split(body):
        name = _PLACES.sub("", " " + part.strip()).strip(" .")
        if _is_name(name, loose=bool(hit["label"])):
            authors.append(name)
        elif not (authors and (_ROLES.search(part) or part.strip()[:1].isupper())):
            return ()
    several = [a for a in authors if " " in a]
    named = [a for a in several or authors[:1] if not (several and _ROLES.search(a))]
    return tuple(named or authors[:1])


def _is_name(text: str, *, loose: bool) -> bool:
    """Whether `text` looks like a person's or an agency's name: one to five words, capitals where the script has them."""
    words = text.split()
    if not 1 <= len(words) <= 5 or len(text) > 48 or any(c.isdigit() for c in text) or text[-1:] in ":?!":
        return False
    if loose or not any(c.isupper() or c.islower() for c in text):
        return len(words) <= 4
    if len(words) == 1 and not (text.isupper() and len(text) <= 8):
        return False
    capital = [w for w in words if w[0].isupper() or (len(w) > 2 and w[1] in "'’" and w[2].isupper())]
    return words[0] in capital and all(w in capital or w in _PARTICLES for w in words)


_BARE_NAME: Final = r"^\p{Lu}[\p{L}'’-]+(?:\s(?:\p{Lu}\.|de|van|von|der|da|al|bin|\p{Lu}[\p{L}'’-]+)){1,3}$"


_MAYBE_BYLINE: Final = (
    rf"(?i)^[\s•·|>–—*_-]*(?:(?:{_LABEL_BYLINE})\s?[:：]|(?:{_BARE_BYLINE})\s)|^[\s（(【\[]*{_HAN_BYLINE}"
)
_REPORTER: Final = "记者|記者|기자|특파원"


def _openings() -> Array:
    """For the low five bits of a line's first three bytes, whether one that begins with a letter can be a byline."""
    table = np.zeros(1 << 15, np.bool_)
    for word in (*_LABELS, *_BARE_WORDS):
        if word[0].isascii():
            bits = [[ord(char) & 31] if char.isascii() else range(32) for char in word[:3]]
            first, second, third = np.ix_(*bits, *[range(32)] * (3 - len(bits)))
            table[first | second << 5 | third << 10] = True
    return table


_OPENINGS: Final = _openings()
_MAY_LEAD: Final = np.isin(np.arange(256), [*range(0x21), *b"|>*_-([", *range(0x80, 0x100)])
_LETTERS: Final = np.isin(np.arange(256), [*range(0x41, 0x5B), *range(0x61, 0x7B)])


def byline_lines(head: pl.DataFrame) -> pl.DataFrame:
    """Lines of the head that name the authors: row, doc, idx, body, authors, rule, score, cut."""
    near = head["prose"].to_numpy() & (head["idx"].to_numpy() <= head["body"].to_numpy() + 2)
    place = np.flatnonzero((head["chars"].to_numpy() <= BYLINE_CHARS) & (above_body(head) | near))
    texts = head["bare"].gather(place)
    edge = edges(texts)
    maybe = np.flatnonzero(_may_open(edge.first))
    is_byline = np.zeros(len(place), np.bool_)
    is_byline[maybe] = texts.gather(maybe).str.contains(_MAYBE_BYLINE).to_numpy()
    beyond_ascii = np.flatnonzero(~head["ascii"].to_numpy()[place])
    is_byline[beyond_ascii] |= texts.gather(beyond_ascii).str.contains(_REPORTER).to_numpy()
    rows = head.select("row", "doc", "idx", "body", "bare")[place[is_byline]]
    # A line or two a document: those of its head that begin as a byline does.
    authors = [_SPLIT.join(_read_byline(text)) for text in rows["bare"]]
    return (
        rows.drop("bare")
        .with_columns(
            pl.Series("authors", authors, dtype=pl.String),
            rule=pl.lit("byline"),
            score=pl.lit(0.95, pl.Float32),
            cut=pl.lit(True),
        )
        .filter(pl.col("authors") != "")
        .with_columns(pl.col("authors").str.split(_SPLIT))
    )


def _may_open(first: Array) -> Array:
    """Whether a line with those first four bytes may begin as a byline does."""
    one, two, three = (first >> shift & 0xFF for shift in (0, 8, 16))
    word = _OPENINGS[one & 31 | (two & 31) << 5 | (three & 31) << 10] | (two >= 0x80) | (three >= 0x80)
    may: Array = np.where(_LETTERS[one], word, _MAY_LEAD[one])
    return may


def bare_names(head: pl.DataFrame, *, titles: pl.DataFrame, bylines: pl.DataFrame) -> pl.DataFrame:
    """Lines between title and body that are a person's name and nothing else (columns as of `byline_lines`)."""
    above = titles.group_by("doc").agg(title_idx=pl.col("idx").min())
    before_body = head["body"].to_numpy() - head["idx"].to_numpy()
    alone = (head["above"].to_numpy() > 0) & (head["below"].to_numpy() > 0) & ~head["spaced"].to_numpy()
    rows = np.flatnonzero((head["chars"].to_numpy() <= NAME_CHARS) & (before_body > 0) & (before_body <= 2) & alone)
    rows = matching(head["bare"], rows, _BARE_NAME)
    some: pl.DataFrame = head.select("row", "doc", "idx", "body", "bare")[rows]
    return (
        some.join(above, on="doc", maintain_order="left")
        .join(bylines.select("doc").unique(), on="doc", how="anti", maintain_order="left")
        .filter(pl.col("idx") > pl.col("title_idx"))
        .select(
            "row",
            "doc",
            "idx",
            "body",
            authors=pl.concat_list("bare"),
            rule=pl.lit("byline"),
            score=pl.lit(0.7, pl.Float32),
            cut=pl.lit(True),
        )
    )
