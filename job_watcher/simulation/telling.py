"""What the conductor would say in a simulation, and when: the sentences of `job_watcher.herald`, kept in a list."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from job_watcher.herald import FED, SENTENCES, SPILLS
from lib.redisqueue.keys import parse_lane

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lib.jobqueue.moves import Move
    from lib.routing.view import Decision


@dataclass(slots=True)
class Told:
    """The lines said so far, each with its milliseconds."""

    lines: list[tuple[int, str]] = field(default_factory=list)
    _true: frozenset[str] = field(default_factory=frozenset)

    def fed(self, now_ms: int, decision: Decision, counts: Sequence[int]) -> None:
        """Orders were carried out: so many jobs of each."""
        moved = [(order, count) for order, count in zip(decision.orders, counts, strict=True) if count]
        self.lines += [(now_ms, _fed(order)) for order, _ in moved if not order.rated]
        paid = [order for order, _ in moved if order.rated]
        if paid and "metal_full" in decision.says:
            self._say(now_ms, {SPILLS}, keep=True)
        self.lines += [(now_ms, _fed(order)) for order in paid]

    def seen(self, now_ms: int, decision: Decision) -> None:
        """A decision was made from what really is."""
        self._say(now_ms, {sentence for conditions, sentence in SENTENCES if conditions & decision.says}, keep=False)

    def _say(self, now_ms: int, now: set[str], *, keep: bool) -> None:
        self.lines += [(now_ms, sentence) for _, sentence in SENTENCES if sentence in now - self._true]
        self._true = frozenset(now | self._true if keep else now)


def _fed(order: Move) -> str:
    backend = parse_lane(order.lane).backend
    return FED.get(backend, f"Fed {backend.capitalize()}")
