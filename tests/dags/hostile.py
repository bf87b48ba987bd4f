"""Input that tries to get out of the page that shows it."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import story, write_jsonl

TEXTS = (
    "<script>document.title = 'owned'</script>",
    '"><img src=x onerror="document.title = 1">',
    "{{ 7 * 7 }} {% raw %} {{ config }}",
    "</style></del></svg><iframe src=//evil.example></iframe>",
    "Share \u202eebyb\u2069 on \u2067Facebook",
)
SHOWN = tuple(text.translate({c: f"\u2039U+{c:04X}\u203a" for c in (0x202E, 0x2067, 0x2069)}) for text in TEXTS)
"""The same as a report shows them."""


def write_hostile(folder: Path) -> Path:
    """A folder of hostile records: in titles, sites, texts, copies, file names; a line of a million letters; a broken record."""
    records: list[object] = []
    for number, text in enumerate(TEXTS):
        # The same line at the end of several pages of a site goes as furniture, and so is a sample in the report.
        for page in range(3):
            body = [*story(900 + 10 * number + page), text, "Share this article on Facebook " + text]
            record = {"id": f"{number}-{page}{text}", "title": f"{text} {page}", "text": "\n".join(body)}
            records.append({**record, "url": f"https://evil{number}.example/{page}?{text}"})
        # A copy: the title of the one that stays heads its group.
        records.append({**record, "id": f"copy {number}", "url": f"https://other.example/{number}"})
    long_line = {"id": "long", "title": TEXTS[1], "text": "\n".join([*story(990), "x<script>" * 120_000, *story(991)])}
    broken = '{"id": "<script>alert(1)</script>", "text": '
    write_jsonl(folder / "a<img src=x onerror=alert(1)>{{ 7 * 7 }}.jsonl", [*records, long_line, broken])  # type: ignore[list-item]
    return folder
