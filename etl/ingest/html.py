"""HTML as its main text and metadata, by trafilatura; a page that trafilatura can't cope with is stripped of its tags.

trafilatura's text for precision is taken, unless its text for recall is more than RECALL_FACTOR times as long: then precision
has lost most of the page. Without either the first text that has a visible character is taken: trafilatura's baseline (all
paragraphs), and last a plain strip of tags. Pages too large or too odd for a parser are stripped at once.
"""

from __future__ import annotations

import html
import logging
import re
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Final, NamedTuple, cast

import polars as pl

from etl.ingest import charset
from etl.ingest.compression import ByteSource
from etl.ingest.fields import parse_time, to_str
from etl.ingest.records import Limits, Reject, Row, Unreadable, doc_id, is_empty

if TYPE_CHECKING:
    from trafilatura.settings import Document

# Beyond these a page is stripped: trafilatura takes 0.2 to 0.4 ms a tag, and minutes over 30,000 attributes of one tag.
MAX_CHARS: Final = 10_000_000
MAX_TAGS: Final = 50_000
MAX_ATTRIBUTES: Final = 1_000
_LONG_TAG_CHARS: Final = 5_000

RECALL_FACTOR: Final = 2  # see docs/decisions/0012-html.md

_DATES: Final = {"original_date": True, "extensive_search": False, "max_date": "2100-01-01"}
"""Only dates that the page declares; and no "now", so that a page gives the same date on every day."""

_XML_DECLARATION: Final = re.compile(r"\s{0,100}<\?xml[^>]{0,200}\?>")
_TABLE_RULE: Final = r"(?m)^\|(?:---\|)+$\n?"
_TABLE_EDGES: Final = r"(?m)^\| | \|[ \t]*$"
_INVISIBLE: Final = r"(?is)<(?:script|style|noscript|template|head|svg)\b[^>]*>.*?</(?:script|style|noscript|template|head|svg)\s*>|<!--.*?-->"
_BLOCK_TAG: Final = (
    r"(?i)</?(?:p|div|br|hr|li|ul|ol|dl|dt|dd|tr|td|th|table|h[1-6]|section|article|header|footer|nav|aside|main|blockquote|pre|"
    r"title|form|option|figure|figcaption|body|html)\b[^<>]*>"
)
_TAG: Final = r"</?[A-Za-z!?][^<>]*>"


class Page(NamedTuple):
    """A page's main text and what it says of itself; None where it says nothing."""

    text: str
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
    )


def html_to_document(markup: str, url: str | None) -> Page:
    """The page's main text, one paragraph, heading, list item or table row a line, with its metadata.

    url: where the page is from, None if not known. Raises Unreadable when there is no text.
    """
    page = None if _is_too_much(markup) else _extract(markup, url)
    if page is None:
        page = Page(strip_tags(markup), None, None, None, None, None)
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
    """What trafilatura finds, None when it finds no text. The page is parsed once."""
    # Imported here: a run over JSON Lines has no use for it, and it takes a second.
    from trafilatura.baseline import baseline
    from trafilatura.core import bare_extraction
    from trafilatura.metadata import extract_metadata
    from trafilatura.utils import load_html

    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)  # every empty page would be a warning
    logging.getLogger("htmldate").setLevel(logging.CRITICAL)
    try:
        tree = load_html(_XML_DECLARATION.sub("", markup[:400]) + markup[400:])
        if tree is None:
            return None
        precise, generous = (
            cast(
                "Document | None",
                bare_extraction(
                    tree,
                    url=url,
                    favor_precision=not recall,
                    favor_recall=recall,
                    include_comments=False,
                    with_metadata=not recall,
                    date_extraction_params=dict(_DATES),
                ),
            )
            for recall in (False, True)
        )
        sure, more = _text_of(precise), _text_of(generous)
        if not is_empty(sure) or not is_empty(more):
            meta = precise if precise is not None else extract_metadata(tree, url, dict(_DATES))
            return _page(more if is_empty(sure) or len(more) > RECALL_FACTOR * len(sure) else sure, meta)
        _, text, _ = baseline(tree)
        return None if is_empty(text or "") else _page(text, extract_metadata(tree, url, dict(_DATES)))
    except Exception as fault:  # noqa: BLE001 - three libraries raise what hostile markup provokes; stripping tags is the answer to all
        logging.getLogger(__name__).debug("stripped instead of parsed: %r", fault)
        return None


def _text_of(found: Document | None) -> str:
    """The text of what trafilatura found."""
    return (found.text or "") if found is not None else ""


def _page(text: str, meta: Document) -> Page:
    """The page with its table rows as "a | b", without the edges and rules that trafilatura draws."""
    text = pl.Series([text]).str.replace_all(_TABLE_RULE, "").str.replace_all(_TABLE_EDGES, "")[0]
    url, site = to_str(meta.url), to_str(meta.sitename)
    # trafilatura puts semicolons between authors
    authors = [name for name in map(to_str, (meta.author or "").split(";")) if name]
    return Page(
        text,
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
