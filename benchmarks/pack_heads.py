#!/usr/bin/env python3
"""Write anew what the package keeps of how matches of its own rules' patterns can begin (see etl/boilerplate/heads.py)."""

from __future__ import annotations

from pathlib import Path

from etl import settings
from etl.boilerplate import heads, rules


def main() -> None:
    """Replace the file beside the model's weights."""
    ruleset = settings.parse(settings.read_files(None), {}, passes=()).rules
    target = Path(rules.__file__).parent / "weights" / heads.KNOWN
    target.write_bytes(rules.pack_heads(ruleset))


if __name__ == "__main__":
    main()
