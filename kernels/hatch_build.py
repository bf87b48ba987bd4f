"""Compiles the kernels with the system's C compiler into one shared library, which needs no Python headers."""

from __future__ import annotations

import os
import shlex
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# -ffp-contract=off: a fused multiply-add would give other bits than numpy does.
FLAGS = ("-O3", "-std=c99", "-fPIC", "-shared", "-fvisibility=hidden", "-ffp-contract=off", "-Wall", "-Wextra")


class CompileKernels(BuildHookInterface):
    """Adds the library to the wheel, which is then for this platform and any Python 3."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, unless a source distribution is being made."""
        if self.target_name != "wheel":
            return
        folder = Path(self.root) / "etl_kernels"
        compiler = shlex.split(os.environ.get("CC", "cc"))
        sources = [str(path) for path in sorted(folder.glob("*.c"))]
        subprocess.run([*compiler, *FLAGS, "-o", str(folder / "kernels.so"), *sources], check=True)
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform}"
