from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest

from etl.ingest.formats import Limits, Reject, read_batches

Read = Callable[..., tuple[list[dict[str, Any]], list[Reject]]]


@pytest.fixture
def read() -> Read:
    """Reads a file's bytes whole: the rows as dictionaries, and the rejects."""

    def read_all(data: bytes, name: str = "a.jsonl", limits: Limits | None = None, batch_chars: int = 8_000_000) -> Any:
        rows: list[dict[str, Any]] = []
        rejects: list[Reject] = []
        stream = io.BytesIO(data)
        for table, refused in read_batches(
            stream, source=name, size=len(data), limits=limits or Limits(), batch_chars=batch_chars
        ):
            rows += table.to_pylist()
            rejects += refused
        return rows, rejects

    return read_all
