"""What Winnow adds to Airflow: a tab on each DAG run with the report, served below `/winnow` of the web interface.

Every process of Airflow reads this module, so what it shows is imported by the one that is asked for it.
"""

from __future__ import annotations

from typing import Any, Final

from airflow.plugins_manager import AirflowPlugin

from etl.airflow.link import NAME, ROUTE

PREFIX: Final = "/winnow"


async def app(scope: Any, receive: Any, send: Any) -> None:
    """The application of `etl.airflow.view`, imported when it is first asked."""
    from etl.airflow.view import app as view

    await view(scope, receive, send)


class WinnowPlugin(AirflowPlugin):
    """Found by its entry point in the package."""

    name = "winnow"
    fastapi_apps = [{"app": app, "url_prefix": PREFIX, "name": NAME}]  # noqa: RUF012  Airflow declares it so
    # No slash before it: it is below whatever path a proxy gives the web interface.
    external_views = [  # noqa: RUF012
        {"name": NAME, "href": f"{PREFIX[1:]}/run/{{DAG_ID}}/{{RUN_ID}}", "destination": "dag_run", "url_route": ROUTE}
    ]
