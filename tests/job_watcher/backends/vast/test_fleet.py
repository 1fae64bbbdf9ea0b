"""The fleet on the fake market: when it rents and when not, what it ends, and what becomes of it when things end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from job_watcher.backends.vast import fleet as fleets
from job_watcher.backends.vast.backend import Vast
from job_watcher.backends.vast.condition import RentingHere
from job_watcher.backends.vast.reaper import Reaper
from lib.errors import PausedError, PermanentError, UnreachableError
from lib.market.events import ToldToEnd
from lib.redisqueue import instances, sessions
from lib.renting import ending
from tests.fakes.vast_faults import Rule
from tests.job_watcher.backends.vast.crews import Crew, speech
from tests.support.running import lease_of, spec
from tests.support.wait import wait_until


async def test_what_waits_is_rented_for_once(crew: Crew) -> None:
    """And it says what it waits for meanwhile."""
    fleet = await crew.fleet()
    assert fleet.hopes
    assert fleet.lacks() == "no machine is rented: nothing has waited for one yet"
    await crew.stand.submit(speech("one"))
    await crew.wait_for_rent(fleet)
    for _ in range(3):
        fleet._news.set()
        await fleet.run_once()
    assert len(crew.fake.instances) >= 1
    assert len(crew.fake.asked("create")) == 1
    assert (fleet.lacks() or "").startswith("no rented machine is ready")
    assert fleet.choose() is None


async def test_nothing_is_rented_while_nothing_waits(crew: Crew) -> None:
    """Nor is the market asked."""
    fleet = await crew.fleet()
    for _ in range(2):
        fleet._news.set()
        await fleet.run_once()
    assert crew.fake.requests == []


async def test_without_a_budget_nothing_is_rented_and_a_drain_does_not_wait(crew: Crew) -> None:
    """It says which setting is missing."""
    fleet = await crew.fleet(BUDGET_PER_DAY_USD="")
    await crew.stand.submit(speech("one"))
    await fleet.run_once()
    assert not fleet.hopes
    assert "BUDGET_PER_DAY_USD" in (fleet.lacks() or "")
    assert crew.fake.asked("create") == []


async def test_no_credit_is_said_and_not_tried_again_at_once(crew: Crew) -> None:
    """Row 44."""
    fleet = await crew.fleet()
    crew.fake.script(Rule("no_credit", "create", times=None))
    await crew.stand.submit(speech("one"))

    async def blocked() -> bool:
        await fleet.run_once()
        return not fleet.hopes

    await wait_until(blocked)
    for _ in range(3):
        fleet._news.set()
        await fleet.run_once()
    assert len(crew.fake.asked("create")) == 1
    assert "credit" in (fleet.lacks() or "").lower()


async def test_an_offer_that_is_gone_makes_room_for_the_next(crew: Crew) -> None:
    """Row 36: another offer, at once, and never the same one."""
    fleet = await crew.fleet()
    crew.fake.script(Rule("gone", "create", times=1))
    await crew.stand.submit(speech("one"))
    await crew.wait_for_rent(fleet)
    assert len({each.thing for each in crew.fake.asked("create")}) == 2


async def test_a_market_that_fails_ends_no_round(crew: Crew) -> None:
    """Its trouble is this backend's alone: what it says is told, and it is asked again later."""
    fleet = await crew.fleet()
    crew.fake.script(Rule("500", "search", times=None))
    await crew.stand.submit(speech("one"))
    await fleet.run_once()
    assert "Vast.ai" in (fleet.lacks() or "")
    assert fleet.hopes


@pytest.mark.parametrize("why", ["not fresh", "stopping"])
async def test_who_may_not_pay_rents_nothing(crew: Crew, why: str) -> None:
    """Promise 5: a session that may have ended, and a watcher that stops."""
    fleet = await crew.fleet()
    session = fleet._session
    assert session is not None
    if why == "stopping":
        session.offer.slots = {}
    else:
        session.fresh = False  # type: ignore[misc]  # the test's session
    await crew.stand.submit(speech("one"))
    await fleet.run_once()
    assert crew.fake.asked("create") == []


async def test_two_watchers_with_one_wish_rent_once(crew: Crew) -> None:
    """Show 5: eight rounds, each with another queue of jobs; one machine, always."""
    both = [await crew.fleet(name, VAST_MAX_INSTANCES="3") for name in ("a", "b")]
    for number in range(8):
        await crew.stand.submit(speech(f"job-{number}"))
        before = len(crew.fake.asked("create"))

        async def rented(before: int = before) -> bool:
            for each in both:
                each._news.set()
                each.restraint._not_before = float("-inf")
            await asyncio.gather(*(each.run_once() for each in both))
            return len(crew.fake.asked("create")) > before

        await wait_until(rented)
        await asyncio.gather(*(each.run_once() for each in both))
        assert len(crew.fake.living) == 1
        for each in both:
            for kept in list(each._kept.values()):
                kept.keeper.tell(ToldToEnd("next round"))

        async def over() -> bool:
            return not (await instances.rows(crew.stand.queue)).instances

        await wait_until(over)
    assert len(crew.fake.asked("create")) == 8


async def test_a_stopping_watcher_ends_what_it_has(crew: Crew) -> None:
    """SIGTERM and drain: proven gone within the step, its bill kept."""
    fleet = await crew.fleet()
    await crew.stand.submit(speech("one"))
    await crew.wait_for_rent(fleet)
    await fleet.flush()
    assert crew.fake.living == []
    assert (await instances.rows(crew.stand.queue)).instances == ()
    assert not fleet.hopes


async def test_machines_are_ended_whatever_the_others_wait_for(crew: Crew, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of the last session is asked of a queue that is away: this one is told to end before."""
    fleet = await crew.fleet()
    await crew.stand.submit(speech("one"))
    await crew.wait_for_rent(fleet)

    async def away(*_: Any) -> None:
        raise UnreachableError("away", hint="wait")

    (kept,) = fleet._kept.values()
    assert kept.hands is not None
    monkeypatch.setattr(instances, "resume", away)
    fleet.parked._there["i-parked"] = kept.keeper, kept.hands
    with pytest.raises(UnreachableError):
        await fleet.flush()
    await wait_until(lambda: crew.fake.living == [])
    fleet.parked._there.clear()


async def test_what_is_not_proven_gone_stays_a_row_for_others(crew: Crew, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the next watcher ends it."""
    monkeypatch.setattr(fleets, "FLUSH_SECONDS", 0.3)
    fleet = await crew.fleet("a")
    await crew.stand.submit(speech("one"))
    await crew.wait_for_rent(fleet)
    crew.fake.script(Rule("500", "destroy", times=1))
    await fleet.flush()
    (row,) = (await instances.rows(crew.stand.queue)).instances
    assert row.state == "destroying"
    await sessions.close_session(crew.stand.queue, row.owner, name="a")
    other = await crew.fleet("b", WATCHER_BATCH_MIN="50")

    async def over() -> bool:
        await other.run_once()
        return not (await instances.rows(crew.stand.queue)).instances

    await wait_until(over)
    assert crew.fake.living == []


async def test_a_new_life_ends_what_its_last_one_had(crew: Crew) -> None:
    """A session was lost: its machines are found by their rows."""
    fleet = await crew.fleet("a", WATCHER_BATCH_MIN="1")
    await crew.stand.submit(speech("one"))
    lost = await crew.wait_for_rent(fleet)
    assert fleet._session is not None
    await sessions.close_session(crew.stand.queue, fleet._session.id, name="a")
    again = await crew.session("a")
    fleet.begin(again, lambda: None)  # type: ignore[arg-type]  # what of a session is asked

    async def over() -> bool:
        await fleet.run_once()
        return bool(lost.gone)

    await wait_until(over)


async def test_a_person_may_end_a_machine(crew: Crew) -> None:
    """`instances destroy`: its watcher hears of it by its row."""
    fleet = await crew.fleet()
    await crew.stand.submit(speech("one"))
    lost = await crew.wait_for_rent(fleet)
    (row,) = (await instances.rows(crew.stand.queue)).instances
    assert await instances.ask_end(crew.stand.queue, row.intent)

    async def over() -> bool:
        await fleet.run_once()
        return bool(lost.gone)

    await wait_until(over)
    (bill, *_) = await instances.bills(crew.stand.queue)
    assert bill.why == "told: asked for"


async def test_the_reaper_ends_what_only_the_market_knows(crew: Crew, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 34; and an odd listing is said once, and nothing follows from it."""
    monkeypatch.setattr(ending, "SETTLED_SECONDS", 0)
    fleet = await crew.fleet()
    reaper = Reaper(fleet.markets, fleet.clock, lambda: fleet.books, every=0.0)
    await fleet.run_once()
    assert fleet.books is not None
    crew.fake.place(f"job-runner/{fleet.books.namespace}/cafe0000cafe/17/1000", offer=101)
    crew.fake.script(Rule("partial", "list", times=1))
    await reaper.run_once()
    assert len(crew.fake.living) == 1
    assert (reaper.unlisted, reaper.ended, reaper.left) == (1, 0, {})
    await reaper.run_once()
    assert crew.fake.living == []
    assert (reaper.unlisted, reaper.ended, reaper.left) == (0, 1, {"vast": 0})
    await reaper.flush()


async def test_the_backend_offers_what_the_fleet_has(crew: Crew, tmp_path: Any) -> None:
    """No machine: nothing is taken, no attempt is used; what is no speech can never run there."""
    fleet = await crew.fleet()
    backend = Vast(fleet, Reaper(fleet.markets, fleet.clock, lambda: None), 16)
    assert (backend.name, backend.slots, sorted(backend.capabilities)) == ("vast", 16, ["speaker", "speech"])
    assert set(backend.duties) == {"rented machines", "reaper"}
    await backend.prepare()
    await backend.warm()
    assert await backend.lacks("speech") == fleet.lacks()
    assert backend.renting == RentingHere()
    fleet.restraint.blocked = fleet.restraint.why = "the account has no credit"
    assert backend.renting == RentingHere(blocked=True)
    job = spec("speak", text="A word.", voice="newsroom")
    with pytest.raises(PausedError, match="no machine is rented"):
        await backend.run(job, lease_of(job), tmp_path, lambda _: None)
    other = spec("debug")
    with pytest.raises(PermanentError, match="only speaks"):
        await backend.run(other, lease_of(other), tmp_path, lambda _: None)
