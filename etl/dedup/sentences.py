"""The table of sentences: where each begins and ends, its key, and whether it could go without a scar.

The splitter works on whole batches of code points and errs on the side of not splitting: two sentences taken for one
are at worst kept when they could have gone, a sentence cut in two could lose a half. `confirm_boundaries` asks a
slower, exact splitter about the few sentences that are about to go.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
import sentencex

from etl.dedup.normalize import (
    BLANK,
    CASELESS,
    CLOSE,
    DASH,
    DENSE,
    DIGIT,
    DOT,
    INVISIBLE,
    LOWER,
    NEWLINE,
    OPEN,
    OTHER,
    QUOTE,
    SPACE,
    SYMBOL,
    UPPER,
    WIDE_STOP,
    Codes,
    Folded,
    Indices,
    Kinds,
    code_points,
    fold_codes,
    kinds_of,
    slice_hashes,
    tables,
)

Flags = npt.NDArray[np.bool_]

SENTENCES: Final = pl.Schema(
    {
        "doc": pl.UInt32,
        "line": pl.UInt32,
        "start_char": pl.UInt32,
        "end_char": pl.UInt32,
        "n_words": pl.UInt32,
        "key_hash": pl.Int64,
        "whole": pl.Boolean,
        "ends_properly": pl.Boolean,
        "quoted": pl.Boolean,
    }
)
"""start_char, end_char: code points in the repaired text, end exclusive, no space at either end. n_words: words, a
character of a script without spaces counting as one. key_hash: xxh3_64 of the comparable form. whole: quotes and
brackets are balanced, so removing it leaves no half pair. ends_properly: ends with a full stop or the like.
quoted: holds a quotation."""

_CITATION: Final = re.compile(r"\s{1,3}\[[^\[\]]{1,20}\]$")  # Felled in 1912. [1]
_CITATION_CHARS: Final = 30
_CHUNK_CHARS: Final = 1 << 19  # arrays of a million code points stay near the processor
_PAD: Final = 16

_TITLES: Final = (
    "dr mr mrs ms prof gen sen rep gov lt col sgt cpl maj capt cmdr adm st mt ft rev hon pres supt insp messrs mme mlle sr sra srta "
    "dra drs ing dipl hr fr frl bzw vgl ca evtl ggf inkl zzgl sog bspw geb gest dott avv vs viz cf approx tel min max ed eds "
    "г ул им д р см гр т е св проф акад тыс млн млрд np tzw tj m.in prof.dr dr.med ph al mgr inż ks jhr mevr dhr"
)
_NUMBERED: Final = (
    "no nos nr nrs num núm n nº p pp pg pag pág vol vols art arts fig figs sec sect ch chap para abs kap tab bd nr s str op ex eq "
    "jan feb mar apr jun jul aug sep sept oct nov dec okt dez ene abr ago dic janv févr avr juil déc gen mag giu lug set ott"
)
_WEAK: Final = (
    "inc corp co ltd bros llc plc jr sr esq etc usw u.s u.k u.n e.u a.m p.m d.c ph.d m.d b.a m.a u.s.a n.y l.a v i.e e.g z.b d.h u.a o.ä "
    "s.a s.p.a s.r.l b.v n.v a.g e.v ee.uu a.c d.c a.d b.c av blvd ave rd sq dept univ assn bldg est mio mrd mil mln tys int intl natl "
    "jan feb mar apr jun jul aug sep sept oct nov dec mon tue tues wed thu thur thurs fri sat sun calif fla ill mass mich minn pa tex va wash"
)
_STARTERS: Final = (
    "the he she it its in but and we they this that these those there his her their our your my you as at on for if when while after before "
    "however although though since so then now not what why how who where which with by from to an or no yes some many most all one two "
    "der die das ein eine es er sie wir ihr ich im am auf und aber doch auch dies diese dieser dieses für mit nach bei wenn als so dann nun "
    "le la les il elle ils elles un une ce cette ces en dans mais et pour nous vous on au aux je si "
    "el lo los las una pero y es se por para su sus no con al del esta este estos "
    "o os as um uma mas e em na nas nos eu ele ela eles isso "
    "gli i uno ma di nel nella è si per con che non "
    "de het een hij zij wij ze we maar van voor niet dit dat deze er "
    "в и но на он она они это мы я не как что по а с у для так w i na to nie ale jest z do że po się"
)
_MONTHS: Final = (
    "januar februar märz april mai juni juli august september oktober november dezember jänner ledna února března dubna května června července "
    "srpna září října listopadu prosince tammikuuta marraskuuta joulukuuta mars maj desember december februari januari jahrhundert jahrhunderts "
    "klasse platz rang liga runde etage stock jh geburtstag bezirk"
)


@dataclass(frozen=True, slots=True)
class Batch:
    """Some whole documents as one array of code points, lines apart by one newline, with their sentences.

    doc, line, start, end: of each sentence, as in SENTENCES. first, past: the sentence's slice of folded.codes.
    starts, ends: its slice of codes. words: how many it has. word_starts: where each word begins in folded.codes.
    """

    codes: Codes
    kinds: Kinds
    folded: Folded
    doc: npt.NDArray[np.uint32]
    line: npt.NDArray[np.uint32]
    start: npt.NDArray[np.uint32]
    end: npt.NDArray[np.uint32]
    first: Indices
    past: Indices
    starts: Indices
    ends: Indices
    words: Indices
    word_starts: Indices


def split_sentences(segments: pl.DataFrame) -> pl.DataFrame:
    """The sentences of `segments` (doc, line, start, end, text; sorted by doc, line, start) with the schema SENTENCES."""
    parts = [sentence_table(batch) for batch in batches(segments)]
    return pl.concat(parts) if parts else pl.DataFrame(schema=SENTENCES)


def batches(segments: pl.DataFrame) -> Iterator[Batch]:
    """Whole documents at a time, about a million characters each: the arrays that sentences and fingerprints are made from."""
    if not segments.height:
        return
    docs = segments["doc"].to_numpy()
    sizes = (segments["end"] - segments["start"] + 1).to_numpy().astype(np.int64)
    firsts = np.flatnonzero(np.r_[True, docs[1:] != docs[:-1]])
    offset = np.cumsum(sizes)[np.r_[firsts[1:], len(docs)] - 1]  # characters up to the end of each document
    done, row = 0, 0
    while row < len(docs):
        doc = int(np.searchsorted(offset, done + _CHUNK_CHARS, side="right"))
        doc = max(doc, int(np.searchsorted(firsts, row, side="right")))
        past = int(firsts[doc]) if doc < len(firsts) else len(docs)
        yield _batch(segments[row:past])
        done, row = int(offset[doc - 1]), past


def sentence_table(batch: Batch) -> pl.DataFrame:
    """One batch's part of the table of sentences."""
    whole, quoted = _balance(batch)
    last = batch.ends - 1
    for _ in range(4):  # closing quotes and brackets after the stop
        closing = (batch.kinds[last] == CLOSE) | (batch.kinds[last] == QUOTE)
        last = np.where(closing, np.maximum(last - 1, batch.starts), last)
    ends_properly = (batch.kinds[last] >= DOT) & (batch.kinds[last] <= WIDE_STOP)
    return pl.DataFrame(
        {
            "doc": batch.doc,
            "line": batch.line,
            "start_char": batch.start,
            "end_char": batch.end,
            "n_words": batch.words.astype(np.uint32),
            "key_hash": slice_hashes(batch.folded.codes, batch.first, batch.past),
            "whole": whole,
            "ends_properly": ends_properly,
            "quoted": quoted,
        },
        schema=SENTENCES,
    )


def confirm_boundaries(text: str, start: int, end: int, *, lang: str = "en") -> bool:
    """Whether an exact splitter too sees whole sentences in text[start:end], `text` being one line.

    For sentences about to be removed only: it costs some 20 µs a line.
    """
    if not 0 <= start < end <= len(text):
        return False
    if not text[:start].strip() and not text[end:].strip():
        return True
    starts, ends = {0}, {len(text)}
    position = 0
    for sentence in sentencex.segment(lang, text):
        bare = sentence.strip()
        at = text.find(bare, position)
        if at < 0:
            return False
        position = at + len(bare)
        starts.add(at)
        ends.add(position)
        ends.update(position - len(mark) for mark in _CITATION.findall(bare[-_CITATION_CHARS:]))
    return (start in starts or not text[:start].strip()) and (end in ends or not text[end:].strip())


def _batch(segments: pl.DataFrame) -> Batch:
    codes = code_points(str(segments["text"].str.join("\n").item()) + "\n")
    kinds = kinds_of(codes)
    sizes = (segments["end"] - segments["start"]).to_numpy().astype(np.intp) + 1
    edge = np.cumsum(sizes) - 1  # where each segment's newline stands
    first = edge - sizes + 1
    folded = fold_codes(codes, kinds)
    solid = np.flatnonzero(kinds >= OTHER)
    ends, starts = _boundaries(codes, kinds, solid)
    # Trim each segment, then lay the boundaries between its ends: sorted, starts and ends pair up.
    left = np.append(solid, len(codes))[np.searchsorted(solid, first)]
    right = np.append(solid, -1)[np.searchsorted(solid, edge) - 1] + 1
    filled = (left >= first) & (right <= edge) & (left < right)
    starts = np.sort(np.concatenate([starts, left[filled]]))
    ends = np.sort(np.concatenate([ends, right[filled]]))
    segment = np.searchsorted(edge, starts)
    shift = segments["start"].to_numpy().astype(np.intp)[segment] - first[segment]
    begin, past = folded.positions(starts), folded.positions(ends)
    filled = np.flatnonzero(past > begin)
    past[filled] -= folded.codes[past[filled] - 1] == BLANK
    words = _word_starts(folded, kinds)
    return Batch(
        codes=codes,
        kinds=kinds,
        folded=folded,
        doc=segments["doc"].to_numpy()[segment].astype(np.uint32),
        line=segments["line"].to_numpy()[segment].astype(np.uint32),
        start=(starts + shift).astype(np.uint32),
        end=(ends + shift).astype(np.uint32),
        first=begin,
        past=past,
        starts=starts,
        ends=ends,
        words=np.searchsorted(words, past) - np.searchsorted(words, begin),
        word_starts=words,
    )


def _word_starts(folded: Folded, kinds: Kinds) -> Indices:
    """Where each word of a folded text begins; a character of a script without spaces is a word."""
    solid = folded.codes != BLANK
    begins = solid.copy()
    begins[1:] &= ~solid[:-1]
    dense = np.flatnonzero(kinds == DENSE)
    if len(dense):
        at = folded.positions(dense)
        begins[at] = True
        at = at[at < len(begins) - 1] + 1
        begins[at] |= solid[at]
    return np.flatnonzero(begins)


def _boundaries(codes: Codes, kinds: Kinds, solid: Indices) -> tuple[Indices, Indices]:
    """Where sentences end (exclusive) and where the next one begins, for every boundary inside a line."""
    none = np.zeros(0, dtype=np.intp)
    stop = np.flatnonzero((kinds >= DOT) & (kinds <= WIDE_STOP))
    stop = stop[stop < len(kinds) - 1]  # the last character is a newline; it also stands "before" the first
    stop = stop[(kinds[stop + 1] < DOT) | (kinds[stop + 1] > WIDE_STOP)]
    if not len(stop) or not len(solid):
        return none, none
    past = stop + 1
    for _ in range(4):  # the text ends with a newline, which is no closer
        past = past + ((kinds[past] == CLOSE) | (kinds[past] == QUOTE))
    kind = kinds[past]
    wide = (kinds[stop] == WIDE_STOP) & (past == stop + 1) & (kind != NEWLINE)
    spaced = (kind == SPACE) | (kind == INVISIBLE)
    chosen = spaced | wide
    stop, past, wide = stop[chosen], past[chosen], wide[chosen]
    slot = np.searchsorted(solid, past)
    inside = slot < len(solid)
    stop, past, wide, slot = stop[inside], past[inside], wide[inside], slot[inside]
    begin = solid[slot]
    lookahead = begin
    for _ in range(4):  # over what may open a sentence: quotes, brackets, dashes, bullets
        step = kinds[lookahead]
        lookahead = lookahead + (((step >= OTHER) & (step <= DASH) & (step != CLOSE)) | (step == SPACE))
    kind = kinds[lookahead]
    opens = (kind == UPPER) | (kind == DIGIT) | (kind >= CASELESS) | (kind == SYMBOL) | wide
    newline = _crosses_line(kinds, past, begin)
    chosen = opens & ~newline
    stop, past, begin, lookahead = stop[chosen], past[chosen], begin[chosen], lookahead[chosen]
    single = (kinds[stop] == DOT) & (kinds[stop - 1] != DOT) & (past == stop + 1)
    doubtful = np.flatnonzero(single)
    real = np.ones(len(stop), dtype=np.bool_)
    real[doubtful] = ~_abbreviated(codes, kinds, stop[doubtful], lookahead[doubtful])
    return past[real], begin[real]


def _crosses_line(kinds: Kinds, past: Indices, begin: Indices) -> Flags:
    """Whether a newline stands between two offsets."""
    lines = np.flatnonzero(kinds == NEWLINE)
    crosses: Flags = np.searchsorted(lines, past) != np.searchsorted(lines, begin)
    return crosses


def _abbreviated(codes: Codes, kinds: Kinds, stop: Indices, follows: Indices) -> Flags:
    """Whether the full stop at `stop` belongs to an abbreviation, an initial or an ordinal rather than to the sentence."""
    words = _word_sets()
    before, length, dots, digits, plain, roman = _word_before(codes, kinds, stop)
    last = kinds[np.maximum(stop - 1, 0)]
    initial = (length == 1) & ((last == UPPER) | (last == LOWER))
    # św. ppłk. str.: a few small letters without a vowel. 3. Oktober, III. Felipe: an ordinal.
    clipped = (plain == length) & (length >= 2) & (length <= 4)
    ordinal = ((digits == length) & (length <= 2) | (roman == length) & (length <= 5)) & (length > 0)
    abbreviated: Flags = np.isin(before, words["titles"]) | (
        np.isin(before, words["numbered"]) & (kinds[follows] == DIGIT)
    )
    doubtful = np.flatnonzero(
        ~abbreviated & (np.isin(before, words["weak"]) | (dots > 0) | initial | clipped | ordinal)
    )
    after = _word_after(codes, kinds, follows[doubtful])
    abbreviated[doubtful] = ~np.isin(after, words["starters"]) | (ordinal[doubtful] & np.isin(after, words["months"]))
    return abbreviated


_CONSONANTS: Final = np.array(
    [ord(char) for char in "bcdfghjklmnpqrstvwxzśźżćńłčšžřďťňбвгджзйклмнпрстфхцчшщ"], dtype=np.uint32
)
_ROMAN: Final = np.array([ord(char) for char in "IVX"], dtype=np.uint32)
_FACTOR: Final = np.uint64(0x9E3779B97F4A7C15)
_LOOK: Final = 14
_LOOK_BACK: Final = 8


def _word_before(
    codes: Codes, kinds: Kinds, stop: Indices
) -> tuple[npt.NDArray[np.uint64], Indices, Indices, Indices, Indices, Indices]:
    """Of the word that ends just before each offset: its hash, its length, how many dots, digits, small consonants and
    letters of Roman numbers it holds."""
    fold_to = tables().fold
    alive = np.ones(len(stop), dtype=np.bool_)
    value = np.zeros(len(stop), dtype=np.uint64)
    length, dots, digits, plain, roman = (np.zeros(len(stop), dtype=np.intp) for _ in range(5))
    for back in range(1, _LOOK_BACK + 1):
        at = np.maximum(stop - back, 0)
        kind = kinds[at]
        alive &= (stop >= back) & ((kind > SYMBOL) | (kind == DOT))
        value = np.where(alive, value * _FACTOR + fold_to[codes[at]], value)
        length += alive
        dots += alive & (kind == DOT)
        digits += alive & (kind == DIGIT)
        plain += alive & (kind == LOWER) & np.isin(codes[at], _CONSONANTS)
        roman += alive & np.isin(codes[at], _ROMAN)
    value[alive] = 0  # too long for an abbreviation
    dots[alive] = 0
    return value, length, dots, digits, plain, roman


def _word_after(codes: Codes, kinds: Kinds, follows: Indices) -> npt.NDArray[np.uint64]:
    """The hash of the word that begins at each offset."""
    fold_to = tables().fold
    alive = np.ones(len(follows), dtype=np.bool_)
    value = np.zeros(len(follows), dtype=np.uint64)
    limit = len(codes) - 1
    for ahead in range(_LOOK):
        at = np.minimum(follows + ahead, limit)
        alive &= kinds[at] > SYMBOL
        if not alive.any():
            break
        value = np.where(alive, value * _FACTOR + fold_to[codes[at]], value)
    return value


@cache
def _word_sets() -> dict[str, npt.NDArray[np.uint64]]:
    def hashes(words: str, *, backwards: bool) -> npt.NDArray[np.uint64]:
        values = []
        for word in words.split():
            value = 0
            for char in reversed(word) if backwards else word[:_LOOK]:
                value = (value * int(_FACTOR) + int(tables().fold[ord(char)])) & 0xFFFFFFFFFFFFFFFF
            values.append(value)
        return np.unique(np.array(values, dtype=np.uint64))

    return {
        "titles": hashes(_TITLES, backwards=True),
        "numbered": hashes(_NUMBERED, backwards=True),
        "weak": hashes(_WEAK, backwards=True),
        "starters": hashes(_STARTERS, backwards=False),
        "months": hashes(_MONTHS, backwards=False),
    }


def _balance(batch: Batch) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Whether each sentence's quotes and brackets pair up, and whether it holds a quotation."""
    n = len(batch.starts)
    at = np.flatnonzero((batch.kinds >= OPEN) & (batch.kinds <= QUOTE))
    owner = np.searchsorted(batch.starts, at, side="right") - 1
    at, owner = at[owner >= 0], owner[owner >= 0]
    marks = batch.codes[at]
    quote, straight = np.isin(marks, _DOUBLE), marks == ord('"')
    weight = np.isin(marks, _OPENING).astype(np.int64) - np.isin(marks, _CLOSING)
    brackets = np.bincount(owner, weights=weight, minlength=n)
    quotes = np.bincount(owner[quote], minlength=n)
    whole = (brackets == 0) & (quotes % 2 == 0) & (np.bincount(owner[straight], minlength=n) % 2 == 0)
    return whole, quotes > 0


_DOUBLE: Final = np.array([ord(char) for char in '"“”„«»「」『』″＂'], dtype=np.uint32)
_OPENING: Final = np.array([ord(char) for char in "([{（［｛【〔《〈"], dtype=np.uint32)
_CLOSING: Final = np.array([ord(char) for char in ")]}）］｝】〕》〉"], dtype=np.uint32)
