"""Rented machines in `job-runner status`, and what `flush` says of them."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from docs.generate.shapes import SHAPES, misfits
from lib.market.instance import Instance
from lib.redisqueue import instances, sessions
from lib.redisqueue.instances import Intended

if TYPE_CHECKING:
    from tests.job_runner.conftest import JobRunner
    from tests.support.hand import HandWatcher


async def rent(watcher: HandWatcher, *intents: str) -> None:
    """Machines that load: each for half a dollar an hour, two hours at most."""
    now = (await instances.rows(watcher.queue)).now
    for living, intent in enumerate(intents):
        wish = Instance(intent, "", "vast", "intended", now, now + 60, now + 7200, dph=500_000, gpu="RTX 4090")
        answer = await instances.intend(
            watcher.queue, watcher.session, wish, living=living, most=9, reserve=1_000_000, cap=9_000_000
        )
        assert isinstance(answer, Intended)
        loading = replace(answer.instance, state="loading", market_id=f"i-{intent}", created_at=now, jobs_done=7)
        assert await instances.advance(watcher.queue, watcher.session, loading, 123_400)


async def damage(watcher: HandWatcher) -> None:
    """Two machines, a watcher that is gone, and a row that nobody can read."""
    await rent(watcher, "aaaa0001", "bbbb0002")
    queue = watcher.queue
    await instances.ask_end(queue, "bbbb0002")
    await queue.client.hset(queue.keys.of("instances"), "junk0003", "junk")


def test_rented_machines_are_shown(runner: JobRunner) -> None:
    """As a document of its shape, and as rows within 80 columns with what is wrong below them."""
    runner.by_hand(damage)
    document = runner("status", "--json").document
    assert misfits(SHAPES["job-runner status"], document) == []
    first, second, broken = document["instances"]
    assert (first["intent"], first["state"], first["market_id"]) == ("aaaa0001", "loading", "i-aaaa0001")
    assert (first["usd"], first["usd_per_hour"], first["jobs"]) == (0.1234, 0.5, 7)
    assert (first["owner_alive"], first["told_to_end"], second["told_to_end"]) == (False, False, True)
    assert first["created_at"].endswith("Z")
    assert broken == {**dict.fromkeys(broken), **dict.fromkeys(("told_to_end", "owner_alive"), False)} | {
        "intent": "junk0003",
        "damaged": True,
    }
    assert document["spend"]["reserved_usd"] == 2 - 0.2468
    shown = runner("status")
    assert max(map(len, shown.out.splitlines())) <= 80
    assert re.search(r"\naaaa0001  loading  RTX 4090     7  \$0.1234   \$0.500  (2:00:00|1:59:\d\d)\n", shown.out)
    assert shown.out.count("  its watcher is gone: the next one destroys it\n") == 2
    assert "\n  its end was asked for\n" in shown.out
    assert "\njunk0003  damaged" in shown.out
    assert "doctor --fsck --repair" in shown.err


def test_one_whose_watcher_lives(runner: JobRunner) -> None:
    """Nothing is wrong with it, so nothing is said but its row."""

    async def at_work(watcher: HandWatcher) -> None:
        await rent(watcher, "aaaa0001")
        assert watcher.session in await sessions.live_sessions(watcher.queue)
        # Left open on purpose.
        watcher.session, watcher.name = "gone:run0", "gone"

    runner.by_hand(at_work)
    (row,) = runner("status", "--json").document["instances"]
    assert row["owner_alive"]
    lines = runner("status").out.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("aaaa0001"))
    assert lines[at - 1] == "INSTANCE  STATE    GPU       JOBS     COST  AN HOUR     LEFT"
    assert lines[at + 1] == ""


def test_a_flush_says_that_they_stay(runner: JobRunner) -> None:
    """Their bills run on, whatever is flushed."""
    runner.by_hand(damage)
    for words in ((), ("--hard",)):
        done = runner("flush", "--yes", *words)
        assert (done.code, done.out) == (0, "removed 0 jobs and 0 records\n")
        assert done.err == "kept: 3 rented machines, whose bills run on; `job-runner instances` shows them\n"
    flushed = runner("flush", "--yes", "--json").document
    assert (flushed["instances_kept"], misfits(SHAPES["job-runner flush"], flushed)) == (3, [])
    assert len(runner("status", "--json").document["instances"]) == 3
