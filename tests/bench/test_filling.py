"""A queue that was filled for a measure is one that could have come about: fsck finds nothing wrong with it."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from bench.filling import fill_done, fill_waiting
from bench.stand import many_jobs, memory_of, standing
from lib.redisqueue import sessions
from lib.redisqueue.fsck import fsck
from lib.redisqueue.reader import history, results


async def test_a_filled_queue_is_sound() -> None:
    """What is done has a record that reads as its own, what waits is counted, and no session of the filler stays."""
    async with standing() as stand:
        await fill_done(stand, 7, "d")
        await fill_waiting(stand, 5, "w")
        assert await fsck(stand.queue, repair=False) == []
        assert len(await history(stand.queue, "all", 100)) == 7
        [last, waiting] = await results(stand.queue, ["d:0000006", "w:0000004"])
        assert (last.status, waiting.status) == ("done", "queued")
        assert last.record is not None
        assert last.record["request_id"] == "d:0000006"
        assert await sessions.live_sessions(stand.queue) == frozenset()


async def test_filling_goes_on_from_what_is_there() -> None:
    """Up to a size, not by a number."""
    async with standing() as stand:
        await fill_waiting(stand, 3, "a")
        await fill_waiting(stand, 5, "b")
        await fill_waiting(stand, 4, "c")
        index: Any = await stand.queue.client.hkeys(stand.queue.keys.of("index"))
        assert sorted(index) == [b"a:0000000", b"a:0000001", b"a:0000002", b"b:0000000", b"b:0000001"]


def test_many_jobs_differ_in_their_names_alone() -> None:
    """Also inside the job itself."""
    first, second = many_jobs(2, "m")
    assert (first.request_id, second.request_id) == ("m:0000000", "m:0000001")
    assert json.loads(second.job)["request_id"] == second.request_id
    assert first.identity == second.identity


def test_memory_is_that_of_a_process() -> None:
    """In megabytes, and the highest is no less than now."""
    assert 5 < memory_of(os.getpid()) <= memory_of(os.getpid(), "VmHWM") < 5_000
    with pytest.raises(FileNotFoundError):
        memory_of(2**22 + 1)
