"""The site of a page: its own word, else the registered domain, else the folder, else unknown."""

from __future__ import annotations

import polars as pl
import pytest

from etl.ingest.site import registered_domain, sites


@pytest.mark.parametrize(
    ("site", "url", "source", "expected"),
    [
        (" News.Example ", "https://other.example/x", "a/b.jsonl", "news.example"),
        (None, "https://www.news.co.uk/x?y", "a.jsonl", "news.co.uk"),
        ("", "http://user:pw@Blog.Example.com:8080/x", "a.jsonl", "example.com"),
        (None, "https://thedailystar.example/1", "a.jsonl", "thedailystar.example"),
        (None, "https://192.168.0.1/x", "a.jsonl", "192.168.0.1"),
        (None, "not a url", "folder/deep/page.html", "folder"),
        (None, None, "page.html", ""),
    ],
)
def test_each_way_to_know_a_site(site: str | None, url: str | None, source: str, expected: str) -> None:
    docs = pl.DataFrame(
        {"site": [site], "url": [url], "source": [source]},
        schema={"site": pl.String, "url": pl.String, "source": pl.String},
    )
    assert sites(docs).to_list() == [expected]


@pytest.mark.parametrize(
    ("host", "domain"),
    [("a.b.example.org", "example.org"), ("x.y.unknowntld", "y.unknowntld"), ("localhost", "localhost")],
)
def test_registered_domains(host: str, domain: str) -> None:
    assert registered_domain(host) == domain
