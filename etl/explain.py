"""What became of a sentence or a document, told from the released datasets: `etl why`, `show`, `status`, `diff`.

Reads the parts that the manifest lists, through DuckDB, so that a question about a large dataset needs little memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from etl.errors import ConfigError, EtlError
from etl.history import History
from etl.publish import dataset
from etl.storage import read_json

if TYPE_CHECKING:
    from collections.abc import Collection

    import duckdb

QUOTES: Final = ("\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f\u00ab\u00bb`\u00b4", "''''\"\"\"\"\"\"''")
"""Quotation marks and what a search takes them for; one for one, so that offsets hold."""
AROUND_CHARS: Final = 160
NEAREST_CANDIDATES: Final = 5000
NEAREST_SCORE_MIN: Final = 70.0
ID_CHARS: Final = 32
TIMES: Final = ("published_at", "fetched_at")
_FOLD: Final = str.maketrans(*QUOTES)


class NotFoundError(EtlError):
    """What was asked for is in no released run."""


@dataclass(frozen=True, slots=True)
class Found:
    """A text with what stands around it, in the document it was found in; newlines as they are."""

    before: str
    text: str
    after: str


@dataclass(frozen=True, slots=True)
class Copy:
    """The copy of a removed text that stays. source, title: "" and found None when its document is in no released run."""

    doc_id: str
    run: str = ""
    source: str = ""
    title: str = ""
    found: Found | None = None


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a sentence in one place. unit: "" when it was kept, as stage, rule and reason are then.

    start: where the removal begins in the repaired text; for a kept sentence, where it is in the kept text.
    """

    run: str
    doc_id: str
    source: str
    start: int
    found: Found
    unit: str = ""
    stage: str = ""
    rule: str = ""
    reason: str = ""
    score: float | None = None
    copy: Copy | None = None

    @property
    def kept(self) -> bool:
        """Whether the sentence is in the published text."""
        return not self.unit


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a sentence. more: there are fates beyond those listed. nearest: like texts, when there is no fate."""

    fates: tuple[Fate, ...]
    more: bool = False
    nearest: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a repaired text. rule: what cut it; "" for a part that was kept."""

    text: str
    start: int
    rule: str = ""
    unit: str = ""
    stage: str = ""
    reason: str = ""
    score: float | None = None
    copy_doc_id: str = ""


@dataclass(frozen=True, slots=True)
class Shown:
    """A document as it was repaired, in pieces. fields: what is known of it, in the order of the schema.

    dropped: whether the whole document went; copy: then the one that stays, if it went as a copy.
    """

    run: str
    doc_id: str
    source: str
    fields: Mapping[str, Any]
    pieces: tuple[Piece, ...]
    dropped: bool
    copy: Copy | None = None

    @property
    def text(self) -> str:
        """The repaired text."""
        return "".join(piece.text for piece in self.pieces)


@dataclass(frozen=True, slots=True)
class RunStatus:
    """A released run. duplicates: -1 when its report is gone. stale: earlier keys that changed since the run saw them.

    to_forget: sources it holds that are to be forgotten.
    """

    run: str
    documents: int
    removals: int
    rejects: int
    duplicates: int
    history: tuple[str, ...]
    skip: tuple[str, ...]
    stale: tuple[str, ...]
    to_forget: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A work folder that a run left: it failed, was stopped, or is held by a gate. done: its last finished stage."""

    run: str
    folder: Path
    done: str


@dataclass(frozen=True, slots=True)
class Change:
    """A removal that one of two runs has and the other doesn't. gone: the second run keeps it."""

    gone: bool
    source: str
    doc_id: str
    unit: str
    stage: str
    rule: str
    text: str


@dataclass(frozen=True, slots=True)
class Difference:
    """How the removals of two runs over the same files differ.

    by_rule: (rule, removals added, characters added, removals gone, characters gone), the most changed first.
    renamed: removals that both have, by another rule. changes: samples, at most as many a rule as asked for.
    """

    by_rule: tuple[tuple[str, int, int, int, int], ...]
    renamed: int
    changes: tuple[Change, ...]


def why(out: Path, sentence: str, *, run_key: str = "", limit: int = 20) -> Answer:
    """What became of `sentence` in the dataset at `out`, letter case, white space and the kind of quotes aside."""
    wanted = fold(sentence)
    if not wanted:
        raise ConfigError("SENTENCE is empty; expected some words of a text")
    word = _longest_words(wanted)[0]
    with _open(out, run_key) as connection:
        removed = _rows(
            connection,
            f"""SELECT r.run, r.doc_id, r.source, r.start, r.unit, r.stage, r.rule, r.reason, r.score, r.kept_doc_id, r.text
                FROM removals r WHERE contains(lower(r.text), $word) AND contains({_folded("r.text")}, $wanted)
                ORDER BY r.run, r.doc_id, r.start LIMIT $limit""",
            {"word": word, "wanted": wanted, "limit": limit + 1},
        )
        kept = _rows(
            connection,
            f"""SELECT d.run, d.doc_id, d.source, d.text
                FROM documents d WHERE contains(lower(d.text), $word) AND contains({_folded("d.text")}, $wanted)
                ORDER BY d.run, d.doc_id LIMIT $limit""",
            {"word": word, "wanted": wanted, "limit": limit + 1},
        )
        fates = [_removed(connection, row, wanted) for row in removed[:limit]]
        fates += [_kept(row, wanted) for row in kept[: limit - len(fates)]]
        nearest = () if fates else _nearest(connection, wanted)
    return Answer(tuple(fates), more=len(removed) + len(kept) > len(fates), nearest=nearest)


def show(out: Path, name: str, *, run_key: str = "") -> Shown:
    """The document whose id begins with `name`, or that came from the source `name`, with its cuts.

    The latest run that has it is shown. Raises NotFoundError when none does, ConfigError when several documents fit.
    """
    if not name:
        raise ConfigError("DOC_ID is empty; expected an id, the beginning of one, or the path of a raw file")
    prefix = name.lower() if len(name) <= ID_CHARS and all(c in "0123456789abcdefABCDEF" for c in name) else ""
    with _open(out, run_key) as connection:
        fits = f"(doc_id = $name OR source = $name{' OR starts_with(doc_id, $prefix)' if prefix else ''})"
        asked = {"name": name} | ({"prefix": prefix} if prefix else {})
        found = _rows(
            connection,
            f"""SELECT run, doc_id, source, true AS stays FROM documents WHERE {fits}
                UNION ALL SELECT run, doc_id, source, false FROM removals WHERE unit = 'document' AND {fits}
                ORDER BY run DESC, source, doc_id LIMIT 1000""",
            asked,
        )
        ids = {row["doc_id"]: row for row in reversed(found)}
        if not ids:
            where = f"run {run_key}" if run_key else "any released run"
            raise NotFoundError(
                f"no document with the id or source {name!r} is in {where} of {out}; rejects/ tells which files were refused"
            )
        if len(ids) > 1:
            listed = [
                f"  {row['doc_id']}  {row['source']}"
                for row in sorted(ids.values(), key=lambda r: (r["source"], r["doc_id"]))
            ]
            shown = listed[:10] + ([f"  and {len(listed) - 10} more"] if len(listed) > 10 else [])
            raise ConfigError([f"{name!r} fits {len(listed)} documents; give the id of one:", *shown])
        return _shown(connection, found[0])


def status(out: Path) -> tuple[list[RunStatus], list[Unfinished]]:
    """The released runs of the dataset at `out`, by key, and the work that lies unfinished beside them."""
    history = History.of(out, dataset.read_manifest(out))
    runs, stale, remembered = history.runs, history.stale(), history.remembered()
    told = [
        RunStatus(
            run=key,
            documents=entry["datasets"]["documents"]["rows"],
            removals=entry["datasets"]["removals"]["rows"],
            rejects=entry["datasets"]["rejects"]["rows"],
            duplicates=_duplicates(out, key),
            history=tuple(sorted(entry["history"])),
            skip=tuple(entry.get("skip", ())),
            stale=tuple(stale.get(key, ())),
            to_forget=tuple(remembered.get(key, ())),
        )
        for key, entry in sorted(runs.items())
    ]
    folders = sorted(path for path in (out / "_work").glob("*") if path.is_dir() and not path.name.startswith("."))
    return told, [Unfinished(folder.name, folder, _last_stage(folder)) for folder in folders]


def read_metrics(out: Path, run_key: str = "") -> tuple[dict[str, Any], Path]:
    """The metrics of a run (the last one if none is named) and the path of its report. A held run's are in its work folder."""
    runs = dataset.read_manifest(out)["runs"]
    key = run_key or max(runs, default="")
    folders = [out / dataset.REPORTS / key, out / "_work" / key / "report"] if key else []
    for folder in folders:
        if (folder / "metrics.json").is_file():
            metrics: dict[str, Any] = read_json(folder / "metrics.json")
            return metrics, folder / "index.html"
    raise NotFoundError(
        f"{out} holds no report{f' of run {key}' if key else ''}; `etl status --out {out}` lists the runs"
    )


def compare(before: Path, after: Path, *, samples: int = 5) -> Difference:
    """How the removals of the dataset at `after` differ from those at `before`, white space around a cut aside.

    Lines of a document that one of the two drops whole are not compared: the document is.
    """
    with _open(before, "") as connection:
        _views(connection, after, "", suffix="_after")
        connection.execute(
            "CREATE TABLE whole AS SELECT doc_id FROM removals WHERE unit = 'document' UNION SELECT doc_id FROM removals_after WHERE unit = 'document'"
        )
        for name in ("removals", "removals_after"):
            connection.execute(
                f"""CREATE VIEW core_{name} AS
                    SELECT doc_id, source, unit, stage, rule, trim(text, {_SPACES}) AS text,
                           start + length(text) - length(ltrim(text, {_SPACES})) AS start
                    FROM {name} WHERE unit = 'document' OR doc_id NOT IN (SELECT doc_id FROM whole)"""
            )
        connection.execute(
            """CREATE TABLE changes AS
               SELECT a.doc_id IS NOT NULL AS gone, CASE WHEN a.doc_id IS NULL THEN b ELSE a END AS cut,
                      a.doc_id IS NOT NULL AND b.doc_id IS NOT NULL AS both_have
               FROM core_removals a FULL JOIN core_removals_after b
                    ON a.doc_id = b.doc_id AND a.start = b.start AND length(a.text) = length(b.text) AND (a.unit = 'document') = (b.unit = 'document')
               WHERE a.doc_id IS NULL OR b.doc_id IS NULL OR a.rule <> b.rule"""
        )
        by_rule = connection.execute(
            """SELECT cut.rule, count(*) FILTER (NOT gone), coalesce(sum(length(cut.text)) FILTER (NOT gone), 0)::BIGINT,
                      count(*) FILTER (gone), coalesce(sum(length(cut.text)) FILTER (gone), 0)::BIGINT
               FROM changes WHERE NOT both_have GROUP BY cut.rule ORDER BY sum(length(cut.text)) DESC, cut.rule"""
        ).fetchall()
        renamed = connection.execute("SELECT count(*) FROM changes WHERE both_have").fetchone()
        rows = connection.execute(
            """SELECT gone, cut.source, cut.doc_id, cut.unit, cut.stage, cut.rule, left(cut.text, 300) FROM changes WHERE NOT both_have
               QUALIFY row_number() OVER (PARTITION BY cut.rule, gone ORDER BY cut.doc_id, cut.start) <= $samples
               ORDER BY cut.rule, gone, cut.doc_id, cut.start""",
            {"samples": samples},
        ).fetchall()
    return Difference(tuple(by_rule), int(renamed[0]) if renamed else 0, tuple(Change(*row) for row in rows))


def fold(text: str) -> str:
    """`text` as a search sees it: lower case letter by letter, as SQL has it, plain quotes, single spaces."""
    return " ".join("".join(char.lower() for char in text.translate(_FOLD)).split())


def locate(text: str, wanted: str) -> tuple[int, int] | None:
    """Where the folded text `wanted` is in `text`: start and end, or None."""
    letters: list[str] = []
    places: list[int] = []
    for place, char in enumerate(text.translate(_FOLD)):  # one document's text, for each answer that is shown
        if char.isspace():
            if letters and letters[-1] != " ":
                letters.append(" ")
                places.append(place)
        else:
            for lower in char.lower():
                letters.append(lower)
                places.append(place)
    at = "".join(letters).find(wanted)
    return (places[at], places[at + len(wanted) - 1] + 1) if at >= 0 else None


_SPACES: Final = "' \t\n\r\u00a0\u2002\u2003\u2009\u3000'"


def _folded(column: str) -> str:
    """SQL for what `fold` does. Dear: a cheap `contains(lower(…), word)` goes before it."""
    plain = f"lower(translate({column}, '{QUOTES[0]}', '{QUOTES[1].replace(chr(39), chr(39) * 2)}'))"
    return rf"regexp_replace({plain}, '[\s\p{{Z}}\x{{1c}}-\x{{1f}}\x{{85}}\v]+', ' ', 'g')"


def _longest_words(wanted: str) -> list[str]:
    """The words of a folded text, longest first; at least one, which may be empty. A word has no quotes in it."""
    words = "".join(char if char.isalnum() else " " for char in wanted).split()
    return sorted(set(words), key=lambda word: (-len(word), word)) or [""]


@contextmanager
def _open(out: Path, run_key: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """DuckDB with the views documents, removals and rejects over the released runs, each with the column `run`."""
    import duckdb

    connection = duckdb.connect(
        config={"memory_limit": "600MB", "autoinstall_known_extensions": False, "autoload_known_extensions": False},
    )
    try:
        _views(connection, out, run_key)
        yield connection
    except duckdb.Error as error:
        raise EtlError(f"{out} can't be read: {error}; `etl verify --out {out}` tells what is wrong with it") from error
    finally:
        connection.close()


def _views(connection: duckdb.DuckDBPyConnection, out: Path, run_key: str, *, suffix: str = "") -> None:
    runs: dict[str, Any] = dataset.read_manifest(out)["runs"]
    if not runs:
        raise ConfigError(f"--out {out} holds no released run; expected the folder that `etl run … --out` wrote to")
    if run_key and run_key not in runs:
        raise ConfigError(f"--run-key {run_key}: no such run in {out}; expected one of {', '.join(sorted(runs)[-5:])}")
    keys: Collection[str] = [run_key] if run_key else sorted(runs)
    for name, schema in dataset.DATASETS.items():
        paths = [
            out / name / f"run={key}" / part["name"] for key in keys for part in runs[key]["datasets"][name]["files"]
        ]
        if paths:
            files = ", ".join("'" + str(path.resolve()).replace("'", "''") + "'" for path in paths)
            source = f"read_parquet([{files}], hive_partitioning = true, hive_types_autocast = false)"
            connection.execute(f"CREATE VIEW {name}{suffix} AS SELECT * FROM {source}")
        else:
            connection.register(
                f"{name}{suffix}", schema.empty_table().append_column("run", [[]]).cast(_with_run(schema))
            )


def _with_run(schema: Any) -> Any:
    import pyarrow as pa

    return schema.append(pa.field("run", pa.string()))


def _rows(connection: duckdb.DuckDBPyConnection, query: str, values: Mapping[str, object]) -> list[dict[str, Any]]:
    cursor = connection.execute(query, dict(values))
    names = [column[0] for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _removed(connection: duckdb.DuckDBPyConnection, row: Mapping[str, Any], wanted: str) -> Fate:
    return Fate(
        run=row["run"],
        doc_id=row["doc_id"],
        source=row["source"],
        start=row["start"],
        found=_around(row["text"], wanted),
        unit=row["unit"],
        stage=row["stage"],
        rule=row["rule"],
        reason=row["reason"],
        score=row["score"],
        copy=_copy(connection, row["kept_doc_id"], wanted) if row["kept_doc_id"] else None,
    )


def _kept(row: Mapping[str, Any], wanted: str) -> Fate:
    place = locate(row["text"], wanted)
    return Fate(row["run"], row["doc_id"], row["source"], place[0] if place else 0, _around(row["text"], wanted))


def _copy(connection: duckdb.DuckDBPyConnection, doc_id: str, wanted: str) -> Copy:
    """The document that keeps the copy, with the text around `wanted` in it. The latest run that has it counts."""
    rows = _rows(
        connection,
        "SELECT run, source, title, text FROM documents WHERE doc_id = $doc_id ORDER BY run DESC LIMIT 1",
        {"doc_id": doc_id},
    )
    if not rows:
        return Copy(doc_id)
    found = _around(rows[0]["text"], wanted) if wanted and locate(rows[0]["text"], wanted) else None
    return Copy(doc_id, rows[0]["run"], rows[0]["source"], rows[0]["title"] or "", found)


def _around(text: str, wanted: str) -> Found:
    start, end = locate(text, wanted) or (0, min(len(text), AROUND_CHARS))
    return Found(text[max(0, start - AROUND_CHARS) : start], text[start:end], text[end : end + AROUND_CHARS])


def _nearest(connection: duckdb.DuckDBPyConnection, wanted: str) -> tuple[str, ...]:
    """Removed texts that are most like `wanted`, of those that share one of its longest words."""
    from rapidfuzz import fuzz, process

    words = _longest_words(wanted)[:3]
    shares = " OR ".join(f"contains(lower(text), $word{number})" for number in range(len(words)))
    rows = _rows(
        connection,
        f"""SELECT DISTINCT left(text, 1000) AS text FROM removals
            WHERE unit <> 'document' AND length(text) BETWEEN $least AND $most AND ({shares}) ORDER BY text LIMIT {NEAREST_CANDIDATES}""",
        {f"word{number}": word for number, word in enumerate(words)}
        | {"least": len(wanted) // 2, "most": 2 * len(wanted) + 20},
    )
    texts = [row["text"] for row in rows]
    best = process.extract(wanted, texts, scorer=fuzz.ratio, processor=fold, score_cutoff=NEAREST_SCORE_MIN, limit=3)
    return tuple(text.strip() for text, _, _ in best)


def _shown(connection: duckdb.DuckDBPyConnection, found: Mapping[str, Any]) -> Shown:
    """The document of a row with run, doc_id, source and stays."""
    asked = {"run": found["run"], "doc_id": found["doc_id"]}
    cuts = _rows(connection, "SELECT * FROM removals WHERE run = $run AND doc_id = $doc_id ORDER BY start", asked)
    if not found["stays"]:
        whole = cuts[0]
        copy = _copy(connection, whole["kept_doc_id"], "") if whole["kept_doc_id"] else None
        fields = {"source_id": whole["source_id"], "n_chars": 0, "removed_chars": len(whole["text"])}
        return Shown(found["run"], found["doc_id"], found["source"], fields, (_piece(whole),), dropped=True, copy=copy)
    times = ", ".join(f"epoch_us({name}) AS {name}" for name in TIMES)
    document = _rows(
        connection,
        f"SELECT * EXCLUDE (run) REPLACE ({times}) FROM documents WHERE run = $run AND doc_id = $doc_id",
        asked,
    )[0]
    fields = {key: value for key, value in document.items() if key not in ("doc_id", "source", "text")}
    fields |= {name: _iso_time(fields[name]) for name in TIMES}
    return Shown(
        found["run"], found["doc_id"], found["source"], fields, tuple(_pieces(document["text"], cuts)), dropped=False
    )


def _pieces(kept: str, cuts: Sequence[Mapping[str, Any]]) -> Iterator[Piece]:
    """The repaired text: what was kept, with each cut put back at its place."""
    taken = at = 0
    for cut in cuts:
        if cut["start"] > at:
            yield Piece(kept[taken : taken + cut["start"] - at], at)
            taken += cut["start"] - at
        yield _piece(cut)
        at = cut["end"]
    if taken < len(kept):
        yield Piece(kept[taken:], at)


def _piece(cut: Mapping[str, Any]) -> Piece:
    return Piece(
        cut["text"],
        cut["start"],
        cut["rule"],
        cut["unit"],
        cut["stage"],
        cut["reason"],
        cut["score"],
        cut["kept_doc_id"] or "",
    )


def _iso_time(microseconds: int | None) -> str | None:
    """A time in the dataset, as text: `2026-01-31T09:30:00Z`."""
    if microseconds is None:
        return None
    return (datetime(1970, 1, 1) + timedelta(microseconds=microseconds)).isoformat() + "Z"


def _duplicates(out: Path, key: str) -> int:
    path = out / dataset.REPORTS / key / "metrics.json"
    return int(read_json(path)["totals"]["duplicates"]) if path.is_file() else -1


def _last_stage(folder: Path) -> str:
    """The stage that finished last in a work folder: the newest of the reports that stages leave."""
    reports = sorted((folder / "reports").glob("*.json"), key=lambda path: (path.stat().st_mtime_ns, path.name))
    return str(read_json(reports[-1])["stage"]) if reports else ""
