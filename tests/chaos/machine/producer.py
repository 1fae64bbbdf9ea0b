"""One producer as a process of its own, so that it can be killed in the middle of a submit.

    python -m tests.chaos.machine.producer ORDERS

It carries out its steps in order and repeats each until it is answered, as a careful caller would. Every call is
written down before it is sent and again when it is answered, each by one write; a call without its answer is
`unknown`. Started again, it goes on with the first step that has no answer.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import lib
from job_runner.service import again
from job_runner.service.cancel import cancel
from lib.errors import JobRunnerError
from lib.jobqueue import normalize_job_spec
from lib.redisqueue import producing
from lib.redisqueue.connection import connect, edge
from lib.redisqueue.queue import Queue
from lib.redisqueue.submissions import submission_of
from lib.settings import Settings
from tests.chaos.machine.bodies import CATALOGUE, MODULE

if TYPE_CHECKING:
    from lib.jobqueue.protocol import Submission

_PAUSE_SECONDS: Final = 0.2
_LOOK_SECONDS: Final = 0.02
MAX_ATTEMPTS: Final = 5


@dataclass(frozen=True, slots=True)
class Orders:
    """What a producer is told at its start; a JSON file."""

    url: str
    prefix: str
    trace: str
    log: str
    steps: str
    go: str
    """A file that is there once all are ready: the monotonic seconds from which the steps' times count."""

    @classmethod
    def read(cls, path: Path) -> Orders:
        """From its file."""
        return cls(**json.loads(path.read_text()))


class Producer:
    """Its queue, its steps and its log."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._queue = Queue.over(connect(orders.url), orders.url, orders.prefix)
        self._steps: list[dict[str, Any]] = [json.loads(line) for line in Path(orders.steps).read_text().splitlines()]
        self._log = os.open(orders.log, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        self._call = 0

    def _note(self, **words: Any) -> None:
        line = json.dumps({"at": time.monotonic(), "pid": os.getpid(), **words}).encode() + b"\n"
        os.write(self._log, line)

    def _answered(self) -> set[int]:
        found = set()
        for line in Path(self._orders.log).read_text().splitlines():
            said = json.loads(line)
            if said["is"] == "answer" or said["is"] == "refused":
                found.add(said["step"])
        return found

    async def work(self) -> None:
        """All steps that have no answer yet."""
        done = self._answered()
        self._note(**{"is": "hello", "code": str(Path(lib.__file__ or "").parents[1])})
        begun = await self._told_to_go()
        for number, step in enumerate(self._steps):
            if number in done:
                continue
            await asyncio.sleep(max(0.0, begun + step["at"] - time.monotonic()))
            await self._step(number, step)
        self._note(**{"is": "bye"})

    async def _told_to_go(self) -> float:
        go = Path(self._orders.go)
        while not go.exists():  # noqa: ASYNC110  another process makes it
            await asyncio.sleep(_LOOK_SECONDS)
        return float(go.read_text())

    async def _step(self, number: int, step: dict[str, Any]) -> None:
        while True:
            # Short of a repeat, a call is known by this process and its count.
            self._call += 1
            call = f"{os.getpid()}-{self._call}"
            jobs = [self._submission(job) for job in step["jobs"]] if step["do"] in {"submit", "replace"} else []
            rows = [
                [job.request_id, job.identity, job.due_ms, said["echo"]]
                for job, said in zip(jobs, step["jobs"], strict=False)
            ]
            known = {"step": number, "call": call, "do": step["do"]}
            ids = step["ids"] or [job["id"] for job in step["jobs"]]
            self._note(**{"is": "sent", **known, "rows": rows, "ids": ids})
            try:
                codes = await self._ask(step, jobs)
            except JobRunnerError as exc:
                self._note(**{"is": "lost", **known, "error": f"{exc.code}: {exc.message}"[:200]})
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            self._note(**{"is": "answer", **known, "codes": codes})
            return

    async def _ask(self, step: dict[str, Any], jobs: list[Submission]) -> list[str]:
        queue, ids = self._queue, step["ids"]
        match step["do"]:
            case "submit" | "replace":
                mode = "replace" if step["do"] == "replace" else "new"
                return [reply.code for reply in await producing.submit(queue, jobs, mode=mode)]  # type: ignore[arg-type]  # one of two literals
            case "cancel":
                return [row.status for row in (await cancel(queue, ids)).rows]
            case "retry":
                return [row.status for row in (await again.retry(queue, self._settings(), ids)).rows]
            case _:
                return await self._by_hand(step)

    async def _by_hand(self, step: dict[str, Any]) -> list[str]:
        """Entries as another program adds them, one of them no job at all."""
        entries = [
            json.dumps({"request_id": job["id"], "task": job.get("task", "traced"), "payload": self._payload(job)})
            for job in step["jobs"]
        ] or ["{no job"]
        async with edge(self._queue.url):
            for entry in entries:
                await self._queue.client.xadd(self._queue.keys.stream("stream"), {"job": entry})
        return ["added"] * len(entries)

    def _settings(self) -> Settings:
        return Settings.load({"JOBS_TASK_MODULES": MODULE, "JOBS_STATE_DIR": self._orders.trace})

    def _payload(self, job: dict[str, Any]) -> dict[str, Any]:
        wanted: dict[str, Any] = {name: job[name] for name in ("do", "echo", "seconds", "fails") if name in job}
        return {"trace": self._orders.trace, **wanted}

    def _submission(self, job: dict[str, Any]) -> Submission:
        row: dict[str, Any] = {
            "request_id": job["id"],
            "task": job.get("task", "traced"),
            "payload": self._payload(job),
            "priority": job.get("priority", "normal"),
            "max_attempts": MAX_ATTEMPTS,
        }
        if "delay" in job:
            row["run_after"] = (datetime.now(UTC) + timedelta(seconds=job["delay"])).isoformat()
        if "key" in job:
            row |= {"conflict_key": job["key"], "on_conflict": job["on_conflict"]}
        if job["do"] == "output":
            row["output_name"] = f"out/{job['id']}"
        return submission_of(
            normalize_job_spec(row, catalogue=CATALOGUE), CATALOGUE, backlog=job.get("backlog", "default")
        )


async def main(path: Path) -> None:
    """Work as ordered."""
    await Producer(Orders.read(path)).work()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
