"""A circuit breaker: after some failures of a service in a row nobody asks it for a while, then one call tries it.

It counts what the service does wrong (`OverloadedError`), never what is wrong with one request, its answer or a quota.
It is pure but for its clock and knows no service; each text model has one of its own.
"""

from __future__ import annotations

import contextlib
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Literal

from lib.clock import iso
from lib.errors import AnswerError, BlockedError, OverloadedError, PausedError, QuotaError, TruncatedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lib.clock import Clock
    from lib.jobqueue import Capability

State = Literal["closed", "open", "half-open"]

_FAILURES: Final = 5
_FIRST_SECONDS: Final = 10.0
_LONGEST_SECONDS: Final = 300.0

_ANSWERED: Final = (AnswerError, BlockedError, QuotaError, TruncatedError)
"""The service did its part: it is up."""


class Breaker:
    """Closed: calls go. Open: none goes, for `first_seconds`, twice as long each time, at most `longest_seconds`.

    Half-open, when that time is over: one call goes, and decides. Calls that began before it opened decide nothing.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        failures: int = _FAILURES,
        first_seconds: float = _FIRST_SECONDS,
        longest_seconds: float = _LONGEST_SECONDS,
    ) -> None:
        self._clock = clock
        self._most = failures
        self._first = first_seconds
        self._longest = longest_seconds
        self._failed = 0
        self._opened = 0
        self._until: float | None = None
        self._probing = False
        self._round = 0
        self._why = ""

    @property
    def state(self) -> State:
        """What a call would meet now."""
        if self._until is None:
            return "closed"
        return "open" if self._clock.elapsed() < self._until else "half-open"

    @property
    def why(self) -> str:
        """The failure that opened it; empty while it is closed."""
        return self._why

    def wait_seconds(self) -> float:
        """How long no call goes; 0.0 when one may, as a probe or among others."""
        if self._until is None:
            return 0.0
        left = max(0.0, self._until - self._clock.elapsed())
        # While a probe is out nobody knows: its own deadline ends that, so the first pause is as good as any.
        return self._first if not left and self._probing else left

    def refusal(self) -> str | None:
        """Why no call goes, for people; None when one may try."""
        if self.state != "open":
            return None
        return self._left_alone(self.wait_seconds())

    def _left_alone(self, seconds: float) -> str:
        # The time of day, since what is said here is read later.
        until = iso(self._clock.now() + timedelta(seconds=seconds))
        return f"left alone until {until} after too many failures: {self._why}"

    @contextlib.contextmanager
    def call(self, service: str, capability: Capability) -> Iterator[None]:
        """One call of the service: refused when it is open, else its end is counted.

        Raises:
            PausedError: no call goes now; it says for how long.

        """
        wait = self.wait_seconds()
        if wait:
            raise PausedError(
                f"{service} is {self._left_alone(wait)}",
                capability=capability,
                delay_seconds=wait,
                hint="it is tried again by itself",
            )
        probe = self._until is not None
        self._probing = self._probing or probe
        began = self._round
        try:
            yield
        except OverloadedError as exc:
            self._fail(began, exc.message)
            raise
        except _ANSWERED:
            self._succeed(began)
            raise
        else:
            self._succeed(began)
        finally:
            # Cancelled, or refused for another reason: nothing is known, and the next call is the probe.
            if probe:
                self._probing = False

    def _succeed(self, began: int) -> None:
        if began == self._round:
            self._failed = self._opened = 0
            self._why = ""
            if self._until is not None:
                self._until = None
                self._round += 1

    def _fail(self, began: int, why: str) -> None:
        if began != self._round:
            return
        self._failed += 1
        if self._failed >= self._most or self._until is not None:
            self._why = why
            self._until = self._clock.elapsed() + min(self._longest, self._first * 2.0**self._opened)
            self._opened += 1
            self._failed = 0
            self._round += 1
