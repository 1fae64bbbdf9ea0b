"""Ours and what stands beside it, by turns: whoever comes second finds a warmer server, so neither always does."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")


async def by_turns(number: int, ours: Callable[[], Awaitable[T]], beside: Callable[[], Awaitable[T]]) -> tuple[T, T]:
    """What both found, ours first; in rounds with an even number ours is measured first, in the others last."""
    if number % 2:
        other = await beside()
        return await ours(), other
    mine = await ours()
    return mine, await beside()
