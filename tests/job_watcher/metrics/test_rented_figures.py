"""What a scrape says of rented machines: those of the queue, the bills of the last day, and this watcher's own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from job_watcher.backends.vast.condition import RentingHere
from job_watcher.metrics.queue_view import BILLS_SECONDS, QueueView
from job_watcher.metrics.rented_figures import ended, here, machines
from lib.clock import iso_from_ms
from lib.market.instance import Instance
from lib.redisqueue import instances, sessions
from lib.redisqueue.instances import Bill, Intended
from tests.job_watcher.metrics.test_exposure import exposed, scraped
from tests.support.hand_clock import HandClock
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from tests.job_watcher.watching import Stand

NOW = 1_800_000_000
BEAT = b'"capabilities":[],"slots":{},"running":0,"version":"0"}'


def entry(**fields: Any) -> dict[str, Any]:
    """A machine as `status` has it: it has worked for a minute and may for an hour."""
    moments = {"since": at(-10), "created_at": at(-60), "expires_at": at(3600)}
    money = {"usd_per_hour": 0.5, "usd": 0.01, "jobs": 3}
    return {"intent": "a", "state": "draining", "owner_alive": True, "damaged": False, **moments, **money, **fields}


def at(seconds: float) -> str:
    """A moment so long after now."""
    return iso_from_ms(round((NOW + seconds) * 1000))


def seen(*found: dict[str, Any]) -> dict[str, dict[tuple[str, ...], float]]:
    """The values of all families by their labels."""
    return {name: dict(rows) for name, rows in machines({"timestamp": at(0), "instances": list(found)}).items()}


def bill(**fields: Any) -> Bill:
    """Of a machine that worked."""
    spent = {"intended": 1.0, "loading": 60.0, "canary": 9.0, "draining": 300.0, "idle": 75.0, "destroying": 5.0}
    known: dict[str, Any] = {"gpu": "RTX", "dph": 500_000, "micro": 62_500, "jobs": 30, "why": "told", "failed": False}
    known |= {"created_at": NOW - 500, "ended_at": NOW - 50, "spent": spent}
    return Bill(intent="a", market="vast", market_id="7", machine_id="70", **(known | fields))


def test_without_machines_all_is_zero() -> None:
    """A line needs a point to rise from, and an alert something to look at."""
    found = seen()
    assert found["rented_machines"][("draining",)] == found["rented_machines"][("damaged",)] == 0
    assert {value for rows in found.values() for value in rows.values()} == {0}
    assert {value for rows in ended([], NOW).values() for _, value in rows} == {0}


def test_machines_are_counted_by_state_and_their_money_is_added_up() -> None:
    """One that nobody has asked a market for costs nothing yet; of a damaged row only that it is there is known."""
    wish = entry(state="intended", created_at=None, usd=0.0, jobs=0)
    unknown: dict[str, Any] = dict.fromkeys(entry()) | {"intent": "x", "owner_alive": False, "damaged": True}
    found = seen(entry(), entry(created_at=at(-90)), wish, unknown)
    states = found["rented_machines"]
    assert (states["draining",], states["intended",], states["damaged",], states["idle",]) == (2, 1, 1, 0)
    assert found["rented_usd_per_hour"] == {(): 1.0}
    assert found["rented_usd"] == {(): 0.02}
    assert found["rented_jobs"] == {(): 6}
    assert found["rented_oldest_seconds"] == {(): 90.0}
    assert found["rented_ownerless"] == {(): 0}


def test_what_should_be_over_is_timed() -> None:
    """Since its end is asked for, and since its time is over: that is what somebody is woken for."""
    found = seen(entry(state="destroying", since=at(-700)), entry(expires_at=at(-20)), entry(owner_alive=False))
    assert found["rented_ending_seconds"] == {(): 700.0}
    assert found["rented_overtime_seconds"] == {(): 20.0}
    assert found["rented_ownerless"] == {(): 1}


def test_bills_of_a_day_are_added_up() -> None:
    """Where the time of the machines went, and what they came to; older bills are no part of it."""
    found = {
        name: dict(rows) for name, rows in ended([bill(), bill(failed=True), bill(ended_at=NOW - 86_401)], NOW).items()
    }
    assert found["rented_ended_machines"] == {("well",): 1, ("failed",): 1}
    assert found["rented_ended_usd"] == {(): 0.125}
    assert found["rented_ended_jobs"] == {(): 60}
    assert found["rented_ended_seconds"] == {
        ("starting",): 140.0,
        ("working",): 600.0,
        ("idle",): 150.0,
        ("ending",): 10.0,
    }


def test_a_watcher_that_rents_nothing_says_nothing_of_it() -> None:
    """And one that does says what only it knows."""
    assert here(None, 600.0) == {}
    told = here(RentingHere(blocked=True, silence=12.5, unlisted=1, strays_ended=2, strays_left=3), 600.0)
    assert {name: dict(rows)[()] for name, rows in told.items()} == {
        "renting_blocked": 1.0,
        "dead_man_silence_seconds": 12.5,
        "dead_man_seconds": 600.0,
        "markets_unlisted": 1,
        "stray_machines_ended": 2,
        "stray_machines_left": 3,
    }


async def rented(stand: Stand, intent: str) -> Instance:
    """A machine of a session that stands, at half a dollar an hour."""
    session = "renter:1"
    await sessions.open_session(stand.queue, session, name="renter", previous="", life_ms=60_000, heartbeat=BEAT)
    rows = await instances.rows(stand.queue)
    wish = Instance(intent, "", "vast", "intended", rows.now, rows.now + 60, rows.now + 3600, dph=500_000)
    living, money = rows.living, 500_000
    answer = await instances.intend(stand.queue, session, wish, living=living, most=9, reserve=money, cap=9_000_000)
    assert isinstance(answer, Intended)
    working = replace(answer.instance, state="draining", market_id="7", created_at=rows.now - 100, jobs_done=4)
    advanced = await instances.advance(stand.queue, session, working, 20_000)
    assert advanced is not None
    return advanced


async def test_a_machine_and_then_its_bill_are_scraped(stand: Stand) -> None:
    """From a real queue; its money is in the day's ledger, once."""
    clock = HandClock()
    watcher = stand.watcher()
    there = await rented(stand, "aaaa0001aaaa0001")
    async with exposed(watcher, clock=clock) as url:

        async def looked() -> dict[str, float]:
            found = await scraped(url)
            return found if found.get('job_runner_rented_machines{state="draining"}') == 1 else {}

        now = await wait_until(looked)
        assert now["job_runner_rented_usd"] == 0.02 == now['job_runner_spend_settled_usd{backend="vast"}']
        assert now["job_runner_spend_counted_usd"] == 0.5
        assert now["job_runner_rented_ended_jobs"] == 0
        assert now["job_runner_rented_oldest_seconds"] >= 100
        gone = replace(there, state="gone", reason="idle")
        assert await instances.end(stand.queue, "renter:1", gone, 10_000)
        await clock.move(watcher.settings.watcher_poll_interval)

        async def billed() -> dict[str, float]:
            found = await scraped(url)
            return found if found.get("job_runner_rented_ended_jobs") == 4 else {}

        then = await wait_until(billed)
    assert then['job_runner_rented_machines{state="draining"}'] == 0
    assert then["job_runner_rented_ended_usd"] == pytest.approx(0.03)
    assert then["job_runner_spend_counted_usd"] == pytest.approx(0.03)


async def test_bills_are_read_when_a_machine_has_gone_and_now_and_then(stand: Stand) -> None:
    """Not at every look: there may be a thousand."""
    clock = HandClock()
    view = QueueView(stand.queue, clock, stand.settings())

    async def look() -> int:
        # Only the sleep of the hand clock is between the look and the next one.
        await view._read_bills(frozenset(each.intent for each in (await instances.rows(stand.queue)).instances))
        return len(view.bills)

    async def over(machine: Instance) -> None:
        assert await instances.end(stand.queue, "renter:1", replace(machine, state="gone"), 0)

    one = await rented(stand, "aaaa0001aaaa0001")
    assert await look() == 0
    await over(one)
    assert await look() == 1
    await over(await rented(stand, "bbbb0002bbbb0002"))
    assert await look() == 1
    clock.at += BILLS_SECONDS
    assert await look() == 2
