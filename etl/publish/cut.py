"""The one place that cuts: marks become removals that, with the kept text, are the whole repaired text.

A mark covers words; a removal also takes the white space that would be left over. Of the gaps around a run of removed
pieces the one with the most line breaks stays, so that paragraphs keep their breaks and no line ends in a space.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from etl.errors import StageError

Span = tuple[int, int]

_GAP: Final = re.compile(r"\s*")


@dataclass(frozen=True, slots=True)
class Cut:
    """What became of one text. spans: code points removed, one for each mark, in order, end exclusive."""

    kept: str
    spans: tuple[Span, ...]


def cut(text: str, marks: Sequence[Span]) -> Cut:
    """`text` without `marks`, which are in order, not empty and don't overlap."""
    spans: list[Span] = []
    first = 0
    while first < len(marks):
        last = first
        gaps = [(_gap_before(text, marks[first][0], spans[-1][1] if spans else 0), marks[first][0])]
        while True:
            end = marks[last][1]
            after = _gap_end(text, end)
            gaps.append((end, after))
            if last + 1 == len(marks) or marks[last + 1][0] > after:
                break
            gaps[-1] = (end, marks[last + 1][0])
            last += 1
        spans.extend(_spans(text, marks[first : last + 1], gaps))
        first = last + 1
    pieces: list[str] = []
    at = 0
    for start, end in spans:
        pieces.append(text[at:start])
        at = end
    pieces.append(text[at:])
    return Cut("".join(pieces), tuple(spans))


def check(text: str, kept: str, removed: Sequence[tuple[int, int, str]], *, doc_id: str) -> None:
    """Raises StageError unless `kept` with `removed` (start, end, text) put back is `text`, character for character."""
    pieces: list[str] = []
    whole = taken = 0
    for start, end, piece in removed:
        if start < whole or end - start != len(piece):
            raise StageError(f"document {doc_id}: the removal at {start} overlaps another or has the wrong length")
        pieces.append(kept[taken : taken + start - whole])
        pieces.append(piece)
        taken += start - whole
        whole = end
    pieces.append(kept[taken:])
    if "".join(pieces) != text:
        raise StageError(f"document {doc_id}: kept and removed text together are not the repaired text")


def _spans(text: str, marks: Sequence[Span], gaps: Sequence[Span]) -> list[Span]:
    """The spans that cover `marks` and all but one of the `gaps` before, between and after them."""
    at_start, at_end = gaps[0][0] == 0, gaps[-1][1] == len(text)
    if at_start:
        stays = 0
    elif at_end:
        stays = len(marks)
    else:
        stays = max(range(len(gaps)), key=lambda n: (text.count("\n", *gaps[n]), -n))
    spans = [(gaps[n][0], mark[1]) if n < stays else (mark[0], gaps[n + 1][1]) for n, mark in enumerate(marks)]
    if at_start:
        spans[0] = (0, spans[0][1])
    if at_end:
        spans[-1] = (spans[-1][0], len(text))
    return spans


def _gap_before(text: str, start: int, floor: int) -> int:
    while start > floor and text[start - 1].isspace():
        start -= 1
    return start


def _gap_end(text: str, end: int) -> int:
    found = _GAP.match(text, end)
    return found.end() if found else end
