"""Speech through the whole queue against the bare engine, for the report; `bench.speech` does the work."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

from bench.figure import Figure, Found, ratio_at_least
from bench.speech import rounds

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.sizes import Sizes


async def measure(sizes: Sizes, step: Callable[[], None]) -> Found:
    """In rounds, bare and ours by turns."""
    ours, bare = [], []
    async with aclosing(rounds(sizes.texts, min(sizes.repeats, 3), 1)) as found:
        async for each in found:
            ours.append(each.ours)
            bare.append(each.bare)
            step()
    note = f"hibari, {sizes.texts} narrations a round, METAL_CONCURRENCY=1"
    target = ratio_at_least(0.95)
    return Found(
        [Figure("speech", "spoken through the queue", "s/s", tuple(ours), tuple(bare), "engine", target, note)]
    )
