"""Near-duplicate sentences: found by signatures of their words, confirmed word by word.

Likeness alone would delete the sentence in which only a number, a date or a "not" changed. So a candidate pair is
aligned word by word, and every difference must be one that doesn't change what is said: spacing, a misread or mistyped
word, an innocuous adverb, a label in front ("UPDATE:"), a credit behind ("- Reuters"), an end cut off. Anything else,
and both sentences stay.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import numpy as np
import polars as pl
from rapidfuzz import fuzz
from rapidfuzz.distance import OSA, Levenshtein
from rapidfuzz.process import cpdist

from etl.dedup import native
from etl.dedup.native import fold
from etl.dedup.normalize import Indices
from etl.dedup.sentences import Batch, Reading
from etl.late import late

NEAR_SENTENCES: Final = pl.Schema(
    {"doc": pl.UInt32, "start_char": pl.UInt32, "end_char": pl.UInt32, "kept_start": pl.UInt32, "score": pl.Float64}
)
"""Sentences that nearly repeat the one at kept_start of the same document. score: 0 to 1."""

MAX_CHARS: Final = 1500  # a longer sentence has no near-duplicate
MIN_WORDS: Final = 3
_ALIKE_MIN: Final = 70  # of 100, labels and credits included: below it no alignment is tried
_ALIKE_ACROSS_MIN: Final = 80  # the same between documents, where a sentence cut short isn't asked
_TRUNCATED_MIN: Final = 0.6  # of the words
_ROUNDING: Final = 1e-6

_PREFIX: Final = late(r"\W{0,3}(?:\d{1,2}[.)] |[^:—–\n]{2,30}(?::|—|–| -) ?|[•▪●*·–—-] ?)(?=\S)")
_SUFFIX: Final = late(r"\s{0,3}(?:\[[^\]\n]{1,20}\]|\([^)\n]{2,30}\)|[|—–-] ?[^|.\n]{2,40})\s{0,3}$")
_CREDIT: Final = late(r"[\[(|—–-]")  # what _SUFFIX begins with, but for blanks
_AT_START, _AT_END = slice(0, 40), slice(-60, None)  # what a label or a credit is found by, and more
_LABEL_WORDS: Final = 4
_STOPPED: Final = late(r"[.!?。！？؟۔।]\W{0,3}$")
_CUT: Final = late(r"(?:…|\.\.\.)\W{0,3}$")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_FILLERS: Final = _words(
    "also now just however reportedly then really actually already auch nun jetzt jedoch zudem aussi maintenant cependant también ahora "
    "además anche ora tuttavia também agora porém ook nu echter также теперь однако także teraz jednak ayrıca şimdi också"
)
_NEGATIONS: Final = _words(
    "not no never none nor neither cannot t without nicht kein keine keinen keinem keiner keines nie niemals ohne ne pas jamais sans aucun "
    "aucune no nunca jamás sin ningún ninguna non mai senza nessun nessuno nessuna não nunca sem nenhum nenhuma niet geen nooit zonder не нет "
    "ни без никогда nie bez nigdy değil yok inte ingen inget aldrig utan ikke"
)
_UNLIKE: Final = _NEGATIONS | _words(
    "meine deine seine eine dans juni juli junio julio junho julho июня июля июнь июль июне июле sesenta setenta sixteen sixty "
    "seventeen seventy fourteen forty fifteen fifty eighteen eighty nineteen ninety thirteen thirty import export imports exports "
    "causal casual martial marital they them"
)
"""Words one letter from another word that says something else: never a slip of the pen for one another."""

_SHORT: Final = _words(
    "a an the and or but nor for of off in on at by to up as is it its he she his her him we us you your me my our they are was were be been "
    "had has have not now no new one two six ten all any may can did do does who how why out if so than that this with from "
    "der die das den dem des und ein eine er sie es ich ist im am an auf aus bei bis mit von vor zu zum zur so wie wo was bin hat "
    "le la les un une des du et ou est en au aux il ils elle ce ces se sa son ses sur par pas que qui ne je tu nous "
    "el los las una y o de del se su sus es en con por para que al lo mi si ha di da il lo gli i per che non con del "
    "os as um uma e ou do da dos das no na nos nas com por seu sua ao het een van op te is aan met voor dat die niet "
    "и в на с по к у о не но он она они мы вы из за от до же бы что как для w z na do od po o i że nie się jest bu ve bir da de ne"
)
"""Short words that say something by themselves. One of them mistyped is none of them."""

_MISREAD: Final = ((re.compile(r"rn"), "m"), (re.compile(r"cl"), "d"), (re.compile(r"vv"), "w"))
_MISREAD_LETTERS: Final = str.maketrans({"0": "o", "1": "l", "5": "s", "8": "b", "i": "l", "|": "l"})
_MISREAD_MORE: Final = str.maketrans({"e": "c", "h": "b"})


@dataclass(frozen=True, slots=True)
class Candidates:
    """Pairs of sentences of one document that may say the same.

    first, second: their numbers in the batch, in order. first_text, second_text: what is compared of them.
    """

    first: Indices
    second: Indices
    first_text: list[str]
    second_text: list[str]


@dataclass(frozen=True, slots=True)
class Likeness:
    """Two sentences that say the same. score: 0 to 1. poorer: 0 or 1, the one that can go without loss."""

    score: float
    poorer: int


def near_pairs(batch: Batch, candidates: Candidates, *, similarity_min: float) -> pl.DataFrame:
    """The near-duplicate sentences of a batch's documents, with the schema NEAR_SENTENCES."""
    texts = candidates.first_text, candidates.second_text
    near = np.flatnonzero(cpdist(*texts, scorer=fuzz.ratio, score_cutoff=_ALIKE_MIN))
    first, second = candidates.first[near], candidates.second[near]
    both = pl.Series([*batch.text_of(first), *batch.text_of(second)], dtype=pl.String)
    place = np.arange(len(near))
    likely = likely_pairs(both, place, place + len(near))
    both = both.gather(np.concatenate([likely, likely + len(near)]))
    first, second = first[likely], second[likely]
    found: list[tuple[int, int, float]] = []  # dropped, kept, score
    sides = both.head(len(first)).to_list(), both.slice(len(first)).to_list()
    judged = likenesses(*sides, score_min=similarity_min)
    for one, two, alike in zip(first.tolist(), second.tolist(), judged, strict=True):  # a few in a thousand sentences
        if alike:
            found.append((one, two, alike.score) if alike.poorer == 0 else (two, one, alike.score))
    found = list(_settled(found))
    gone, kept = np.array([f[0] for f in found], dtype=np.intp), np.array([f[1] for f in found], dtype=np.intp)
    return pl.DataFrame(
        {
            "doc": batch.doc[gone],
            "start_char": batch.start[gone],
            "end_char": batch.end[gone],
            "kept_start": batch.start[kept],
            "score": np.array([f[2] for f in found], dtype=np.float64),
        },
        schema=NEAR_SENTENCES,
    ).sort("doc", "start_char")


def candidates_of(reading: Reading, *, min_words: int) -> Candidates:
    """Pairs of sentences of one document that have a run of two words in common, the least by one of a few orders.

    Two sentences alike in two thirds of their runs meet with a chance of 99 %. Each meets the one before it with the
    same least run, so that pairs never outnumber sentences by much.
    """
    batch = reading.batch
    sentence = np.flatnonzero((batch.n_words >= min_words) & (batch.end - batch.start <= MAX_CHARS))
    doc = batch.doc[sentence].astype(np.uint64) << np.uint64(32)
    size = (reading.past - reading.first)[sentence]
    same = batch.key_hash[sentence]
    found: set[tuple[int, int]] = set()
    for least in batch.least[sentence].T:
        key = doc | least
        order = np.argsort(key, kind="stable")
        meet = np.flatnonzero(key[order[1:]] == key[order[:-1]])
        one, two = order[meet], order[meet + 1]
        alike = (np.minimum(size[one], size[two]) >= 0.5 * np.maximum(size[one], size[two])) & (same[one] != same[two])
        found.update(zip(sentence[one[alike]].tolist(), sentence[two[alike]].tolist(), strict=True))
    pairs = np.array(sorted(found), dtype=np.intp).reshape(-1, 2)
    text = reading.folded.codes.astype("<u4", copy=False).tobytes().decode("utf-32-le", "replace")
    texts = (
        [text[a:b] for a, b in zip(reading.first[side].tolist(), reading.past[side].tolist(), strict=True)]
        for side in pairs.T
    )
    return Candidates(pairs[:, 0], pairs[:, 1], *texts)


def near_across(
    alike: pl.DataFrame, judged: pl.DataFrame, *, max_share: float, mode: Literal["remove", "annotate"]
) -> pl.DataFrame:
    """The sentences that nearly repeat an earlier document's, with the columns of `judged`.

    alike: the pairs that near.sql found and `alike_pairs` chose, in order: doc_id, start_char, end_char, kept_doc_id, kept_start,
    score, and n_chars of the document. judged: what sentences.sql decided. What another sentence of its document points to stays, and so does a sentence that
    says more than the earlier one. What would take a document beyond max_share of its characters is to be annotated.
    """
    asked = judged.join(alike.select("doc_id").unique(), on="doc_id", how="semi")
    removed = asked.filter(pl.col("action") == "remove", pl.col("doc_id") != pl.col("kept_doc_id"))
    taken = dict(removed.group_by("doc_id").agg((pl.col("end_char") - pl.col("start_char")).sum()).iter_rows())
    own = asked.filter(pl.col("doc_id") == pl.col("kept_doc_id"))
    done = set(own.select("kept_doc_id", "kept_start").iter_rows())
    gone: set[tuple[str, int]] = set()
    rows = []
    for row in alike.iter_rows(named=True):  # a few in a thousand sentences
        mine, theirs = (row["doc_id"], row["start_char"]), (row["kept_doc_id"], row["kept_start"])
        if mine in done or theirs in gone:
            continue
        chars = taken.get(mine[0], 0) + row["end_char"] - row["start_char"]
        stays = mode == "annotate" or chars > max_share * row["n_chars"]
        if not stays:
            taken[mine[0]] = chars
            gone.add(mine)
        done.add(mine)
        rows.append((*mine, row["end_char"], *theirs, "near-sentence", row["score"], "annotate" if stays else "remove"))
    return pl.DataFrame(rows, schema=judged.schema, orient="row")


def pointing_on(judged: pl.DataFrame, gone: pl.DataFrame) -> pl.DataFrame:
    """`judged` with what points to a sentence that is `gone` pointing to the one that stays for it, which it nearly repeats.

    gone: doc_id, start_char, and kept_doc_id, kept_start and score of the one that stays.
    """
    stays = gone.select(
        pl.col("doc_id").alias("kept_doc_id"),
        pl.col("start_char").cast(judged.schema["kept_start"]).alias("kept_start"),
        on_doc_id="kept_doc_id",
        on_start=pl.col("kept_start").cast(judged.schema["kept_start"]),
        on_score="score",
    )
    went = pl.col("on_doc_id").is_not_null()
    return (
        judged.join(stays, on=["kept_doc_id", "kept_start"], how="left", maintain_order="left")
        .with_columns(
            kept_doc_id=pl.coalesce("on_doc_id", "kept_doc_id"),
            kept_start=pl.coalesce("on_start", "kept_start"),
            score=pl.coalesce("on_score", "score"),
            rule=pl.when(went).then(pl.lit("near-sentence")).otherwise("rule"),
        )
        .select(judged.columns)
    )


def likely_pairs(texts: pl.Series, later: Indices, earlier: Indices) -> Indices:
    """The pairs of rows of `texts` that `likenesses` may find alike: most are plainly not, which a kernel sees at once."""
    if native.available():
        return np.flatnonzero(~native.unlike(texts, later, earlier, _FILLERS))
    return np.arange(len(later))


def alike_pairs(
    texts: pl.Series, later: Indices, earlier: Indices, *, similarity_min: float
) -> tuple[Indices, list[float]]:
    """Which pairs of rows of `texts` are so alike that the later one can go, and how alike they are."""
    mine, theirs = (texts.gather(rows).to_list() for rows in (later, earlier))
    near = np.flatnonzero(cpdist(theirs, mine, scorer=fuzz.ratio, score_cutoff=_ALIKE_ACROSS_MIN) > 0)
    judged = likenesses([theirs[n] for n in near.tolist()], [mine[n] for n in near.tolist()], score_min=similarity_min)
    found = [(n, alike.score) for n, alike in zip(near.tolist(), judged, strict=True) if alike and alike.poorer == 1]
    return np.array([n for n, _ in found], dtype=np.intp), [score for _, score in found]


def likenesses(first: Sequence[str], second: Sequence[str], *, score_min: float) -> list[Likeness | None]:
    """How alike each two sentences of two lists are that say the same; None if they may not, or are less than score_min alike."""
    both = zip(first, second, strict=True)
    pairs = _cores([pair if max(map(len, pair)) <= MAX_CHARS else ("", "") for pair in both])
    folded = fold([core for pair in pairs for core in (pair.first_core, pair.second_core)])
    least = max(100 * score_min - _ROUNDING, 0.0)
    scores = cpdist(folded[::2], folded[1::2], scorer=fuzz.ratio, score_cutoff=least, dtype=np.float64)
    likely = np.flatnonzero(scores >= least).tolist()
    judged: list[Likeness | None] = [None] * len(pairs)
    for place in likely:
        alike = _judged(pairs[place], folded[2 * place].split(), folded[2 * place + 1].split())
        judged[place] = alike if alike and alike.score >= score_min else None
    return judged


class _Pair(NamedTuple):
    """Two sentences, and both without what only one of them has around it."""

    first: str
    second: str
    first_core: str
    second_core: str


def _judged(pair: _Pair, a: Sequence[str], b: Sequence[str]) -> Likeness | None:
    """How alike two sentences are that say the same, of their cores' words."""
    first, second, first_core, second_core = pair
    if not a or not b:
        return None
    poorer = 1 if len(second) <= len(first) or len(a) == len(b) else 0
    if (first_core != first) != (second_core != second):
        poorer = 0 if first_core != first and len(a) <= len(b) else 1
    if a == b:
        return Likeness(1.0, poorer)
    if (cut := _truncated(a, b)) is not None and _is_cut((first, second)[cut], (first, second)[1 - cut]):
        return Likeness(_score(a, b), cut)
    if not _same_words(a, b, frozenset()) or _numbers(a) != _numbers(b):
        return None
    # Names are looked for when all else agrees, and not in the same words.
    if "".join(a) != "".join(b) and not _same_words(a, b, _names(first_core) | _names(second_core)):
        return None
    return Likeness(_score(a, b), poorer)


def _score(a: Sequence[str], b: Sequence[str]) -> float:
    return fuzz.ratio(" ".join(a), " ".join(b)) / 100


def _cores(pairs: Sequence[tuple[str, str]]) -> list[_Pair]:
    """Each pair, and both without the label in front or the credit behind that only one of them has."""
    cores = list(pairs)
    for pattern in (_PREFIX, _SUFFIX):
        find, looks_at = (pattern.match, _AT_START) if pattern is _PREFIX else (pattern.search, _AT_END)
        shortened: list[tuple[int, str, str, bool]] = []  # place, bare, other, whether the first is bare
        for place, (first, second) in enumerate(cores):
            if first[looks_at] == second[looks_at]:
                continue  # both have it, or neither
            if pattern is _SUFFIX and not (_CREDIT.search(first) or _CREDIT.search(second)):
                continue
            one, two = find(first), find(second)
            match = one or two
            if match and (one is None or two is None) and len(match.group().split()) <= _LABEL_WORDS:
                long, other = (first, second) if one else (second, first)
                shortened.append((place, _without(long, match), other, one is not None))
        words = [text.split() for text in fold([text for _, *both, _ in shortened for text in both])]
        for n, (place, bare, other, is_first) in enumerate(shortened):
            if _meets(words[2 * n], words[2 * n + 1], at_start=pattern is _PREFIX):
                cores[place] = (bare, other) if is_first else (other, bare)
    return [_Pair(*sentences, *both) for sentences, both in zip(pairs, cores, strict=True)]


def _without(text: str, match: re.Match[str]) -> str:
    return text[match.end() :] if match.start() == 0 else text[: match.start()]


def _meets(a: Sequence[str], b: Sequence[str], *, at_start: bool) -> bool:
    """Whether two texts begin, or end, with the same word."""
    place = 0 if at_start else -1
    return bool(a) and bool(b) and (a[place] == b[place] or _slip(a[place], b[place], name=False))


def _is_cut(short: str, long: str) -> bool:
    """Whether a text looks cut off where the longer one goes on."""
    return bool(_CUT.search(short)) or (not _STOPPED.search(short) and bool(_STOPPED.search(long)))


def _truncated(a: Sequence[str], b: Sequence[str]) -> int | None:
    """Which of the two is the other's beginning, if one is; its last word may be cut too."""
    if len(a) == len(b):
        return None
    short, long = (a, b) if len(a) < len(b) else (b, a)
    if len(short) < 4 or len(short) < _TRUNCATED_MIN * len(long) or not long[len(short) - 1].startswith(short[-1]):
        return None
    if list(short[:-1]) != list(long[: len(short) - 1]):
        return None
    if short[-1] != long[len(short) - 1] and any(char.isdigit() for char in short[-1]):
        return None
    if not _NEGATIONS.isdisjoint(long[len(short) :]):
        return None
    return 0 if short is a else 1


def _numbers(words: Sequence[str]) -> list[str]:
    """The words that are numbers, units attached or not, in order."""
    return [
        word
        for word in words
        if not word[0].isalpha() and sum(map(str.isdigit, word)) * 2 > sum(map(str.isalnum, word))
    ]


def _names(text: str) -> frozenset[str]:
    """The words with a capital letter, the first one aside, as comparison sees them."""
    capital = [word for word in re.findall(r"\w+", text)[1:] if word[0].isupper() and not word.isupper()]
    return frozenset(fold([" ".join(capital)])[0].split())


def _same_words(a: Sequence[str], b: Sequence[str], names: frozenset[str]) -> bool:
    """Whether every difference of two lists of words is one that leaves the meaning."""
    least = min(len(a), len(b))
    first = next((n for n in range(least) if a[n] != b[n]), least)
    alike = next((n for n in range(least - first) if a[-1 - n] != b[-1 - n]), least - first)
    whole, (a, b) = (a, b), (a[first : len(a) - alike], b[first : len(b) - alike])  # which is where they differ
    if len(a) == len(b) == 1:
        return _slip(a[0], b[0], name=a[0] in names or b[0] in names)
    if "".join(a) == "".join(b):
        return True
    changed = 0
    fillers = 0
    for step in Levenshtein.opcodes(a, b):
        mine, theirs = a[step.src_start : step.src_end], b[step.dest_start : step.dest_end]
        if step.tag == "equal":
            continue
        changed += max(len(mine), len(theirs))
        if step.tag == "replace":
            if "".join(mine) == "".join(theirs) and not any(map(str.isdigit, "".join(mine))):
                continue
            if len(mine) != len(theirs) or not all(
                _slip(x, y, name=x in names or y in names) for x, y in zip(mine, theirs, strict=True)
            ):
                return False
        else:
            extra = [word for word in (*mine, *theirs) if any(map(str.isalnum, word)) or word in "$€£¥%"]
            fillers += len(extra)
            if fillers > 1 or not _FILLERS.issuperset(extra):
                return False
    return changed <= max(1, 0.4 * max(map(len, whole)))


def _slip(x: str, y: str, *, name: bool) -> bool:
    """Whether one word is the other, mistyped or misread."""
    if x == y:
        return True
    if x in _UNLIKE and y in _UNLIKE:
        return False
    digits = any(map(str.isdigit, x)), any(map(str.isdigit, y))
    if all(digits):
        return False
    if _misread(x) == _misread(y) and (any(map(str.isalpha, x)) and any(map(str.isalpha, y))):
        return True
    if any(digits) or x in _UNLIKE or y in _UNLIKE or (name and min(len(x), len(y)) < 5) or OSA.distance(x, y) > 1:
        return False
    if min(len(x), len(y)) < 4:
        return _mistyped_short(x, y)
    longer, shorter = (x, y) if len(x) >= len(y) else (y, x)
    if len(longer) == len(shorter):
        swapped = sorted(x) == sorted(y)
        return swapped or (not name and len(x) >= 5)
    added = next((i for i, char in enumerate(shorter) if longer[i] != char), len(shorter))
    if longer[added] == "m" or (added == 0 and longer[0] == "a"):  # Turkish biliyor, bilmiyor; typical, atypical
        return False
    return len(longer) >= 6 if name else len(longer) >= 5


def _mistyped_short(x: str, y: str) -> bool:
    """Whether one is a short word that everybody knows, and the other no such word but that one with a letter lost or turned."""
    known, other = (x, y) if x in _SHORT else (y, x)
    if known not in _SHORT or other in _SHORT:
        return False
    if known.translate(_MISREAD_MORE) == other.translate(_MISREAD_MORE):
        return True
    return len(known) >= 3 and (len(other) < len(known) or sorted(known) == sorted(other))


def _misread(word: str) -> str:
    """The word with letters that scanners confuse made one."""
    word = word.translate(_MISREAD_LETTERS)
    for pattern, letter in _MISREAD:
        word = pattern.sub(letter, word)
    return word.translate(_MISREAD_MORE) if len(word) >= 5 else word


def _settled(found: Sequence[tuple[int, int, float]]) -> Iterator[tuple[int, int, float]]:
    """The decisions that don't contradict an earlier one: what something points to stays."""
    gone: set[int] = set()
    stays: set[int] = set()
    for drop, keep, score in sorted(found, key=lambda f: (max(f[0], f[1]), min(f[0], f[1]))):
        if drop not in gone and drop not in stays and keep not in gone:
            gone.add(drop)
            stays.add(keep)
            yield drop, keep, score
