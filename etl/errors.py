"""The errors of Winnow, named for what the runner should do about them."""

from __future__ import annotations

from collections.abc import Sequence


class EtlError(Exception):
    """Base of every error that Winnow raises on purpose."""


class ConfigError(EtlError):
    """Configuration or usage is wrong: stop before any work. Lists every fault at once.

    faults: one sentence each, `file: key is value; expected …`.
    """

    def __init__(self, faults: Sequence[str] | str) -> None:
        self.faults: tuple[str, ...] = (faults,) if isinstance(faults, str) else tuple(faults)
        super().__init__("\n".join(self.faults))


class InputError(EtlError):
    """This file or record is bad: set it aside as a reject and go on."""


class StageError(EtlError):
    """A stage failed for a reason outside its input (disk, a killed worker): a retry may help."""


class HeldError(EtlError):
    """A gate holds the release: the run's output is complete, and waits for approval or a fix."""

    def __init__(self, reasons: Sequence[str]) -> None:
        self.reasons: tuple[str, ...] = tuple(reasons)
        super().__init__("; ".join(self.reasons))


class OutdatedError(EtlError):
    """What the run was planned on has changed since: start it again from discover; a retry would change nothing."""
