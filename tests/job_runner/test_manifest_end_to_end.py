"""From a plan to the proof that its work was done: the four commands of the operations manual, and a real watcher."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from tests.support.hand import open_test_queue
from tests.support.watchers import WATCHER, environment_of, run_program

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.job_runner.conftest import JobRunner

MANIFEST = "manifests/gap_fill_v1.jsonl"


async def _drained(runner: JobRunner, state: Path) -> tuple[int, str, str]:
    environ = environment_of(runner.url, runner.prefix, state, {"JOBS_STATE_DIR": str(state)})
    return await run_program(WATCHER, "--drain", environ=environ, cwd=runner.home)


async def _shortened(runner: JobRunner, request_id: str) -> None:
    """Somebody takes the last step out of a receipt."""
    async with open_test_queue(runner.url, runner.prefix) as queue:
        key = queue.keys.of("result")
        kept = await queue.client.hget(key, request_id)
        assert kept is not None
        record: dict[str, Any] = json.loads(kept)
        assert record["result"]["lifecycle"].pop() == "confirmed_gone"
        await queue.client.hset(key, request_id, json.dumps(record))


def test_plan_dispatch_work_verify(runner: JobRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit 0 after real echoes and rounds through the default database; 1 when one record is not what was done."""
    state = tmp_path / "state"
    monkeypatch.setenv("JOBS_STATE_DIR", str(state))
    words = ("--mode", "crud_stress", "--count", "3", "--out", MANIFEST)
    assert runner("workflow", "system-test", "plan", *words).code == 0
    assert runner("dispatch", MANIFEST, "--target", "backlog:gap_fill").code == 0
    assert runner("verify", MANIFEST).code == 1
    code, out, err = asyncio.run(_drained(runner, state))
    assert code == 0, out + err
    verified = runner("verify", MANIFEST)
    assert (verified.code, verified.out) == (0, "3 jobs in backlog gap_fill: 3 done; all sound\n")
    rows = runner("verify", MANIFEST, "--json").document["rows"]
    assert [row["task"] for row in rows] == ["fast_crud", "sleep_crud", "fast_crud"]
    assert (state / "database.sqlite3").exists()
    known = runner("result", rows[1]["request_id"], "--json").document["record"]
    assert known["callback_data"]["id"] == "crud-stress-0002"
    assert known["result"]["slept_seconds"] >= 0
    asyncio.run(_shortened(runner, rows[1]["request_id"]))
    tampered = runner("verify", MANIFEST)
    assert tampered.code == 1
    assert "  lifecycle lacks confirmed_gone\n" in tampered.out
