"""What the dearest job cost is known, and forgotten with time: others are reserved for by it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lib.redisqueue import measures
from lib.redisqueue.measures import HALVE_AT, Sample

if TYPE_CHECKING:
    from tests.conformance.stage import Stage


async def dearest(stage: Stage) -> float:
    """In dollars a unit."""
    return (await measures.read(stage.queue))["speak", "metal", 5].usd_max


async def test_one_dear_job_is_forgotten(stage: Stage) -> None:
    """What is reserved for all others is not raised by it for ever; never below what others cost."""
    await measures.add(stage.queue, [Sample("speak", "metal", 32, 1.0, 32_000_000)])
    assert await dearest(stage) == pytest.approx(1.0)
    for _ in range(24):
        await measures.add(stage.queue, [Sample("speak", "metal", 32, 1.0, 32_000)] * (HALVE_AT // 2))
    assert 0.001 <= await dearest(stage) < 0.0011
