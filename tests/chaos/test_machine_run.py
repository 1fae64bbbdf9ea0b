"""One short run of the whole chaos machine: two dozen faults on real processes, and a clean verdict."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.chaos.machine import checker, history
from tests.chaos.machine.options import SHORT_FAULTS, SHORT_JOBS
from tests.chaos.machine.stopping import in_thread
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
    assert any(each["is"] == "move" for each in found.moves)
    assert findings.accepted >= SHORT_JOBS
    left_out = len(json.loads((home / "run.json").read_text())["left_out"])
    assert sum(findings.faults.values()) >= (20 if not left_out else 12)
    assert sum(findings.faults.values()) <= SHORT_FAULTS
    _what_is_not_as_asked_is_found(found)
    _what_was_lost_is_found(found)


def _what_is_not_as_asked_is_found(found: history.History) -> None:
    """The same history, one job of which should have failed: it is known of every job how it was to end."""
    name, asked = next((name, asked) for name, asked in found.asked.items() if asked.do == "ok")
    found.asked[name] = history.Asked("fatal")
    assert {verdict.job for verdict in checker.check(found).verdicts} == {name}
    found.asked[name] = asked


def _what_was_lost_is_found(found: history.History) -> None:
    """The same history with one record left out: the checker looks at what really happened, not at its absence."""
    for line in reversed(found.lines):
        if any(op[0] == "record" for op in line.ops):
            found.lines.remove(line)
            break
    assert checker.check(found).verdicts != []


@pytest.mark.parametrize(
    ("words", "signals"),
    [(("--seed", "1", "--short"), [signal.SIGINT, signal.SIGINT]), (("planted", "nothing"), [signal.SIGTERM])],
)
async def test_whoever_interrupts_a_run_finds_nothing_left_of_it(
    tmp_path: Path, words: tuple[str, ...], signals: list[signal.Signals]
) -> None:
    """Ctrl-C, also an impatient one, or SIGTERM: every process is ended by its pid, disk and folder are given back."""
    command = [sys.executable, "-m", "tests.chaos.machine", *words]
    environ = {**os.environ, "TMPDIR": str(tmp_path)}
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=environ, stdout=asyncio.subprocess.PIPE)
    try:

        def at_work() -> bool:
            return any(b"answer" in log.read_bytes() for log in tmp_path.rglob("producer-3.jsonl"))

        await wait_until(at_work, 60, what="a producer at work")
        process.send_signal(signals[0])
        before = len(of(tmp_path))
        for number in signals[1:]:
            # In the middle of what the first one has begun, or when all is over already.
            await wait_until(lambda: len(of(tmp_path)) < before, 30, what="the end of one process")
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)
        out, _ = await asyncio.wait_for(process.communicate(), 30)
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 130
    assert "stopped" in out.decode()
    assert of(tmp_path) == []
    assert str(tmp_path) not in Path("/proc/mounts").read_text()
    assert list(tmp_path.iterdir()) == []


async def test_what_a_thread_has_begun_is_over_before_the_cancellation_is() -> None:
    """A server that is being started when a run is stopped is there, and can be ended; it does not come later."""
    begun, go_on = threading.Event(), threading.Event()
    over: list[str] = []

    def step() -> None:
        begun.set()
        assert go_on.wait(30)
        over.append("the step")

    async def fault() -> None:
        try:
            await in_thread(step)
        finally:
            over.append("the fault")

    task = asyncio.create_task(fault())
    await wait_until(begun.is_set)
    task.cancel()
    for _ in range(5):
        await asyncio.sleep(0)
    go_on.set()
    await asyncio.wait([task])
    assert task.cancelled()
    assert over == ["the step", "the fault"]


def of(folder: Path) -> list[str]:
    """What runs and knows of a folder."""
    return [line for line in processes() if str(folder) in line]


def processes() -> list[str]:
    """What runs: the folder, the environment and the arguments of each process that may be read.

    A server writes its title over its environment, so the folder is all that tells whose it is.
    """
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (place / "cmdline").read_bytes() + (place / "environ").read_bytes()
            found.append(f"{(place / 'cwd').readlink()} {words.decode(errors='replace')}")
    return found
