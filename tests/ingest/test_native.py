"""Lines of JSON read as columns against the same lines read one by one."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from etl.ingest import jsonl, lines, native
from etl.ingest.formats import Limits, Reject, read_batches
from etl.ingest.records import doc_id

pytestmark = pytest.mark.skipif(not native.available(), reason="the kernels are not installed")

TEXTS = st.text(
    alphabet=st.sampled_from('aZ9 \t\n\r"\\/é“日\u00a0\u0085\u2028\x1c\x7f\u200b\U0001f600\x00'), max_size=20
) | st.text(max_size=12)
NUMBERS = st.integers() | st.integers(-(10**20), 10**20) | st.floats() | st.sampled_from([0, -0.0, 1e300, 10**400])
VALUES = st.recursive(
    TEXTS
    | NUMBERS
    | st.none()
    | st.booleans()
    | st.sampled_from(["2024-01-02", "en-US", "By Jane Doe and John Roe", "  a  b ", "x" * 11_000]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
NAMES = (
    "text",
    "id",
    "url",
    "title",
    "date",
    "lang",
    "author",
    "site",
    "crawled_at",
    "meta",
    "html",
    "Text",
    "content",
    'é"',
)
LINES = st.sampled_from(
    [
        *(
            b"",
            b" ",
            b"\x0b",
            b"[1]",
            b"null",
            b"nonsense",
            b"{}",
            b'{"text": "a"',
            b'{"text": "a"}}',
            b'{"text": "a",}',
        ),
        *(
            b'\xef\xbb\xbf{"text": "mark"}',
            b'{"text": "\xff"}',
            b'{"text": "\xed\xa0\x80"}',
            b'{"text": "\xf4\x90\x80\x80"}',
        ),
        *(b'{"text": "\\ud800"}', b'{"text": "\\ud83d\\ude00"}', b'{"text": "\\ude00\\ud83d"}', b'{"text": "\\u00"}'),
        *(
            b'{"text": "a", "text": "b"}',
            b'{"te\\u0078t": "a"}',
            b'{"text": "a", "id": NaN}',
            b'{"text": "a", "id": 01}',
        ),
        *(
            b'{"text": "a", "id": -0}',
            b'{"text": "a", "id": -}',
            b'{"text": "a", "id": 1.}',
            b'{"text": "a", "id": 1e5}',
        ),
        *(
            b'{"text": "a\tb"}',
            b'{"text": "\\x"}',
            b'{"text": "\\/\\b\\f"}',
            b' {"text" : "a" } \r',
            b'{"text": "a"}\x0c',
        ),
        *(b'{"text": "a", "meta": {"b": [1, {"c": tru}]}}', b'{"text": "a", "meta": ' + b"[" * 40 + b"]" * 40 + b"}"),
        *(b'{"text": "' + b"x" * 3000 + b'"}', b'{"text": "\x7f"}', b'{"text": "\\u200b"}', b'{"text": null, "id": 7}'),
    ]
)


def read(data: bytes, batch_chars: int = 60) -> list[tuple[dict[str, Any], list[Reject]]]:
    limits = Limits(max_record_bytes=2500)
    return [
        (table.to_pydict(), rejects)
        for table, rejects in read_batches(
            io.BytesIO(data), source="a.jsonl", size=len(data), limits=limits, batch_chars=batch_chars
        )
    ]


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """Records of a few shapes, some of them spoiled, with odd lines between."""
    shapes = draw(
        st.lists(st.lists(st.sampled_from(NAMES), unique=True, min_size=1, max_size=6), min_size=1, max_size=3)
    )
    written: list[bytes] = []
    for _ in range(draw(st.integers(1, 12))):
        if draw(st.integers(0, 5)) == 0:
            written.append(draw(LINES))
            continue
        names = draw(st.sampled_from(shapes))
        record = {name: draw(TEXTS if name in ("text", "content") else VALUES) for name in names}
        line = json.dumps(record, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
        if draw(st.integers(0, 7)) == 0 and line:
            at = draw(st.integers(0, len(line) - 1))
            line = (
                line[:at]
                + draw(st.sampled_from([b"", b"\xff", b'"', b"\\", b"\x00", b",", b"}", b" "]))
                + line[at + 1 :]
            )
        written.append(line)
    return b"\n".join(written) + draw(st.sampled_from([b"", b"\n", b"\n\n"]))


@given(files(), st.sampled_from([1, 7, 60, 4 << 20]), st.sampled_from([1, 30, 10**6]))
@settings(max_examples=150, deadline=None)
@example(b'{"text": "a"}\n{"text": "b", "id": 3}\n\n{"id": 3, "text": "c"}', 4 << 20, 10**6)
@example(b'{"text": "a", "date": "2024-01-02", "lang": "en-US", "author": "A B; C D"}\n' * 5, 4 << 20, 2)
def test_records_are_the_same_by_both_ways(data: bytes, chunk_bytes: int, batch_chars: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "CHUNK_BYTES", chunk_bytes)
        patch.setattr(jsonl, "_MOST_APART", 1000)
        found = read(data, batch_chars)
        patch.setattr(native, "available", lambda: False)
        assert read(data, batch_chars) == found


def test_plain_records_do_take_the_fast_way() -> None:
    line = (
        b'{"id": 17, "text": "Gr\xc3\xbc\xc3\x9fe \\u00fcber \\"alles\\"", "date": null, "tags": ["a", {"b": 1.5}]}\n'
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jsonl, "_read_line", lambda *_, **__: pytest.fail("read by itself"))
        [(rows, rejects)] = read(line * 3, 10**6)
    assert (rows["text"], rows["source_id"], rejects) == (['Grüße über "alles"'] * 3, ["17"] * 3, [])


@given(
    st.binary(max_size=5000), st.lists(st.tuples(*[st.integers(0, 5000)] * 2), max_size=9), TEXTS, st.integers(0, 2**62)
)
@settings(deadline=None)
@example(bytes(range(256)) * 20, [(0, n) for n in (0, 237, 238, 239, 1021, 1022, 1023, 1024, 2045, 2046, 5000)], "a", 7)
def test_ids_are_the_same_by_both_ways(data: bytes, places: list[tuple[int, int]], source: str, record: int) -> None:
    starts, ends = (np.array([which(place) for place in places], np.int64) for which in (min, max))
    ids = jsonl._doc_ids(
        data,
        np.minimum(starts, len(data)),
        np.minimum(ends, len(data)),
        name=source,
        records=record + np.arange(len(starts)),
    )
    pieces = [data[a:b] for a, b in zip(starts, ends, strict=True)]
    assert ids.to_list() == [doc_id(source, record + number, piece) for number, piece in enumerate(pieces)]
