"""What jobs took, as the queue keeps it: figures a unit, by task, backend and size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lib.redisqueue import measures
from lib.redisqueue.measures import HALVE_AT, Measured, Sample

if TYPE_CHECKING:
    from tests.conformance.stage import Stage

KEY = ("speak", "metal", 5)


async def known(stage: Stage) -> Measured:
    """What is known of the one group of these tests."""
    return (await measures.read(stage.queue))[KEY]


async def test_nothing_is_known_at_first(stage: Stage) -> None:
    """And adding nothing adds nothing."""
    await measures.add(stage.queue, [])
    assert await measures.read(stage.queue) == {}


async def test_figures_are_per_unit_of_size(stage: Stage) -> None:
    """Two jobs of 40 characters: seconds and dollars of one character."""
    await measures.add(stage.queue, [Sample("speak", "metal", 40, 4.0, 80), Sample("speak", "metal", 40, 8.0, 160)])
    found = await known(stage)
    assert found.count == 2
    assert [found.mean, found.usd_mean, found.usd_max] == pytest.approx([0.15, 3e-6, 4e-6])
    assert [found.p50, found.p90] == pytest.approx([0.1, 0.2], rel=0.05)


async def test_each_task_backend_and_size_is_a_group_of_its_own(stage: Stage) -> None:
    """A long text says nothing of a short one; a name may have a bar in it."""
    samples = [
        Sample(task, backend, size, 1.0) for task in ("a", "b|c") for backend in ("metal", "cloud") for size in (1, 64)
    ]
    await measures.add(stage.queue, samples)
    await measures.add(stage.queue, samples)
    found = await measures.read(stage.queue)
    assert set(found) == {
        (task, backend, bucket) for task in ("a", "b|c") for backend in ("metal", "cloud") for bucket in (0, 6)
    }
    assert {one.count for one in found.values()} == {2}


async def test_percentiles_are_those_of_the_jobs(stage: Stage) -> None:
    """A hundred jobs from 1 to 100 s: the middle one, and the one that nine in ten beat."""
    await measures.add(stage.queue, [Sample("speak", "metal", 32, 32.0 * second) for second in range(1, 101)])
    found = await known(stage)
    assert found.p50 == pytest.approx(50, rel=0.06)
    assert found.p90 == pytest.approx(90, rel=0.06)


async def test_a_machine_that_has_become_faster_is_believed(stage: Stage) -> None:
    """What is old counts for less each time that enough is known."""
    slow, fast = Sample("speak", "metal", 32, 320.0), Sample("speak", "metal", 32, 32.0)
    await measures.add(stage.queue, [slow] * (HALVE_AT - 1))
    for _ in range(4):
        await measures.add(stage.queue, [fast] * (HALVE_AT // 2))
    found = await known(stage)
    assert found.count < HALVE_AT
    assert found.p50 == pytest.approx(1.0, rel=0.05)
    assert found.p90 < 1.2
    assert found.mean < 2.0


async def test_what_somebody_else_wrote_there_is_left_out(stage: Stage) -> None:
    """And a group that is broken begins anew with the next job."""
    key = stage.queue.keys.of("measures")
    for name, raw in {
        "x": "1",
        "a|b|c": "1|1|1|1|1:1",
        "a|b|1": "",
        "speak|metal|5": "0|0|0|0|",
        "a|b|2": "1|1|1|1|99999999:1",
    }.items():
        await stage.queue.client.hset(key, name, raw)
    assert await measures.read(stage.queue) == {}
    await measures.add(stage.queue, [Sample("speak", "metal", 40, 4.0), Sample("nothing", "metal", 0, 1.0)])
    assert set(await measures.read(stage.queue)) == {KEY}
