"""What an API lets its key do, shared by all watchers: asked before each call, settled after it.

Requests and tokens of any minute, requests of a day, by the server's clock and in one step that also looks whether the
caller's lease still stands, and reserves the money (lua/quota_take.lua). It knows nothing of the API: whoever calls it
says what a call may take (`job_watcher.backends.metered`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from lib.redisqueue.queue import Queue

WaitReason = Literal["rpm", "tpm", "rpd", "closed", "quiet", "budget"]
"""Why a call may not begin: the minute's requests or tokens, the day's requests, a 429 that closed the pool for a time,
the window after a restart of the server, the day's budget."""


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


@dataclass(frozen=True, slots=True)
class PaidCall:
    """One call that wants to begin, under the lease of its job.

    `tokens` is the most that it may take, prompt and answer together, `micro` the most that it may cost. `budget` is
    the cap of the UTC day, None for none. `waited_ms` is how long it has been asking: who has waited long comes next.
    """

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
    """The answer to a take: `call_id` when it may begin, else how long until it is worth asking again, and why."""

    call_id: str = ""
    wait_ms: int = 0
    reason: WaitReason | None = None


@dataclass(frozen=True, slots=True)
class PoolView:
    """How one pool stands: calls and tokens of the last window, requests of its day, and for how long it is closed.

    `why` is what closed it last; `quiet_ms` how long nothing at all is granted, after a restart of the server.
    """

    pool: Pool
    requests: int
    tokens: int
    today: int
    closed_ms: int = 0
    why: str = ""
    quiet_ms: int = 0


async def take(queue: Queue, call: PaidCall) -> Granted:
    """Ask whether a call may begin now, and count it at its most if so.

    Raises:
        SessionLostError: the lease no longer stands, nothing may be begun for this job.
        PermanentError: the call is larger than the allowance, so no wait would help.

    """
    raise NotImplementedError


async def settle(queue: Queue, call_id: str, tokens: int, micro: int) -> bool:
    """Say what a call took and cost; False when that was said before, or judged since its session ended."""
    raise NotImplementedError


async def release(queue: Queue, call_id: str) -> bool:
    """The call was never sent: everything that was counted for it is given back."""
    raise NotImplementedError


async def close(queue: Queue, pool: Pool, ms: int, why: str) -> None:
    """The API said stop: for so long nothing is granted to this key and model, whoever asks."""
    raise NotImplementedError


async def pools(queue: Queue) -> list[PoolView]:
    """Every pool that was ever asked of, by name."""
    raise NotImplementedError
