"""Which files are inputs, and what each is called: pure functions over paths, the walk itself is storage's."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath, PurePosixPath
from typing import Final

from etl.ingest.formats import COMPRESSIONS, EXTENSIONS

_MARKERS: Final = ("_", ".")  # _SUCCESS, _metadata, .crc: what a writer leaves beside its data


@dataclass(frozen=True, slots=True)
class SourceFile:
    """An input file. path: where it is. source: what its documents are named after, a POSIX path relative to the input root."""

    path: PurePath
    source: str


def is_input(name: str) -> bool:
    """Whether a file met in a folder is an input, told by its name or relative path: a known extension, and nothing hidden."""
    parts = PurePosixPath(name.replace(os.sep, "/")).parts
    if not parts or parts[-1].startswith(_MARKERS) or any(part.startswith(".") for part in parts):
        return False
    suffixes = [s.lower() for s in PurePosixPath(parts[-1]).suffixes]
    if suffixes and suffixes[-1] in COMPRESSIONS:
        suffixes.pop()
    return bool(suffixes) and suffixes[-1] in EXTENSIONS


def plan_sources(files: Sequence[tuple[PurePath, PurePath]]) -> list[SourceFile]:
    """The files, each once, in the order of their sources. files: (input root, file) pairs, both absolute; a file that was given
    by itself has its parent as root.

    A source is the path relative to the root. Where two files would get the same, every source of the run is relative to the
    roots' common parent instead. A file below several roots is named after the outermost of them. The order of `files` changes
    nothing.
    """
    roots: dict[PurePath, PurePath] = {}
    for root, file in files:
        if file not in roots or len(root.parts) < len(roots[file].parts):
            roots[file] = root
    sources = {file: _printable(file.relative_to(root)) for file, root in roots.items()}
    if len(set(sources.values())) < len(sources):
        common = _common_parent(sorted(set(roots.values())))
        sources = {file: _printable(file.relative_to(common)) for file in roots}
    return sorted(
        (SourceFile(file, source) for file, source in sources.items()), key=lambda f: (f.source, f.path.as_posix())
    )


def count_skipped(names: Sequence[str]) -> dict[str, int]:
    """How many of the files met in a folder are no inputs, by extension, hidden ones and markers as "hidden"."""
    skipped = Counter(_kind(name) for name in names if not is_input(name))
    return dict(sorted(skipped.items()))


def _kind(name: str) -> str:
    path = PurePosixPath(name.replace(os.sep, "/"))
    hidden = path.name.startswith(_MARKERS) or any(part.startswith(".") for part in path.parts)
    return "hidden" if hidden else path.suffix.lower() or "no extension"


def _common_parent(roots: Sequence[PurePath]) -> PurePath:
    """The deepest folder that all `roots` are in (or are)."""
    shared = roots[0]
    while not all(root.is_relative_to(shared) for root in roots):
        shared = shared.parent
    return shared


def _printable(path: PurePath) -> str:
    """The path with / between its parts; bytes of a name that are not UTF-8 as \\xNN, so that it can be stored as text."""
    return path.as_posix().encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
