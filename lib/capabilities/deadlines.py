"""The deadlines of one call, kept while its answer comes in pieces: the first one, each next one, and all of it.

The connection's own deadline is kept by each vendor's client. Called by each text model.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from lib.errors import OverloadedError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from lib.capabilities.text_model import CallDeadlines

T = TypeVar("T")


async def in_time(pieces: AsyncGenerator[T, None], deadlines: CallDeadlines, service: str) -> AsyncGenerator[T, None]:
    """The same pieces, each in time; `pieces` is closed in any case, and its connection with it.

    Raises:
        OverloadedError: a deadline passed; it says which.

    """
    loop = asyncio.get_running_loop()
    end = loop.time() + deadlines.total
    within, what = deadlines.first_byte, "did not begin to answer"
    try:
        while True:
            until = loop.time() + within
            if until >= end:
                until, within, what = end, deadlines.total, "was not done with its answer"
            try:
                async with asyncio.timeout_at(until):
                    piece = await anext(pieces, None)
            except TimeoutError as exc:
                raise OverloadedError(f"{service} {what} within {within:g} s") from exc
            if piece is None:
                return
            yield piece
            within, what = deadlines.idle, "stopped in the middle of an answer and said nothing more"
    finally:
        await pieces.aclose()
