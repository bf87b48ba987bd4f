"""HTML as its visible text and metadata; a page that a parser can't cope with is stripped of its tags.

All visible lines are the document's text, with what the markup says of each: which of them are the article is decided
where all text is judged, by `boilerplate`, and what goes is in the removals. A page that shows next to no paragraphs but
carries its text as data for a script (JSON-LD's articleBody and the like) has that text. Pages too large or too odd for
a parser are stripped at once.
"""

from __future__ import annotations

import html
import logging
import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Final, NamedTuple

import polars as pl

from etl.ingest import charset
from etl.ingest.compression import ByteSource
from etl.ingest.fields import parse_time, to_str
from etl.ingest.records import Limits, Reject, Row, Unreadable, doc_id, is_empty
from etl.ingest.visible import visible_text

if TYPE_CHECKING:
    from lxml.html import HtmlElement
    from trafilatura.settings import Document

# Beyond these a page is stripped: trafilatura takes 0.2 to 0.4 ms a tag, and minutes over 30,000 attributes of one tag.
MAX_CHARS: Final = 10_000_000
MAX_TAGS: Final = 50_000
MAX_ATTRIBUTES: Final = 1_000
_LONG_TAG_CHARS: Final = 5_000

FEW_PARAGRAPHS: Final = 250  # characters in paragraphs; a page that shows less may have its text in a script

_XML_DECLARATION: Final = re.compile(r"\s{0,100}<\?xml[^>]{0,200}\?>")
_TEXT_AS_DATA: Final = re.compile(r"articleBody|reviewBody|recipeInstructions|acceptedAnswer|data-preloaded")
_INVISIBLE: Final = r"(?is)<(?:script|style|noscript|template|head|svg)\b[^>]*>.*?</(?:script|style|noscript|template|head|svg)\s*>|<!--.*?-->"
_BLOCK_TAG: Final = (
    r"(?i)</?(?:p|div|br|hr|li|ul|ol|dl|dt|dd|tr|td|th|table|h[1-6]|section|article|header|footer|nav|aside|main|blockquote|pre|"
    r"title|form|option|figure|figcaption|body|html)\b[^<>]*>"
)
_TAG: Final = r"</?[A-Za-z!?][^<>]*>"


class Page(NamedTuple):
    """A page's text and what it says of itself; None where it says nothing.

    markup: for each line of the text the bytes of schema.MARKUP; None where the text is not as the markup has it.
    """

    text: str
    markup: bytes | None
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
    page = None if _is_too_much(markup) else _extract(markup, url)
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


def _extract(markup: str, url: str | None) -> Page | None:
    """The page as a parser sees it, None when it shows no text. It is parsed once."""
    # Imported here: a run over JSON Lines has no use for it, and it takes a second.
    from trafilatura.utils import load_html

    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)  # every empty page would be a warning
    logging.getLogger("htmldate").setLevel(logging.CRITICAL)
    try:
        tree = load_html(_XML_DECLARATION.sub("", markup[:400]) + markup[400:])
        if tree is None:
            return None
        seen = visible_text(tree)
        text, marks = "\n".join(seen.lines), seen.marks.tobytes()
        if seen.paragraphs < FEW_PARAGRAPHS and _TEXT_AS_DATA.search(markup):
            told = _text_as_data(tree)
            if len(told) > len(text):
                text, marks = told, b""
        if is_empty(text):
            return None
        return _page(text, marks or None, _metadata(tree, url))
    except ImportError:
        raise  # a part of trafilatura that is no more is not the page's fault
    except Exception as fault:  # noqa: BLE001 - three libraries raise what hostile markup provokes; stripping tags is the answer to all
        logging.getLogger(__name__).debug("stripped instead of parsed: %r", fault)
        return None


def _text_as_data(tree: HtmlElement) -> str:
    """The text that the page carries as data for its scripts, or else its longest part in paragraphs."""
    from trafilatura.baseline import baseline

    return baseline(tree)[1] or ""


def _metadata(tree: HtmlElement, url: str | None) -> Document:
    """The page's title, authors, date, address and site, as trafilatura.metadata.extract_metadata finds them, by its own parts.

    Categories, tags and licences, a third of its time, have no column here.
    """
    from htmldate import find_date
    from trafilatura.metadata import (
        META_URL,
        examine_meta,
        extract_author,
        extract_meta_json,
        extract_sitename,
        extract_title,
        extract_url,
    )

    found = examine_meta(tree)
    if found.author and " " not in found.author:
        found.author = None
    with suppress(Exception):  # of what a page may call JSON-LD
        found = extract_meta_json(tree, found)
    found.title = found.title or extract_title(tree)
    found.author = found.author or extract_author(tree)
    found.url = found.url or extract_url(tree, url)
    # only dates that the page declares; and no "now", so that a page gives the same date on every day
    found.date = find_date(tree, extensive_search=False, original_date=True, url=found.url, max_date="2100-01-01")
    found.sitename = (found.sitename or extract_sitename(tree) or "").lstrip("@")
    if not found.sitename:
        host = META_URL.match(found.url or "")
        found.sitename = host[1] if host else None
    elif "." not in found.sitename and not found.sitename[0].isupper():
        found.sitename = found.sitename.title()
    found.clean_and_trim()
    return found


def _page(text: str, marks: bytes | None, meta: Document) -> Page:
    """The page with what its metadata says, as far as it can be believed."""
    url, site = to_str(meta.url), to_str(meta.sitename)
    # trafilatura puts semicolons between authors
    authors = [name for name in map(to_str, (meta.author or "").split(";")) if name]
    return Page(
        text,
        marks,
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
