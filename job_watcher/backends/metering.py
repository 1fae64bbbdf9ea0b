"""The meter of one attempt: no paid call begins without quota, money, lease and a fresh session, and each is settled.

It knows neither vendor nor task. A call is counted at its most before, at what it took after; where nobody knows what
it took, since it was given up or broke off when the request was out already, at its most. An answer that is no use
is charged as any other. Short waits are waited here;
for long ones the job is put back, free of charge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from loguru import logger

from lib.errors import BudgetError, JobRunnerError, PausedError, QuotaError, TaskError, WaitError
from lib.money import MICRO
from lib.redisqueue import quota
from lib.redisqueue.quota import PaidCall, Settlement

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from job_watcher.backends.settling import Settlements
    from job_watcher.session import Session
    from lib.clock import Clock
    from lib.jobqueue.protocol import Lease
    from lib.redisqueue.queue import Queue
    from lib.redisqueue.quota import Allowance, Granted, Pool
    from lib.routing.prices import PriceTable

T = TypeVar("T")

PATIENCE_SECONDS: Final = 75.0
"""What is waited for in place: a minute's window and a little, so that a slot is never held for hours."""

LONGEST_DELAY_SECONDS: Final = 300.0
"""After so long a job is offered anew at the latest: another backend may have room, a limit may have been raised."""

_LEFT_FOR_CALLS: Final = 0.1
_LEAST_LEFT_SECONDS: Final = 30.0

_SOON_SECONDS: Final = 5.0
_LEAST_CLOSED_MS: Final = 1000
_SLOW_SECONDS: Final = 0.5
"""A grant whose answer took longer is late at the API too, later than its window allows for."""

_SLOW_TRIES: Final = 3


@dataclass(frozen=True, slots=True)
class Tokens:
    """Those of a call: what is sent and what is answered; `likely` is an estimate of both where they are bounds."""

    input: int
    output: int
    likely: int | None = None

    @property
    def total(self) -> int:
        """Both, as a minute's limit counts them."""
        return self.input + self.output

    def within(self, tpm: int | None) -> int:
        """What a minute of `tpm` must have room for: all, or a whole minute if the call will hardly be larger."""
        if tpm is None or self.likely is None:
            return self.total
        return min(self.total, max(tpm, self.likely))


@dataclass(frozen=True, slots=True)
class Begun:
    """A call that was granted, and the most that it may take."""

    call_id: str
    pool: Pool
    most: Tokens


@dataclass(frozen=True, slots=True)
class Payer:
    """Who pays: a lease of a session, up to so much a UTC day (millionths of a dollar), None for no cap.

    No wait lasts longer than `patience`, and none beyond `until` (as the clock's `elapsed`; None: whenever). `keeps`:
    the body keeps each answer, so that a next attempt does not pay for it again.
    """

    lease: Lease
    session: Session
    budget: int | None
    high: bool
    backend: str = "cloud"
    patience: float = PATIENCE_SECONDS
    until: float | None = None
    keeps: bool = False


def seconds_for_waits(timeout_seconds: float) -> float:
    """So much of an attempt may pass before a wait ends: the rest is left for calls, half of it at most."""
    left = max(_LEAST_LEFT_SECONDS, timeout_seconds * _LEFT_FOR_CALLS)
    return timeout_seconds - min(left, timeout_seconds / 2)


class Meter:
    """All paid calls of one attempt, whatever they are for."""

    def __init__(self, queue: Queue, settlements: Settlements, prices: PriceTable, payer: Payer, clock: Clock) -> None:
        self._queue = queue
        self._settlements = settlements
        self._prices = prices
        self._payer = payer
        self._clock = clock
        self._asked = 0
        self._waiting = 0
        self._waits_since = 0.0
        self._waited = 0.0
        self._charged: dict[str, _Charged] = {}

    async def paid(
        self,
        pool: Pool,
        allowance: Allowance,
        most: Tokens,
        ask: Callable[[], Awaitable[T]],
        took: Callable[[T], Tokens],
    ) -> tuple[T, float]:
        """Make one call when it may be made: what `ask` answers, and what that cost in dollars.

        Raises:
            QuotaError, BudgetError: not for longer than is waited here, or than the attempt has time for.
            WaitError: the session or the lease no longer stands, or the queue does not answer.
            PermanentError: the call is larger than a whole minute's allowance.
            TaskError: as `ask` does.

        """
        give_up_at = self._clock.elapsed() + self._payer.patience
        while True:
            call = await self._granted(pool, allowance, most, give_up_at)
            try:
                answer = await ask()
            except BaseException as exc:
                closed = await self.failed(call, exc)
                if closed:
                    continue
                raise
            return answer, await self.ended(call, took(answer))

    async def begin(self, pool: Pool, allowance: Allowance, most: Tokens) -> Begun:
        """Wait until a call may be made; `ended` or `failed` must follow. Raises as `paid` does."""
        return await self._granted(pool, allowance, most, self._clock.elapsed() + self._payer.patience)

    async def ended(self, call: Begun, used: Tokens) -> float:
        """The call was answered; what it cost in dollars."""
        settlement = self._charge(call, used)
        await self._settlements.say(settlement)
        return settlement.micro / MICRO

    async def failed(self, call: Begun, error: BaseException) -> bool:
        """The call was not answered; whether all watchers know now that the API said stop, and until when."""
        if isinstance(error, QuotaError):
            await self._settlements.say(Settlement(call.call_id, backend=self._payer.backend))
            return await self._close(call.pool, error)
        if isinstance(error, TaskError):
            await self._settlements.say(self._after_error(call, error))
        else:
            # Given up: the request may be out, and whoever cancels must not wait for the queue.
            self._settlements.put(self._charge(call, call.most))
        return False

    def cost(self) -> dict[str, Any] | None:
        """What the calls so far were charged, for the record; None when there was none."""
        if not self._charged:
            return None
        parts = self._charged.values()
        return {
            "usd": sum(part.micro for part in parts) / MICRO,
            "calls": sum(part.calls for part in parts),
            "input_tokens": sum(part.input for part in parts),
            "output_tokens": sum(part.output for part in parts),
            "model": ", ".join(sorted(self._charged)),
        }

    @property
    def waited(self) -> float:
        """For how many seconds so far any call waited for quota or money; those of calls at once count once."""
        return self._waited + (self._clock.elapsed() - self._waits_since if self._waiting else 0.0)

    async def _wait(self, seconds: float) -> None:
        if not self._waiting:
            self._waits_since = self._clock.elapsed()
        self._waiting += 1
        try:
            await self._clock.sleep(seconds)
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._waited += self._clock.elapsed() - self._waits_since

    async def _granted(self, pool: Pool, allowance: Allowance, most: Tokens, give_up_at: float) -> Begun:
        """A call that may be made now."""
        began = self._clock.elapsed()
        slow = 0
        while True:
            self._require_fresh()
            self._require_time(pool)
            self._asked += 1
            sent = self._clock.elapsed()
            call = self._call(pool, allowance, most, waited_ms=round((sent - began) * 1000))
            granted = await self._take(call)
            now = self._clock.elapsed()
            if granted.reason is None:
                late = now - sent > _SLOW_SECONDS
                if self._payer.session.fresh and (not late or slow >= _SLOW_TRIES):
                    return Begun(call.call_id, pool, most)
                slow += 1
                await self._settlements.say(Settlement(call.call_id, sent=False))
                continue
            wait = granted.wait_ms / 1000
            if granted.reason == "lease":
                raise WaitError("its lease no longer stands: nothing that is paid for begins", delay_seconds=0.0)
            if now + wait > give_up_at or self._too_late(now + wait):
                raise _refusal(call, granted, min(wait, LONGEST_DELAY_SECONDS))
            await self._wait(wait)

    def _call(self, pool: Pool, allowance: Allowance, most: Tokens, *, waited_ms: int) -> PaidCall:
        payer = self._payer
        mine = allowance if payer.high else allowance.of_low()
        return PaidCall(
            call_id=f"{payer.lease.fence}.{self._asked}",
            pool=pool,
            allowance=allowance,
            session=payer.session.id,
            request_id=payer.lease.request_id,
            fence=payer.lease.fence,
            tokens=most.within(mine.tpm),
            micro=self._price(pool, most),
            budget=payer.budget,
            high=payer.high,
            backend=payer.backend,
            waited_ms=waited_ms,
        )

    async def _take(self, call: PaidCall) -> Granted:
        try:
            return await quota.take(self._queue, call)
        except TaskError:
            raise
        except BaseException as exc:
            # It may have been granted all the same.
            self._settlements.put(Settlement(call.call_id, sent=False))
            if isinstance(exc, JobRunnerError):
                raise WaitError(
                    f"no quota can be asked for: {exc.message}", hint=exc.hint, delay_seconds=_SOON_SECONDS
                ) from exc
            raise

    def _require_fresh(self) -> None:
        if not self._payer.session.fresh:
            raise WaitError(
                "this watcher has not reached its server for too long: nothing that is paid for begins",
                delay_seconds=_SOON_SECONDS,
            )

    def _require_time(self, pool: Pool) -> None:
        """Raise where waits have used up the attempt's time: its deadline would use up the attempt."""
        if self.waited and self._too_late(self._clock.elapsed()):
            raise QuotaError(
                f"this attempt's time went by waiting for quota of {pool.model}", window="minute", delay_seconds=0.0
            )

    def _too_late(self, at: float) -> bool:
        """Whether a wait until then is not to be, for the attempt's sake.

        A body that keeps nothing and has paid already goes on waiting: put back as often as it takes, it would pay for
        the same calls each time; its deadline ends that after some attempts.
        """
        until = self._payer.until
        return until is not None and at > until and (self._payer.keeps or not self._charged)

    async def _close(self, pool: Pool, error: QuotaError) -> bool:
        """Tell everybody what the API said; whether that was heard."""
        ms = max(_LEAST_CLOSED_MS, round((error.delay_seconds or 0) * 1000))
        logger.warning("{}: closed for {:g} s, for all watchers: {}", pool.model, ms / 1000, error.message)
        try:
            await quota.close(self._queue, pool, ms, f"{error.window}: {error.message}")
        except JobRunnerError:
            return False
        return True

    def _after_error(self, call: Begun, error: TaskError) -> Settlement:
        if error.free:
            return Settlement(call.call_id, backend=self._payer.backend)
        if isinstance(error, PausedError):
            return Settlement(call.call_id, sent=False)
        return self._charge(call, call.most if error.counted is None else Tokens(*error.counted))

    def _charge(self, call: Begun, used: Tokens) -> Settlement:
        micro, reserved = self._price(call.pool, used), self._price(call.pool, call.most)
        if micro > reserved:
            paid, held = micro / MICRO, reserved / MICRO
            logger.warning("{}: a call cost ${:.6f}, more than the ${:.6f} reserved", call.pool.model, paid, held)
        self._charged.setdefault(call.pool.model, _Charged()).add(used, micro)
        return Settlement(call.call_id, used.total, micro, backend=self._payer.backend)

    def _price(self, pool: Pool, tokens: Tokens) -> int:
        return self._prices.price_of(pool.model, tokens.input, tokens.output)


@dataclass(slots=True)
class _Charged:
    """The calls of one model."""

    calls: int = 0
    input: int = 0
    output: int = 0
    micro: int = 0

    def add(self, used: Tokens, micro: int) -> None:
        self.calls += 1
        self.input += used.input
        self.output += used.output
        self.micro += micro


def _refusal(call: PaidCall, granted: Granted, delay: float) -> WaitError:
    """What the job is told that is put back for a wait."""
    model, allowance, wait = call.pool.model, call.allowance, f"{granted.wait_ms / 1000:.0f} s"
    if granted.reason == "budget":
        return BudgetError(
            f"today's budget of ${(call.budget or 0) / MICRO:.2f} has no room for a call of {model} that may cost "
            f"${call.micro / MICRO:.6f}",
            hint="raise BUDGET_PER_DAY_USD, or wait for the next UTC day",
            delay_seconds=delay,
        )
    said = {
        "rpm": f"the {allowance.rpm} requests a minute of {model} are used up (GEMINI_RPM)",
        "tpm": f"the {allowance.tpm} tokens a minute of {model} are used up (GEMINI_TPM)",
        "rpd": f"today's {allowance.rpd} requests of {model} are used up (GEMINI_RPD)",
        "closed": f"{model} is closed for {wait}: its API said stop",
        "quiet": f"the queue's server is another than before: for {wait} no call is granted",
    }
    window = "day" if granted.reason == "rpd" else "minute"
    return QuotaError(said[str(granted.reason)], window=window, delay_seconds=delay)
