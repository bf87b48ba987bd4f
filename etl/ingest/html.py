"""HTML as its visible text, a line a block, with what the markup says of each line; and the page's metadata.

Whether a line is the article is decided where all text is judged, in the boilerplate step, which reads besides the text a
letter for each line: whether trafilatura takes the line for main text, and how much of it is links. See
docs/decisions/0012-html.md. A page too large or too odd for a parser is stripped of its tags, and nothing is said of its lines.
"""

from __future__ import annotations

import html
import logging
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final, NamedTuple, cast

import polars as pl

from etl.ingest import charset
from etl.ingest.compression import ByteSource
from etl.ingest.fields import parse_time, to_str
from etl.ingest.records import Limits, Reject, Row, Unreadable, doc_id, is_empty
from etl.schema import LINK_LEVELS, markup_letter

if TYPE_CHECKING:
    from lxml.html import HtmlElement
    from trafilatura.settings import Document

# Beyond these a page is stripped: trafilatura takes 0.2 to 0.4 ms a tag, and minutes over 30,000 attributes of one tag.
MAX_CHARS: Final = 10_000_000
MAX_TAGS: Final = 50_000
MAX_ATTRIBUTES: Final = 1_000
_LONG_TAG_CHARS: Final = 5_000

QUOTED_CHARS: Final = (
    25  # a line of so many letters and digits is main text also where it is part of a longer line of it
)
_NO_WORD: Final = re.compile(r"[\W_]+")

_UNSEEN: Final = frozenset(
    [
        "audio",
        "canvas",
        "head",
        "iframe",
        "map",
        "math",
        "noscript",
        "object",
        "option",
        "script",
        "select",
        "style",
        "svg",
        "template",
        "textarea",
        "title",
        "video",
    ]
)
_CELLS: Final = frozenset(("td", "th"))
_BLOCKS: Final = frozenset(
    [
        "address",
        "article",
        "aside",
        "blockquote",
        "body",
        "br",
        "caption",
        "center",
        "dd",
        "details",
        "div",
        "dl",
        "dt",
        "fieldset",
        "figcaption",
        "figure",
        "footer",
        "form",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "header",
        "hr",
        "html",
        "label",
        "legend",
        "li",
        "main",
        "nav",
        "ol",
        "p",
        "pre",
        "section",
        "summary",
        "table",
        "tbody",
        "td",
        "tfoot",
        "th",
        "thead",
        "tr",
        "ul",
    ]
)

_DATES: Final = {"original_date": True, "extensive_search": False, "max_date": "2100-01-01"}
"""Only dates that the page declares; and no "now", so that a page gives the same date on every day."""

_XML_DECLARATION: Final = re.compile(r"\s{0,100}<\?xml[^>]{0,200}\?>")
_INVISIBLE: Final = r"(?is)<(?:script|style|noscript|template|head|svg)\b[^>]*>.*?</(?:script|style|noscript|template|head|svg)\s*>|<!--.*?-->"
_BLOCK_TAG: Final = (
    r"(?i)</?(?:p|div|br|hr|li|ul|ol|dl|dt|dd|tr|td|th|table|h[1-6]|section|article|header|footer|nav|aside|main|blockquote|pre|"
    r"title|form|option|figure|figcaption|body|html)\b[^<>]*>"
)
_TAG: Final = r"</?[A-Za-z!?][^<>]*>"


class Page(NamedTuple):
    """A page's text and what it says of itself; None where it says nothing.

    markup: a letter for each line of the text, as `schema.markup_letter` gives it; None where the page could not be parsed.
    """

    text: str
    markup: str | None
    url: str | None
    site: str | None
    title: str | None
    authors: list[str] | None
    published_at: datetime | None


def read_html(source: ByteSource, *, name: str, limits: Limits) -> Iterator[Row | Reject]:
    """The one document of an HTML file."""
    data = source.read_all(limits.max_record_bytes)
    if charset.is_binary(data):
        raise Unreadable(
            "UnknownFormat", "the file is not HTML (a picture, a PDF or other binary data); convert it first"
        )
    markup, encoding = charset.decode(data, declared=charset.declared_charset(data))
    page = html_to_document(markup, None)
    site = None if page.url else page.site
    yield Row(
        doc_id(name, 1, data),
        name,
        1,
        None,
        page.url,
        site,
        page.title,
        page.authors,
        page.published_at,
        None,
        None,
        page.text,
        encoding,
        page.markup,
    )


def html_to_document(markup: str, url: str | None) -> Page:
    """The page's visible text, one paragraph, heading, list item or table row a line, with its metadata.

    url: where the page is from, None if not known. Raises Unreadable when there is no text.
    """
    page = None if _is_too_much(markup) else _parse(markup, url)
    if page is None:
        page = Page(strip_tags(markup), None, None, None, None, None, None)
    if is_empty(page.text):
        raise Unreadable(
            "NoText", "the page holds no text, only markup or scripts; save the page as a browser shows it"
        )
    return page


def strip_tags(markup: str) -> str:
    """All text of the page without its tags, a line for each block. Linear, whatever the markup is."""
    text = pl.Series([markup]).str.replace_all(_INVISIBLE, "\n").str.replace_all(r"[ \t\r\n]+", " ")
    bare: str = text.str.replace_all(_BLOCK_TAG, "\n").str.replace_all(_TAG, "")[0]
    lines = (" ".join(line.split()) for line in html.unescape(bare).split("\n"))
    return "\n".join(line for line in lines if line)


def _is_too_much(markup: str) -> bool:
    """Whether parsing the page could take minutes: it is huge, or one tag has thousands of attributes."""
    if len(markup) > MAX_CHARS or markup.count("<") > MAX_TAGS:
        return True
    if len(markup) < _LONG_TAG_CHARS:
        return False
    tags = (piece.partition(">")[0] for piece in markup.split("<") if len(piece) > _LONG_TAG_CHARS)
    return any(tag.count("=") > MAX_ATTRIBUTES or tag.count(" ") > 20 * MAX_ATTRIBUTES for tag in tags)


def _parse(markup: str, url: str | None) -> Page | None:
    """What lxml and trafilatura make of the page, None when they find no text. The page is parsed once."""
    # Imported here: a run over JSON Lines has no use for it, and it takes a second.
    from trafilatura.core import bare_extraction
    from trafilatura.metadata import extract_metadata
    from trafilatura.utils import load_html

    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)  # every empty page would be a warning
    logging.getLogger("htmldate").setLevel(logging.CRITICAL)
    try:
        tree = load_html(_XML_DECLARATION.sub("", markup[:400]) + markup[400:])
        if tree is None:
            return None
        lines = list(_visible_lines(tree))
        found = cast(
            "Document | None",
            bare_extraction(
                tree,
                url=url,
                fast=True,
                favor_precision=True,
                include_comments=False,
                date_extraction_params=dict(_DATES),
                with_metadata=True,
            ),
        )
        if not lines:
            return None
        meta = found if found is not None else extract_metadata(tree, url, dict(_DATES))
        text = "\n".join(line.text for line in lines)
        return _page(text, _letters(lines, (found.text or "") if found is not None else ""), meta)
    except Exception as fault:  # noqa: BLE001 - three libraries raise what hostile markup provokes; stripping tags is the answer to all
        logging.getLogger(__name__).debug("stripped instead of parsed: %r", fault)
        return None


class _Line(NamedTuple):
    """A line as a browser shows it. linked: how many of its characters are in links, white space aside."""

    text: str
    linked: int


def _visible_lines(tree: HtmlElement) -> Iterator[_Line]:
    """The page's text, a line a block, the cells of a table row in one line. Scripts, styles and form values are left out."""
    from lxml import etree

    pieces: list[str] = []
    linked = unseen = links = verbatim = 0

    def line() -> Iterator[_Line]:
        nonlocal linked
        text = "".join(pieces)
        text = text.rstrip() if verbatim else " ".join(text.split())
        pieces.clear()
        if not is_empty(text):
            yield _Line(text, linked)
        linked = 0

    def add(text: str | None) -> Iterator[_Line]:
        nonlocal linked
        if text and verbatim and "\n" in text:  # source code and verse, line by line
            first, *more = text.split("\n")
            yield from add(first)
            for one in more:
                yield from line()
                yield from add(one)
        elif text:
            pieces.append(text)
            linked += len("".join(text.split())) if links else 0

    for event, element in etree.iterwalk(tree, events=("start", "end", "comment", "pi")):
        if event in ("comment", "pi"):
            if not unseen:
                yield from add(element.tail)
            continue
        tag = element.tag if isinstance(element.tag, str) else ""
        if event == "start":
            if unseen or tag in _UNSEEN:
                unseen += 1
                continue
            if tag in _CELLS:
                if pieces and not is_empty("".join(pieces)):
                    pieces.append(" | ")
            elif tag in _BLOCKS:
                yield from line()
            links += tag == "a"
            verbatim += tag == "pre"
            yield from add(element.text)
            continue
        if unseen:
            unseen -= 1
        else:
            if tag in _BLOCKS and tag not in _CELLS:
                yield from line()
            links -= tag == "a"
            verbatim -= tag == "pre"
        if not unseen and element is not tree:
            yield from add(element.tail)
    yield from line()


def _letters(lines: Sequence[_Line], main: str) -> str:
    """A letter for each line: whether `main`, trafilatura's text, has it, and how much of it is links."""
    bare = _NO_WORD.sub("", main).casefold()
    whole = {_NO_WORD.sub("", one).casefold() for one in main.split("\n")}
    letters = []
    for line in lines:
        letters_of_line = _NO_WORD.sub("", line.text).casefold()
        is_main = letters_of_line in whole or (len(letters_of_line) >= QUOTED_CHARS and letters_of_line in bare)
        level = LINK_LEVELS * line.linked // (len("".join(line.text.split())) + 1)
        letters.append(markup_letter(level, is_main=is_main if bare else None))
    return "".join(letters)


def _page(text: str, markup: str, meta: Document) -> Page:
    url, site = to_str(meta.url), to_str(meta.sitename)
    # trafilatura puts semicolons between authors
    authors = [name for name in map(to_str, (meta.author or "").split(";")) if name]
    return Page(
        text,
        markup,
        url if url and url.startswith(("http://", "https://")) else None,
        site,
        _without_site(to_str(meta.title), site),
        authors or None,
        parse_time(meta.date),
    )


def _without_site(title: str | None, site: str | None) -> str | None:
    """The title without the site's name at its end: "Daily Deals - IGN" on IGN."""
    if not title or not site or not title.endswith(site):
        return title
    bare = title[: -len(site)].rstrip()
    return bare[:-1].rstrip() or title if bare.endswith(("|", "-", "–", "—", "·", "»", "•")) else title
