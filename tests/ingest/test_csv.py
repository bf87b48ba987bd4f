from __future__ import annotations

from typing import Any

import pytest

from etl.ingest.formats import Limits


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(read: Any, delimiter: str) -> None:
    data = f'id{delimiter}Title{delimiter}Text\n1{delimiter}A{delimiter}"one{delimiter} two"\n'
    [row], rejects = read(data.encode(), "a.csv")
    assert not rejects
    assert (row["source_id"], row["title"], row["text"]) == ("1", "A", f"one{delimiter} two")


def test_quoted_newlines_and_doubled_quotes_are_part_of_the_field(read: Any) -> None:
    [row], _ = read(b'id,text\r\n1,"first line\r\nsecond ""quoted"" line"\r\n', "a.csv")
    assert row["text"] == 'first line\nsecond "quoted" line'


def test_bad_rows_cost_one_reject_each(read: Any) -> None:
    data = b"id,text\n1,good\n2,too,many\n3\n\n4,\n5,good\n6,extra comma,\n"
    rows, rejects = read(data, "a.csv")
    assert [(r["record"], r["source_id"]) for r in rows] == [(1, "1"), (5, "5"), (6, "6")]
    assert [(r.record, r.error) for r in rejects] == [(2, "BadRow"), (3, "BadRow"), (4, "EmptyRecord")]
    assert "line 3" in rejects[0].message


def test_a_stray_quotation_mark_does_not_swallow_the_rest_of_the_file(read: Any) -> None:
    data = b'id,text\n1,good\n2,"never closed\n' + b"".join(b"%d,good\n" % i for i in range(3, 5000))
    rows, rejects = read(data, "a.csv", limits=Limits(max_record_bytes=10_000))
    assert [(r.record, r.error) for r in rejects] == [(2, "BadRow")]
    assert len(rows) == 4998
    rows, rejects = read(data, "a.csv")
    assert (len(rows), len(rejects)) == (4998, 1)


def test_a_huge_field_is_one_reject(read: Any) -> None:
    data = b"id,text\n1,good\n2," + b"x" * 200_000 + b"\n3,good\n"
    rows, rejects = read(data, "a.csv", limits=Limits(max_record_bytes=100_000))
    assert [r["source_id"] for r in rows] == ["1", "3"]
    assert [(r.record, r.error) for r in rejects] == [(2, "TooLarge")]
    rows, rejects = read(data, "a.csv")
    assert (len(rows), rejects) == (3, [])  # longer than csv's own default of 131,072


@pytest.mark.parametrize("data", [b"1,2\n3,4\n", b"a,b\n", b"just a sentence\nand another\n"])
def test_a_file_without_a_text_column_is_refused_with_what_was_found(read: Any, data: bytes) -> None:
    rows, rejects = read(data, "a.csv")
    assert (rows, [(r.record, r.error) for r in rejects]) == ([], [(None, "NoText")])
    assert "content" in rejects[0].message


def test_other_charsets_and_byte_order_marks_are_read(read: Any) -> None:
    text = "id;text\n1;Die Größe der Straße überraschte Müller.\n2;Übermäßig schöne Grüße.\n"
    for codec in ("utf-8-sig", "cp1252", "utf-16"):
        rows, rejects = read(text.encode(codec), "a.csv")
        assert not rejects
        assert rows[0]["text"] == "Die Größe der Straße überraschte Müller."
        assert rows[0]["source_id"] == "1"


def test_a_column_of_one_is_enough(read: Any) -> None:
    rows, _ = read(b'text\n"a, b"\nc\n', "a.csv")
    assert [r["text"] for r in rows] == ["a, b", "c"]
