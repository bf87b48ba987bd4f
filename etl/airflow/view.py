"""The reports of runs inside Airflow: the page of a DAG run, and the button that approves a held one.

Airflow mounts a plugin's application without any check of who asks, so every route here asks itself, as Airflow's own do.
A page of a report holds scraped text and is shown within Airflow's own site: it is drawn by `etl.report.page`, which
escapes everything, and sent with a policy under which no script runs and nothing is fetched.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import quote, urlsplit

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from airflow.models.dagbag import DBDagBag
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from fastapi import Depends, FastAPI, Form, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from sqlalchemy import select

from etl.config import RUN_KEY
from etl.errors import ConfigError
from etl.report import page

log = logging.getLogger(__name__)

app: Final = FastAPI(title="Winnow", docs_url=None, redoc_url=None, openapi_url=None)


@app.get("/run/{dag_id}/{run_id}", dependencies=[Depends(requires_access_dag("GET", DagAccessEntity.RUN))])
def show(dag_id: str, run_id: str, session: SessionDep, user: GetUserDep) -> HTMLResponse:
    """The report of a DAG run, as far as it has come."""
    work = _work_of(dag_id, run_id, session)
    if isinstance(work, str):
        return _page(page.notice("No report", work), status=404)
    out, key = work.parents[1], work.name
    folder = _report_folder(out, key)
    if folder is None:
        told = f"Run {key} has not come to its report yet: it is drawn before the gate."
        return _page(page.notice("No report yet", told), status=404)
    from etl import stages
    from etl.publish.dataset import read_manifest
    from etl.storage import read_json

    metrics, verdict = read_json(folder / stages.METRICS), stages.read_verdict(folder)
    held = verdict is not None and verdict.held
    may_approve = held and _may_approve(dag_id, user)
    drawn = page.render(
        metrics,
        earlier=stages.earlier_metrics(out, [other for other in read_manifest(out)["runs"] if other < key]),
        verdict=verdict,
        approve=_how(dag_id, run_id, out, key, button=may_approve),
        stale=stages.stale_runs(out),
    )
    return _page(drawn, form=may_approve)


@app.post("/run/{dag_id}/{run_id}/approve", dependencies=[Depends(requires_access_dag("PUT", DagAccessEntity.RUN))])
def approve(
    dag_id: str,
    run_id: str,
    request: Request,
    session: SessionDep,
    user: GetUserDep,
    release: Annotated[str, Form(max_length=64)],
    note: Annotated[str, Form(max_length=500)] = "",
) -> RedirectResponse:
    """Approve the held run in the name of the user who asks, and let its DAG run go on from the gate."""
    _check_same_site(request)
    work = _work_of(dag_id, run_id, session)
    if isinstance(work, str):
        raise HTTPException(404, work)
    from etl import stages

    at = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        verdict = stages.approve(work, by=user.get_name(), at=at, note=note, release=release)
    except ConfigError as error:
        raise HTTPException(409, str(error)) from error
    log.info("%s approved run %s of %s: %s", user.get_name(), work.name, work.parents[1], "; ".join(verdict.reasons))
    _clear_from_gate(dag_id, run_id, session)
    return RedirectResponse(request.url.path.removesuffix("/approve"), status_code=303, headers=_headers())


def _work_of(dag_id: str, run_id: str, session: Any) -> Path | str:
    """The work folder of a DAG run, there or tidied up, as its `discover` told it; a sentence where it has none."""
    run = session.scalar(select(DagRun).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id))
    if run is None:
        return "There is no such run."
    rows = session.scalars(
        XComModel.get_many(dag_ids=dag_id, run_id=run_id, task_ids="discover", key="return_value")
    ).all()
    if not rows:
        ended = select(TaskInstance.state).where(
            TaskInstance.dag_id == dag_id, TaskInstance.run_id == run_id, TaskInstance.task_id == "discover"
        )
        if session.scalar(ended) == "success":
            return "Nothing was new: the run ended after discover."
        return "The run has not found out yet what is new, or it is no run of Winnow."
    shards = XComModel.deserialize_value(rows[0])
    first = shards[0] if isinstance(shards, list) else None
    work = Path(str(first["work"])) if isinstance(first, Mapping) and "work" in first else None
    if work is None or not work.is_absolute() or work.parent.name != "_work" or not RUN_KEY.fullmatch(work.name):
        return "This is no run of Winnow."
    return work


def _report_folder(out: Path, key: str) -> Path | None:
    """Where the run's report is: in its work folder until it is released. None before it was drawn."""
    from etl.publish.dataset import REPORTS
    from etl.stages import METRICS, work_folder

    folders = (work_folder(out, key) / "report", out / REPORTS / key)
    return next((folder for folder in folders if (folder / METRICS).is_file()), None)


def _how(dag_id: str, run_id: str, out: Path, key: str, *, button: bool) -> page.Approve:
    if button:
        action = f"{quote(run_id, safe='')}/approve"  # beside this page, whatever prefix a proxy gives it
        return page.Approve(action=action, hint="The run then goes on from its gate.")
    return page.Approve(hint=f"Somebody who may change {dag_id} sees a button for it here.")


def _may_approve(dag_id: str, user: Any) -> bool:
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.models.resource_details import DagDetails

    return bool(
        get_auth_manager().is_authorized_dag(
            method="PUT", access_entity=DagAccessEntity.RUN, details=DagDetails(id=dag_id), user=user
        )
    )


def _check_same_site(request: Request) -> None:
    """Raise 403 unless the form was sent by a page of this very site: the login travels in a cookie, which others can use."""
    sent_by = request.headers.get("sec-fetch-site")
    origin = urlsplit(request.headers.get("origin", "")).netloc
    if sent_by != "same-origin" and (sent_by is not None or origin != request.headers.get("host")):
        raise HTTPException(403, "a run is approved from its own report")


def _clear_from_gate(dag_id: str, run_id: str, session: Any) -> None:
    """Clear the gate and all after it, as a person does in the UI: the run goes on from there."""
    run = session.scalar(select(DagRun).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id))
    dag = DBDagBag().get_dag_for_run(run, session=session)
    if dag is None or "gate" not in dag.task_dict:
        raise HTTPException(409, "approved, but the DAG is gone: nothing goes on")
    below = sorted(dag.task_dict["gate"].get_flat_relative_ids(upstream=False))
    dag.clear(task_ids=["gate", *below], run_id=run_id, session=session)


def _headers(*, form: bool = False) -> dict[str, str]:
    return {
        "Content-Security-Policy": page.policy(form=form, framed=True),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        "Cache-Control": "no-store",
    }


def _page(drawn: str, *, form: bool = False, status: int = 200) -> HTMLResponse:
    return HTMLResponse(drawn, status_code=status, headers=_headers(form=form))
