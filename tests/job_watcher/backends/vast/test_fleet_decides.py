"""What a fleet looks at before it rents, and what becomes of a rent under way when its watcher stops."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from job_watcher.backends.vast import unmade
from lib.redisqueue import instances
from lib.renting.shopping import Shopping
from tests.job_watcher.backends.vast.crews import speech

if TYPE_CHECKING:
    import pytest

    from tests.job_watcher.backends.vast.crews import Crew


async def test_what_is_made_already_is_no_reason_to_rent(crew: Crew, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is looked at first, for so long and no longer; what came while it was counted is looked at before the rent."""
    fleet = await crew.fleet()
    said: list[int | None] = [None]
    asked = 0

    async def look(_: float) -> int | None:
        nonlocal asked
        asked += 1
        return said[0]

    fleet.look_by(look)
    await crew.stand.submit(speech("one"))
    for said[0] in (None, 1, 1, None):
        before = asked
        fleet._news.set()
        await fleet.run_once()
        assert asked == before + 2
        assert fleet._news.is_set()
        assert not fleet._kept
    monkeypatch.setattr(unmade, "LONGEST_SECONDS", 0.0)
    await fleet.run_once()
    assert len(fleet._kept) == 1


async def test_a_watcher_that_stops_while_it_searches_rents_nothing(
    crew: Crew, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a search brings after SIGTERM is left, and what was written by then is ended."""
    fleet = await crew.fleet()
    await crew.stand.submit(speech("one"))
    market = fleet.markets["vast"]
    searched, asked, go_on = market.search, asyncio.Event(), asyncio.Event()

    async def slow(wants: Any) -> Any:
        asked.set()
        await go_on.wait()
        return await searched(wants)

    monkeypatch.setattr(market, "search", slow)
    round_ = asyncio.create_task(fleet.run_once())
    await asked.wait()
    await fleet.flush()
    go_on.set()
    await round_
    assert crew.fake.living == []
    assert (await instances.rows(crew.stand.queue)).instances == ()


async def test_what_is_written_as_an_intent_while_it_stops_is_ended(
    crew: Crew, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stop waits for the row, whose machine is then told to end like any other."""
    fleet = await crew.fleet()
    await crew.stand.submit(speech("one"))
    intend, asked, go_on = instances.intend, asyncio.Event(), asyncio.Event()

    async def slow(*given: Any, **more: Any) -> Any:
        asked.set()
        await go_on.wait()
        return await intend(*given, **more)

    monkeypatch.setattr(instances, "intend", slow)
    round_ = asyncio.create_task(fleet.run_once())
    await asked.wait()
    stopping = asyncio.create_task(fleet.flush())
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.gather(round_, stopping)
    assert crew.fake.living == []
    assert (await instances.rows(crew.stand.queue)).instances == ()


async def test_offers_are_ranked_for_what_waits(crew: Crew, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not for one job, of which the start is nearly all that is paid for."""
    fleet = await crew.fleet()
    asked: list[int] = []

    async def choose(_: Shopping, jobs: int, __: Any) -> None:
        asked.append(jobs)

    monkeypatch.setattr(Shopping, "choose", choose)
    await crew.stand.submit(*(speech(f"j{i}") for i in range(7)))
    await fleet.run_once()
    assert asked == [7]
    assert not fleet.hopes
    assert "no machine on the market" in (fleet.lacks() or "")


async def test_a_queue_that_lost_its_data_is_told_the_name_of_its_machines(crew: Crew) -> None:
    """Another name would leave what is out there to nobody."""
    fleet = await crew.fleet()
    await fleet.run_once()
    assert fleet.books is not None
    name = fleet.books.namespace
    await crew.stand.queue.client.delete(crew.stand.queue.keys.of("namespace"))
    fleet.begin(await crew.session("again"), lambda: None)  # type: ignore[arg-type]  # as above
    await fleet.run_once()
    assert fleet.books.namespace == name


async def test_a_fleet_that_has_ended_lets_others_run(crew: Crew) -> None:
    """News that nobody answers any more do not keep the loop busy."""
    fleet = await crew.fleet()
    await fleet.flush()
    fleet._news.set()
    rounds = [asyncio.create_task(fleet.run_once()) for _ in range(2)]
    await asyncio.wait_for(asyncio.gather(*rounds), 10)
    assert not fleet._news.is_set()
