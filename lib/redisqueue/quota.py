"""What an API lets its key do, shared by all watchers: asked before each call, settled after it.

Requests and tokens of any minute, requests of a day, by the server's clock and in one step that also looks whether the
caller's lease still stands, and reserves the money (lua/quota_take.lua). It knows nothing of the API: whoever calls it
says what a call may take (`job_watcher.backends.metered`).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from lib.errors import PermanentError
from lib.pacific import day_around
from lib.redisqueue.connection import as_text, edge

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lib.redisqueue.queue import Queue

WaitReason = Literal["rpm", "tpm", "rpd", "closed", "quiet", "budget", "lease"]
"""Why a call may not begin: the minute's requests or tokens, the day's requests, a 429 that closed the pool for a time,
the window after a restart of the server, the day's budget; or the lease is gone, and no waiting brings it back."""

WINDOW_MS: Final = 61_000
"""A minute, and a second that a granted call may be on its way; as in lua/include/quota.lua."""

LONG_WAIT_MS: Final = 10_000
"""Who has asked for so long comes next: a sixth of a minute, so that small calls may fill the gaps until then."""

_LATEST_MS: Final = 1 << 47
"""Thousands of years ahead: what lies beyond is no moment that anybody meant."""


@dataclass(frozen=True, slots=True)
class Pool:
    """What one allowance is for: an API key and a model. `key` is a short hash of the API key, never the key."""

    key: str
    model: str

    def __str__(self) -> str:
        return f"{self.key}:{self.model}"


@dataclass(frozen=True, slots=True)
class Allowance:
    """Requests and tokens a minute, requests a day, None for none; `high_share` of each is only for high priority."""

    rpm: int | None = None
    tpm: int | None = None
    rpd: int | None = None
    high_share: float = 0.0

    def of_low(self) -> Allowance:
        """What all that is not of high priority may use together; at least one call."""

        def part(limit: int | None) -> int | None:
            return None if limit is None else max(1, int(limit * (1 - self.high_share) + 1e-9))

        return Allowance(part(self.rpm), part(self.tpm), part(self.rpd))


@dataclass(frozen=True, slots=True)
class PaidCall:
    """One call that wants to begin, under the lease of its job.

    `call_id` is the lease's fence, a dot, and a number that its caller gives no other call. `tokens` is the most that
    it may take, prompt and answer together, `micro` the most that it may cost. `budget` is the cap of the UTC day, None
    for none. `waited_ms` is how long it has been asking: who has waited long comes next.
    """

    call_id: str
    pool: Pool
    allowance: Allowance
    session: str
    request_id: str
    fence: str
    tokens: int
    micro: int
    budget: int | None = None
    high: bool = False
    backend: str = "cloud"
    waited_ms: int = 0


@dataclass(frozen=True, slots=True)
class Granted:
    """The answer to a take: granted when there is no `reason`, else why not, and how long until it is worth asking."""

    wait_ms: int = 0
    reason: WaitReason | None = None


@dataclass(frozen=True, slots=True)
class Settlement:
    """What became of a granted call; not `sent`: it never went out, and nothing was used."""

    call_id: str
    tokens: int = 0
    micro: int = 0
    sent: bool = True
    backend: str = "cloud"


@dataclass(frozen=True, slots=True)
class PoolView:
    """How one pool stands: calls and tokens of the last window, requests of its day, and for how long it is closed.

    A day whose requests are used up closes it too, some minutes at a time. `why` is what closed it last; `quiet_ms` how
    long nothing at all is granted, after a restart of the server. `used_lately`: it was called within a day or two.
    """

    pool: Pool
    requests: int
    tokens: int
    today: int
    closed_ms: int = 0
    why: str = ""
    quiet_ms: int = 0
    used_lately: bool = False

    @property
    def shut_ms(self) -> int:
        """For how long it grants nothing, whatever the reason."""
        return max(self.closed_ms, self.quiet_ms)


async def take(queue: Queue, call: PaidCall) -> Granted:
    """Ask whether a call may begin now, and count it at its most if so. Safe to repeat with the same `call_id`.

    Raises:
        PermanentError: the call is larger than the allowance, so no wait would help.
        UnreachableError: whether it was granted is not known; `release` it, or ask again.

    """
    allowance, low = call.allowance, call.allowance.of_low()
    _refuse_too_large(call, allowance if call.high else low)
    now_ms = time.time_ns() // 1_000_000
    while True:
        day_begin, day_end = day_around(now_ms)
        code, value = await queue.scripts.call(
            "quota_take",
            call_id=call.call_id,
            pool=str(call.pool),
            session=call.session,
            request_id=call.request_id,
            fence=call.fence,
            tokens=call.tokens,
            micro=call.micro,
            backend=call.backend,
            rank="h" if call.high else "l",
            rpm=_limit(allowance.rpm),
            tpm=_limit(allowance.tpm),
            rpd=_limit(allowance.rpd),
            low_rpm=_limit(low.rpm),
            low_tpm=_limit(low.tpm),
            low_rpd=_limit(low.rpd),
            budget=_limit(call.budget),
            waited_ms=call.waited_ms,
            long_ms=LONG_WAIT_MS,
            day_begin=day_begin,
            day_end=day_end,
        )
        answer = as_text(code)
        if answer == "granted":
            return Granted()
        if answer != "day":
            return Granted(int(value), cast("WaitReason", answer))
        # By this machine's clock it is another day than by the server's, which counts.
        now_ms = int(value)


def _limit(limit: int | None) -> int | str:
    return "" if limit is None else limit


def _refuse_too_large(call: PaidCall, allowance: Allowance) -> None:
    if allowance.tpm is not None and call.tokens > allowance.tpm:
        share = "" if call.high or not call.allowance.high_share else " of what is not kept for high priority"
        raise PermanentError(
            f"one call of {call.pool.model} may take {call.tokens} tokens, more than the {allowance.tpm}{share} that a "
            "whole minute has",
            hint="make the prompt or its answer shorter, or put fewer records into a job; GEMINI_TPM is the limit",
        )


async def settle(queue: Queue, call_id: str, tokens: int, micro: int, *, backend: str = "cloud") -> bool:
    """Say what a call took and cost; False when that was said before, or judged since its session ended."""
    (settled,) = await settle_all(queue, [Settlement(call_id, tokens, micro, backend=backend)])
    return settled


async def release(queue: Queue, call_id: str) -> bool:
    """The call was never sent: everything that was counted for it is given back; False where nothing was."""
    (released,) = await settle_all(queue, [Settlement(call_id, sent=False)])
    return released


async def settle_all(queue: Queue, settlements: Sequence[Settlement]) -> list[bool]:
    """The same for many, in one step; safe to repeat after any error."""
    rows = [(each.call_id, int(each.sent), each.tokens, each.micro, each.backend) for each in settlements]
    replies = await queue.scripts.call("quota_settle", rows=rows)
    return [reply == 1 for reply in replies]


async def close(queue: Queue, pool: Pool, ms: int, why: str) -> None:
    """The API said stop: for so long nothing is granted to this key and model, whoever asks."""
    await queue.scripts.call("quota_close", pool=str(pool), ms=ms, why=why)


async def pools(queue: Queue) -> list[PoolView]:
    """Every pool that was ever asked of, by name; what somebody else wrote there counts as nothing."""
    async with edge(queue.url):
        pipe = queue.client.pipeline(transaction=True)
        pipe.time()
        pipe.hgetall(queue.keys.of("quota"))
        pipe.zrange(queue.keys.of("quota_grants"), 0, -1, withscores=True)
        pipe.hgetall(queue.keys.of("quota_calls"))
        (seconds, micros), fields, grants, calls = await pipe.execute()
    now_ms = int(seconds) * 1000 + int(micros) // 1000
    known = {as_text(name): as_text(value) for name, value in fields.items()}
    names = sorted({name.partition(" ")[2] for name in known if " " in name})
    # What is older has left the window, though nobody has asked since.
    young = [calls.get(member) for member, at in grants if float(at) > now_ms - WINDOW_MS]
    taken = [_call(as_text(raw)) for raw in young if raw]
    return [_view(name, known, [tokens for of, tokens in taken if of == name], now_ms) for name in names]


def _view(name: str, known: dict[str, Any], tokens: list[int], now_ms: int) -> PoolView:
    key, _, model = name.partition(":")
    begin, _, counts = known.get(f"day {name}", "").partition("|")
    closed, full = (max(0, _whole(known.get(f"{what} {name}", "")) - now_ms) for what in ("closed", "full"))
    requests = _whole(counts.partition("|")[0])
    today = day_around(now_ms)[0]
    return PoolView(
        Pool(key, model),
        requests=len(tokens),
        tokens=sum(tokens),
        today=requests if _whole(begin) == today else 0,
        closed_ms=max(closed, full),
        why=known.get(f"why {name}", "") if closed >= full else "day: the requests of a day are used up",
        quiet_ms=max(0, _whole(known.get("quiet", "")) - now_ms),
        used_lately=requests > 0 and _whole(begin) >= day_around(today - 1)[0],
    )


def closings(pools: Iterable[PoolView]) -> dict[str, PoolView]:
    """The models that nobody can call now, each with the pool that opens first.

    Pools stay for ever, also those of a key that was replaced: one counts while it is closed, or was called lately.
    """
    first: dict[str, PoolView] = {}
    for view in pools:
        model = view.pool.model
        if (view.used_lately or view.closed_ms) and (model not in first or view.shut_ms < first[model].shut_ms):
            first[model] = view
    return {model: view for model, view in first.items() if view.shut_ms}


def _call(raw: str) -> tuple[str, int]:
    """The pool of a granted call and its tokens; no pool where that cannot be read."""
    tokens, *rest = raw.split("|", 3)
    return (rest[-1] if len(rest) == len(("rank", "day", "pool")) else ""), _whole(tokens)


def _whole(raw: str) -> int:
    """The number that the scripts wrote; 0 for what they never write, which must not hide the other fields."""
    number = int(raw) if raw.isascii() and raw.isdigit() and len(raw) <= len(str(_LATEST_MS)) else 0
    return min(number, _LATEST_MS)
