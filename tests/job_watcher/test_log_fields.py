"""Every line about a job says which one, in the same fields: what an operator filters by."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from job_watcher.log_fields import log_fields
from lib.logs import FIELDS
from tests.job_watcher.test_cli import begin
from tests.support.running import lease_of, spec
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from tests.job_watcher.watching import Stand

FAILING = {"payload": {"message": "no"}, "max_attempts": 1}


def test_a_lease_says_them_all_but_the_run() -> None:
    """That one is the watcher's."""
    fields = log_fields(lease_of(spec("debug"), attempts_used=1))
    assert fields == {"request_id": "job-1", "stream_id": "1-0", "attempt": 2, "backend": "metal"}
    assert {*fields, "run_id"} == set(FIELDS)


async def test_all_lines_about_jobs_have_all_fields(stand: Stand) -> None:
    """Done, failed, tried again, crashed, in a child or not, cancelled while it runs: JSON lines of a real watcher."""
    await stand.debug("done")
    await stand.submit(
        {"request_id": "failed", "task": "fail_permanent", **FAILING},
        {"request_id": "again", "task": "fail_temporary", "payload": {"message": "later"}},
        {"request_id": "odd", "task": "fail_oddly", **FAILING},
        {"request_id": "crashed", "task": "kill_self", "payload": {}},
    )
    await stand.sleep("cancelled")
    process = await begin(stand, "--log-json", METAL_CONCURRENCY="6")
    try:
        await stand.leased("cancelled", seconds=30)
        await stand.ended("done", "failed", "odd", seconds=30)

        async def both_delayed() -> bool:
            rows = [await stand.row(each) for each in ("again", "crashed")]
            return all(row is not None and row.state == "D" for row in rows)

        await wait_until(both_delayed, 30)
        await stand.cancel("cancelled")
        await stand.ended("cancelled")
    finally:
        process.terminate()
        _, err = await process.communicate()
    lines: list[dict[str, Any]] = [json.loads(line) for line in err.splitlines()]
    about_jobs = [line for line in lines if "request_id" in line]
    seen = {(line["request_id"], line["message"].split(" ")[0]) for line in about_jobs}
    wanted = {("done", "done"), ("failed", "failed"), ("again", "again"), ("odd", "failed"), ("cancelled", "stopped")}
    assert wanted | {(each, "started") for each in ("done", "failed", "again", "odd", "crashed")} <= seen
    for line in about_jobs:
        assert set(FIELDS) <= line.keys(), line
        assert line["backend"] == "metal"
    session = next(line for line in lines if "session" in line)
    assert {line["run_id"] for line in lines if "run_id" in line} == {session["run_id"]}
