"""Which rented machines nobody owns, so that whoever finds them may end them. Pure; called by the reaper.

It fails closed: where listing or rows are not known for sure, nothing is reaped. What bears no label of this namespace
is somebody else's and is not looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from lib.market.base import Seen
    from lib.market.instance import Instance

Why = Literal["expired", "no_row", "twin", "no_owner"]
"""Its time is over; no row knows its intent; its intent has another machine; its owner is gone and nobody adopts it."""

GRACE_SECONDS: Final = 120.0
"""A machine that is younger may be in flight between its market and its row."""


@dataclass(frozen=True, slots=True)
class Reapable:
    """One machine to destroy."""

    market_id: str
    intent: str
    why: Why


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of the queue, read after the listing came, and the sessions that were alive then.

    `damaged` are intents whose rows cannot be read. `settled`: the server has stood for so long that every living owner
    has written its rows again, should it have forgotten them. `unadopted` are intents that somebody tried to adopt in
    vain.
    """

    instances: tuple[Instance, ...]
    living: frozenset[str]
    damaged: frozenset[str] = frozenset()
    unadopted: frozenset[str] = frozenset()
    settled: bool = True


def adoptable(rows: Sequence[Instance], living: Collection[str]) -> tuple[str, ...]:
    """The intents whose owners are gone: whoever finds them takes them over, and drives them to their end."""
    raise NotImplementedError


def reapable(
    listing: Sequence[Seen] | None, rows: Rows | None, namespace: str, now: float, *, max_runtime: float
) -> tuple[Reapable, ...]:
    """The machines to destroy; None for listing or rows: unknown, so none.

    `max_runtime` (seconds) tells from its label when a machine was asked for, where the market does not say.
    """
    raise NotImplementedError
