"""The link from a task to its run's report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit

import attrs
from airflow.sdk import conf
from airflow.sdk.bases.operatorlink import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk.bases.operator import BaseOperator
    from airflow.sdk.types import TaskInstanceKey

NAME: Final = "Winnow report"
ROUTE: Final = "winnow"
"""The last part of the address of the tab on a DAG run."""


@attrs.define()
class ReportLink(BaseOperatorLink):
    """A button on a task: the tab of its DAG run that shows the report."""

    @property
    def name(self) -> str:
        """What the button says."""
        return NAME

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """The tab's address, on the site that shows the button, below the path that `api.base_url` says it has."""
        prefix = urlsplit(conf.get("api", "base_url", fallback="") or "").path.rstrip("/")
        return f"{prefix}/dags/{quote(ti_key.dag_id, safe='')}/runs/{quote(ti_key.run_id, safe='')}/plugin/{ROUTE}"
