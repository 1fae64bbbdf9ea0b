"""One short run of the whole chaos machine: two dozen faults on real processes, and a clean verdict."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.chaos.machine import checker, history
from tests.chaos.machine.options import SHORT_FAULTS, SHORT_JOBS
from tests.support.watchers import ROOT

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.chaos

SEED = 2


def test_a_short_run_keeps_every_promise(tmp_path: Path) -> None:
    """Exit 0, the seed and how to replay it are said, and the history that is left is judged the same again."""
    home = tmp_path / "run"
    words = ["--seed", str(SEED), "--short", "--dir", str(home)]
    command = [sys.executable, "-m", "tests.chaos.machine", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"seed {SEED}: {SHORT_JOBS} jobs" in done.stdout
    assert f"replay with: make chaos SEED={SEED}" in done.stdout
    assert "BROKEN" not in done.stdout
    found = history.read(home)
    assert found.drained
    findings = checker.check(found)
    assert findings.verdicts == []
    assert findings.accepted >= SHORT_JOBS
    left_out = len(json.loads((home / "run.json").read_text())["left_out"])
    assert sum(findings.faults.values()) >= (20 if not left_out else 12)
    assert sum(findings.faults.values()) <= SHORT_FAULTS
    _what_was_lost_is_found(found)


def _what_was_lost_is_found(found: history.History) -> None:
    """The same history with one record left out: the checker looks at what really happened, not at its absence."""
    for line in reversed(found.lines):
        if any(op[0] == "record" for op in line.ops):
            found.lines.remove(line)
            break
    assert checker.check(found).verdicts != []
