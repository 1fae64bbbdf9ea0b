"""The real program, killed or interrupted in the middle: what was made is there and named, and the next run goes on."""

from __future__ import annotations

import asyncio
import json
import signal
from typing import TYPE_CHECKING, Any

import pytest

from lib.failpoints import VARIABLE
from tests.support.wait import wait_until
from tests.support.watchers import RUNNER, command_of, environment_of, run_program

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

JOBS = 6
LONG = "The rain pattered dismally against the panes, and my candle was nearly burnt out. " * 12


def job_file(folder: Path, text: str) -> Path:
    """Some jobs of this text."""
    rows = [{"output_name": f"a/{number}", "voice": "newsroom", "text": f"{number}. {text}"} for number in range(JOBS)]
    path = folder / "jobs.yaml"
    path.write_text(json.dumps(rows))
    return path


def environ_of(folder: Path, **more: str) -> Mapping[str, str]:
    """A state directory of its own; no server is there."""
    return environment_of("redis://127.0.0.1:1/0", "none", folder / "state", more)


def document_in(folder: Path) -> dict[str, Any]:
    """execution.json, which is whole whenever it is looked at."""
    loaded: dict[str, Any] = json.loads((folder / "batch/execution.json").read_bytes())
    return loaded


async def test_a_kill_loses_nothing_that_was_finished(tmp_path: Path) -> None:
    """SIGKILL after the third job: three are named and whole, the next run makes the other three."""
    job_file(tmp_path, "A short line.")
    words = ("run", "jobs.yaml", "--out", "batch", "--json")
    killed, out, _ = await run_program(
        RUNNER, *words, environ=environ_of(tmp_path, **{VARIABLE: "manifest.job:3"}), cwd=tmp_path
    )
    assert (killed, out) == (-signal.SIGKILL, "")
    left = document_in(tmp_path)
    assert [(each["request_id"], each["status"]) for each in left["jobs"]] == [(f"a:{n}", "ok") for n in range(3)]
    assert (left["completed_at"], left["success"], left["job_count"]) == (None, False, JOBS)
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.wav")}
    assert len(kept) == 3
    code, out, _ = await run_program(RUNNER, *words, environ=environ_of(tmp_path), cwd=tmp_path)
    assert code == 0
    statuses = [each.get("reason", each["status"]) for each in json.loads(out)["jobs"]]
    assert statuses == ["already_made"] * 3 + ["ok"] * 3
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_it_in_order(tmp_path: Path, number: signal.Signals) -> None:
    """In the middle of a long job: exit 130, `aborted`, nothing half-written, and it says how to go on."""
    job_file(tmp_path, LONG)
    process = await asyncio.create_subprocess_exec(
        *command_of(RUNNER, "run", "jobs.yaml", "--out", "batch"),
        env=dict(environ_of(tmp_path)),
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    part = tmp_path / "batch/a/1/.take_01.wav.part"
    try:
        await wait_until(part.exists, 60, what="the second job at work")
        assert document_in(tmp_path)["current"] == "a:1"
        process.send_signal(number)
        out, err = await asyncio.wait_for(process.communicate(), 60)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 130
    left = document_in(tmp_path)
    assert (left["aborted"], left["success"]) == (True, False)
    assert [each.get("reason", each["status"]) for each in left["jobs"]] == ["ok"] + ["interrupted"] * (JOBS - 1)
    assert not part.exists()
    assert b"6 jobs: 1 ok, 5 not reached" in out
    # Counted, and no row or line each.
    assert (out + err).count(b"not reached") == 1
    assert b"interrupted; the same command goes on" in err
    assert b"Traceback" not in err
