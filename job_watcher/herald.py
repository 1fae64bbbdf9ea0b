"""What the conductor says aloud: which place was fed, and why the rest must wait, each once per change.

The words are those that people of the first conductor know; a test keeps them.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from loguru import logger

from lib.redisqueue.keys import backlog_of, parse_lane

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from lib.jobqueue.moves import Move
    from lib.routing.view import Condition, Decision

FED: Final = {"metal": "Fed Metal", "cloud": "Fed Cloud"}
SPILLS: Final = "M1 is full, trying Gemini"
SENTENCES: Final[tuple[tuple[frozenset[Condition], str], ...]] = (
    (frozenset({"metal_full"}), SPILLS),
    (frozenset({"near_limit"}), "Gemini near rate limit"),
    (frozenset({"rate_paused", "api_closed"}), "Cloud Paused due to Rate Limit"),
    (frozenset({"budget_reached"}), "Budget of the day reached, nothing that is paid for begins"),
    (frozenset({"holding"}), "No compute available holding"),
)
"""Conditions, any of which makes the sentence true, in the order in which they are said."""


def _log(text: str, about: Mapping[str, Any]) -> None:
    logger.bind(**about).info(text)


@dataclass(slots=True)
class Herald:
    """Says what has changed since it last spoke; `say` is given each sentence and what it is about."""

    say: Callable[[str, Mapping[str, Any]], None] = _log
    _true: frozenset[str] = field(default_factory=frozenset)
    _others: frozenset[str] = field(default_factory=frozenset)

    def fed(self, decision: Decision, counts: Sequence[int]) -> None:
        """Orders were carried out: so many jobs of each."""
        moved = [(order, count) for order, count in zip(decision.orders, counts, strict=True) if count]
        for order, count in moved:
            if not order.rated:
                self._say_fed(order, count)
        paid = [(order, count) for order, count in moved if order.rated]
        if paid:
            # What held jobs back has let some through: said again if it holds the next ones.
            self._true &= {SPILLS}
            if "metal_full" in decision.says:
                self._say({SPILLS}, keep=True)
        for order, count in paid:
            self._say_fed(order, count)

    def empty(self, wanted: Collection[str], known: Collection[str]) -> None:
        """Backlogs are to be served that never had a job: perhaps a slip, perhaps only early."""
        for name in sorted(set(wanted) - set(known)):
            near = difflib.get_close_matches(name, known, n=3) or sorted(known)
            self.say(f"the backlog {name} has had no job yet; there are {', '.join(near)}", {})

    def left_alone(self, backlogs: frozenset[str]) -> None:
        """Jobs wait in backlogs that are none of this conductor's: while it leads, nobody moves them."""
        if backlogs - self._others:
            names = ", ".join(sorted(backlogs))
            self.say("jobs wait in other backlogs, which nobody serves while this conductor leads", {"backlogs": names})
        self._others = backlogs

    def seen(self, decision: Decision) -> None:
        """A decision was made from what really is."""
        self._say({sentence for conditions, sentence in SENTENCES if conditions & decision.says}, keep=False)

    def _say(self, now: set[str], *, keep: bool) -> None:
        for _, sentence in SENTENCES:
            if sentence in now and sentence not in self._true:
                self.say(sentence, {})
        self._true = frozenset(now | self._true if keep else now)

    def _say_fed(self, order: Move, count: int) -> None:
        backend = parse_lane(order.lane).backend
        words = FED.get(backend, f"Fed {backend.capitalize()}")
        self.say(words, {"backend": backend, "backlog": backlog_of(order.intake), "jobs": count})
