"""The site of a page: its own word, else the registered domain, else the folder, else unknown."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
import tld
from tld.utils import reset_tld_names

from etl.ingest import site
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
        (None, "http:/one.example/x", "folder/page.html", "folder"),
        (None, "http://", "folder/page.html", "folder"),
        (None, "http://?next=http://other.example/", "folder/page.html", "folder"),
        (None, "http://one.example?next=http://other.example/", "a.jsonl", "one.example"),
        (None, "HTTP://One.Example#part", "a.jsonl", "one.example"),
        (None, "http://a/b@one.example/", "a.jsonl", "a"),
        (None, None, "page.html", ""),
    ],
)
def test_each_way_to_know_a_site(site: str | None, url: str | None, source: str, expected: str) -> None:
    docs = pl.DataFrame(
        {"site": [site], "url": [url], "source": [source]},
        schema={"site": pl.String, "url": pl.String, "source": pl.String},
    )
    assert sites(docs).to_list() == [expected]


def test_sites_of_many_pages_are_those_of_each() -> None:
    urls = [
        None,
        "",
        "https://b.one.example/1",
        "https://two.example/2",
        "https://b.one.example/3?a=/",
        "https:///x",
        None,
    ]
    docs = pl.DataFrame({"site": None, "url": urls, "source": "a.jsonl"}, schema_overrides={"site": pl.String})
    assert sites(docs).to_list() == ["", "", "one.example", "two.example", "one.example", "", ""]


@pytest.mark.parametrize(
    ("host", "domain"),
    [("a.b.example.org", "example.org"), ("x.y.unknowntld", "y.unknowntld"), ("localhost", "localhost")],
)
def test_registered_domains(host: str, domain: str) -> None:
    assert registered_domain(host) == domain


def test_suffixes_are_read_as_the_library_reads_them() -> None:
    rules = [
        line.strip()
        for line in Path(tld.__file__).with_name("res").joinpath("effective_tld_names.dat.txt").read_text().splitlines()
        if line.strip() and not line.startswith("//")
    ]
    names = [rule.replace("!", "").replace("*", "any") for rule in rules[:: len(rules) // 500]]
    names += ["www.ck", "any.ck", "city.kobe.jp", "a.kobe.jp", "xn--p1ai", "github.io", "nowhere", "1.2.3.4", "[::1"]
    hosts = [before + name for name in names for before in ("", "a.", "b.a.")]
    site._read_suffixes.cache_clear()
    reset_tld_names()
    mine = [registered_domain(host) for host in hosts]
    reset_tld_names()
    assert mine == [registered_domain(host) for host in hosts]  # by the library's own tree: ours is made once
