"""The whole way of a job to a rented machine and back, over a real sshd, with the real worker."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from lib.errors import SessionLostError
from lib.redisqueue import instances
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from job_watcher.backends.vast.backend import Vast
    from tests.job_watcher.backends.vast.conftest import OwnHost, Renters
    from tests.job_watcher.watching import Stand


def speech(request_id: str) -> dict[str, str]:
    """A short one."""
    return {"request_id": request_id, "task": "speak", "text": f"This is {request_id}.", "voice": "newsroom"}


async def test_a_drain_rents_works_gives_back_and_ends(stand: Stand, renters: Renters, own_host: OwnHost) -> None:
    """Jobs wait for a machine, which is looked at and tried first; then all are done, and nothing is left of it.

    The time limit is that of a worker which loads its model on a busy machine.
    """
    assert set(await stand.submit(speech("one"), speech("two"), speech("three"))) == {"queued"}
    watcher = renters.watcher("w", **own_host.settings)
    await watcher.start("drain")
    await watcher.ended(60.0)
    records = await stand.ended("one", "two", "three")
    for record in records:
        assert (record["status"], record["backend"], record["attempt"]) == ("done", "vast", 1)
        best = Path(urlsplit(record["outputs"]["takes"][0]["uri"]).path)
        assert best.read_bytes()[:4] == b"RIFF"
    assert (await instances.rows(stand.queue)).instances == ()
    (bill,) = await instances.bills(stand.queue)
    assert (bill.market, bill.jobs, bill.micro, bill.why) == ("ssh", 3, 0, "told: its watcher ends")
    assert {(each["cost"]["usd"], each["cost"]["share_of"]) for each in records} == {(0.0, bill.intent)}
    assert 0 < sum(each["cost"]["seconds"] for each in records) <= sum(bill.spent.values())
    assert {"connecting", "probing", "canary", "draining"} <= set(bill.spent)
    # The sessions of sshd end by themselves; nothing of the worker is left.
    await wait_until(lambda: not _workers(own_host))


def _workers(own: OwnHost) -> list[bytes]:
    found = []
    for pid in own.host.processes():
        try:
            said = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if b"execute-manifest" in said:
            found.append(said)
    return found


async def test_a_host_that_dies_is_given_up_and_left_out(stand: Stand, renters: Renters, own_host: OwnHost) -> None:
    """It offers nothing any more; that it failed is on its bill, and it is left out for a while."""
    watcher = renters.watcher("w", WATCHER_IDLE_GRACE="60", **own_host.settings)
    await watcher.start()
    await stand.submit(speech("one"))
    await stand.ended("one", seconds=60.0)
    backend: Vast = watcher.backends[0]  # type: ignore[assignment]  # the only one
    assert await backend.lacks("speech") is None
    assert backend.slots == 128
    own_host.host.kill()
    await wait_until(lambda: instances.bills(stand.queue), 20.0)
    assert await backend.lacks("speech") is not None
    (bill,) = await instances.bills(stand.queue)
    assert (bill.jobs, bill.failed) == (1, True)
    assert bill.why.startswith("lost")
    assert list(await instances.excluded(stand.queue)) == [own_host.settings["SSH_HOSTS"]]
    await watcher.finish()


async def test_of_two_watchers_one_has_the_host(stand: Stand, renters: Renters, own_host: OwnHost) -> None:
    """Its row is the claim: the other waits its turn, and nothing of the first is disturbed. All jobs are done."""
    names = [f"job-{number}" for number in range(4)]
    await stand.submit(*map(speech, names))
    watchers = [renters.watcher(name, WATCHER_IDLE_GRACE="60", **own_host.settings) for name in ("one", "two")]
    for each in watchers:
        await each.start()
    most = 0

    async def all_done() -> bool:
        nonlocal most
        most = max(most, (await instances.rows(stand.queue)).living)
        return all([await stand.record(name) for name in names])

    await wait_until(all_done, 60.0)
    assert most == 1
    (row,) = (await instances.rows(stand.queue)).instances
    first, second = watchers if row.owner.startswith("one") else reversed(watchers)
    await first.finish()
    await stand.submit(speech("last"))
    await stand.ended("last", seconds=60.0)
    await second.finish()
    assert [bill.jobs for bill in await instances.bills(stand.queue)] == [1, 4]


async def test_a_session_that_is_lost_keeps_its_machine(stand: Stand, renters: Renters, own_host: OwnHost) -> None:
    """The next life goes on with it: no other start, the same row. What was at work is made anew by its own lease."""
    watcher = renters.watcher("w", WATCHER_IDLE_GRACE="60", **own_host.settings)
    await watcher.start()
    await stand.submit(speech("one"))
    await stand.ended("one", seconds=60.0)
    (before,) = (await instances.rows(stand.queue)).instances
    long = {**speech("two"), "text": "A sentence that takes its time. " * 200, "chunk": "true"}
    await stand.submit(long, speech("three"))
    await stand.leased("two")
    first = watcher.session
    await stand.evict(first)
    with pytest.raises(SessionLostError):
        await watcher.ended(30.0)
    watcher.new_life()
    await watcher.start()
    records = await stand.ended("two", "three", seconds=60.0)
    assert {(each["backend"], each["attempt"], each["run_id"]) for each in records} == {
        ("vast", 1, watcher.session.partition(":")[2])
    }
    (after,) = (await instances.rows(stand.queue)).instances
    assert (after.intent, after.fence, after.owner) == (before.intent, before.fence, watcher.session)
    assert await instances.bills(stand.queue) == []
    await watcher.finish()
    (bill,) = await instances.bills(stand.queue)
    assert bill.jobs >= 3


async def test_who_is_told_to_stop_pays_for_no_job_that_has_not_begun(
    stand: Stand, renters: Renters, own_host: OwnHost
) -> None:
    """The one at work is finished; those that wait on the machine for their turn go back, and lose nothing."""
    watcher = renters.watcher("w", WATCHER_IDLE_GRACE="60", **own_host.settings)
    await watcher.start()
    await stand.submit(speech("zero"))
    await stand.ended("zero", seconds=60.0)
    long = {**speech("one"), "text": "A sentence that takes its time. " * 60, "chunk": "true"}
    waiting = [f"waits-{number}" for number in range(5)]
    await stand.submit(long, *map(speech, waiting))
    for each in ("one", *waiting):
        await stand.leased(each)
    in_hand = watcher.life.in_hand
    fence = next(each.fence for each in in_hand.leases() if each.request_id == "one")
    await wait_until(lambda: (held := in_hand.find(fence)) is not None and not held.gathered, 30.0)
    await watcher.finish()
    (record,) = await stand.ended("one")
    assert (record["status"], record["attempt"]) == ("done", 1)
    assert [await stand.record(each) for each in waiting] == [None] * 5
    # Whoever leads has heard before that nothing is offered there: they wait for others, not in this watcher's lane.
    rows = await stand.queue.client.hvals(stand.queue.keys.of("index"))
    assert [row for row in rows if b"lane:" in row] == []
