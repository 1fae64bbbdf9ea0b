"""One call of Vast.ai's SDK: in its turn, in a thread, with a deadline, and with every way to fail made one of ours.

What is repeated is only what the market refused for coming too often, and never a create. What is known here of the
SDK is that it raises what `requests` raises; it is made by whoever gives `make`. Called by `lib.market.vast` alone.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, Final, TypeVar

from lib.daemon_threads import in_thread
from lib.errors import JobRunnerError, UnreachableError
from lib.market.errors import BusyError, UncertainError
from lib.market.vast_refusals import Reply, TooManyError, refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from lib.clock import Clock
    from lib.market.limiter import Limiter, Urgency
    from lib.redaction import Redactor

T = TypeVar("T")

CALL_SECONDS: Final = 30.0
"""One request: the market answers within two seconds on a good day, and a create takes ten on a bad one."""

PATIENCE_SECONDS: Final = 90.0
"""Waiting for a turn, and asking again after a refusal for coming too often, all together."""


class NonsenseError(UnreachableError):
    """An answer that is none of this API's: no JSON, or of another shape."""


def nonsense(what: str) -> NonsenseError:
    """That error, when it was asked `what`."""
    return NonsenseError(
        f"Vast.ai was asked {what} and answered what is not understood",
        hint="see whether VAST_URL is right and whether a proxy answers in its place",
    )


def reply_of(response: Any) -> Reply:
    """An answer of `requests`."""
    headers = {str(name).lower(): str(value) for name, value in response.headers.items()}
    # Not its own `text`: to guess how a page without a word about that is written takes seconds a megabyte.
    return Reply(int(response.status_code), response.content.decode(errors="replace"), headers)


class Calls:
    """Calls of the SDK that `make` makes when it is first needed; times are seconds."""

    def __init__(
        self,
        make: Callable[[], Any],
        *,
        limiter: Limiter,
        clock: Clock,
        redact: Redactor,
        call_seconds: float = CALL_SECONDS,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._make = make
        self._limiter = limiter
        self._clock = clock
        self._redact = redact
        self._call_seconds = call_seconds
        self._patience = patience_seconds
        self._making = threading.Lock()
        self._made: Any = None

    async def ask(self, what: str, work: Callable[[Any], T], urgency: Urgency, *, again: bool = True) -> T:
        """What `work` returns, given the SDK. `what` completes "Vast.ai refused …"; `again` after too many requests.

        Raises:
            BusyError: no turn within our patience, or refused for coming too often.
            UnreachableError: no answer, or one of no sense.
        """
        return await self._ask(what, work, urgency, again=again, creating=False)

    async def create(self, what: str, work: Callable[[Any], T], urgency: Urgency) -> T:
        """The same for what must not be done twice: one try, and UncertainError wherever it may have been done."""
        return await self._ask(what, work, urgency, again=False, creating=True)

    async def _ask(self, what: str, work: Callable[[Any], T], urgency: Urgency, *, again: bool, creating: bool) -> T:
        until = self._clock.elapsed() + self._patience
        while True:
            try:
                return await self._once(what, work, urgency, until, creating=creating)
            except TooManyError as exc:
                wait = self._limiter.refused(exc.named, urgency)
                exc.after_seconds = max(exc.after_seconds, wait)
                if not again or self._clock.elapsed() + wait >= until:
                    raise

    async def _once(self, what: str, work: Callable[[Any], T], urgency: Urgency, until: float, *, creating: bool) -> T:
        turn = self._limiter.turn(urgency)
        try:
            async with asyncio.timeout(max(until - self._clock.elapsed(), 0.0)):
                await turn.__aenter__()
        except TimeoutError as exc:
            raise BusyError(
                f"Vast.ai: no turn came {what} within {self._patience:.0f} s", hint="it is tried again a little later"
            ) from exc
        try:
            value = await in_thread(lambda _: self._asked(what, work, creating=creating), self._call_seconds, "vast")
        except TimeoutError as exc:
            raise self._lost(what, f"no answer within {self._call_seconds:.0f} s", creating=creating) from exc
        finally:
            await turn.__aexit__(None, None, None)
        self._limiter.answered()
        return value

    def _asked(self, what: str, work: Callable[[Any], T], *, creating: bool) -> T:
        """In the thread: `work`, with what it raises made one of ours."""
        sdk = self._sdk()
        import requests  # noqa: PLC0415 - comes with the extra; loaded by the SDK

        failures = requests.exceptions
        try:
            return work(sdk)
        except failures.HTTPError as exc:
            reply = reply_of(exc.response)
            reply = Reply(reply.status, self._redact(reply.text), reply.headers)
            raise refusal(reply, what, self._clock.now(), creating=creating) from exc
        except (failures.ConnectionError, failures.Timeout) as exc:
            why = self._redact(f"{type(exc).__name__}: {exc}")[:300]
            raise self._lost(what, why, creating=creating and not _never_left(exc)) from exc
        except (failures.RequestException, ValueError, TypeError, KeyError, AttributeError, RecursionError) as exc:
            # No JSON, or JSON of another shape, through which the SDK runs without looking.
            lost = self._lost(what, "an answer that is not understood", creating=True)
            raise (lost if creating else nonsense(what)) from exc

    def _sdk(self) -> Any:
        with self._making:
            if self._made is None:
                self._made = self._make()
            return self._made

    def _lost(self, what: str, why: str, *, creating: bool) -> JobRunnerError:
        if creating:
            return UncertainError(
                f"Vast.ai was asked {what}, and the reply was lost: {why}",
                hint="it may have been rented all the same: it is looked for by its label",
            )
        return UnreachableError(f"Vast.ai was asked {what} and did not answer: {why}", hint="it is tried again")


def _never_left(error: Any) -> bool:
    """Whether no connection was made, so that nothing was asked."""
    from requests.exceptions import ConnectTimeout  # noqa: PLC0415 - as above
    from urllib3.exceptions import NewConnectionError  # noqa: PLC0415 - ditto

    reason = getattr(error.args[0], "reason", None) if error.args else None
    return isinstance(error, ConnectTimeout) or isinstance(reason, NewConnectionError)
