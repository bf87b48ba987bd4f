#!/usr/bin/env python3
"""Write anew what the package keeps so that no process needs to find it out: its configuration's values,
heads of its rules' patterns, character tables."""

from __future__ import annotations

from pathlib import Path

from etl import config, kernels, settings
from etl.boilerplate import heads, programs, rules
from etl.boilerplate import native as boilerplate
from etl.boilerplate.lines import VISIBLE
from etl.dedup import normalize
from etl.publish import native as publish
from etl.publish.cut import WORD, WORD_ALONE
from etl.repair import native as repair

PATTERNS = (
    *(VISIBLE, WORD, WORD_ALONE, publish.SPACE, repair.WORD),
    *rules.CHARACTERS,
    *(boilerplate.SPACE, boilerplate.DIGIT, boilerplate.LETTER, boilerplate.HAN, boilerplate.CASED, boilerplate.WORD),
)


def main() -> None:
    """Replace the files."""
    files = settings.read_files(None)
    Path(config.__file__).with_name(config.KNOWN).write_bytes(config.pack_files(files.values()))
    config.kept_files.cache_clear()
    Path(normalize.__file__).with_name(normalize.KNOWN).write_bytes(normalize.pack_tables())
    ruleset = settings.parse(files, {}, passes=()).rules
    target = Path(rules.__file__).parent / "weights" / heads.KNOWN
    target.write_bytes(rules.pack_heads(ruleset))
    target.with_name(rules.PASSES).write_bytes(rules.pack_passes(ruleset))
    target.with_name(programs.KNOWN).write_bytes(rules.pack_tables(ruleset))
    Path(kernels.__file__).with_name(kernels.CHARACTERS).write_bytes(kernels.pack_characters(PATTERNS))


if __name__ == "__main__":
    main()
