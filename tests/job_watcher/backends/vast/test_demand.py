"""What the decision to rent is made from: what waits that a machine could do, how long, and who else works on it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from job_watcher.backends.vast.demand import PARTS_MOST, Lookout
from lib import wiring
from lib.clock import SystemClock
from lib.redisqueue import measures
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from tests.job_watcher.watching import Stand


@pytest.fixture
def lookout(stand: Stand) -> Lookout:
    """One who looks, without prices of his own."""
    return Lookout(stand.queue, SystemClock(), stand.settings(), wiring.cloud_price(stand.settings()))


def speech(request_id: str, **more: str) -> dict[str, str]:
    """A job of speech."""
    return {"request_id": request_id, "task": "speak", "text": "A word.", "voice": "newsroom", **more}


async def test_nothing_waits(lookout: Lookout) -> None:
    """And for how long that has been so."""
    first = await lookout.look()
    assert (first.waiting, first.held, first.oldest) == ((), 0, 0.0)
    assert (await lookout.look()).quiet > 0.0


async def test_only_what_a_machine_could_do_counts(stand: Stand, lookout: Lookout) -> None:
    """Speech that is pinned nowhere or to rented machines; neither another kind nor what is pinned elsewhere."""
    await stand.submit(speech("free"), speech("free-2"), speech("here", backend="vast"), speech("not", backend="metal"))
    await stand.debug("other")
    demand = await lookout.look()
    assert sorted(each.jobs for each in demand.waiting) == [1, 2]
    assert all((each.metal, each.cloud) == (None, None) for each in demand.waiting)
    assert 0 <= demand.oldest < 30
    assert demand.quiet == 0.0
    assert abs(demand.now - SystemClock().now().timestamp()) < 30


async def test_what_the_free_machine_would_take_is_known_while_one_lives(stand: Stand, lookout: Lookout) -> None:
    """Not for what is pinned to rented ones; and it is what was measured there."""
    watcher = stand.watcher("w", METAL_CONCURRENCY="2")
    await watcher.start()
    await measures.add(stand.queue, [measures.Sample("speak", "metal", 100.0, 50.0)] * 40)
    lookout.settings = watcher.settings
    await stand.submit(*(speech(f"pinned-{i}", backend="vast") for i in range(3)))
    demand = await lookout.look()
    assert [(each.jobs, each.metal) for each in demand.waiting] == [(3, None)]
    assert (demand.metal.slots, demand.cloud.slots) == (2, 0)
    await watcher.finish()


async def test_speakers_are_spoken_there_too(stand: Stand, lookout: Lookout) -> None:
    """The worker on a rented machine is the same as the one here."""
    job = {"request_id": "s", "task": "speak", "text": "A word.", "speaker": "Vivian"}
    assert await stand.submit(job) == ["queued"]
    assert [each.jobs for each in (await lookout.look()).waiting] == [1]


async def test_a_rented_machine_is_taken_to_be_as_fast_as_measured(stand: Stand, lookout: Lookout) -> None:
    """Nothing measured: the estimate that is built in."""
    await stand.submit(speech("one"))
    (guessed,) = (await lookout.look()).waiting
    await measures.add(stand.queue, [measures.Sample("speak", "vast", 100.0, 80.0)] * 40)
    lookout._read_at = float("-inf")
    (measured,) = (await lookout.look()).waiting
    assert measured.rented > guessed.rented
    assert await wait_until(lambda: measured.rented > 10)


async def test_deadlines_are_known_the_nearest_first_and_in_few_steps(stand: Stand, lookout: Lookout) -> None:
    """A machine may be rented for a deadline alone; of many the nearest of each part counts, no job counts twice."""
    now = SystemClock().now()
    due = {minutes: (now + timedelta(minutes=minutes)).isoformat() for minutes in range(1, 21)}
    rows = [speech(f"due-{minutes}", deadline=moment) for minutes, moment in due.items()]
    await stand.submit(*rows, speech("whenever"), speech("whenever-2"))
    demand = await lookout.look()
    dated = [each for each in demand.waiting if each.deadline is not None]
    assert sum(each.jobs for each in demand.waiting) == 22
    assert [each.jobs for each in demand.waiting if each.deadline is None] == [2]
    assert len(dated) <= PARTS_MOST
    nearest = [each.deadline or 0.0 for each in dated]
    assert nearest == sorted(nearest)
    assert 0 < nearest[0] <= 60
    await stand.submit(speech("late", deadline="2001-01-01T00:00:00Z"))
    assert min(each.deadline for each in (await lookout.look()).waiting if each.deadline is not None) == 0.0


async def test_a_machine_that_was_never_used_is_taken_to_be_as_fast_as_the_one_at_hand(
    stand: Stand, lookout: Lookout
) -> None:
    """What was measured on metal, not what is built in."""
    await measures.add(stand.queue, [measures.Sample("speak", "metal", 100.0, 80.0)] * 40)
    await stand.submit(speech("one"))
    (waiting,) = (await lookout.look()).waiting
    assert waiting.rented == pytest.approx(lookout._taking("metal", "speech").mean)
    assert waiting.rented > 10
