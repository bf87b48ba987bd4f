"""The table of sentences: where each begins and ends, its key, and whether it could go without a scar.

The splitter works on whole batches of code points and errs on the side of not splitting: two sentences taken for one
are at worst kept when they could have gone, a sentence cut in two could lose a half. `confirm_boundaries` asks a
slower, exact splitter about the few sentences that are about to go.
"""

from __future__ import annotations

import logging
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
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
    Hashes,
    Indices,
    Kinds,
    code_points,
    fold_codes,
    kinds_of,
    slice_hashes,
    tables,
)
from etl.dedup.vocabulary import (
    CLOSING,
    CONSONANTS,
    DOUBLE_QUOTES,
    FACTOR,
    LOOK_AHEAD,
    LOOK_BACK,
    OPENING,
    ROMAN,
    codes_of,
    word_sets,
)

log = logging.getLogger(__name__)

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
character of a script without spaces counting as one. key_hash: XXH64 of the comparable form. whole: quotes and
brackets are balanced, so removing it leaves no half pair. ends_properly: ends with a full stop or the like.
quoted: holds a quotation."""

_CITATION: Final = re.compile(r"\s{1,3}\[[^\[\]]{1,20}\]$")  # Felled in 1912. [1]
_CITATION_CHARS: Final = 30
_CHUNK_CHARS: Final = 1 << 19
_WORD_FACTOR: Final = 0x01000193  # odd, so it has an inverse modulo 2^32
_POWERS: Final = 1 << 16
_RUN_FACTOR: Final = np.uint32(0x9E3779B1)

ORDERS: Final = tuple(np.uint32(factor) for factor in (0x85EBCA77, 0xC2B2AE3D, 0x27D4EB2F, 0x165667B1))
"""Orders in which runs of two words are laid; two sentences alike have the same least one by some of them."""


@dataclass(frozen=True, slots=True)
class Batch:
    """The sentences of some whole documents.

    One entry a sentence: doc, line, start, end, n_words, key_hash, whole, ends_properly, quoted as in SENTENCES; segment: in
    which of `texts` it is. least: shape (sentences, len(ORDERS)), the least run of two words by each order, for
    near-duplicates to meet by; word_bits: of each sentence a bit for each word. One entry a segment: texts, and from_char, where
    each begins in its document.
    """

    doc: npt.NDArray[np.uint32]
    line: npt.NDArray[np.uint32]
    start: npt.NDArray[np.uint32]
    end: npt.NDArray[np.uint32]
    n_words: npt.NDArray[np.uint32]
    key_hash: Hashes
    whole: Flags
    ends_properly: Flags
    quoted: Flags
    segment: npt.NDArray[np.uint32]
    least: npt.NDArray[np.uint32]
    word_bits: npt.NDArray[np.int64]
    texts: pl.Series
    from_char: npt.NDArray[np.uint32]

    def text_of(self, sentences: Indices) -> list[str]:
        """Some sentences as they are."""
        segment = self.segment[sentences]
        shift = self.from_char[segment]
        edges = (self.start[sentences] - shift).tolist(), (self.end[sentences] - shift).tolist()
        lines = self.texts.gather(segment).to_list()
        return [line[start:end] for line, start, end in zip(lines, *edges, strict=True)]

    def table(self) -> pl.DataFrame:
        """The batch's part of the table of sentences."""
        columns = (self.doc, self.line, self.start, self.end, self.n_words, self.key_hash)
        flags = (self.whole, self.ends_properly, self.quoted)
        return pl.DataFrame(dict(zip(SENTENCES, (*columns, *flags), strict=True)), schema=SENTENCES)


@dataclass(frozen=True, slots=True)
class Reading:
    """What numpy makes of a batch on the way, all documents as one array of code points, lines apart by one newline.

    starts, ends: of each sentence in codes; first, past: in folded.codes. word_starts: where each word begins in
    folded.codes; word_hashes: of each.
    """

    batch: Batch
    codes: Codes
    kinds: Kinds
    folded: Folded
    starts: Indices
    ends: Indices
    first: Indices
    past: Indices
    word_starts: Indices
    word_hashes: npt.NDArray[np.uint32]


def split_sentences(segments: pl.DataFrame) -> pl.DataFrame:
    """The sentences of `segments` (doc, line, start, end, text; sorted by doc, line, start) with the schema SENTENCES."""
    parts = [read(chunk).batch.table() for chunk in chunks(segments)]
    return pl.concat(parts) if parts else pl.DataFrame(schema=SENTENCES)


def chunks(segments: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Whole documents at a time, about half a million characters each: arrays of them stay near the processor."""
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
        yield segments[row:past]
        done, row = int(offset[doc - 1]), past


def confirm_boundaries(text: str, start: int, end: int, *, lang: str = "en") -> bool:
    """Whether an exact splitter too sees whole sentences in text[start:end], `text` being one line.

    For sentences about to be removed only: it costs some 15 µs a line.
    """
    if not 0 <= start < end <= len(text):
        return False
    parts = _parts(text, lang)
    if "".join(parts) != text:
        return False
    edges = [0, *accumulate(map(len, parts))]
    return _begins(text, start, edges) and _ends(text, end, edges)


def _parts(text: str, lang: str) -> list[str]:
    """What the exact splitter makes of a text: nothing where it panics, as on a no-break space after an initial."""
    try:
        parts: list[str] = sentencex.segment(lang, text)
    except BaseException as panic:
        if type(panic).__name__ != "PanicException":  # of Rust, and no Exception
            raise
        log.debug("the exact splitter panics at a line of %d characters, whose repeated sentences stay", len(text))
        return []
    return parts


def _begins(text: str, start: int, edges: Sequence[int]) -> bool:
    """Whether a sentence begins at `start`: its part of the text has but blanks before it, or all the text. edges: of the parts."""
    first = edges[bisect_right(edges, start) - 1]
    return text[first : start + 1].strip() == text[start] or not text[:start].strip()


def _ends(text: str, end: int, edges: Sequence[int]) -> bool:
    """Whether a sentence ends before `end`: its part of the text, or all of it, goes on with but blanks, or with citations."""
    place = bisect_left(edges, end)
    first, past = edges[place - 1], edges[place]
    if text[end - 1 : past].strip() == text[end - 1] or not text[end:].strip():
        return True
    bare = text[first:past].strip()
    last = first + len(text[first:past].rstrip())
    return bare.endswith("]") and any(last - len(mark) == end for mark in _CITATION.findall(bare[-_CITATION_CHARS:]))


def read(segments: pl.DataFrame) -> Reading:
    """The sentences of some whole documents, and the arrays that they were found with."""
    codes = code_points(str(segments["text"].str.join("\n").item()) + "\n")
    kinds = kinds_of(codes)
    sizes = (segments["end"] - segments["start"]).to_numpy().astype(np.intp) + 1
    edge = np.cumsum(sizes) - 1  # where each segment's newline stands
    line_first = edge - sizes + 1
    folded = fold_codes(codes, kinds)
    solid = np.flatnonzero(kinds >= OTHER)
    ends, starts = _boundaries(codes, kinds, solid)
    # Trim each segment, then lay the boundaries between its ends: sorted, starts and ends pair up.
    left = np.append(solid, len(codes))[np.searchsorted(solid, line_first)]
    right = np.append(solid, -1)[np.searchsorted(solid, edge) - 1] + 1
    filled = (left >= line_first) & (right <= edge) & (left < right)
    starts = np.sort(np.concatenate([starts, left[filled]]))
    ends = np.sort(np.concatenate([ends, right[filled]]))
    segment = np.searchsorted(edge, starts)
    shift = segments["start"].to_numpy().astype(np.intp)[segment] - line_first[segment]
    first, past = folded.positions(starts), folded.positions(ends)
    filled = np.flatnonzero(past > first)
    past[filled] -= folded.codes[past[filled] - 1] == BLANK
    words = _word_starts(folded, kinds)
    hashes = _word_hashes(folded.codes, words)
    begin = np.searchsorted(words, first)
    n_words = (np.searchsorted(words, past) - begin).astype(np.uint32)
    whole, quoted = _balance(codes, kinds, starts)
    last = ends - 1
    for _ in range(4):  # closing quotes and brackets after the stop
        closing = (kinds[last] == CLOSE) | (kinds[last] == QUOTE)
        last = np.where(closing, np.maximum(last - 1, starts), last)
    batch = Batch(
        doc=segments["doc"].to_numpy()[segment].astype(np.uint32),
        line=segments["line"].to_numpy()[segment].astype(np.uint32),
        start=(starts + shift).astype(np.uint32),
        end=(ends + shift).astype(np.uint32),
        n_words=n_words,
        key_hash=slice_hashes(folded.codes, first, past),
        whole=whole,
        ends_properly=(kinds[last] >= DOT) & (kinds[last] <= WIDE_STOP),
        quoted=quoted,
        segment=segment.astype(np.uint32),
        least=_least_runs(hashes, begin, n_words),
        word_bits=_word_bits(hashes, begin, n_words),
        texts=segments["text"],
        from_char=segments["start"].to_numpy(),
    )
    return Reading(batch, codes, kinds, folded, starts, ends, first, past, words, hashes)


def _word_hashes(codes: Codes, words: Indices) -> npt.NDArray[np.uint32]:
    """A hash of each word: a polynomial in its characters, from running sums, so that no loop sees a word."""
    powers, inverses = _powers(len(codes))
    running = np.zeros(len(codes) + 1, dtype=np.uint32)
    np.cumsum(np.where(codes == BLANK, np.uint32(0), codes * powers), dtype=np.uint32, out=running[1:])
    ends = np.r_[words[1:], len(codes)].astype(np.intp)
    hashes: npt.NDArray[np.uint32] = (running[ends] - running[words]) * inverses[words]
    return hashes


def _least_runs(
    hashes: npt.NDArray[np.uint32], begin: Indices, n_words: npt.NDArray[np.uint32]
) -> npt.NDArray[np.uint32]:
    """The least run of two words of each sentence by each of ORDERS; the largest number for one without a run."""
    least = np.full((len(begin), len(ORDERS)), 0xFFFFFFFF, dtype=np.uint32)
    some = np.flatnonzero(n_words >= 2)
    if not len(some):
        return least
    runs = (hashes[:-1] * _RUN_FACTOR) ^ hashes[1:]
    edges = np.ravel(np.column_stack([begin[some], begin[some] + n_words[some] - 1]))
    for place, factor in enumerate(ORDERS):
        runs *= factor
        mixed = np.append(runs ^ (runs >> np.uint32(15)), np.uint32(0xFFFFFFFF))
        least[some, place] = np.minimum.reduceat(mixed, edges)[::2]
    return least


def _word_bits(
    hashes: npt.NDArray[np.uint32], begin: Indices, n_words: npt.NDArray[np.uint32]
) -> npt.NDArray[np.int64]:
    """A bit for each word of each sentence, of 64."""
    bits = np.zeros(len(begin), dtype=np.int64)
    some = np.flatnonzero(n_words)
    if len(some):
        of_words = np.append(np.int64(1) << ((hashes * _RUN_FACTOR) >> np.uint32(26)).astype(np.int64), np.int64(0))
        edges = np.ravel(np.column_stack([begin[some], begin[some] + n_words[some]]))
        bits[some] = np.bitwise_or.reduceat(of_words, edges)[::2]
    return bits


@cache
def _power_tables(size: int) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
    powers = np.full(size, _WORD_FACTOR, dtype=np.uint32)
    inverses = np.full(size, pow(_WORD_FACTOR, -1, 1 << 32), dtype=np.uint32)
    powers[0] = inverses[0] = 1
    return np.cumprod(powers, dtype=np.uint32), np.cumprod(inverses, dtype=np.uint32)


def _powers(count: int) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
    powers, inverses = _power_tables(max(_POWERS, 1 << count.bit_length()))
    return powers[:count], inverses[:count]


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
    words = word_sets()
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


_CONSONANTS: Final = codes_of(CONSONANTS)
_ROMAN: Final = codes_of(ROMAN)
_DOUBLE: Final = codes_of(DOUBLE_QUOTES)
_OPENING: Final = codes_of(OPENING)
_CLOSING: Final = codes_of(CLOSING)


def _word_before(
    codes: Codes, kinds: Kinds, stop: Indices
) -> tuple[npt.NDArray[np.uint64], Indices, Indices, Indices, Indices, Indices]:
    """Of the word that ends just before each offset: its hash, its length, how many dots, digits, small consonants and
    letters of Roman numbers it holds."""
    fold_to = tables().fold
    alive = np.ones(len(stop), dtype=np.bool_)
    value = np.zeros(len(stop), dtype=np.uint64)
    length, dots, digits, plain, roman = (np.zeros(len(stop), dtype=np.intp) for _ in range(5))
    for back in range(1, LOOK_BACK + 1):
        at = np.maximum(stop - back, 0)
        kind = kinds[at]
        alive &= (stop >= back) & ((kind > SYMBOL) | (kind == DOT))
        value = np.where(alive, value * FACTOR + fold_to[codes[at]], value)
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
    for ahead in range(LOOK_AHEAD):
        at = np.minimum(follows + ahead, limit)
        alive &= kinds[at] > SYMBOL
        if not alive.any():
            break
        value = np.where(alive, value * FACTOR + fold_to[codes[at]], value)
    return value


def _balance(codes: Codes, kinds: Kinds, starts: Indices) -> tuple[Flags, Flags]:
    """Whether each sentence's quotes and brackets pair up, and whether it holds a quotation."""
    n = len(starts)
    at = np.flatnonzero((kinds >= OPEN) & (kinds <= QUOTE))
    owner = np.searchsorted(starts, at, side="right") - 1
    at, owner = at[owner >= 0], owner[owner >= 0]
    marks = codes[at]
    quote, straight = np.isin(marks, _DOUBLE), marks == ord('"')
    weight = np.isin(marks, _OPENING).astype(np.int64) - np.isin(marks, _CLOSING)
    brackets = np.bincount(owner, weights=weight, minlength=n)
    quotes = np.bincount(owner[quote], minlength=n)
    whole = (brackets == 0) & (quotes % 2 == 0) & (np.bincount(owner[straight], minlength=n) % 2 == 0)
    return whole, quotes > 0
