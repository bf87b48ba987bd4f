"""A page's site: the input's own word, else the registered domain of its url, else its folder, else unknown ("")."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Final

import polars as pl

_HOST: Final = r"(?i)^[a-z][a-z0-9+.-]*://(?:[^/?#@]*@)?([^/?#:]+)"


def sites(docs: pl.DataFrame) -> pl.Series:
    """The site of each row of `docs` (columns site, url, source); "" where none is known."""
    # A host ends before the third slash.
    parts = pl.col("url").str.splitn("/", 4).struct.field("field_0", "field_1", "field_2")
    heads = docs.select(head=pl.concat_str(parts, separator="/", ignore_nulls=True))
    known = heads["head"].unique()
    hosts = known.str.extract(_HOST, 1).str.to_lowercase().str.strip_chars(".").to_list()
    domains = pl.DataFrame(
        {"head": known, "domain": [None if host is None else registered_domain(host) for host in hosts]},
        schema={"head": pl.String, "domain": pl.String},
    )
    by_host = heads.join(domains, on="head", how="left", maintain_order="left")["domain"]
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

    _read_suffixes()
    found = get_fld(host, fix_protocol=True, fail_silently=True)
    if found:
        return str(found)
    return host if host.replace(".", "").isdigit() else ".".join(host.split(".")[-2:])


class _TopLevel(dict[str, Any]):
    """The first level of tld's tree, which reads the suffixes below a label when the label is first asked for.

    The whole tree takes the library a tenth of a second, in each process; a shard meets a few dozen labels.
    """

    def __init__(self, tree: Any, suffixes: dict[str, list[tuple[str, bool]]]) -> None:
        super().__init__()
        self.tree, self.suffixes = tree, suffixes

    def get(self, label: str, default: Any = None) -> Any:
        """The node of `label`."""
        for suffix, is_private in self.suffixes.pop(label, ()):
            self.tree.add(suffix, private=is_private)
        return super().get(label, default)


@cache
def _read_suffixes() -> None:
    """Give tld the public suffix list, which lies in its package, unless it has read it already or can't find it."""
    from tld.helpers import project_dir
    from tld.trie import Trie
    from tld.utils import MozillaTLDSourceParser, get_tld_names_container, update_tld_names_container

    name = MozillaTLDSourceParser.local_path
    path = Path(project_dir(name))
    if name in get_tld_names_container() or not path.is_file():
        return
    suffixes: dict[str, list[tuple[str, bool]]] = {}
    private = False
    for line in path.read_text(encoding="utf-8").split("\n"):
        if line.startswith("//"):
            private = private or "===BEGIN PRIVATE DOMAINS===" in line
            suffix = line.split()[1] if "// xn--" in line else ""
        else:
            suffix = line.strip()
        if suffix:
            suffixes.setdefault(suffix.rpartition(".")[2], []).append((suffix, private))
    tree: Any = Trie()  # type: ignore[no-untyped-call]
    tree.root.children = _TopLevel(tree, suffixes)
    update_tld_names_container(name, tree)
