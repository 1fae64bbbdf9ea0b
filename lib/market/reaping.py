"""Which rented machines nobody owns, so that whoever finds them may end them. Pure; called by the reaper.

It fails closed: where listing or rows are not known for sure, nothing is reaped. What bears no label of this namespace
is somebody else's and is not looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from lib.market.labels import parse_label

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from lib.market.base import Seen
    from lib.market.instance import Instance
    from lib.market.labels import Label

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
class KnownRows:
    """The rows of the queue, read after the listing came, and the sessions that were alive then.

    In this order: a row is written before its machine is asked for, so of a listing that came first each machine has
    one. `damaged` are intents whose rows cannot be read. `settled`: the server has stood for so long that every living
    owner has written its rows again, should it have forgotten them. `unadopted` are intents that somebody tried in vain
    to adopt.
    """

    instances: tuple[Instance, ...]
    living: frozenset[str]
    damaged: frozenset[str] = frozenset()
    unadopted: frozenset[str] = frozenset()
    settled: bool = True


def adoptable(rows: Iterable[Instance], living: Collection[str]) -> tuple[str, ...]:
    """The intents whose owners are gone: whoever finds them takes them over, and drives them to their end."""
    return tuple(row.intent for row in rows if row.state != "gone" and row.owner not in living)


def reapable(
    listing: Sequence[Seen] | None, rows: KnownRows | None, namespace: str, now: float, *, max_runtime: float
) -> tuple[Reapable, ...]:
    """The machines to destroy; None for listing or rows: unknown, so none.

    `now` is Unix seconds of the server's clock. `max_runtime` (WATCHER_MAX_RUNTIME) tells from its label when a machine
    was asked for, where the market does not say.
    """
    if listing is None or rows is None:
        return ()
    return tuple(_reaped(listing, rows, namespace, now, max_runtime))


def _reaped(
    listing: Sequence[Seen], rows: KnownRows, namespace: str, now: float, max_runtime: float
) -> Iterator[Reapable]:
    known = {row.intent: row for row in rows.instances}
    for seen in listing:
        label = parse_label(seen.label, namespace)
        if label is None:
            continue
        if now >= label.expires_at:
            yield Reapable(seen.market_id, label.intent, "expired")
        elif rows.settled and not _is_young(seen, label, now, max_runtime):
            why = _unowned(seen, label, known.get(label.intent), rows)
            if why is not None:
                yield Reapable(seen.market_id, label.intent, why)


def _is_young(seen: Seen, label: Label, now: float, max_runtime: float) -> bool:
    """Whether it may have been asked for a moment ago: by its start or its label, whichever is later.

    What lies in the future says nothing: the market's clock is ahead, or whoever rented it rents for longer than we.
    """
    moments = (label.expires_at - max_runtime, seen.started_at or 0.0)
    return any(abs(now - moment) < GRACE_SECONDS for moment in moments)


def _unowned(seen: Seen, label: Label, row: Instance | None, rows: KnownRows) -> Why | None:
    """Why nobody owns it; None: somebody does, or that is not known."""
    if label.intent in rows.damaged:
        return None
    if row is None or row.state == "gone":
        return "no_row"
    if row.market_id and row.market_id != seen.market_id:
        return "twin"
    return "no_owner" if row.owner not in rows.living and row.intent in rows.unadopted else None
