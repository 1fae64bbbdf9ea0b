"""Each side comes first as often as the other, and a drain's rate counts what came while the clock ran."""

from __future__ import annotations

import asyncio

import pytest

from bench.draining import rate_of_stamps
from bench.stand import StandError, jobs, standing
from bench.submitting import measure, measure_move
from bench.turns import by_turns
from lib.redisqueue import producing
from tests.bench.sizes import FEW


@pytest.mark.parametrize(("number", "order"), [(0, ["ours", "beside"]), (1, ["beside", "ours"])])
async def test_who_comes_first_changes_and_what_is_told_does_not(number: int, order: list[str]) -> None:
    """Ours is always the first of the two figures."""
    ran: list[str] = []

    async def side(name: str) -> str:
        ran.append(name)
        return name

    assert await by_turns(number, lambda: side("ours"), lambda: side("beside")) == ("ours", "beside")
    assert ran == order


async def test_a_cleared_server_is_empty_and_works() -> None:
    """Neither side is measured beside what the other left; the scripts stay, so none is sent again."""
    async with standing() as stand:
        await producing.submit(stand.queue, jobs(3, "t"))
        await stand.clear()
        assert await asyncio.to_thread(stand.client.dbsize) == 0
        sent = stand.info("commandstats").get("cmdstat_eval", {}).get("calls", 0)
        await producing.submit(stand.queue, jobs(3, "t"))
        assert int(await stand.queue.client.hlen(stand.queue.keys.of("index"))) == 3
        assert stand.info("commandstats").get("cmdstat_eval", {}).get("calls", 0) == sent


async def test_submit_and_move_have_a_pair_for_each_run() -> None:
    """With counts that take no time; every rate is one."""
    steps: list[None] = []
    found = await measure(FEW, lambda: steps.append(None))
    found.add(await measure_move(FEW, lambda: steps.append(None)))
    assert len(steps) == 2 * FEW.repeats
    assert [each.part for each in found.figures] == ["submit", "submit", "move"]
    for each in found.figures:
        assert len(each.ours) == len(each.beside) == FEW.repeats
        assert all(value > 0 for value in (*each.ours, *each.beside))


def entries(*stamps: int) -> list[tuple[bytes, object]]:
    """A history of these milliseconds."""
    return [(b"%d-%d" % (stamp, number), {}) for number, stamp in enumerate(stamps)]


def test_what_was_there_when_the_clock_began_is_not_counted() -> None:
    """A first batch took its time before its stamp: a hundred in the next second are a hundred a second."""
    assert rate_of_stamps(entries(*[1_000] * 400, *[1_500] * 50, *[2_000] * 50)) == 100
    assert rate_of_stamps(entries(1_500, 2_000), since_ms=1_000) == 2
    assert rate_of_stamps(entries(1_000, 1_000, 2_000), since_ms=1_000) == 1


def test_a_single_stamp_is_no_rate() -> None:
    """It is said rather than divided by."""
    with pytest.raises(StandError, match="3 records came within a millisecond"):
        rate_of_stamps(entries(5, 5, 5))
