"""One short run of the whole chaos machine: two dozen faults on real processes, and a clean verdict."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos.machine import checker, history
from tests.chaos.machine.options import SHORT_FAULTS, SHORT_JOBS
from tests.chaos.yard import SLACK_SECONDS
from tests.support.wait import wait_until
from tests.support.watchers import ROOT

pytestmark = pytest.mark.chaos

SEED = 2


def test_a_short_run_keeps_every_promise(tmp_path: Path) -> None:
    """Exit 0, the seed and how to replay it are said, and the history that is left is judged the same again."""
    home = tmp_path / "run"
    # The slack of the other chaos tests: here everything runs beside other tests.
    words = ["--seed", str(SEED), "--short", "--slack", str(SLACK_SECONDS), "--dir", str(home)]
    command = [sys.executable, "-m", "tests.chaos.machine", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"seed {SEED}: {SHORT_JOBS} jobs" in done.stdout
    assert f"replay with: make chaos SEED={SEED}" in done.stdout
    assert "BROKEN" not in done.stdout
    found = history.read(home)
    assert found.drained
    found.slack = SLACK_SECONDS
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


async def test_whoever_interrupts_a_run_finds_nothing_left_of_it(tmp_path: Path) -> None:
    """Ctrl-C in the middle: server, watchers and producers are ended by their pids, and the disk is given back."""
    home = tmp_path / "run"
    command = [sys.executable, "-m", "tests.chaos.machine", "--seed", "1", "--short", "--dir", str(home)]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    try:
        log = home / "producer-3.jsonl"
        await wait_until(lambda: log.exists() and b"answer" in log.read_bytes(), 60, what="a producer at work")
        process.send_signal(signal.SIGINT)
        out, _ = await asyncio.wait_for(process.communicate(), 30)
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 130
    assert "stopped" in out.decode()
    assert [line for line in processes() if str(home) in line] == []
    assert str(home) not in Path("/proc/mounts").read_text()


def processes() -> list[str]:
    """What runs: the environment and the arguments of each process that may be read."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            found.append(((place / "cmdline").read_bytes() + (place / "environ").read_bytes()).decode(errors="replace"))
    return found
