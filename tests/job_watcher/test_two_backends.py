"""Two backends in one life: each has its own slots and lanes, and what ends the life covers both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from job_watcher.backends.cloud import Cloud
from job_watcher.backends.metal import Metal
from job_watcher.conductor import ConductorSetup
from lib import wiring
from lib.errors import SessionLostError
from tests.job_watcher.gates import Gate
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from job_watcher.backends.base import Backend
    from lib.settings import Settings
    from tests.job_watcher.watching import Stand, Watcher

METAL, CLOUD = "lane:metal:any", "lane:cloud:any"
MANY = "1000"


def both(settings: Settings) -> tuple[Backend, ...]:
    """Metal and the cloud, which needs no key for tasks that need none."""
    tasks = wiring.tasks(settings)
    return Metal(tasks, settings), Cloud(tasks, settings)


class Two:
    """A watcher with both, each behind a gate of its own."""

    def __init__(self, stand: Stand, name: str = "w", **more: str) -> None:
        self.stand = stand
        self.metal, self.cloud = Gate(), Gate()
        given: dict[str, Any] = {"METAL_QUEUE_MAX": "1", "CLOUD_CONCURRENCY": "2", "CLOUD_TOKENS_PER_MIN": MANY, **more}
        gates = {"metal": self.metal, "cloud": self.cloud}
        self.watcher: Watcher = stand.watcher(name, execution=gates, backends=both, **given)

    async def run(self, metal: int, cloud: int) -> None:
        """Start, queue jobs pinned to either, and wait until so many of them run."""
        await self.watcher.start()
        for backend, count in (("metal", metal), ("cloud", cloud)):
            if count:
                await self.stand.debug(*(f"{backend}-{i}" for i in range(count)), backend=backend)
        await self.holds(metal, cloud)

    async def holds(self, metal: int, cloud: int) -> None:
        """Wait until so many bodies run on each."""
        await wait_until(lambda: (len(self.metal.running), len(self.cloud.running)) == (metal, cloud))

    def let_all(self) -> None:
        """Let every body end."""
        self.metal.open.set()
        self.cloud.open.set()


async def test_each_has_its_own_slots_and_neither_blocks_the_other(stand: Stand) -> None:
    """One on metal, two on the cloud, at once; a full backend's queue does not stop the other's next job."""
    two = Two(stand)
    await two.run(1, 2)
    await stand.debug("waits", backend="cloud")
    two.metal.let("metal-0")
    await stand.ended("metal-0")
    await stand.debug("next", backend="metal")
    await wait_until(lambda: "next" in two.metal.ids())
    assert "waits" not in two.cloud.ids()
    assert (two.metal.most, two.cloud.most) == (1, 2)
    two.cloud.let("cloud-1")
    await wait_until(lambda: "waits" in two.cloud.ids())
    two.let_all()
    await stand.ended("metal-0", "next", "waits", "cloud-0", "cloud-1")
    assert (two.metal.most, two.cloud.most) == (1, 2)


async def test_a_spill_goes_to_the_cloud_when_metal_is_full(stand: Stand) -> None:
    """Jobs of no pin: the free machine first, then the cloud, and each record says where it ran."""
    two = Two(stand)
    await two.watcher.start()
    await stand.debug("a", "b", "c")
    await two.holds(1, 2)
    two.let_all()
    await stand.ended("a", "b", "c")
    assert (len(two.metal.ids()), len(two.cloud.ids())) == (1, 2)


async def test_the_record_names_the_backend(stand: Stand) -> None:
    """With the real bodies."""
    settings: dict[str, Any] = {"METAL_QUEUE_MAX": "1", "CLOUD_TOKENS_PER_MIN": MANY}
    await stand.watcher(backends=both, **settings).start()
    await stand.debug("m", backend="metal")
    await stand.debug("c", backend="cloud")
    records = await stand.ended("m", "c")
    assert [record["backend"] for record in records] == ["metal", "cloud"]


async def test_the_heartbeat_offers_each_backend(stand: Stand) -> None:
    """Slots and capabilities by backend: what the conductor plans with, wherever it runs."""
    two = Two(stand, METAL_CONCURRENCY="3")
    await two.watcher.start()
    await wait_until(lambda: two.watcher.life.conductor._watchers)
    (seen,) = two.watcher.life.conductor._watchers
    assert seen.slots == {"metal": 3, "cloud": 2}
    assert seen.offers is not None
    assert seen.offers["metal"] >= {"any", "speech"}
    assert seen.offers["cloud"] == {"any"}
    assert seen.slots_for("cloud", "speech") == 0


async def test_stopping_lets_the_bodies_of_both_end(stand: Stand) -> None:
    """SIGTERM: nothing new begins on either, what runs is finished and recorded."""
    two = Two(stand)
    await two.run(1, 1)
    two.watcher.stop.set()
    await wait_until(lambda: two.watcher.life.session.offer.slots == {})
    await stand.debug("new-m", backend="metal")
    await stand.debug("new-c", backend="cloud")
    two.let_all()
    await two.watcher.ended()
    assert await stand.record("metal-0")
    assert await stand.record("cloud-0")
    assert (two.metal.ids(), two.cloud.ids()) == (["metal-0"], ["cloud-0"])


async def test_hurrying_hands_back_what_runs_on_both(stand: Stand) -> None:
    """Second SIGTERM: both bodies are stopped and both jobs wait again, pinned as they were, nothing counted."""
    two = Two(stand)
    await two.run(1, 2)
    await two.watcher.finish(hurry=True)
    assert (two.metal.stopped, sorted(two.cloud.stopped)) == (["metal-0"], ["cloud-0", "cloud-1"])
    for name, home in (("metal-0", "stream:high:any:metal"), ("cloud-1", "stream:high:any:cloud")):
        row = await stand.row(name)
        assert row is not None
        assert (row.state, row.stream, row.attempt, row.deaths) == ("Q", home, 0, 0)


async def test_what_was_moved_and_not_begun_is_taken_up_by_the_next(stand: Stand) -> None:
    """Both lanes: when their only reader has ended, what waits in them is somebody else's."""
    two = Two(stand, METAL_QUEUE_MAX="3")
    await two.run(1, 2)
    await stand.debug("m", backend="metal")
    await stand.debug("c", backend="cloud")
    await wait_until(lambda: two.watcher.life.conductor.leads)
    await two.watcher.finish(hurry=True)
    other = Two(stand, "other")
    other.let_all()
    await other.watcher.start()
    await stand.ended("metal-0", "cloud-0", "cloud-1", "m", "c")


async def test_a_cancel_stops_the_body_on_either(stand: Stand) -> None:
    """Exactly that one, on its backend; the slot is free again."""
    two = Two(stand, CLOUD_CONCURRENCY="1")
    await two.run(1, 1)
    assert await stand.cancel("cloud-0") == "cancelled"
    await wait_until(lambda: two.cloud.stopped == ["cloud-0"])
    assert two.metal.stopped == []
    assert await stand.cancel("metal-0") == "cancelled"
    await wait_until(lambda: two.metal.stopped == ["metal-0"])
    await stand.debug("m", backend="metal")
    await stand.debug("c", backend="cloud")
    await wait_until(lambda: two.metal.running and two.cloud.running)
    two.let_all()
    await stand.ended("m", "c")


async def test_a_lost_session_throws_both_away(stand: Stand) -> None:
    """Nothing runs on under a session that has ended, and nothing of it is committed."""
    two = Two(stand)
    await two.run(1, 2)
    await stand.evict(two.watcher.session)
    with pytest.raises(SessionLostError):
        await two.watcher.ended()
    assert (two.metal.running, two.cloud.running) == ({}, {})
    assert (two.metal.stopped, sorted(two.cloud.stopped)) == (["metal-0"], ["cloud-0", "cloud-1"])
    two.watcher.new_life()
    two.let_all()
    await two.watcher.start()
    await stand.ended("metal-0", "cloud-0", "cloud-1")


async def test_a_drain_waits_for_both(stand: Stand) -> None:
    """It ends with the last body, wherever that is."""
    two = Two(stand)
    await stand.debug("m", backend="metal")
    await stand.debug("c", backend="cloud")
    await two.watcher.start("drain")
    await two.holds(1, 1)
    two.metal.open.set()
    await stand.ended("m")
    assert two.watcher.task is not None
    assert not two.watcher.task.done()
    two.cloud.open.set()
    await two.watcher.ended()
    assert await stand.record("c")


async def test_a_suspect_runs_alone_in_the_whole_watcher(stand: Stand) -> None:
    """A body that has killed its watcher twice: beside one on metal none runs on the cloud."""
    two = Two(stand)
    await stand.debug("m", backend="metal")
    await stand.debug("c", backend="cloud")
    await stand.suspect("m", "c")
    await two.watcher.start()
    await wait_until(lambda: two.metal.running or two.cloud.running)
    waiting, gate = ("c", two.metal) if two.metal.running else ("m", two.cloud)

    async def put_off() -> bool:
        row = await stand.row(waiting)
        return row is not None and row.state == "D"

    await wait_until(put_off)
    assert len(two.metal.running) + len(two.cloud.running) == 1
    gate.open.set()
    two.let_all()
    await stand.ended("m", "c")


async def test_the_cloud_gets_no_more_than_the_limit_a_minute(stand: Stand) -> None:
    """Three a minute, whatever waits; metal goes on."""
    two = Two(stand, CLOUD_TOKENS_PER_MIN="3", CLOUD_CONCURRENCY="10")
    two.let_all()
    await two.watcher.start()
    await stand.debug(*(f"c{i}" for i in range(8)), backend="cloud")
    await stand.debug(*(f"m{i}" for i in range(8)), backend="metal")
    await stand.ended(*(f"m{i}" for i in range(8)))
    await wait_until(lambda: len(two.cloud.ids()) == 3)
    await stand.ended("c0", "c1", "c2")
    await wait_until(lambda: two.watcher.life.conductor._seen is not None)
    assert two.cloud.ids() == ["c0", "c1", "c2"]
    assert await stand.length("stream:normal:any:cloud") == 5


async def test_one_that_only_conducts_offers_nothing_leads_and_feeds_the_others(stand: Stand) -> None:
    """It takes the lead from a watcher that works, which learns it at once and not at an interval."""
    slow = {"WATCHER_POLL_INTERVAL": "600", "WATCHER_SESSION_TTL": "3600", "WATCHER_SESSION_RENEW_EVERY": "300"}
    two = Two(stand, "worker", **slow)
    two.let_all()
    await two.watcher.start()
    worker = two.watcher.life.conductor
    await wait_until(lambda: worker.leads)
    more: dict[str, Any] = slow
    conductor = stand.watcher(
        "conductor", backends=lambda _: (), conducting=lambda s: ConductorSetup.of(s, dedicated=True), **more
    )
    await conductor.start()
    await wait_until(lambda: conductor.life.conductor.leads and not worker.leads, what="the lead has changed")
    await stand.debug("a", "b")
    await stand.ended("a", "b")
    assert (conductor.tally.done, two.watcher.tally.failed) == (0, 0)
    await conductor.finish()
    assert not await stand.member(conductor.session)
