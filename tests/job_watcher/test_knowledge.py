"""What the leader knows of the price of things: read now and then, never in the way of a decision."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from job_watcher.conductor import ConductorSetup
from job_watcher.knowledge import CLOSINGS_SECONDS, REFRESH_SECONDS, Knowledge, runnable
from lib.jobqueue.moves import LiveWatcher, RateLimits
from lib.pacific import day_around
from lib.redisqueue import measures, quota
from lib.redisqueue.measures import Sample
from lib.redisqueue.quota import Pool
from lib.routing.view import Limits
from tests.job_watcher.gates import Gate
from tests.support.hand_clock import HandClock
from tests.support.running import settings_in
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.job_watcher.watching import Stand


def price(_: str, tokens_in: float, tokens_out: float) -> float:
    """A dollar for a thousand tokens."""
    return (tokens_in + tokens_out) / 1000


async def measure(stand: Stand, seconds: float, *, backend: str = "metal", micro: int = 0) -> None:
    """A job of one unit took so long."""
    await measures.add(stand.queue, [Sample("annotate", backend, 1.0, seconds, micro)])


async def test_what_was_measured_becomes_estimates_by_class(stand: Stand) -> None:
    """Seconds and millionths of a dollar of an average job."""
    await measure(stand, 4.0)
    await measure(stand, 1.0, backend="cloud", micro=2500)
    knowledge = Knowledge(stand.queue, HandClock(), price)
    await knowledge.refresh()
    cloud, metal = knowledge.by_class["cloud", "text_model"], knowledge.by_class["metal", "text_model"]
    assert 3.5 < metal.p50 < 8
    assert metal.price == 0
    assert 0.9 < cloud.p50 < 2
    assert 2400 < cloud.price < 5000
    assert cloud.price <= cloud.worst_price


async def test_where_nothing_was_measured_the_cloud_is_never_taken_for_free(stand: Stand) -> None:
    """A budget must hold from the first job on."""
    knowledge = Knowledge(stand.queue, HandClock(), price)
    await knowledge.refresh()
    for capability in ("text_model", "speaker"):
        guessed = knowledge.by_class["cloud", capability]
        assert guessed.price > 0
        assert guessed.worst_price > guessed.price
    assert ("cloud", "any") not in knowledge.by_class
    await measure(stand, 1.0, backend="cloud", micro=2500)
    other = Knowledge(stand.queue, HandClock(), price)
    await other.refresh()
    assert other.by_class["cloud", "speaker"] == knowledge.by_class["cloud", "speaker"]


async def test_it_is_read_again_after_a_while_and_not_before(stand: Stand) -> None:
    """Asked before each decision, most answers cost nothing."""
    clock = HandClock()
    knowledge = Knowledge(stand.queue, clock, price)
    await knowledge.refresh()
    assert ("metal", "text_model") not in knowledge.by_class
    await measure(stand, 4.0)
    await clock.move(REFRESH_SECONDS - 0.1)
    await knowledge.refresh()
    assert ("metal", "text_model") not in knowledge.by_class
    await clock.move(0.1)
    await knowledge.refresh()
    assert ("metal", "text_model") in knowledge.by_class


async def test_an_urgent_job_knows_what_it_takes_everywhere(stand: Stand) -> None:
    """Also before anything was read or measured, and by its own size."""
    await stand.sleep("long", 50.0, deadline="2030-01-01T00:00:10Z")
    await stand.sleep("short", 5.0, deadline="2030-01-01T00:00:05Z", priority="low")
    knowledge = Knowledge(stand.queue, HandClock(), price)
    short, long = await knowledge.urgent()
    assert (short.request_id, short.intake, long.deadline_ms - short.deadline_ms) == ("short", "stream:low:any", 5000)
    assert set(short.estimates) == {"metal", "vast", "cloud"}
    assert 5 <= short.estimates["metal"].p50 < 10
    assert 50 <= long.estimates["cloud"].p50 < 60
    assert long.estimates["metal"].price == 0


async def test_what_nobody_alive_could_run_presses_nobody(stand: Stand) -> None:
    """By pin and by need; what a stopping watcher could have run is nobody's either."""
    here = LiveWatcher("w", "w:1", frozenset({"any"}), {"metal": 1}, 0)
    stopping = replace(here, slots={"metal": 0})
    wanted = {
        name: runnable(name, [here]) for name in ("stream:low:any", "stream:low:any:vast", "stream:low:any:cloud")
    }
    assert wanted == {"stream:low:any": True, "stream:low:any:vast": False, "stream:low:any:cloud": False}
    assert not runnable("stream:high:speech", [here])
    assert not runnable("stream:low:any", [stopping])
    assert not runnable("stream:low:any", [])
    await stand.sleep("mine", deadline="2030-01-01T00:00:10Z")
    await stand.sleep("nobodys", deadline="2030-01-01T00:00:05Z", backend="vast")
    knowledge = Knowledge(stand.queue, HandClock(), price)
    assert [job.request_id for job in await knowledge.urgent(lambda name: runnable(name, [here]))] == ["mine"]


async def test_a_pool_of_a_key_that_was_replaced_hides_no_closing(stand: Stand) -> None:
    """Pools stay for ever: one that is open and was last called days ago is nobody's any more."""
    stand.damaged("calls of days ago are written by hand")
    models, fields = {"text_model": "flash"}, stand.queue.keys.of("quota")
    today = day_around(time.time_ns() // 1_000_000)[0]
    days_ago = day_around(day_around(today - 1)[0] - 1)[0]
    await stand.queue.client.hset(fields, "day old:flash", f"{days_ago}|9|9")
    await quota.close(stand.queue, Pool("new", "flash"), 90_000, "429")
    clock = HandClock()
    knowledge = Knowledge(stand.queue, clock, price, models)
    await knowledge.refresh()
    assert 80_000 < knowledge.closed()["text_model"] <= 90_000
    for begin in (today, day_around(today - 1)[0]):
        await stand.queue.client.hset(fields, "day old:flash", f"{begin}|9|9")
        await clock.move(CLOSINGS_SECONDS)
        await knowledge.refresh()
        assert knowledge.closed() == {}, "one that was called today or yesterday may be called again"
    await quota.close(stand.queue, Pool("old", "flash"), 30_000, "429")
    await clock.move(CLOSINGS_SECONDS)
    await knowledge.refresh()
    assert 20_000 < knowledge.closed()["text_model"] <= 30_000, "the one that opens first"


async def test_a_decision_under_the_policy_deadline_uses_it(stand: Stand) -> None:
    """The whole way: two wait, the later one is first in its intake, and the one that presses runs first."""
    gate = Gate()
    gate.open.set()
    await stand.sleep("patient", 0.0, deadline="2035-01-01T00:00:00Z")
    await stand.sleep("pressing", 0.0, deadline="2030-01-01T00:00:00Z")
    watcher = stand.watcher(execution=gate, METAL_QUEUE_MAX="1", CONDUCTOR_POLICY="deadline")
    await watcher.start()
    await stand.ended("patient", "pressing")
    assert gate.ids() == ["pressing", "patient"]
    await wait_until(lambda: watcher.tally.done == 2)


def test_the_setup_is_what_the_settings_say(tmp_path: Path) -> None:
    """Dollars become whole millionths; the window of the plan is the one that the queue keeps."""
    settings = settings_in(
        tmp_path,
        BUDGET_PER_DAY_USD="1.25",
        CLOUD_TOKENS_PER_MIN="0.5",
        METAL_QUEUE_MAX="3",
        CLOUD_QUEUE_MAX="4",
        CONDUCTOR_POLICY="cheapest",
    )
    setup = ConductorSetup.of(settings)
    rate = RateLimits.per_minute(0.5, 1_250_000)
    assert (setup.rate, setup.policy, setup.dedicated) == (rate, "cheapest", False)
    assert setup.limits == Limits(3, 4, 1_250_000, rate.jobs, rate.window_ms)
    assert ConductorSetup.of(settings_in(tmp_path)).rate.budget is None


def test_it_conducts_the_backlogs_it_was_told_or_all(tmp_path: Path) -> None:
    """By name, whatever the priority, the class or the pin."""
    settings = settings_in(tmp_path)
    everything, some = ConductorSetup.of(settings), ConductorSetup.of(settings, backlogs=["stress", "default"])
    intakes = ["stream", "stream:low:any:cloud", "backlog:stress:high:speech", "backlog:other:normal:any"]
    assert [everything.conducts(each) for each in intakes] == [True] * 4
    assert [some.conducts(each) for each in intakes] == [True, True, True, False]


async def test_jobs_of_another_backlog_stay_where_they_are(stand: Stand) -> None:
    """Neither moved nor held against it; a conductor of all takes them."""
    only = stand.watcher(conducting=lambda settings: ConductorSetup.of(settings, backlogs=["mine"]))
    await only.start()
    await stand.debug("theirs", backlog="theirs")
    await stand.debug("mine", backlog="mine")
    await stand.ended("mine")
    row = await stand.row("theirs")
    assert row is not None
    assert row.stream == "backlog:theirs:normal:any"
    await only.finish()
    await stand.watcher("all").start()
    await stand.ended("theirs")


async def test_an_unchanged_job_is_known_until_something_new_was_measured(stand: Stand) -> None:
    """Between two readings the same object; after one, estimates by what was measured."""
    await stand.sleep("a", 50.0, deadline="2999-01-01T00:00:00Z")
    clock = HandClock()
    knowledge = Knowledge(stand.queue, clock, price)
    await knowledge.refresh()
    (first,) = await knowledge.urgent()
    (again,) = await knowledge.urgent()
    assert again is first
    await measures.add(stand.queue, [Sample("sleep", "metal", 50.0, 500.0)])
    await clock.move(REFRESH_SECONDS)
    await knowledge.refresh()
    (now,) = await knowledge.urgent()
    assert now.request_id == first.request_id
    assert now.estimates["metal"] != first.estimates["metal"]
