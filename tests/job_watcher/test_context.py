"""What a running body may ask for."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest

from job_watcher.context import AttemptContext, NoEngines
from lib.errors import PermanentError

if TYPE_CHECKING:
    from pathlib import Path

    from lib.tasks.base import TaskContext


def context(home: Path, reports: list[dict[str, Any]]) -> TaskContext:
    """A context, seen as the protocol that tasks know."""
    return AttemptContext("job-1", 2, lambda: home, NoEngines(), reports.append)


async def test_progress_is_brought_into_form(tmp_path: Path) -> None:
    """A percent outside 0 to 100 would break every bar; a report never fails the task."""
    reports: list[dict[str, Any]] = []
    given = context(tmp_path, reports)
    for percent in (-5, 33.33333, 250, math.nan, math.inf):
        await given.progress(percent, step=1, total=3, message="m" * 1000)
    assert [report["percent"] for report in reports] == [0.0, 33.33, 100.0]
    assert all(set(report) == {"percent", "step", "total", "message"} for report in reports)
    assert all(len(report["message"]) == 200 for report in reports)


async def test_an_inline_body_has_no_engines(tmp_path: Path) -> None:
    """A model would block the loop that renews the session; the error says what to declare instead."""
    with pytest.raises(PermanentError, match="inline task") as caught:
        context(tmp_path, []).engines.warm("hibari")
    assert "isolation" in (caught.value.hint or "")
