"""Compiled kernels for winnow-etl: a shared library without Python in it, loaded by `etl.kernels`."""

from __future__ import annotations

from pathlib import Path

VERSION = 11
"""Raised with every change of a kernel's arguments or results; `etl.kernels` loads only the one it knows."""


def library() -> Path:
    """The shared library inside this package."""
    return Path(__file__).with_name("kernels.so")
