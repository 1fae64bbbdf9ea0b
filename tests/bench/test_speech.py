"""Whoever waits for speech hears of a watcher that has died and of a job that failed."""

from __future__ import annotations

import pytest

from bench import speech
from bench.stand import StandError, jobs, process, standing, watcher
from job_runner.service.cancel import cancel
from lib.redisqueue import producing

TEXTS = ["A text."]


async def test_a_dead_watcher_is_not_waited_for() -> None:
    """Its last words are in the message."""
    async with standing() as stand, watcher(stand, "--no-such-flag") as running:
        with pytest.raises(StandError, match="the watcher ended with 2"):
            await speech.spoken_queued(stand, running, "t", TEXTS)


async def test_a_job_that_did_not_get_done_ends_the_wait() -> None:
    """It will never be done, whoever waits."""
    async with standing() as stand, process("sleep", "60", environ={}, log=stand.state / "w.log") as running:
        await producing.submit(stand.queue, jobs(2, "t"))
        await cancel(stand.queue, ["t:0000001"])
        with pytest.raises(StandError, match=r"not done: t:0000001$"):
            await speech.records(stand, running, ["t:0000000", "t:0000001"])


async def test_a_wait_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """How many were done by then is said."""
    monkeypatch.setattr(speech, "START_SECONDS", 0.0)
    monkeypatch.setattr(speech, "JOB_SECONDS", 0.1)
    async with standing() as stand, process("sleep", "60", environ={}, log=stand.state / "w.log") as running:
        with pytest.raises(StandError, match="0 of 1 jobs were done within 0 s"):
            await speech.spoken_queued(stand, running, "t", TEXTS)
