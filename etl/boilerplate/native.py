"""The line model's inner loops by the compiled kernels: the same numbers as features.py and model.py give without them."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from threading import Lock
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl
import xxhash

from etl import kernels
from etl.boilerplate import heads, literals

Array = npt.NDArray[Any]


def available() -> bool:
    """Whether the kernels can be used."""
    return kernels.library() is not None


def add_leaves(columns: Array, feature: Array, border: Array, leaf: Array, total: Array) -> None:
    """Add to `total`, a number a row, the leaf of each tree that the row falls in. columns: shape (features, rows)."""
    library = _library()
    trees, levels = feature.shape
    columns = _floats(columns)
    library.winnow_log_odds.restype = None
    library.winnow_log_odds(
        kernels.pointer(columns),
        ctypes.c_int64(columns.shape[1]),
        *map(kernels.pointer, (feature, border, leaf)),
        ctypes.c_int64(trees),
        ctypes.c_int64(levels),
        kernels.pointer(total),
    )


def add_contributions(
    columns: Array, feature: Array, border: Array, means: Sequence[Array], groups: Array, moved: Array
) -> None:
    """Add to `moved`, shape (groups, rows), what each answer does to the mean of the leaves that can still be reached."""
    library = _library()
    trees, levels = feature.shape
    columns = _floats(columns)
    held = [np.ascontiguousarray(mean, np.float64) for mean in means]
    places = (ctypes.c_void_p * len(held))(*(mean.ctypes.data for mean in held))
    library.winnow_contributions.restype = None
    library.winnow_contributions(
        kernels.pointer(columns),
        ctypes.c_int64(columns.shape[1]),
        *map(kernels.pointer, (feature, border)),
        places,
        kernels.pointer(groups),
        ctypes.c_int64(trees),
        ctypes.c_int64(levels),
        kernels.pointer(moved),
    )


def heard(odds: Array, opens: Array, most: float) -> Array:
    """What each line hears from the lines around it, in log odds. opens: whether it is the first line of its page."""
    library = _library()
    made = np.empty(len(odds))
    library.winnow_heard.restype = None
    library.winnow_heard(
        *map(kernels.pointer, (odds, opens)), ctypes.c_int64(len(odds)), ctypes.c_double(most), kernels.pointer(made)
    )
    return made


SPACE: Final = r"\s"
DIGIT: Final = r"\d"
LETTER: Final = r"\p{L}"
HAN: Final = r"\p{Han}"

_WORDS: Final = (
    ("slot", np.int64),
    ("line", np.int32),
    ("entry", np.int32),
    ("entry_line", np.int32),
    ("slots", np.int64),
)


class _HeadTables(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("space", "closing", "terminal", "colon", "ellipsis")),
        *((name, ctypes.c_void_p) for name in ("row", "column", "pairs")),
        *((name, ctypes.c_int64) for name in ("entry_bits", "room")),
    )


@dataclass(frozen=True, slots=True)
class Signs:
    """What `read_lines` is told of bytes and characters.

    row, column: of each byte, as the first and as the second one of a pair; their sum is the place of the pair's counters,
    two numbers, in pairs.
    """

    row: Array
    column: Array
    pairs: Array
    closing: str
    terminal: str
    colon: str
    ellipsis: str
    entry_bits: int
    room: int


def signs(pairs: tuple[Array, Array], **told: Any) -> Signs:
    """The tables for `read_lines`. pairs: two packed counters of each pair of bytes, 256 * the first one + the second one.

    Bytes that count alike share a row or a column: what is left of a megabyte fits into the nearest cache.
    """
    both = np.stack(pairs, axis=-1).reshape(256, 256, 2)
    _, some, row = np.unique(both, axis=0, return_index=True, return_inverse=True)
    _, others, column = np.unique(both[some], axis=1, return_index=True, return_inverse=True)
    table = np.ascontiguousarray(both[np.ix_(some, others)])
    rows = row.ravel() * len(others)
    return Signs(row=rows.astype(np.uint16), column=column.ravel().astype(np.uint16), pairs=table, **told)


def read_lines(texts: pl.Series, pages: Array, signs: Signs, *, features: int) -> tuple[Array, Array, dict[str, Array]]:
    """(features of each line by itself, a row each; its first bytes; words of all lines), for pages that begin at `pages`.

    pages: rows, and one more. features: how many there are.
    """
    library = _library()
    views = kernels.TextViews(texts)
    n = len(texts)
    tables = _head_tables(signs)
    own, start = np.empty((features, n)), np.empty(n)
    pages = np.ascontiguousarray(pages, np.int64)
    library.winnow_read_lines.restype = ctypes.c_void_p
    made = library.winnow_read_lines(
        ctypes.byref(tables),
        views.pointer,
        ctypes.c_int64(n),
        kernels.pointer(pages),
        ctypes.c_int64(len(pages) - 1),
        *map(kernels.pointer, (own, start)),
    )
    return own, start, kernels.take_arrays("winnow_read_lines", made, _WORDS)


def _head_tables(signs: Signs) -> _HeadTables:
    """The C structure; its arrays live as long as `signs`, or for good."""
    members = {name: _members(getattr(signs, name)) for name in ("closing", "terminal", "colon", "ellipsis")}
    held = {"space": kernels.character_table(SPACE), **members}
    held |= {"row": signs.row, "column": signs.column, "pairs": signs.pairs}
    return _HeadTables(
        **{name: kernels.pointer(table) for name, table in held.items()},
        entry_bits=signs.entry_bits,
        room=signs.room,
    )


@cache
def _members(chars: str) -> Array:
    table = np.zeros(0x110000, np.uint8)
    table[[ord(char) for char in chars]] = 1
    return table


_LINES: Final = (
    ("doc", np.uint32),
    ("line", np.uint32),
    ("start", np.uint32),
    ("end", np.uint32),
    ("views", np.uint8),
)


def split_lines(texts: pl.Series, visible: str) -> pl.DataFrame:
    """The lines of `texts` that hold a character which the pattern `visible` matches: doc, line, start, end, text."""
    library = _library()
    views = kernels.TextViews(texts)
    library.winnow_split_lines.restype = ctypes.c_void_p
    made = library.winnow_split_lines(
        kernels.pointer(kernels.character_table(visible)), views.pointer, ctypes.c_int64(len(texts))
    )
    found = kernels.take_arrays("winnow_split_lines", made, _LINES)
    text = views.parts(found.pop("views"))
    return pl.DataFrame({**found, "text": text})


_KINDS: Final = (SPACE, DIGIT, LETTER, HAN)


@cache
def _kinds(visible: str) -> npt.NDArray[np.uint8]:
    """For each code point, a bit each, whether it is a space, a digit, a letter, Han, visible."""
    kinds = np.zeros(kernels.CODE_POINTS, np.uint8)
    for bit, pattern in enumerate((*_KINDS, visible)):
        kinds |= kernels.character_table(pattern) << np.uint8(bit)
    return kinds


_EVIDENCE: Final = (
    ("line", np.int64),
    ("weight", np.int32),
    ("lines", np.int64),
    ("mass", np.int64),
    ("key", np.int64),
    ("near", np.int64),
    ("visible", np.int64),
    ("_work", np.uint8),
)


def evidence(texts: pl.Series, order: Array, visible: str, *, line_chars: int, page_chars: int) -> dict[str, Array]:
    """Keys and weights of the lines of `texts` in the given order: `lines` up to the end of each, its `mass`, -1 where it has none.

    key, near: what `line_keys` gives for every visible line, so many in each text as `visible` says.
    """
    library = _library()
    views = kernels.TextViews(texts)
    order = np.ascontiguousarray(order, np.int64)
    library.winnow_evidence.restype = ctypes.c_void_p
    made = library.winnow_evidence(
        *(kernels.pointer(table) for table in (_kinds(visible), heads.fold_table())),
        views.pointer,
        kernels.pointer(order),
        ctypes.c_int64(len(order)),
        ctypes.c_uint32(line_chars),
        ctypes.c_int64(page_chars),
    )
    return kernels.take_arrays("winnow_evidence", made, _EVIDENCE)


def line_keys(texts: pl.Series, visible: str) -> tuple[Array, Array]:
    """What `templates.line_keys` gives."""
    library = _library()
    views = kernels.TextViews(texts)
    keys, near = np.empty(len(texts), np.uint64), np.empty(len(texts), np.uint64)
    library.winnow_line_keys.restype = ctypes.c_int
    done = library.winnow_line_keys(
        *(kernels.pointer(table) for table in (_kinds(visible), heads.fold_table())),
        views.pointer,
        ctypes.c_int64(len(texts)),
        *map(kernels.pointer, (keys, near)),
    )
    if not done:
        raise MemoryError("no memory left for the keys of lines")
    return keys.view(np.int64), near.view(np.int64)


CASED: Final = (
    r"\p{Changes_When_Lowercased}|[\p{Cn}&&[\x{0}-\x{1FFFF}]]"  # what patterns don't know yet may have a lower case
)
WORD: Final = r"[\p{L}\p{N}\p{M}]"
_ASK: Final = 0xFFFFFFFF
_KEYS: Final = (("text", np.uint8), ("offsets", np.int64))


@cache
def _lower_words() -> npt.NDArray[np.uint32]:
    """What Polars makes of each code point of a word in lower case: _ASK where that is several or depends on its neighbours."""
    words = kernels.character_table(WORD)
    table = np.arange(kernels.CODE_POINTS, dtype=np.uint32) * words
    cased = np.flatnonzero(kernels.character_table(CASED))
    chars = pl.Series(list(map(chr, cased.tolist())))
    lower = chars.str.to_lowercase()
    changed = (lower != chars).arg_true()
    codes = np.array([ord(low) if len(low) == 1 else 0 for low in lower.gather(changed)], np.uint32)
    table[cased[changed]] = np.where(codes, codes * words[codes], _ASK)
    table[ord("Σ")] = _ASK  # at the end of a word it has a form of its own
    table.flags.writeable = False
    return table


def title_keys(texts: pl.Series) -> tuple[pl.Series, Array]:
    """What `titles.title_keys` gives; and the rows for which only Polars can tell."""
    library = _library()
    text, offsets = kernels.text_buffers(texts)
    asked = np.zeros(len(texts), np.uint8)
    library.winnow_title_keys.restype = ctypes.c_void_p
    made = library.winnow_title_keys(
        *map(kernels.pointer, (_lower_words(), text, offsets)), ctypes.c_int64(len(texts)), kernels.pointer(asked)
    )
    found = kernels.take_arrays("winnow_title_keys", made, _KEYS)
    return kernels.text_series(found["text"], found["offsets"]), np.flatnonzero(asked)


_HELD: Final = {
    **dict.fromkeys(("start", "site_near", "site_pages"), np.float64),
    **dict.fromkeys(("pages", "slot"), np.int64),
    **dict.fromkeys(("line", "entry", "entry_line"), np.int32),
    "hit": np.uint8,
}
"""The arrays that the kernels of the two passes read, by their names in `Lines` and in the C structure."""


class _Measured(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int64) for name in ("n", "n_pages", "n_words", "n_entries", "room")),
        ("own", ctypes.c_void_p),
        *((name, ctypes.c_void_p) for name in _HELD),
    )


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines as the kernels of the two passes see them: `features.Measured`, with its arrays held in place.

    pages: the row at which each page begins, and one more. own: the features of lines by themselves, in order.
    """

    pages: Array
    own: Sequence[Array]
    start: Array
    site_near: Array
    site_pages: Array
    hit: Array
    slot: Array
    line: Array
    entry: Array
    entry_line: Array
    room: int


def first_columns(lines: Lines, lexicon: Array, columns: Array) -> None:
    """Fill `columns`, a row for each feature of the first pass."""
    _fill("winnow_first_columns", lines, np.ascontiguousarray(lexicon, np.int8), columns)


def second_columns(lines: Lines, scores: Array, columns: Array) -> None:
    """Fill `columns`, a row for each feature of the second pass. scores: of the first pass."""
    _fill("winnow_second_columns", lines, np.ascontiguousarray(scores, np.float64), columns)


def _fill(kernel: str, lines: Lines, told: Array, columns: Array) -> None:
    doubles = [np.ascontiguousarray(values, np.float64) for values in lines.own]
    places = (ctypes.c_void_p * len(doubles))(*(values.ctypes.data for values in doubles))
    held = {name: np.ascontiguousarray(getattr(lines, name), kind) for name, kind in _HELD.items()}
    given = _Measured(
        n=columns.shape[1],
        n_pages=len(held["pages"]) - 1,
        n_words=len(held["line"]),
        n_entries=len(held["entry"]),
        room=lines.room,
        own=ctypes.cast(places, ctypes.c_void_p),
        **{name: kernels.pointer(values) for name, values in held.items()},
    )
    function = _library()[kernel]
    function.restype = ctypes.c_int64
    made = function(ctypes.byref(given), kernels.pointer(told), kernels.pointer(columns))
    if not made and columns.shape[1]:
        raise MemoryError(f"no memory left in {kernel}")
    assert made in (0, len(columns))


class Trees(Protocol):
    """What the kernels read of a `model.Forest`."""

    @property
    def feature(self) -> Array:
        """What each level of each tree asks about."""
        ...

    @property
    def border(self) -> Array:
        """And with which border."""
        ...

    @property
    def leaf(self) -> Array:
        """Log odds in each leaf of each tree."""
        ...

    @property
    def bias(self) -> float:
        """What is added."""
        ...


class _Forest(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("feature", "border", "leaf")),
        *((name, ctypes.c_int64) for name in ("trees", "levels")),
        ("bias", ctypes.c_double),
    )


class _Model(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("heads", "lexicon", "probabilities")),
        *((name, _Forest) for name in ("first", "second")),
    )


class _Given(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("lines", "pages")),
        ("n_pages", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("site_near", "site_pages", "hit", "asked")),
        ("floor", ctypes.c_double),
    )


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of lines besides their text, as `features.Measured` has it."""

    site_near: Array
    site_pages: Array
    hit: Array


def score_lines(
    texts: pl.Series,
    pages: Array,
    known: Known,
    signs: Signs,
    *,
    lexicon: Array,
    forests: tuple[Trees, Trees],
    probabilities: Array,
    asked: Array,
    floor: float,
) -> dict[str, Array]:
    """The arrays of `model.Scored` but for `page`. pages: the row at which each page begins, and one more.

    asked: of each line, whether its features are held: 0 never, 1 if it scores `floor` or more, 2 always.
    """
    library = _library()
    views = kernels.TextViews(texts)
    n = len(texts)
    doubles = [np.ascontiguousarray(values, np.float64) for values in (known.site_near, known.site_pages)]
    bytes_of = [np.ascontiguousarray(values, np.uint8) for values in (known.hit, asked)]
    pages, lexicon = np.ascontiguousarray(pages, np.int64), np.ascontiguousarray(lexicon, np.int8)
    heads = _head_tables(signs)
    trees = [
        (np.ascontiguousarray(f.feature, np.int32), _floats(f.border), np.ascontiguousarray(f.leaf)) for f in forests
    ]
    first, second = (
        _Forest(*map(kernels.pointer, arrays), *arrays[0].shape, forest.bias)
        for arrays, forest in zip(trees, forests, strict=True)
    )
    model = _Model(ctypes.addressof(heads), kernels.pointer(lexicon), kernels.pointer(probabilities), first, second)
    given = _Given(
        views.address,
        kernels.pointer(pages),
        len(pages) - 1,
        *map(kernels.pointer, doubles),
        *map(kernels.pointer, bytes_of),
        floor,
    )
    size, once, twice = np.empty((3, n))
    ends = np.empty(n, np.bool_)
    filled: tuple[Array, ...] = (size, ends, once, twice)
    library.winnow_score_lines.restype = ctypes.c_void_p
    made = library.winnow_score_lines(
        ctypes.byref(model),
        ctypes.byref(given),
        *map(kernels.pointer, filled),
    )
    found = kernels.take_arrays("winnow_score_lines", made, (("rows", np.int64), ("held", np.float32)))
    rows = found["rows"]
    return {
        "size": size,
        "ends": ends,
        "first": once.astype(np.float32),
        "second": twice.astype(np.float32),
        "rows": rows,
        "held": found["held"].reshape(len(rows), -1) if len(rows) else np.zeros((0, 1), np.float32),
    }


@dataclass(frozen=True, slots=True)
class HeadTable:
    """Heads and their bits, hashed: names (0 for an empty slot) and bits, a power of two of slots; always: bits of ""."""

    names: Array
    bits: Array
    always: int


def head_table(by_head: Mapping[str, int]) -> HeadTable:
    """The table for `bits_of`. by_head: folded head -> bits."""
    room = 1 << max(4, (2 * len(by_head)).bit_length())
    names, bits = np.zeros(room, np.uint64), np.zeros(room, np.uint64)
    for head, held in by_head.items():
        if head:
            name = xxhash.xxh64_intdigest(head.encode("utf-32-le", "surrogatepass")) or 1
            slot = name & (room - 1)
            while names[slot]:
                slot = (slot + 1) & (room - 1)
            names[slot], bits[slot] = name, held
    return HeadTable(names, bits, by_head.get("", 0))


def bits_of(texts: pl.Series, table: HeadTable) -> Array:
    """For each text the bits of all heads of the table that it begins with, as signed 64-bit integers."""
    library = _library()
    text, offsets = kernels.text_buffers(texts)
    found = np.zeros(len(texts), np.uint64)
    library.winnow_heads.restype = None
    library.winnow_heads(
        *map(kernels.pointer, (kernels.character_table(LETTER), heads.fold_table(), text, offsets)),
        ctypes.c_int64(len(texts)),
        *map(kernels.pointer, (table.names, table.bits)),
        ctypes.c_int64(len(table.names)),
        ctypes.c_int64(heads.HEAD_CHARS),
        ctypes.c_uint64(table.always),
        kernels.pointer(found),
    )
    return found.view(np.int64)


_LITERAL_ARRAYS: Final = ("klass", "seen", "before", "prior", "first", "brief", "literals", "codes", "fold")
_LITERAL: Final = np.dtype(
    [
        *((name, np.uint8, literals.LITERAL_CHARS) for name in ("bytes", "spare", "mask")),
        ("bits", np.uint64),
        ("next", np.int32),
        *((name, np.uint8) for name in ("back", "size", "edges", "prior")),
    ]
)


class _Literals(ctypes.Structure):
    _fields_ = (*((name, ctypes.c_void_p) for name in _LITERAL_ARRAYS), ("always", ctypes.c_uint64))


@dataclass(frozen=True, slots=True)
class LiteralTable:
    """Literals and their bits as literals.c describes them; always: bits of any text."""

    klass: Array
    seen: Array
    before: Array
    prior: Array
    first: Array
    brief: Array
    literals: Array
    codes: Array
    fold: Array
    always: int


_CLASS_BITS: Final = 7
_CLASSES: Final = 1 << _CLASS_BITS
_FOUND_BY: Final = 3  # characters


def literal_table(by_literal: Mapping[str, int]) -> LiteralTable:
    """The table for `literal_bits`. by_literal: literal as `literals.literals_of` gives it -> bits; any text has those of ""."""
    texts = [literal for literal in by_literal if literal]
    klass = _classes()
    chars, length = _padded(texts)
    classes = klass[chars].astype(np.int64)
    last = _found_at(classes, length)
    n = np.arange(len(texts))
    three = classes[n, last]
    for back in (1, 2):
        three |= np.where(length > back, classes[n, np.maximum(last - back, 0)] << back * _CLASS_BITS, 0)
    following = np.full(len(texts), -1, np.int32)
    # For two classes the first literal that they, or the last one alone, find.
    shorter = np.full(1 << 2 * _CLASS_BITS, -1, np.int32)
    begins, places = np.zeros(0, np.intp), three[:0]
    # Where more characters find a literal, it comes before those that fewer find.
    for chars_of in range(1, _FOUND_BY + 1):
        held = np.flatnonzero(np.minimum(length, _FOUND_BY) == chars_of)
        held = held[np.argsort(three[held], kind="stable")]
        ends = np.append(three[held][1:] != three[held][:-1], np.ones(min(1, len(held)), bool))
        begins = held[np.append(True, ends)[: len(held)]]
        places = three[begins]
        following[held[:-1]] = held[1:]
        following[held[ends]] = shorter[places & len(shorter) - 1 if chars_of > 1 else 0]
        if chars_of == 1:
            shorter.reshape(_CLASSES, _CLASSES)[:, places] = begins
        elif chars_of == 2:
            shorter[places] = begins
    seen = np.zeros((_CLASSES, len(shorter)), np.uint8)
    seen[:, shorter >= 0] = 1
    found = seen.ravel()
    found[places] = 1
    held = np.flatnonzero(found.view(np.bool_))
    first = shorter[held & len(shorter) - 1]
    first[np.searchsorted(held, places)] = begins
    words = np.packbits(found, bitorder="little").view(np.uint64)
    bare, size = _padded([text.strip(literals.START + literals.END) for text in texts])
    edges = np.array([text.startswith(literals.START) + 2 * text.endswith(literals.END) for text in texts], np.uint8)
    ascii_only = np.all(bare <= 0x7F, axis=1, keepdims=True)
    made = np.zeros(len(texts), _LITERAL)
    made["bytes"] = np.where(ascii_only, bare, 1)  # with nothing that counts, no text has this
    made["spare"] = np.where(ascii_only & (bare >= ord("a")) & (bare <= ord("z")), 0x20, 0)
    made["mask"] = np.where(ascii_only & (np.arange(bare.shape[1]) < size[:, None]), 0xFF, 0)
    made["bits"] = [by_literal[text] for text in texts]
    made["next"], made["size"], made["edges"], made["back"] = following, size, edges, last - (edges & 1)
    made["prior"] = np.where(last >= _FOUND_BY, classes[n, last - _FOUND_BY], _CLASSES)
    return LiteralTable(
        klass=klass,
        seen=words,
        before=_before(words),
        prior=_prior(held, shorter, three, classes, last, length),
        first=np.append(first, np.int32(-1)),
        brief=_brief(made),
        literals=made,
        codes=bare.astype(np.uint16),
        fold=heads.fold_table(),
        always=by_literal.get("", 0),
    )


def _brief(literals: Array) -> npt.NDArray[np.uint64]:
    """Of each literal its last eight bytes: all that tells whether it can be at a place, so close together that it stays at hand."""
    brief: npt.NDArray[np.uint64] = literals.view(np.uint64).reshape(-1, _LITERAL.itemsize // 8)[:, -1].copy()
    return brief


_ONES: Final = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(axis=1, dtype=np.uint8)  # in a byte


def _before(words: Array) -> npt.NDArray[np.uint32]:
    """How many bits are set in the words before each."""
    counts = _ONES[words.view(np.uint8)].reshape(-1, 8).sum(axis=1, dtype=np.uint32)
    before: npt.NDArray[np.uint32] = np.cumsum(counts, dtype=np.uint32) - counts
    return before


def packed_literals(table: LiteralTable) -> dict[str, Array]:
    """A table without what all have in common, by the names of RULE_ARRAYS."""
    literals = table.literals.view(np.uint8).reshape(-1, _LITERAL.itemsize)
    return {
        "seen": table.seen,
        "prior": table.prior,
        "first_literal": table.first,
        "literals": literals,
        "codes": table.codes,
    }


def _unpacked(packed: Mapping[str, Array]) -> LiteralTable:
    return LiteralTable(
        klass=_classes(),
        seen=packed["seen"],
        before=_before(packed["seen"]),
        prior=packed["prior"],
        first=packed["first_literal"],
        brief=_brief(packed["literals"].ravel()),
        literals=packed["literals"].ravel().view(_LITERAL),
        codes=packed["codes"],
        fold=heads.fold_table(),
        always=0,
    )


def _prior(
    held: Array, shorter: Array, three: Array, classes: Array, last: Array, length: Array
) -> npt.NDArray[np.uint64]:
    """For each three classes `held` the classes that can stand before them where they find a literal: a bit each."""
    can = np.zeros((len(held), _CLASSES), np.bool_)
    can[shorter[held & len(shorter) - 1] >= 0] = True  # fewer characters find one
    long = np.flatnonzero(length >= _FOUND_BY)
    place = np.searchsorted(held, three[long])
    inside = last[long] >= _FOUND_BY
    can[place[~inside]] = True
    can[place[inside], classes[long[inside], last[long[inside]] - _FOUND_BY]] = True
    packed: npt.NDArray[np.uint64] = np.packbits(can, axis=1, bitorder="little").view(np.uint64)
    return packed


def _padded(texts: Sequence[str]) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
    """The code points of `texts`, a row each, with zeros after them; and how many each has."""
    length = np.fromiter(map(len, texts), np.int64, len(texts))
    table = np.zeros((len(texts), literals.LITERAL_CHARS), np.uint32)
    table[np.arange(literals.LITERAL_CHARS) < length[:, None]] = np.frombuffer(
        "".join(texts).encode("utf-32-le"), np.uint32
    )
    return table, length


def _found_at(classes: Array, length: Array) -> npt.NDArray[np.int64]:
    """Of each literal the place of the last one of the three characters in a row by which it is found.

    They are rare, and find few other literals: a text's three characters are compared with all the literals they find.
    """
    rates = _rates()
    common = np.minimum(classes, len(rates) - 1)
    each = rates[common[:, :-2], common[:, 1:-1], common[:, 2:]]
    each[np.arange(2, classes.shape[1]) >= length[:, None]] = 1
    threes = classes[:, :-2] << 2 * _CLASS_BITS | classes[:, 1:-1] << _CLASS_BITS | classes[:, 2:]
    threes = np.unique(threes, return_inverse=True)[1].reshape(threes.shape)
    n = np.arange(len(length))
    chosen = each.argmin(axis=1)
    for part in range(_PARTS):  # some of them choose anew, knowing what all the others chose
        found = np.bincount(threes[n, chosen], minlength=int(threes.max(initial=0)) + 1)
        some = n[part::_PARTS]
        chosen[some] = (each[some] * (found[threes[some]] + 1)).argmin(axis=1)
    at: npt.NDArray[np.int64] = np.where(length < _FOUND_BY, length - 1, chosen + 2)
    return at


_PARTS: Final = 8


@cache
def _rates() -> npt.NDArray[np.float64]:
    """How often three characters in a row are in prose, by their classes; the last class stands for all that aren't ASCII."""
    klass = _classes()
    of_class = {int(klass[code]): chr(code) for code in (*range(127, 31, -1), ord(literals.START), ord(literals.END))}
    shares = np.array([literals.rate(of_class.get(one, "\u3000")) for one in range(_CLASSES // 2 + 1)])
    rates: npt.NDArray[np.float64] = np.minimum(
        8 * shares[:, None, None] * shares[:, None] * shares, literals.RATE_OF_OTHERS
    )
    for common, rate in literals.rates_of_common().items():
        rates[tuple(klass[list(map(ord, common))].tolist())] = rate
    return rates


@cache
def _classes() -> Array:
    """The class of each code point: those of ASCII share half of the classes, many have their own; all others the rest."""
    own = r"""abcdefghijklmnopqrstuvwxyz .,()[]:;-/|\"'@<>&!?*+=#_%$"""
    fold = heads.fold_table()
    table = (fold * np.uint32(_PRIME) >> np.uint32(32 - _CLASS_BITS + 1)).astype(np.uint8) | np.uint8(_CLASSES // 2)
    table[:128] = len(own) + 1
    for number, char in enumerate(own):
        table[ord(char)] = number
    table[ord("0") : ord("9") + 1] = len(own)
    table[ord(literals.START)], table[ord(literals.END)] = _CLASSES // 2 - 2, _CLASSES // 2 - 1
    return table[fold]


_PRIME: Final = 0x9E3779B1


def literal_bits(texts: pl.Series, table: LiteralTable, *, rows: Array | None = None, chars: int = 0) -> Array:
    """For each text, or for those at `rows`, the bits of all literals of the table that it holds, as signed 64-bit integers.

    chars: in its first so many characters, in its last ones where that is negative, in all of them with 0.
    """
    library = _library()
    views = kernels.TextViews(texts)
    given, _ = _literals_structure(table)
    rows = np.arange(len(texts)) if rows is None else np.ascontiguousarray(rows, np.int64)
    found = np.empty(len(rows), np.uint64)
    library.winnow_literals.restype = ctypes.c_int
    done = library.winnow_literals(
        ctypes.byref(given),
        views.pointer,
        kernels.pointer(rows),
        *map(ctypes.c_int64, (len(rows), chars)),
        kernels.pointer(found),
    )
    if not done:
        raise MemoryError("no memory left in winnow_literals")
    return found.view(np.int64)


def name_table(texts: Sequence[str]) -> Array:
    """The names of `texts` (xxh64 of their code points), hashed: 0 for an empty slot, a power of two of slots."""
    table = np.zeros(1 << max(4, (2 * len(texts)).bit_length()), np.uint64)
    for text in texts:
        name = xxhash.xxh64_intdigest(text.encode("utf-32-le", "surrogatepass")) or 1
        slot = name & (len(table) - 1)
        while table[slot] and table[slot] != name:
            slot = (slot + 1) & (len(table) - 1)
        table[slot] = name
    return table


RULE_ARRAYS: Final = (
    *("steps", "begin", "first", "klass", "word", "sets"),  # as programs.Linked has them
    *("head", "of_head", "by_head"),  # code points of heads; of each where its patterns begin in by_head
    *("seen", "prior", "first_literal", "literals", "codes"),  # as LiteralTable has them
    *("of_bit", "by_bit"),  # the patterns of each bit of a literal
    "always",  # patterns that any line may match
    *("pass_of", "place", "rule", "most_chars", "foreign"),  # of each pattern, see rules.c
    *("begun", "ended"),  # the programs for lines' starts and ends, -1 for none
    "left",  # passes that have no programs
    "phrases",  # as name_table makes it
)


class _Programs(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("steps", "begin", "klass", "word", "sets")),
        *((name, ctypes.c_int64) for name in ("words", "n_sets", "classes")),
    )


class _Rules(ctypes.Structure):
    _fields_ = (
        ("programs", _Programs),
        *((name, ctypes.c_void_p) for name in ("literals", "letter", "kinds", "plain", "fold", "slots", "named")),
        *((name, ctypes.c_int64) for name in ("room", "head_chars")),
        *((name, ctypes.c_void_p) for name in ("head", "of_head", "by_head", "of_bit", "by_bit", "always")),
        ("n_always", ctypes.c_int64),
        ("phrases", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in ("phrase_room", "phrase_chars")),
        *((name, ctypes.c_void_p) for name in ("pass_of", "place", "rule", "most_chars", "foreign")),
        *((name, ctypes.c_int64) for name in ("patterns", "passes")),
        *((name, ctypes.c_int64) for name in ("begun", "ended")),
    )


class RuleTables:
    """What the kernel reads to judge lines by a rule set.

    arrays: those of RULE_ARRAYS by name. kinds: of each code point bits as rules.c has them; plain: what stands for it in a
    line that is not all ASCII, GONE for nothing. phrase_chars: how long a line can be that is a phrase.
    """

    def __init__(self, arrays: Mapping[str, Array], kinds: Array, plain: Array, phrase_chars: int) -> None:
        kept = {name: np.ascontiguousarray(arrays[name]) for name in RULE_ARRAYS}
        self.left: list[int] = kept["left"].tolist()
        classes, head = kept["word"], kept["head"]
        points = np.diff(np.append(kept["first"].astype(np.int64), kernels.CODE_POINTS))
        kept["klass"] = np.repeat(kept["klass"], points)
        kept["slots"] = np.empty(1 << max(4, (2 * len(head)).bit_length()), np.int32)
        kept["named"] = np.empty(1 << 12, np.uint64)
        _library().winnow_head_slots.restype = None
        _library().winnow_head_slots(
            kernels.pointer(head),
            ctypes.c_int64(len(head)),
            ctypes.c_int64(head.shape[1]),
            kernels.pointer(kept["slots"]),
            ctypes.c_int64(len(kept["slots"])),
            kernels.pointer(kept["named"]),
        )
        self._literals = _literals_structure(_unpacked(kept))
        kept |= {"letter": kernels.character_table(LETTER), "kinds": kinds, "plain": plain, "fold": heads.fold_table()}
        self._kept = kept
        self.known = _Known(len(kept["begin"]) - 1)
        programs = _Programs(
            **{name: kernels.pointer(kept[name]) for name in ("steps", "begin", "klass", "word", "sets")},
            words=kept["sets"].shape[1],
            n_sets=len(kept["sets"]),
            classes=len(classes),
        )
        self._structure = _Rules(
            programs=programs,
            literals=ctypes.addressof(self._literals[0]),
            room=len(kept["slots"]),
            head_chars=head.shape[1],
            n_always=len(kept["always"]),
            phrase_room=len(kept["phrases"]),
            phrase_chars=phrase_chars,
            patterns=len(kept["rule"]),
            passes=int(kept["pass_of"].max(initial=-1)) + 1,
            begun=int(kept["begun"][0]),
            ended=int(kept["ended"][0]),
            **{name: kernels.pointer(kept[name]) for name in _RULE_POINTERS},
        )

    @property
    def pointer(self) -> Any:
        """Where the C structure lies."""
        return ctypes.byref(self._structure)


class _Known:
    """What kernels have found out about programs, kept from call to call; freed with the tables. One call at a time may use it."""

    def __init__(self, programs: int) -> None:
        self.lock = Lock()
        self._free = _library().winnow_forget
        self._free.restype = None
        make = _library().winnow_known
        make.restype = ctypes.c_void_p
        made = make(ctypes.c_int64(programs))
        if not made:
            raise MemoryError("no memory left in winnow_known")
        self.pointer = ctypes.c_void_p(made)

    def __del__(self) -> None:
        if hasattr(self, "pointer"):
            self._free(self.pointer)


GONE: Final = 0xFFFFFFFF
_RULE_POINTERS: Final = tuple(
    name for name, kind, *_ in _Rules._fields_ if kind is ctypes.c_void_p and name != "literals"
)
_NAMED: Final = (("row", np.int64), ("rule", np.int64), ("size", np.int64), ("phrased", np.int64))


def _literals_structure(table: LiteralTable) -> tuple[_Literals, LiteralTable]:
    """The table as C has it, and what that points into."""
    return _Literals(
        **{name: kernels.pointer(getattr(table, name)) for name in _LITERAL_ARRAYS}, always=table.always
    ), table


def named_lines(texts: pl.Series, rows: Array, tables: RuleTables) -> dict[str, Array]:
    """row, rule and size (characters of the line's key) for the first pattern of each pass that matches one of the lines at
    `rows`; phrased: the rows whose line may be a phrase."""
    library, views = _library(), kernels.TextViews(texts)
    rows = np.ascontiguousarray(rows, np.int64)
    library.winnow_rules.restype = ctypes.c_void_p
    with tables.known.lock:
        made = library.winnow_rules(
            tables.pointer, tables.known.pointer, views.pointer, kernels.pointer(rows), ctypes.c_int64(len(rows))
        )
    return kernels.take_arrays("winnow_rules", made, _NAMED)


def line_ends(
    texts: pl.Series, rows: Array, tables: RuleTables, tails: LiteralTable, *, most: int
) -> tuple[Array, Array]:
    """Of each line at `rows`, without the spaces around it: whether a pattern for lines' starts may match, within `most` characters;
    the bits of the literals it ends with, as signed 64-bit integers, 0 where no pattern for lines' ends matches there."""
    library, views = _library(), kernels.TextViews(texts)
    rows = np.ascontiguousarray(rows, np.int64)
    begun, ended = np.empty(len(rows), np.bool_), np.empty(len(rows), np.uint64)
    held, _ = _literals_structure(tails)
    library.winnow_ends.restype = ctypes.c_int
    with tables.known.lock:
        done = library.winnow_ends(
            tables.pointer,
            tables.known.pointer,
            ctypes.byref(held),
            views.pointer,
            kernels.pointer(rows),
            *map(ctypes.c_int64, (len(rows), most, literals.LITERAL_CHARS)),
            *map(kernels.pointer, (begun, ended)),
        )
    if not done:
        raise MemoryError("no memory left in winnow_ends")
    return begun, ended.view(np.int64)


def _library() -> ctypes.CDLL:
    library = kernels.library()
    assert library is not None
    return library


def _floats(columns: Array) -> Array:
    return np.ascontiguousarray(columns, np.float32)
