"""What jobs took reaches the queue in its own time, and is bounded where it cannot."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from job_watcher import measuring
from job_watcher.measuring import GATHER_SECONDS, Measuring
from lib.errors import UnreachableError
from lib.redisqueue import measures
from lib.redisqueue.connection import connect
from lib.redisqueue.measures import Sample
from lib.redisqueue.queue import Queue
from lib.tasks.base import TaskResult
from tests.support.hand_clock import HandClock
from tests.support.running import spec
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from lib.jobqueue import JobSpec
    from tests.support.servers import RealServer

NOWHERE = "redis://127.0.0.1:1/0"


@pytest.fixture
async def queue(valkey: RealServer, prefix: str) -> AsyncIterator[Queue]:
    """A queue that remembers nothing yet."""
    made = Queue.over(connect(valkey.url), valkey.url, prefix)
    yield made
    await made.client.unlink(made.keys.of("measures"))
    await made.client.aclose()


async def one_round(duty: Measuring, clock: HandClock) -> None:
    """A round whose gathering is over."""
    run = asyncio.create_task(duty.run_once())
    await wait_until(lambda: clock.sleepers)
    await clock.move(GATHER_SECONDS)
    await run


async def counted(queue: Queue) -> int:
    """Of how many jobs the queue knows."""
    return sum(one.count for one in (await measures.read(queue)).values())


async def test_samples_are_gathered_and_sent_together(queue: Queue) -> None:
    """More than a call carries go in several; a round without samples sends nothing and waits."""
    clock = HandClock()
    duty = Measuring(queue, clock)
    for number in range(300):
        duty.note("speak", "metal", 10, number + 1.0)
        duty.note("annotate", "cloud", 3, 1.0, 200)
    await one_round(duty, clock)
    assert await counted(queue) == 600
    found = await measures.read(queue)
    assert found["annotate", "cloud", 1].usd_mean == pytest.approx(200 / 3 / 10**6)
    idle = asyncio.create_task(duty.run_once())
    await asyncio.sleep(0)
    assert not clock.sleepers
    idle.cancel()


async def test_an_unreachable_server_loses_nothing_up_to_a_bound(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kept in order for when it is back; beyond the bound the oldest go."""
    monkeypatch.setattr(measuring, "KEPT_MAX", 5)
    clock = HandClock()
    away = Queue.over(connect(NOWHERE), NOWHERE)
    duty = Measuring(away, clock)
    for number in range(3):
        duty.note("speak", "metal", 1, 1.0 + number)
    for _ in range(2):
        with pytest.raises(UnreachableError):
            await one_round(duty, clock)
    duty.queue = queue
    duty.note("speak", "metal", 1, 4.0)
    await one_round(duty, clock)
    found = (await measures.read(queue))["speak", "metal", 0]
    assert (found.count, found.mean) == (4, 2.5)
    duty.queue = away
    for number in range(9):
        duty.note("sleep", "metal", 1, 1.0 + number)
    with pytest.raises(UnreachableError):
        await one_round(duty, clock)
    duty.queue = queue
    await one_round(duty, clock)
    kept = (await measures.read(queue))["sleep", "metal", 0]
    assert (kept.count, kept.mean) == (5, 7.0)
    await away.client.aclose()


def noted(job: JobSpec, seconds: float, result: TaskResult, backend: str = "cloud") -> list[Sample]:
    """What is kept of one body's end."""
    duty = Measuring(Queue.over(connect(NOWHERE), NOWHERE, "p"), HandClock())
    duty.ended(backend, job, seconds, result)
    return list(duty._samples)


def test_speech_of_which_sentences_were_at_hand_says_nothing() -> None:
    """It would make its like look quicker than they are; spoken whole, or all of it anew, it counts."""
    job = spec("speak", voice="newsroom", text="One came. Two left.", chunk=True)
    assert noted(job, 1.0, TaskResult({"sentences": {"at_hand": 1, "of": 2}})) == []
    assert len(noted(job, 1.0, TaskResult({"sentences": {"at_hand": 0, "of": 2}}))) == 1
    assert len(noted(job, 1.0, TaskResult({}))) == 1


def test_waits_for_quota_are_no_part_of_what_a_job_takes() -> None:
    """A batch of three that waited two minutes is no slower than others."""
    batch = spec("annotate", payload={"records": ["a", "b", "c"]})
    result = TaskResult({"asked": 3}, cost={"usd": 0.0003}, waited=120.0)
    assert noted(batch, 126.0, result) == [Sample("annotate", "cloud", 3.0, 6.0, 300)]
    assert noted(batch, 119.0, result) == [Sample("annotate", "cloud", 3.0, 0.0, 300)]


def test_a_resumed_batch_is_as_large_as_what_it_asked() -> None:
    """One record of twenty took what one record takes; who asked nothing has measured nothing."""
    batch = spec("annotate", payload={"records": [str(number) for number in range(20)]})
    assert noted(batch, 2.0, TaskResult({"asked": 1})) == [Sample("annotate", "cloud", 1.0, 2.0)]
    assert noted(batch, 0.1, TaskResult({"asked": 0})) == []
    assert noted(spec("debug"), 0.1, TaskResult({"asked": 0})) == [Sample("debug", "cloud", 1.0, 0.1)]


def test_a_share_of_a_machines_bill_is_no_price_of_a_job() -> None:
    """A quote adds up the hours of machines; learnt dollars would come on top of them."""
    share = {"usd": 0.0003, "share_of": "cafe0000cafe", "seconds": 3.0, "usd_per_hour": 0.36}
    result = TaskResult({}, cost=share, waited=40.0)
    assert noted(spec("speak", text="Ten signs.", voice="newsroom"), 43.0, result, "vast") == [
        Sample("speak", "vast", 10.0, 3.0, 0)
    ]
