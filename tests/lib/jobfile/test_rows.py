"""Rows as they stand in a file: values, lines, and what was refused of them."""

from __future__ import annotations

import io
import json
import re
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings

from lib.jobfile import FileRules, read_jobs
from lib.jobfile.findings import Findings
from lib.jobfile.rows import Row, RowReader
from lib.jobfile.source import BoundedStream
from lib.jobqueue import normalize_job_spec
from tests.lib.jobfile.written import written
from tests.lib.jobqueue.strategies import rows

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def read(content: str, max_job_bytes: int = 1_000) -> tuple[list[Row], list[str]]:
    """The rows of `content` and what was found wrong, without a look at what a job may hold."""
    findings = Findings("f")
    stream = BoundedStream(io.BytesIO(content.encode()), "f", 10**9)
    found = list(RowReader(stream, findings, max_job_bytes).rows())
    return found, [str(problem) for problem in findings.fresh()]


def test_a_row_knows_the_line_of_everything_in_it() -> None:
    """Of fields, of keys below them and of items of lists; a value on a later line has its key's line."""
    (row,), problems = read(
        """\
- text: >
    folded

    text
  callback_data:
    a:
      b: 1
      c:
      - x
      - {d: y}
  voice:

    v
"""
    )
    assert problems == []
    assert row.line == 1
    assert row.field_lines == {
        "text": 1,
        "callback_data": 5,
        "callback_data.a": 6,
        "callback_data.a.b": 7,
        "callback_data.a.c": 8,
        "callback_data.a.c[0]": 9,
        "callback_data.a.c[1]": 10,
        "callback_data.a.c[1].d": 10,
        "voice": 11,
    }
    assert row.values["voice"] == "v"


def test_a_refused_part_leaves_the_rest_and_marks_the_row() -> None:
    """The other fields can still be checked; the row can never become a job."""
    (row,), problems = read("- {voice: *x, text: t, variants: !a 1, callback_data: {a: {b: &c 1}}}")
    assert row.values == {"text": "t"}
    assert row.broken == {"voice", "variants", "callback_data"}
    assert row.damaged
    assert [problem.split(": ")[1] for problem in problems] == [
        "jobs[0].voice",
        "jobs[0].variants",
        "jobs[0].callback_data.a.b",
    ]


def test_the_first_of_two_equal_keys_is_kept() -> None:
    """So that the rest of the row is checked as it began."""
    (row,), _ = read("- {text: a, text: b, zz: 1, zz: 2}")
    assert row.values == {"text": "a", "zz": 1}
    assert row.broken == {"text", "zz"}


def test_a_row_that_is_too_large_is_marked_and_the_next_is_whole() -> None:
    """The budget is one row's."""
    (large, small), problems = read(f"- {{callback_data: {{a: {'x' * 2_000}, b: c}}}}\n- {{text: {'y' * 900}}}")
    assert (large.oversized, large.damaged) == (True, True)
    assert "callback_data" not in large.values or "b" not in large.values["callback_data"]
    assert (small.oversized, len(small.values["text"])) == (False, 900)
    assert problems == ["f:1: jobs[0]: is larger than 1000 bytes, which JOBS_MAX_JOB_BYTES allows; make it smaller"]


def test_rows_are_read_one_at_a_time() -> None:
    """The second is not read before somebody asks for it."""
    stream = BoundedStream(io.BytesIO(("- {text: a}\n" * 100_000).encode()), "f", 10**9)
    first = next(RowReader(stream, Findings("f"), 1_000).rows())
    assert first.values == {"text": "a"}
    assert stream.line_at(10**9) < 10_000


def test_known_and_unknown_fields_are_read_alike() -> None:
    """The quick way for known fields gives what the slow way gives."""
    for scalar in (
        "",
        "~",
        "yes",
        "1",
        "1.5",
        "0x1f",
        "'1'",
        '"a\\nb"',
        "|\n    a\n",
        "a b",
        "2026-01-01",
        "[1, {a: ~}]",
    ):
        (row,), problems = read(f"- text: {scalar}\n  zzzz: {scalar}\n")
        assert problems == []
        assert row.values["text"] == row.values["zzzz"], scalar
        assert type(row.values["text"]) is type(row.values["zzzz"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(row=rows)
def test_a_row_in_a_file_is_the_job_that_the_row_alone_would_be(tmp_path: Path, row: dict[str, Any]) -> None:
    """Alone, in a list, under defaults: no way in changes a job or its hash."""
    expected = normalize_job_spec(row)
    for content in (as_json(row), as_json([row]), as_json({"defaults": {"ttl_seconds": None}, "jobs": [row]})):
        (job,) = read_jobs(written(tmp_path, content), FileRules(now=expected.queued_at))
        assert job.spec == expected


def as_json(value: Any) -> str:
    """JSON whose escapes YAML knows: none that are half a character, but one for all that YAML wants escaped."""
    wanted = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
    return wanted.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, ensure_ascii=False))


def test_findings_are_kept_once_and_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A default that is wrong for a thousand rows is one problem."""
    monkeypatch.setattr("lib.jobfile.findings.MAX_FOUND", 10)
    findings = Findings("f")
    for _ in range(100):
        findings.add(1, "a", "b")
    assert len(findings) == len(findings.fresh()) == 1
    assert findings.fresh() == []
    findings.add(2, "w" * 1_000, "b")
    (problem,) = findings.fresh()
    assert len(problem.where) == 200
