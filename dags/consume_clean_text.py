"""An example to copy: starts when `clean_scraped_text` has released, and reads exactly that release with DuckDB.

It needs nothing of Winnow: the event says where the dataset is, which run it is and the hash of the run's entry in the
manifest; the manifest lists the run's files with their hashes. A release that was replaced in the meantime is an error,
never a mix of two.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from airflow.sdk import DAG, Asset, task

log = logging.getLogger(__name__)

RELEASED: Final = Asset(name="winnow_release", uri="winnow://release", group="winnow")


def read_release(event: Mapping[str, Any]) -> dict[str, Any]:
    """Documents, characters and languages of the release that `event` (the Asset event's extra) names.

    Raises ValueError when the dataset at its path no longer holds that release, or not with the same bytes.
    """
    import duckdb

    out, key = Path(event["path"]), event["run_key"]
    entry = json.loads((out / "_manifest.json").read_text(encoding="utf-8"))["runs"].get(key)
    if entry is None:
        raise ValueError(f"{out} holds no run {key}: it was removed since the event")
    # The hash is of the files with the rows; a recipe says how they were asked for, such as the input's path.
    made = {
        name: [file for file in told["files"] if not file["name"].startswith("recipe-")]
        for name, told in entry["datasets"].items()
    }
    listed = json.dumps(made, sort_keys=True).encode()
    if entry["release"] != event["manifest_hash"] or hashlib.sha256(listed).hexdigest()[:16] != event["manifest_hash"]:
        raise ValueError(
            f"run {key} of {out} is release {entry['release']}, not {event['manifest_hash']}: it was replaced since the event"
        )
    paths = []
    for part in entry["datasets"]["documents"]["files"]:
        path = out / "documents" / f"run={key}" / part["name"]
        with path.open("rb") as stream:
            if hashlib.file_digest(stream, "sha256").hexdigest() != part["sha256"]:
                raise ValueError(f"{path} is not the file that was released: its sha256 differs")
        paths.append(str(path))
    with duckdb.connect() as connection:
        ((documents, chars),) = connection.execute(
            "SELECT count(*), coalesce(sum(n_chars), 0)::BIGINT FROM read_parquet($paths)", {"paths": paths}
        ).fetchall()
        languages = connection.execute(
            "SELECT coalesce(lang, '?'), count(*) FROM read_parquet($paths) GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 5",
            {"paths": paths},
        ).fetchall()
    if documents != event["rows"]["documents"]:
        raise ValueError(f"run {key} of {out} holds {documents} documents; the event says {event['rows']['documents']}")
    return {"run_key": key, "documents": documents, "chars": chars, "languages": dict(languages)}


with DAG(
    dag_id="consume_clean_text",
    dag_display_name="Consume clean text (example)",
    description="Reads each release of clean_scraped_text as it comes",
    doc_md=__doc__,
    schedule=[RELEASED],
    catchup=False,
    is_paused_upon_creation=True,
    tags=["winnow", "example"],
    default_args={
        "owner": "winnow",
        "retries": 2,
        "retry_delay": timedelta(seconds=30),
        "execution_timeout": timedelta(hours=1),
    },
) as dag:

    @task(inlets=[RELEASED], doc_md="Reads the release of every event that started this run.")
    def summarise(*, triggering_asset_events: Any = None) -> list[dict[str, Any]]:
        """A summary of each release; several may have gathered while the DAG was paused."""
        from airflow.sdk.exceptions import AirflowSkipException

        events = triggering_asset_events.get(RELEASED, ()) if triggering_asset_events else ()
        if not events:
            raise AirflowSkipException("no release started this run: nothing to read")
        newest = {(event.extra["path"], event.extra["run_key"]): event.extra for event in events}
        summaries = [read_release(event) for event in newest.values()]
        for told in summaries:
            log.info("run %(run_key)s: %(documents)s documents, %(chars)s characters, %(languages)s", told)
        return summaries

    summarise()
