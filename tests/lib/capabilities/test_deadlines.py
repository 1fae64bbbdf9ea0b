"""The deadlines of an answer in pieces; how long the test takes is nobody's promise."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from lib.capabilities.deadlines import in_time
from lib.capabilities.text_model import CallDeadlines
from lib.errors import OverloadedError
from tests.lib.capabilities.conftest import NEVER

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

SHORT = 0.05


class Pieces:
    """Says some pieces, then waits for ever if it is to; knows when it is closed."""

    def __init__(self, *said: str, hangs: bool = False, after: float = 0.0) -> None:
        self.said = said
        self.hangs = hangs
        self.after = after
        self.closed = False

    async def __call__(self) -> AsyncGenerator[str, None]:
        """The pieces."""
        try:
            for each in self.said:
                await asyncio.sleep(self.after)
                yield each
            if self.hangs:
                await asyncio.Event().wait()
        finally:
            self.closed = True


async def heard(pieces: Pieces, first: float = NEVER, idle: float = NEVER, total: float = NEVER) -> list[str]:
    """All that came in time."""
    deadlines = CallDeadlines(connect=NEVER, first_byte=first, idle=idle, total=total)
    return [each async for each in in_time(pieces(), deadlines, "The service")]


async def test_what_is_in_time_passes_unchanged() -> None:
    """Empty pieces too."""
    pieces = Pieces("a", "", "b")
    assert await heard(pieces) == ["a", "", "b"]
    assert pieces.closed
    assert await heard(Pieces()) == []


@pytest.mark.parametrize(
    ("pieces", "limits", "message"),
    [
        (Pieces(hangs=True), {"first": SHORT}, "did not begin to answer within 0.05 s"),
        (Pieces("a", hangs=True), {"idle": SHORT}, "stopped in the middle of an answer and said nothing more within"),
        (Pieces(*"a" * 1000, after=0.01), {"total": 2 * SHORT}, "was not done with its answer within 0.1 s"),
        (Pieces(hangs=True), {"total": SHORT}, "was not done with its answer within 0.05 s"),
    ],
    ids=["first", "idle", "total", "total before first"],
)
async def test_each_deadline_is_kept_and_named(pieces: Pieces, limits: dict[str, float], message: str) -> None:
    """And the pieces are closed, which gives the connection back."""
    with pytest.raises(OverloadedError) as late:
        await heard(pieces, **limits)
    assert late.value.message.startswith(f"The service {message}")
    assert pieces.closed


async def test_whoever_stops_listening_closes_it() -> None:
    """At once, and not when somebody collects garbage."""
    pieces = Pieces("a", "b", hangs=True)
    timed = in_time(pieces(), CallDeadlines(), "The service")
    assert await anext(timed) == "a"
    await timed.aclose()
    assert pieces.closed


async def test_a_cancelled_call_closes_it() -> None:
    """The cancelling is passed on as what it is."""
    pieces = Pieces("a", hangs=True)
    task = asyncio.create_task(heard(pieces))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert pieces.closed


async def test_an_error_of_the_pieces_passes() -> None:
    """It is no deadline, even if it is a timeout of somebody else's."""

    async def fails() -> AsyncGenerator[str, None]:
        yield "a"
        raise OSError("torn")

    with pytest.raises(OSError, match="torn"):
        [each async for each in in_time(fails(), CallDeadlines(), "The service")]
