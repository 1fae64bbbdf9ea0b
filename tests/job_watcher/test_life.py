"""One life of a watcher: how it begins, what ends it, and in which order it stops."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from lib.errors import NameTakenError, SessionLostError
from lib.stores.artifacts import LocalArtifacts
from tests.job_watcher.watching import ANY, Gate
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lib.stores.artifacts import StoredOutput
    from tests.job_watcher.watching import Stand


async def test_a_submitted_job_runs_and_its_record_names_this_life(stand: Stand) -> None:
    """The whole way: intake, conductor, lane, body, record."""
    watcher = await stand.watcher().start()
    await stand.debug("a")
    (record,) = await stand.ended("a")
    assert record["status"] == "done"
    assert record["run_id"] == watcher.life.session.run_id
    # The record is there before the watcher has heard that it is.
    await wait_until(lambda: watcher.tally.done == 1)


async def test_stopping_finishes_what_runs_and_starts_nothing_new(stand: Stand) -> None:
    """SIGTERM: the running body ends and is recorded; what waits is left for others; the session is closed."""
    gate = Gate()
    watcher = await stand.watcher(execution=gate).start()
    await stand.debug("a", "b")
    await wait_until(lambda: gate.running)
    watcher.stop.set()
    await wait_until(lambda: watcher.life.session.offer.slots == {})
    gate.open.set()
    await watcher.ended()
    assert gate.ids() == ["a"]
    assert await stand.record("a")
    assert await stand.record("b") is None
    assert not await stand.member(watcher.session)


async def test_hurrying_hands_back_without_an_attempt_or_a_death(stand: Stand) -> None:
    """Second SIGTERM (row 24): the body is stopped, its job waits in intake again as if it had never run."""
    gate = Gate()
    watcher = await stand.watcher(execution=gate).start()
    await stand.debug("a")
    await stand.leased("a")
    await wait_until(lambda: gate.running)
    watcher.stop.set()
    await wait_until(lambda: watcher.life.session.offer.slots == {})
    watcher.hurry.set()
    await watcher.ended()
    row = await stand.row("a")
    assert row is not None
    assert (row.state, row.stream, row.attempt, row.deaths, row.crashes) == ("Q", "stream:high:any", 0, 0, 0)
    assert gate.stopped == ["a"]


async def test_what_was_delivered_and_not_started_is_handed_back(stand: Stand) -> None:
    """An entry in this session's pending list without a body goes back as well, or it would wait L for a sweep."""
    gate = Gate()
    watcher = await stand.watcher(execution=gate).start()
    await stand.debug("a", "b")
    await wait_until(lambda: gate.running)
    await wait_until(lambda: stand.length(ANY), what="b in the lane")

    async def delivered() -> bool:
        key = stand.queue.keys.stream(ANY)
        return bool(await stand.queue.client.xreadgroup("watchers", watcher.session, {key: ">"}, count=1))

    await wait_until(delivered)
    await watcher.finish(hurry=True)
    assert await stand.length(ANY) == 0
    assert {(await stand.row(each)).deaths for each in "ab"} == {0}  # type: ignore[union-attr]  # both are active


async def test_a_lost_session_throws_away_and_the_job_runs_again_once_recorded(stand: Stand) -> None:
    """Promise 3: a watcher whose session was ended stops its bodies; the next life runs the job under a new fence."""
    gate = Gate()
    watcher = await stand.watcher(execution=gate).start()
    await stand.debug("a")
    await wait_until(lambda: gate.running)
    first = watcher.session
    await stand.evict(first)
    with pytest.raises(SessionLostError):
        await watcher.ended()
    assert gate.stopped == ["a"]
    watcher.new_life()
    await watcher.start()
    assert watcher.session != first
    await wait_until(lambda: gate.running, what="the second run")
    gate.open.set()
    (record,) = await stand.ended("a")
    assert record["fence"] == int(gate.begun[1].fence)
    assert len(gate.begun) == 2
    assert await stand.told("done") == ["a"]


async def test_a_result_of_a_lost_session_is_never_recorded(stand: Stand) -> None:
    """A body that ends after its session was ended commits nothing: the job is somebody else's."""
    gate = Gate()
    watcher = await stand.watcher(execution=gate).start()
    await stand.debug("a")
    await wait_until(lambda: gate.running)
    await stand.evict(watcher.session)
    gate.let("a")
    with pytest.raises(SessionLostError):
        await watcher.ended()
    assert await stand.record("a") is None
    row = await stand.row("a")
    assert row is not None


async def test_a_restart_ends_its_own_former_session_at_once(stand: Stand) -> None:
    """Promise 6: what a killed watcher held runs again as soon as the same watcher starts, not after L."""
    gate = Gate()
    first = await stand.watcher("desk", execution=gate, WATCHER_SESSION_TTL="600").start()
    await stand.debug("a")
    await wait_until(lambda: gate.running)
    await first.kill()
    assert await stand.member(first.session)
    second = await stand.watcher("desk", execution=gate, WATCHER_SESSION_TTL="600").start()
    assert not await stand.member(first.session)
    await wait_until(lambda: len(gate.begun) == 2)
    assert gate.begun[1].deaths == 1
    gate.open.set()
    await stand.ended("a")
    assert second.tally.done == 1


async def test_a_watcher_killed_between_its_name_file_and_its_session_can_start_again(stand: Stand) -> None:
    """Whatever of the opening was done, the same name on the same host is never locked out by itself."""
    first = stand.watcher("desk", WATCHER_SESSION_TTL="600")
    await first.life.open()
    await first.kill()
    half = stand.watcher("desk", WATCHER_SESSION_TTL="600")
    remembered: list[str] = []
    half.name.remember = remembered.append  # type: ignore[method-assign,assignment]  # dies before its file is written
    await half.life.open()
    assert remembered == [half.session]
    # The file is written before the server knows the session: there is no moment with only the server's half.
    await half.kill()


async def test_the_session_is_written_down_before_it_is_opened(stand: Stand) -> None:
    """A watcher that dies right after its session was opened must find that session in its file."""
    watcher = stand.watcher("desk")
    seen: list[str] = []
    opened = watcher.life.session.open

    async def look(previous: str) -> None:
        seen.append((watcher.settings.jobs_state_dir / "watchers" / "desk.session").read_text())
        await opened(previous)

    watcher.life.session.open = look  # type: ignore[method-assign]  # looks at the file in between
    await watcher.life.open()
    assert seen == [watcher.session]


async def test_one_name_on_two_hosts_is_refused_and_says_where_the_first_is(stand: Stand) -> None:
    """Row 7c: two state directories are two hosts; the second is told the session of the first."""
    first = await stand.watcher("desk").start()
    second = stand.watcher("desk", state="elsewhere")
    with pytest.raises(NameTakenError, match=first.session):
        await second.life.open()
    await stand.debug("a")
    await stand.ended("a")


async def test_two_watchers_share_the_work_and_never_a_job(stand: Stand) -> None:
    """Both run; every job runs exactly once; neither sweep takes what the other has."""
    gates = Gate(), Gate()
    for name, gate in zip(("one", "two"), gates, strict=True):
        await stand.watcher(name, execution=gate).start()
    ids = [f"job-{i}" for i in range(4)]
    await stand.debug(*ids)
    await wait_until(lambda: all(gate.running for gate in gates), what="a body on each")
    swept = await stand.queue.client.hget(stand.queue.keys.of("sweep"), "at")

    async def swept_again() -> bool:
        now = await stand.queue.client.hget(stand.queue.keys.of("sweep"), "at")
        return bool(now and swept and int(now) - int(swept) > 1000)

    await wait_until(swept_again, what="sweeps while both run")
    assert [len(gate.begun) for gate in gates] == [1, 1]
    for gate in gates:
        gate.open.set()
    records = await stand.ended(*ids)
    assert sorted(gates[0].ids() + gates[1].ids()) == ids
    assert {record["attempt"] for record in records} == {1}


async def test_a_stopping_leader_goes_on_leading_while_it_finishes(stand: Stand) -> None:
    """A long last job of the leader must not stall the others: they get work until it has ended."""
    long, short = Gate(), Gate()
    short.open.set()
    leader = await stand.watcher("leader", execution=long).start()
    await stand.debug("long")
    await wait_until(lambda: long.running)
    await wait_until(lambda: leader.life.conductor.leads)
    await stand.watcher("other", execution=short).start()
    leader.stop.set()
    await wait_until(lambda: leader.life.session.offer.slots == {})
    await stand.debug("b", "c", "d")
    await stand.ended("b", "c", "d")
    assert long.running
    long.open.set()
    await leader.ended()


async def test_stopping_publishes_what_the_last_commit_left(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """The outputs of a job that ends during the stop have their published name when the watcher is gone."""
    gate = Gate(real=True)
    watcher = await stand.watcher(execution=gate).start()
    job = {"request_id": "a", "output_name": "out/a", "task": "write_output_inline"}
    assert await stand.submit({**job, "payload": {"files": {"best.wav": "x"}}}) == ["queued"]
    await wait_until(lambda: gate.running)
    await wait_until(watcher.life.publisher.idle.is_set)
    publish = LocalArtifacts.publish

    async def when_the_commit_is_long_over(
        store: LocalArtifacts, name: str, stored: Sequence[StoredOutput], *, order: tuple[int, ...]
    ) -> bool:
        await wait_until(watcher.life.outcomes.idle.is_set)
        for _ in range(50):
            await asyncio.sleep(0)
        return await publish(store, name, stored, order=order)

    monkeypatch.setattr(LocalArtifacts, "publish", when_the_commit_is_long_over)
    watcher.stop.set()
    await wait_until(lambda: watcher.life.session.offer.slots == {})
    gate.open.set()
    await watcher.ended()
    assert await stand.record("a")
    assert await stand.outbox() == 0
    assert (stand.directory / "output" / "out" / "a" / "best.wav").read_text() == "x"
