"""The visible text of an HTML page, a line for each block, and where each line stands in the markup.

A line carries a few bytes, those of schema.MARKUP: what its tags and those around it are called, how much of it is links, how much text its
containers hold, and what other lines of the same place are like. The line model of `boilerplate` weighs them; here
nothing is judged. One walk over the parsed page, in linear time.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from etl.ingest.records import is_empty
from etl.schema import HINTS, REGIONS

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
LEVELS: Final = 3  # containers around a line that are measured

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
    """Lines of visible text, none blank, as many rows of bytes (schema.MARKUP), and the characters in paragraphs."""

    lines: list[str]
    marks: list[bytes]
    paragraphs: int


class _Container(NamedTuple):
    parent: int
    first: int
    place: int
    around: int
    own: int
    depth: int
    kind: int


def visible_text(tree: HtmlElement) -> Visible:
    """The lines of `tree`, and what the markup says of each."""
    walk = _Walk()
    walk.over(tree)
    return walk.described()


class _Walk:
    """One pass over a page: its lines, the container of each, and the range of lines of each container."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.linked: list[int] = []  # characters of each line that are in links
        self.holder: list[int] = []  # container of each line
        self.kinds: list[int] = []
        self.containers: list[_Container] = [_Container(-1, 0, 0, 0, 0, 0, 0)]
        self.last: list[int] = [0]  # one past the last line of each container
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
                    self._flush(open_containers[-1], pre)
                    if tag != "br":
                        open_containers.append(self._opened(open_containers[-1], tag, element))
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
        self._flush(0, pre)
        self.last[0] = len(self.lines)

    def _opened(self, parent: int, tag: str, element: Any) -> int:
        attributes = element.attrib
        named = f"{attributes.get('class', '')} {attributes.get('id', '')}" if attributes else ""
        around = self.containers[parent]
        told = 0
        for name in named.split():
            told |= _hints(name[:MOST_NAME_CHARS])
        region = _REGIONS.get(tag, -1)
        if attributes:
            role = _REGIONS.get(attributes.get("role", ""), -1)
            if "style" in attributes or "hidden" in attributes or attributes.get("aria-hidden") == "true":
                style = attributes.get("style", "").replace(" ", "").lower()
                if "hidden" in attributes or "display:none" in style or attributes.get("aria-hidden") == "true":
                    told |= _HIDDEN
            if attributes.get("itemprop") == "articleBody":
                told |= _ARTICLE_BODY
            if role >= 0 and region < 0:
                region = role
        own = told << len(REGIONS) | (1 << region if region >= 0 else 0)
        key = (around.place, tag, attributes.get("class", "") if attributes else "")
        place = self._places.setdefault(key, len(self._places) + 1)
        self.containers.append(
            _Container(parent, len(self.lines), place, around.around | own, own, around.depth + 1, KINDS.get(tag, 0))
        )
        self.last.append(0)
        return len(self.containers) - 1

    def _flush(self, container: int, pre: int) -> None:
        pieces = self._pieces
        if not pieces:
            return
        text = "".join(pieces)
        pieces.clear()
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
        for number in range(len(self.containers) - 1, -1, -1):  # the row's own cells: the last ones opened
            if self.containers[number].first < first or number == container:
                break
            self.last[number] = min(self.last[number], len(self.lines))

    def described(self) -> Visible:
        """The lines with what the markup says of each."""
        size = [len(line) for line in self.lines]
        share = [linked / chars for linked, chars in zip(self.linked, size, strict=True)]
        prose = [
            chars if chars >= PARAGRAPH_CHARS and part < PARAGRAPH_LINKS else 0
            for chars, part in zip(size, share, strict=True)
        ]
        text, links, paragraphs = (list(accumulate(of, initial=0)) for of in (size, self.linked, prose))
        total = max(paragraphs[-1], 1)
        measured: list[bytes] = []
        held: list[int] = []
        steps: list[int] = []
        for number, container in enumerate(self.containers):
            first, last = min(container.first, len(size)), self.last[number]
            last = max(last, first)
            chars = text[last] - text[first]
            part = paragraphs[last] - paragraphs[first]
            held.append(part)
            measured.append(
                bytes(
                    (
                        _log(chars),
                        (links[last] - links[first]) * 255 // max(chars, 1),
                        _log(last - first),
                        part * 255 // total,
                    )
                )
            )
        for number, container in enumerate(self.containers):
            near = container.parent < 0 or held[number] >= MAIN_SHARE * total
            steps.append(0 if near else min(steps[container.parent] + 1, 255))
        places: dict[int, list[int]] = {}
        for holder, chars, linked, part in zip(self.holder, size, self.linked, prose, strict=True):
            of = places.setdefault(self.containers[holder].place, [0, 0, 0, 0])
            of[0] += 1
            of[1] += chars
            of[2] += linked
            of[3] += part
        alike = {
            place: bytes((_log(n), _log(chars // n), linked * 255 // chars, part * 255 // total))
            for place, (n, chars, linked, part) in places.items()
        }
        above: dict[int, bytes] = {}
        made = []
        for holder, linked, chars in zip(self.holder, self.linked, size, strict=True):
            known = above.get(holder)
            if known is None:
                known = above[holder] = self._around(holder, measured)
            tail = bytes((linked * 255 // chars, min(self.containers[holder].depth, 255)))
            made.append(
                b"".join((known[:7], tail, known[7:], bytes((steps[holder],)), alike[self.containers[holder].place]))
            )
        return Visible(self.lines, made, paragraphs[-1])

    def _around(self, holder: int, measured: list[bytes]) -> bytes:
        container = self.containers[holder]
        regions = container.around & ((1 << len(REGIONS)) - 1)
        hints = container.around >> len(REGIONS)
        own = (container.own | self.containers[max(container.parent, 0)].own) >> len(REGIONS)
        pieces = [bytes((container.kind, regions & 255, regions >> 8, hints & 255, hints >> 8, own & 255, own >> 8))]
        number = holder
        for _ in range(LEVELS):
            pieces.append(measured[number])
            number = max(self.containers[number].parent, 0)
        return b"".join(pieces)


@lru_cache(maxsize=1 << 15)
def _hints(name: str) -> int:
    """What one name of a class, or an id, tells."""
    low = name.lower()
    return sum(1 << bit for bit, pattern in enumerate(_HINTS) if pattern.search(low))


def _log(value: int) -> int:
    """The logarithm of `value`, eight steps an octave, without floating point."""
    value += 1
    octave = value.bit_length() - 1
    return min(octave * 8 + (((value << 3) >> octave) & 7), 255)
