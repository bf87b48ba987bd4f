"""The visible text of an HTML page, a line for each block, and where each line stands in the markup.

A line carries a few bytes, those of schema.MARKUP: what its tags and those around it are called, how much of it is links, how much text its
containers hold, and what other lines of the same place are like. The line model of `boilerplate` weighs them; here
nothing is judged. One walk over the parsed page, in linear time.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from etl.ingest.records import is_empty
from etl.schema import HINTS, MARKUP, REGIONS

if TYPE_CHECKING:
    from lxml.html import HtmlElement

HIDDEN: Final = frozenset(
    (
        *(
            "script",
            "style",
            "noscript",
            "template",
            "svg",
            "head",
            "iframe",
            "object",
            "canvas",
            "math",
            "select",
            "option",
        ),
        *("textarea", "audio", "video"),
    )
)
BUTTON: Final = "button"  # hidden too, unless the page goes on inside: one that was never closed
INLINE: Final = frozenset(
    (
        *("a", "span", "b", "i", "em", "strong", "font", "u", "small", "big", "sub", "sup"),
        *("abbr", "acronym", "cite", "code", "q", "s", "strike", "del", "ins", "mark", "label", "tt"),
        *("kbd", "samp", "var", "time", "bdi", "bdo", "wbr", "data", "nobr", "img", "picture", "source"),
        *("input", "ruby", "rt", "rp", "dfn"),
    )
)
CELLS: Final = frozenset(("td", "th"))
MOST_ROW_CHARS: Final = 1000  # a longer row of a table is layout
PARAGRAPH_CHARS: Final = 80
PARAGRAPH_LINKS: Final = 0.3  # share of links beyond which a long line is no paragraph
MAIN_SHARE: Final = 0.5  # a container with this share of the page's paragraphs is where its text is
MOST_NAME_CHARS: Final = 60  # of a class; more tells nothing
MOST_KEPT_CHARS: Final = 400  # of an element; what a longer one tells is not remembered
LEVELS: Final = 3  # containers around a line that are measured

TELLING: Final = frozenset(("class", "id", "role", "style", "hidden", "aria-hidden", "itemprop"))
"""Attributes that are read."""

KINDS: Final = {
    name: number
    for number, names in enumerate(
        (
            "p",
            "h1",
            "h2 h3 h4 h5 h6",
            "li dt dd",
            "td th tr",
            "div",
            "blockquote pre q",
            "figcaption caption figure",
            "br",
        ),
        1,
    )
    for name in names.split()
}
"""Kinds of block that hold a line; 0 is any other."""

_REGIONS: Final = {
    name: REGIONS.index(region)
    for region, names in {
        "nav": "nav navigation menu",
        "footer": "footer contentinfo",
        "header": "header banner",
        "aside": "aside complementary",
        "form": "form search dialog",
        "article": "article",
        "main": "main",
        "table": "table",
        "list": "ul ol dl",
        "figure": "figure",
    }.items()
    for name in names.split()
}
"""Tags and roles, and the bit of the region that each opens."""

_BY_HINT: Final = {
    "navigation": r"nav|menu|breadcrumb|topbar|toolbar|pagination|pager|sitemap",
    "footer": r"foot|copyright|legal|colophon|disclaimer",
    "sidebar": r"side|widget|rail|aside|secondary",
    "related": r"relat|recommend|more|also|popular|trending|latest|teaser|promo|most|next|prev|card|headlines",
    "sharing": r"shar|social|follow|facebook|twitter|whatsapp|addthis",
    "comments": r"comment|disqus|respond|reply|discuss|review",
    "advertising": r"advert|\bads?\b|[-_]ads?\b|\bads?[-_]|sponsor|banner|cookie|consent|gdpr|modal|popup|overlay|paywall|outbrain|taboola",
    "subscription": r"subscri|newsletter|sign-?up|log-?in|regist|account|donat|search",
    "heading": r"head|mast|logo|title",
    "content": r"content|article|entry|post|story|body|text|main|prose|single|page",
    "byline": r"author|byline|meta|date|time|publish|tag|categor|credit|source",
    "caption": r"caption|image|photo|gallery|media|figure|video",
    "hidden": r"hidden|sr-only|screen-reader|visually|print",
    "article body": r"articlebody|article-?body|article[-_]?text|article[-_]?content|entry[-_]?content|post[-_]?content|story[-_]?body|post-?body",
}
_HINTS: Final = tuple(re.compile(_BY_HINT[name]) for name in HINTS)
"""What the names of classes and ids tell; a bit each."""

_HIDDEN: Final = 1 << HINTS.index("hidden")
_ARTICLE_BODY: Final = 1 << HINTS.index("article body")


class Visible(NamedTuple):
    """Lines of visible text, none blank; for each a row of bytes (schema.MARKUP); and the characters in paragraphs."""

    lines: list[str]
    marks: npt.NDArray[np.uint8]
    paragraphs: int


def visible_text(tree: HtmlElement) -> Visible:
    """The lines of `tree`, and what the markup says of each."""
    walk = _Walk()
    walk.over(tree)
    return walk.described()


class _Walk:
    """One pass over a page: its lines, the container of each, and the range of lines of each container.

    A container is a row of the lists from `parent` to `kind`; the first is the page itself.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.linked: list[int] = []  # characters of each line that are in links
        self.holder: list[int] = []  # container of each line
        self.parent: list[int] = [-1]
        self.first: list[int] = [0]
        self.last: list[int] = [0]  # one past the last line
        self.place: list[int] = [0]
        self.around: list[int] = [0]
        self.own: list[int] = [0]
        self.depth: list[int] = [0]
        self.kind: list[int] = [0]
        self._places: dict[tuple[int, str, str], int] = {}
        self._pieces: list[str] = []
        self._link_pieces: list[str] = []

    def over(self, tree: HtmlElement) -> None:
        """Walk, without recursion: pages nest as deep as they like."""
        from lxml.etree import iterwalk

        walk = iterwalk(tree, events=("start", "end", "comment", "pi"))
        open_containers = [0]
        links = pre = 0
        rows: list[int] = []  # for each open row of a table its first line, or -1 once a cell held several
        cells: list[int] = []
        buttons: list[bool] = []  # for each open button whether the page goes on inside
        pieces, link_pieces = self._pieces, self._link_pieces
        for event, element in walk:
            tag = element.tag
            if event == "start":
                if tag.__class__ is not str or tag in HIDDEN:
                    walk.skip_subtree()
                    continue
                if tag == BUTTON:
                    buttons.append(element.find(".//p") is not None)
                    if not buttons[-1]:
                        walk.skip_subtree()
                        continue
                if tag == "a":
                    links += 1
                elif tag not in INLINE:
                    if pieces:
                        self._flush(open_containers[-1], pre)
                    if tag != "br":
                        told = tuple(pair for pair in element.items() if pair[0] in TELLING)
                        open_containers.append(self._opened(open_containers[-1], tag, told))
                        if tag == "pre":
                            pre += 1
                        elif tag == "tr":
                            rows.append(len(self.lines))
                        elif tag in CELLS:
                            cells.append(len(self.lines))
                text = element.text
                if text:
                    pieces.append(text)
                    if links:
                        link_pieces.append(text)
                continue
            if tag.__class__ is str and tag not in HIDDEN and (tag != BUTTON or buttons.pop()):
                if tag == "a":
                    links -= 1
                elif tag not in INLINE and tag != "br":
                    if pieces:
                        self._flush(open_containers[-1], pre)
                    self.last[open_containers.pop()] = len(self.lines)
                    if tag == "pre":
                        pre -= 1
                    elif tag == "tr":
                        self._joined(rows.pop(), open_containers[-1])
                    elif tag in CELLS and len(self.lines) - cells.pop() > 1 and rows:
                        rows[-1] = -1
            tail = element.tail
            if tail:
                pieces.append(tail)
                if links:
                    link_pieces.append(tail)
        if pieces:
            self._flush(0, pre)
        self.last[0] = len(self.lines)

    def _opened(self, parent: int, tag: str, attributes: tuple[tuple[str, str], ...]) -> int:
        chars = len(tag) + sum(len(value) for _, value in attributes)
        own, named = _told(tag, attributes) if chars <= MOST_KEPT_CHARS else _told.__wrapped__(tag, attributes)
        self.parent.append(parent)
        self.first.append(len(self.lines))
        self.last.append(0)
        self.place.append(self._places.setdefault((self.place[parent], tag, named), len(self._places) + 1))
        self.around.append(self.around[parent] | own)
        self.own.append(own)
        self.depth.append(self.depth[parent] + 1)
        self.kind.append(KINDS.get(tag, 0))
        return len(self.parent) - 1

    def _flush(self, container: int, pre: int) -> None:
        text = "".join(self._pieces)
        self._pieces.clear()
        linked = 0
        if self._link_pieces:
            linked = len(" ".join("".join(self._link_pieces).split()))
            self._link_pieces.clear()
        if pre:
            for line in text.split("\n"):
                self._add(" ".join(line.rstrip().splitlines()), linked, container)
            return
        self._add(" ".join(text.split()), linked, container)

    def _add(self, line: str, linked: int, container: int) -> None:
        if line and not is_empty(line):
            self.lines.append(line)
            self.linked.append(min(linked, len(line)))
            self.holder.append(container)

    def _joined(self, first: int, container: int) -> None:
        """Join the cells of a table's row, a line each, to one line."""
        if first < 0 or len(self.lines) - first < 2:
            return
        row = " | ".join(self.lines[first:])
        if len(row) > MOST_ROW_CHARS:
            return
        linked = sum(self.linked[first:])
        holder = self.holder[first]
        del self.lines[first:], self.linked[first:], self.holder[first:]
        self._add(row, linked, holder)
        for number in range(len(self.parent) - 1, -1, -1):  # the row's own cells: the last ones opened
            if self.first[number] < first or number == container:
                break
            self.last[number] = min(self.last[number], len(self.lines))

    def described(self) -> Visible:
        """The lines with what the markup says of each."""
        size, linked, holder = (np.array(of, np.int64) for of in (list(map(len, self.lines)), self.linked, self.holder))
        parent, place, around, own = (np.array(of, np.int64) for of in (self.parent, self.place, self.around, self.own))
        prose = np.where((size >= PARAGRAPH_CHARS) & (linked / np.maximum(size, 1) < PARAGRAPH_LINKS), size, 0)
        paragraphs = int(prose.sum())
        total = max(paragraphs, 1)

        first = np.minimum(self.first, len(size))
        last = np.maximum(self.last, first)
        text, links, held = (np.append(0, np.cumsum(of)) for of in (size, linked, prose))
        text, links, held = (of[last] - of[first] for of in (text, links, held))
        measured = _rows(_log(text), links * 255 // np.maximum(text, 1), _log(last - first), held * 255 // total)

        lines_at, size_at, links_at, prose_at = (
            np.bincount(place[holder], of, len(self._places) + 1).astype(np.int64) for of in (None, size, linked, prose)
        )
        chars_at = np.maximum(size_at, 1)
        alike = _rows(
            _log(lines_at),
            _log(size_at // np.maximum(lines_at, 1)),
            links_at * 255 // chars_at,
            prose_at * 255 // total,
        )

        above = np.maximum(parent, 0)
        levels = [holder]
        for _ in range(1, LEVELS):
            levels.append(above[levels[-1]])
        hints = (around[holder] >> len(REGIONS), (own | own[above])[holder] >> len(REGIONS))
        regions = around[holder] & ((1 << len(REGIONS)) - 1)
        kind, depth = np.array(self.kind)[holder], np.array(self.depth)[holder]
        marks = np.hstack(
            [
                _rows(kind, *(part for bits in (regions, *hints) for part in (bits & 255, bits >> 8))),
                _rows(linked * 255 // np.maximum(size, 1), np.minimum(depth, 255)),
                *(measured[level] for level in levels),
                _rows(self._steps(held >= MAIN_SHARE * total)[holder]),
                alike[place[holder]],
            ]
        )
        assert marks.shape == (len(self.lines), len(MARKUP))
        return Visible(self.lines, marks, paragraphs)

    def _steps(self, main: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
        """For each container how many steps up the next one is that holds the page's paragraphs."""
        steps = [0]
        for parent, near in zip(self.parent[1:], main[1:].tolist(), strict=True):
            steps.append(0 if near else min(steps[parent] + 1, 255))
        return np.array(steps, np.int64)


@lru_cache(maxsize=1 << 12)
def _told(tag: str, attributes: tuple[tuple[str, str], ...]) -> tuple[int, str]:
    """What an element says of itself by its TELLING attributes: a bit for each region and hint, and the names of its classes."""
    given = dict(attributes)
    named = given.get("class", "")
    told = 0
    for name in (*named.split(), *given.get("id", "").split()):
        told |= _hints(name[:MOST_NAME_CHARS])
    style = given.get("style", "").replace(" ", "").lower()
    if "hidden" in given or "display:none" in style or given.get("aria-hidden") == "true":
        told |= _HIDDEN
    if given.get("itemprop") == "articleBody":
        told |= _ARTICLE_BODY
    region = _REGIONS.get(tag, _REGIONS.get(given.get("role", ""), -1))
    return told << len(REGIONS) | (1 << region if region >= 0 else 0), named


@lru_cache(maxsize=1 << 15)
def _hints(name: str) -> int:
    """What one name of a class, or an id, tells."""
    low = name.lower()
    return sum(1 << bit for bit, pattern in enumerate(_HINTS) if pattern.search(low))


def _log(values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The logarithm of each of `values`, none negative or over 2**40, eight steps an octave. Exact: frexp only looks at bits."""
    octave = np.frexp((values + 1).astype(np.float64))[1].astype(np.int64) - 1
    return np.minimum(octave * 8 + ((((values + 1) << 3) >> octave) & 7), 255)


def _rows(*columns: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    return np.column_stack(columns).astype(np.uint8)
