"""What happens when a DAG run failed: somebody is told, and the dataset is free again for others.

By default a line goes to the log. `WINNOW_NOTIFIER` names an Airflow notifier that is called as well, such as
`airflow.providers.slack.notifications.slack_webhook.SlackWebhookNotifier`, and `WINNOW_NOTIFIER_ARGS` its arguments, a
JSON object. In them, templates may use `winnow`: `{"text": "{{ winnow.message }}"}`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from airflow.sdk.bases.notifier import BaseNotifier

from etl.errors import ConfigError

if TYPE_CHECKING:
    from airflow.sdk import Context

log = logging.getLogger(__name__)

NOTIFIER: Final = "WINNOW_NOTIFIER"
ARGUMENTS: Final = "WINNOW_NOTIFIER_ARGS"


@dataclass(frozen=True, slots=True)
class Told:
    """What there is to say of a DAG run that failed. held: its gate's reasons, a sentence each; none when it broke.

    report: address of its tab in Airflow, below the web interface's own.
    """

    dag_id: str
    run_id: str
    run_key: str
    out: str
    held: tuple[str, ...]
    report: str

    @property
    def message(self) -> str:
        """The whole of it in a line."""
        run = f"run {self.run_key} of {self.out} ({self.dag_id}, {self.run_id})"
        if self.held:
            return f"{run} is held and waits for approval: {'; '.join(self.held)}; see {self.report}"
        return f"{run} failed and nothing of it is released; its tasks' logs say why; see {self.report}"


class RunNotifier(BaseNotifier):
    """Tells of a DAG run that failed or is held: in the log, and by another notifier if there is one.

    describe: makes what to tell of an Airflow context. target: import path of the other notifier's class; "" for none.
    """

    def __init__(
        self, describe: Callable[[Any], Told], *, target: str = "", arguments: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__()
        self.describe = describe
        self.target = target
        self.arguments = dict(arguments or {})

    def notify(self, context: Context) -> None:
        """Tell of the run in `context`."""
        told = self.describe(context)
        log.error("winnow: %s", told.message)
        if self.target:
            module, _, name = self.target.rpartition(".")
            other = getattr(import_module(module), name)(**self.arguments)
            other({**context, "winnow": told})


def read_target(environ: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    """The other notifier that `environ` names, and its arguments. Raises ConfigError naming what is wrong with them."""
    target, text = environ.get(NOTIFIER, "").strip(), environ.get(ARGUMENTS, "").strip() or "{}"
    faults = []
    if (target and not all(part.isidentifier() for part in target.split("."))) or (target and "." not in target):
        faults.append(
            f"environment: {NOTIFIER} is {target!r}; expected the import path of a notifier, such as package.Class"
        )
    try:
        arguments = json.loads(text)
    except ValueError:
        arguments = None
    if not isinstance(arguments, dict):
        faults.append(f"environment: {ARGUMENTS} is {text!r}; expected a JSON object, such as {{}}")
    if faults:
        raise ConfigError(faults)
    return target, arguments
