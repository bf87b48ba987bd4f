from __future__ import annotations

import base64
import hashlib
import html
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import Environment

from etl.report import page
from etl.report.gates import Verdict
from etl.report.page import Approve, notice, policy, render
from etl.report.visible import one_line

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "{{ 7 * 7 }}{% raw %}{{ config }}",
    "</style></svg></del><iframe src=//evil.example>",
    "<!-- --><![CDATA[ ]]>",
    "javascript:alert(1)",
    "&lt;b&gt;&#x3c;script&#x3e;",
]


class Outline(HTMLParser):
    """The tags of a page with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[tuple[str, str | None], ...]]] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def made(text: str = "some text", *, rules: int = 3, title: str | None = None) -> dict[str, Any]:
    """Metrics in which every text that a page or an input gave is `text`."""
    rule = {"stage": "rules", "unit": "line", "reason": text, "n": 2, "chars": 40}
    sample = {
        "stage": "rules",
        "place": 1,
        "doc_id": "d" * 32,
        "source": text,
        "unit": "line",
        "start_at": 3,
        "text": text,
    }
    sample |= {"chars": 500, "reason": text, "score": 0.5, "kept_doc_id": "e" * 32, "before": text, "after": text}
    copy = {"doc_id": "c" * 32, "source": text, "rule": text, "score": 0.9}
    return {
        "metrics_version": 1,
        "run": "2026-01-31",
        "skip": [text],
        "earlier_runs": ["2026-01-30"],
        "totals": {
            "files": 2,
            "files_settled": 1,
            "records_read": 9,
            "rejects": 2,
            "documents_read": 7,
            "documents_repaired": 0,
            "documents": 4,
            "documents_dropped": 3,
            "duplicates": 2,
            "empty": 1,
            "removals": 12,
            "chars_repaired": 1000,
            "chars_kept": 600,
            "chars_removed": 400,
            "check_kept_plus_removed": True,
            "sites": 1,
        },
        "by_stage": [{"stage": "rules", "n": 2 * rules, "chars": 400}],
        "rules": [rule | {"rule": f"rule-{n}"} for n in range(rules)],
        "sites": [{"site": text, "documents": 4, "chars_kept": 600, "chars_removed": 400}],
        "errors": [{"error": text, "n": 2, "message": text, "source": text}],
        "clusters": [
            {
                "kept_doc_id": "d" * 32,
                "n": 2,
                "score_min": 0.9,
                "source": text,
                "title": title or text,
                "copies": [copy],
            }
        ],
        "samples": [sample | {"rule": f"rule-{n}"} for n in range(rules)],
        "stages": {},
        "timing": [{"stage": "prepare", "shards": 2, "seconds": 3.0, "cpu_s": 2.0, "slowest_s": 1.7}],
    }


def empty() -> dict[str, Any]:
    whole = made()
    nothing = {name: [] for name, value in whole.items() if isinstance(value, list)}
    return whole | nothing | {"totals": dict.fromkeys(whole["totals"], 0) | {"check_kept_plus_removed": True}}


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_shown_as_text_and_adds_no_tag(text: str) -> None:
    page = Outline(render(made(text)))
    assert page.tags == Outline(render(made())).tags
    assert page.text.count(text) >= 10


@settings(max_examples=60, deadline=None)
@given(st.text())
def test_no_text_changes_the_page_around_it(text: str) -> None:
    page = Outline(render(made(f"x{text}")))
    assert page.tags == Outline(render(made())).tags
    assert " ".join(one_line(f"x{text}").split()) in " ".join(page.text.split())


def test_controls_that_reorder_text_can_be_seen() -> None:
    page = render(made("ab\u202ecd\u2067ef\x1b[31m"))
    assert "ab‹U+202E›cd‹U+2067›ef␛[31m" in page
    assert not set(page) & set("\u202e\u2067\x1b")


def test_the_page_runs_no_script_and_asks_for_nothing() -> None:
    tags = Outline(render(made())).tags
    assert not {tag for tag, _ in tags} & {"script", "img", "iframe", "link", "object", "embed", "form", "base"}
    attributes = [(name, value or "") for _, attrs in tags for name, value in attrs]
    assert not [name for name, _ in attributes if name.startswith("on") or name in ("src", "style", "srcset", "action")]
    assert all(value.startswith("#") for name, value in attributes if name == "href")
    policy = [
        dict(attrs)["content"] for tag, attrs in tags if dict(attrs).get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy and policy[0] and policy[0].startswith("default-src 'none'; style-src 'sha256-")
    assert "url(" not in render(made()) and "@import" not in render(made())


@pytest.mark.parametrize("rules", [1, 3, 12, 13, 300])
def test_every_rule_is_on_the_page(rules: int) -> None:
    page = render(made(rules=rules))
    assert page.count('<details class="rule"') == rules
    assert ("more rule" in page) == (rules > 12)


def test_what_was_cut_is_struck_through_in_the_text_around_it() -> None:
    metrics = made()
    metrics["samples"][0] |= {"before": "The story.\n", "text": "Share\n", "after": "More".ljust(80, "!"), "chars": 6}
    assert '>The story. </span><del>Share</del><span class="around"> More!!!' in render(metrics)
    assert "!!!…</span>" in render(metrics)


def test_a_run_without_documents_has_a_page() -> None:
    page = render(empty())
    for told in ("No document was read", "Nothing was removed.", "No document was published.", "could be read."):
        assert told in page


def test_a_page_tells_loudly_that_a_character_was_lost() -> None:
    metrics = made()
    metrics["totals"] |= {"check_kept_plus_removed": False, "chars_kept": 599}
    assert "kept + removed is not the repaired text: 999 of 1,000 characters" in render(metrics)
    assert "✓" not in render(metrics)


def test_the_template_is_compiled_once_for_all_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def drawn() -> str:
        page._template.cache_clear()
        return render(made())

    monkeypatch.setattr(sys, "pycache_prefix", str(tmp_path / "read-only"))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    plain = drawn()
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.setattr(sys, "pycache_prefix", str(tmp_path))
    kept = page._Compiled._path()
    assert drawn() == plain
    written = kept.read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(Environment, "compile", None)  # what is kept needs none
        assert drawn() == plain
    kept.write_bytes(written[:100])
    assert drawn() == plain
    assert kept.read_bytes() == written


def test_the_same_metrics_make_the_same_page() -> None:
    assert render(made("ß")) == render(made("ß"))


def test_a_run_is_compared_with_those_before_it() -> None:
    before = [made(), made()]
    before[0] |= {"run": "2026-01-29"}
    before[1] |= {"run": "2026-01-30", "totals": before[1]["totals"] | {"documents": 8}}
    page = render(made(), earlier=before)
    assert "Run over run" in page and "the 2 before it" in page
    assert "<strong>4</strong><small>8 before</small>" in page
    assert 'points="0.0,24.0 120.0,0.0 240.0,24.0"' in page
    assert "<title>2026-01-30: 8</title>" in page
    assert "Run over run" not in render(made())


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_words_of_the_gate_and_of_who_approved_add_no_tag(text: str) -> None:
    def page(said: str, by: str) -> Outline:
        verdict = Verdict("abc", (said,), by=by, at="now", note=said)
        return Outline(render(made(), verdict=verdict, approve=Approve((said,), said, said), stale={said: [said]}))

    for by in ("", text):
        assert page(text, by).tags == [
            tag if dict(tag[1]).get("action") != "plain" else ("form", (("method", "post"), ("action", text)))
            for tag in page("plain", by and "plain").tags
        ]
        assert text in page(text, by).text


def test_a_held_run_says_how_to_approve_it_and_an_approved_one_who_did() -> None:
    held = Verdict("abc", ("too few documents",))
    page = render(made(), verdict=held, approve=Approve(("etl approve --run-key x",)))
    assert "Held: nothing" in page and "too few documents" in page and "etl approve --run-key x" in page
    assert "<form" not in page
    approved = Verdict("abc", ("too few documents",), by="ann", at="2026-01-02", note="")
    page = render(made(), verdict=approved, approve=Approve(action="here"))
    assert "Approved by ann" in page and "<form" not in page and "Held" not in page


def test_the_policy_knows_the_style_of_the_page() -> None:
    page = render(made())
    style = page.split("<style>")[1].split("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in policy() and policy() in html.unescape(page)
    assert "form-action 'self'" in policy(form=True) and policy(framed=True).endswith("frame-ancestors 'self'")


def test_a_notice_has_the_same_policy_and_no_figures() -> None:
    page = notice("No <b>report</b>", "Nothing & nothing")
    assert "No &lt;b&gt;report" in page and "Nothing &amp; nothing" in page and "Content-Security-Policy" in page
    assert "Published" not in page
