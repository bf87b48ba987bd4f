"""A page's site: the input's own word, else the registered domain of its url, else its folder, else unknown ("")."""

from __future__ import annotations

from typing import Final

import polars as pl

_HOST: Final = r"(?i)^[a-z][a-z0-9+.-]*://(?:[^/?#@]*@)?([^/?#:]+)"


def sites(docs: pl.DataFrame) -> pl.Series:
    """The site of each row of `docs` (columns site, url, source); "" where none is known."""
    hosts = docs["url"].str.extract(_HOST, 1).str.to_lowercase().str.strip_chars(".")
    known = hosts.drop_nulls().unique().sort()
    domains = pl.DataFrame(
        {"host": known, "domain": [registered_domain(host) for host in known.to_list()]},
        schema={"host": pl.String, "domain": pl.String},
    )
    by_host = pl.DataFrame({"host": hosts}).join(domains, on="host", how="left", maintain_order="left")["domain"]
    given = docs["site"].str.strip_chars()
    return docs.select(
        pl.coalesce(
            pl.when(given != "").then(given.str.to_lowercase()),
            by_host,
            pl.col("source").str.extract(r"^([^/]+)/", 1),
            pl.lit(""),
        ).alias("site")
    )["site"]


def registered_domain(host: str) -> str:
    """The registered domain of `host` by the public suffix list; for a suffix that isn't listed, its last two labels."""
    from tld import get_fld

    found = get_fld(host, fix_protocol=True, fail_silently=True)
    if found:
        return str(found)
    return host if host.replace(".", "").isdigit() else ".".join(host.split(".")[-2:])
