"""The view of the whole queue: what waits where, who works, how fast.

Two round trips whatever the number of jobs, one more when a consumer is a stranger, one where machines are rented, and
two where money is spent or an API is called: every figure is a length or a sum that the server keeps, and those of jobs
are read in one transaction, so that they fit each other. It writes nothing. `job-runner status` and `watch` show it.
`remaining` is the little of it that a watcher's drain asks for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from lib.clock import iso_from_ms
from lib.job_rate import jobs_in_window
from lib.money import MICRO
from lib.redisqueue import instances, quota, spend
from lib.redisqueue.connection import as_text, edge
from lib.redisqueue.keys import DEFAULT_BACKLOG, GROUP, is_intake, is_lane, parse_intake, parse_lane
from lib.redisqueue.reader import read_json
from lib.redisqueue.rent_views import documents

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lib.redisqueue.queue import Queue

RATE_WINDOW_MS: Final = 5 * 60_000
"""Long enough to smooth jobs that take a minute, short enough to notice that they stopped."""

RATE_SPAN_LEAST_MS: Final = 60_000
"""The rate of a queue that has just begun is not blown up from its first seconds."""

RATE_ENTRIES: Final = 1000
STRANGERS_MAX: Final = 1000

_MINUTE_MS: Final = 60_000

_LENGTHS: Final = (
    ("hlen", "delayed"),
    ("hlen", "result"),
    ("hlen", "failed"),
    ("xlen", "history_cancelled"),
    ("zcard", "due"),
    ("xlen", "outbox"),
    ("xlen", "outbox_callback"),
    ("hlen", "quota"),
    ("hlen", "spend"),
    ("hlen", "spend_open"),
    ("hlen", "instances"),
)


@dataclass(frozen=True, slots=True)
class _Names:
    """Which streams exist, and the server's time when that was read."""

    intakes: tuple[str, ...]
    lanes: tuple[str, ...]
    backlogs: tuple[str, ...]
    now_ms: int


@dataclass(frozen=True, slots=True)
class _Stream:
    """One intake or lane: `owners` are the consumers of its group with what each has pending."""

    length: int
    first_ms: int | None
    owners: dict[str, int]

    @property
    def pending(self) -> int:
        return sum(self.owners.values())


async def overview(
    queue: Queue, *, lease_idle_ms: int, budget_usd: float | None = None, cloud_per_min: float | None = None
) -> dict[str, Any]:
    """The document of `job-runner status`, as docs/reference/commands.md has it.

    `lease_idle_ms` is from when a pending entry counts as stale whose consumer is no session of ours. The cap of the
    day and the limit of jobs a minute are as this process has them; the watchers may have others.
    """
    names = await _names(queue)
    _, window_ms = jobs_in_window(cloud_per_min or 1.0)
    raw = await _figures(queue, names, window_ms)
    now_ms = int(raw["time"][0]) * 1000 + int(raw["time"][1]) // 1000
    sessions = {as_text(member): int(score) for member, score in raw["sessions"]}
    live = {member for member, expiry in sessions.items() if expiry > now_ms}
    intakes = {name: _stream(*parts) for name, parts in zip(names.intakes, raw["intakes"], strict=True)}
    lanes = {name: _stream(*parts) for name, parts in zip(names.lanes, raw["lanes"], strict=True)}
    streams = [*intakes.values(), *lanes.values()]
    totals = _totals(raw, streams)
    rate = _jobs_per_min(raw["newest"], now_ms)
    oldest = min((stream.first_ms for stream in streams if stream.first_ms is not None), default=None)
    return {
        "timestamp": iso_from_ms(now_ms),
        "stream": {
            "key": queue.keys.stream("stream"),
            "length": sum(stream.length for stream in streams),
            "pending": sum(stream.pending for stream in streams),
            "stale_pel": await _stale(queue, lanes, live, lease_idle_ms),
            "oldest_age_sec": None if oldest is None else round(max(0, now_ms - oldest) / 1000, 1),
        },
        "lanes": {name: _lane(name, stream) for name, stream in lanes.items()},
        "backlogs": _backlogs(names, intakes),
        "retry_queue_size": raw["due"],
        "outbox": {"publish": raw["outbox"], "callback": raw["outbox_callback"]},
        "lock": _lock(raw["lock"], sessions, live, now_ms),
        "instances": documents(await instances.rows(queue), live) if raw["instances"] else [],
        "watchers": _watchers(raw["heartbeat"], live),
        "totals": totals,
        "rate": {
            "jobs_per_min": rate,
            "cloud_moves_last_min": raw["moves"],
            "cloud_moves_in_window": raw["moves_in_window"],
            "cloud_window_sec": window_ms / 1000,
            "cloud_per_min": cloud_per_min,
        },
        "by_capability": _by_capability(intakes, lanes),
        "eta_sec": _eta(totals["outstanding"], rate),
        "pools": _pools(await quota.pools(queue)) if raw["quota"] else [],
        "spend": await _spend(queue, raw, budget_usd),
    }


def _by_capability(intakes: dict[str, _Stream], lanes: dict[str, _Stream]) -> dict[str, int]:
    """What waits or runs, by what it needs."""
    found: dict[str, int] = {}
    for name, stream in [*intakes.items(), *lanes.items()]:
        if stream.length:
            needed = parse_intake(name).capability if name in intakes else parse_lane(name).capability
            found[needed] = found.get(needed, 0) + stream.length
    return found


def _pools(views: list[quota.PoolView]) -> list[dict[str, Any]]:
    """API keys, by their short hash, with a model: what was asked, how long nothing is granted, and why.

    `closes_model`: nobody can call that model now, and this pool opens first.
    """
    closing = quota.closings(views)
    return [
        {
            "key": view.pool.key,
            "model": view.pool.model,
            "requests_last_min": view.requests,
            "tokens_last_min": view.tokens,
            "requests_today": view.today,
            "closed_sec": round(view.shut_ms / 1000, 1),
            "why": view.why if view.closed_ms >= view.quiet_ms else "the server was restarted",
            "closes_model": closing.get(view.pool.model) is view,
        }
        for view in views
    ]


async def _spend(queue: Queue, raw: dict[str, Any], budget_usd: float | None) -> dict[str, Any]:
    settled, reserved = 0, 0
    if raw["spend"] or raw["spend_open"]:
        day = await spend.today(queue)
        settled, reserved = day.settled, day.reserved
    return {"today_usd": settled / MICRO, "reserved_usd": reserved / MICRO, "budget_usd": budget_usd}


async def _names(queue: Queue) -> _Names:
    async with edge(queue.url), queue.client.pipeline(transaction=False) as pipe:
        pipe.time()
        for name in ("intakes", "lanes", "backlogs"):
            pipe.smembers(queue.keys.of(name))
        (seconds, micros), *found = await pipe.execute()
    intakes, lanes, backlogs = ({as_text(name) for name in names} for names in found)
    # Somebody may have put other names there; fsck names those.
    intakes, lanes = {name for name in intakes if is_intake(name)}, {name for name in lanes if is_lane(name)}
    # What comes back from a lane goes to the high intake of its class, which no submit may ever have named.
    intakes |= {str(parse_intake(name).high()) for name in intakes} | {"stream"}
    now_ms = int(seconds) * 1000 + int(micros) // 1000
    return _Names(tuple(sorted(intakes)), tuple(sorted(lanes)), tuple(sorted(backlogs | {DEFAULT_BACKLOG})), now_ms)


async def _figures(queue: Queue, names: _Names, window_ms: int) -> dict[str, Any]:
    keys = queue.keys
    groups = await _lanes_with_group(queue, names.lanes)
    async with edge(queue.url), queue.client.pipeline(transaction=True) as pipe:
        pipe.time()
        pipe.zrange(keys.of("sessions"), 0, -1, withscores=True)
        pipe.hgetall(keys.of("heartbeat"))
        pipe.hgetall(keys.of("lock"))
        pipe.hgetall(keys.of("counters"))
        pipe.xrevrange(keys.of("history_done"), count=RATE_ENTRIES)
        for since_ms in (_MINUTE_MS, window_ms):
            pipe.zcount(keys.of("moves"), f"({names.now_ms - since_ms}", "+inf")
        for command, name in _LENGTHS:
            getattr(pipe, command)(keys.of(name))
        for name in (*names.intakes, *names.lanes):
            pipe.xlen(keys.stream(name))
            pipe.xrange(keys.stream(name), count=1)
        for name in groups:
            pipe.xpending(keys.stream(name), GROUP)
        replies: list[Any] = await pipe.execute()
    moves = ("moves", "moves_in_window")
    heads = ("time", "sessions", "heartbeat", "lock", "counters", "newest", *moves, *(name for _, name in _LENGTHS))
    raw: dict[str, Any] = dict(zip(heads, replies, strict=False))
    rest = replies[len(heads) :]
    pairs = list(zip(rest[::2], rest[1::2], strict=False))[: len(names.intakes) + len(names.lanes)]
    pending = dict(zip(groups, rest[2 * len(pairs) :], strict=True))
    raw["intakes"] = [(*pair, None) for pair in pairs[: len(names.intakes)]]
    raw["lanes"] = [
        (*pair, pending.get(name)) for name, pair in zip(names.lanes, pairs[len(names.intakes) :], strict=True)
    ]
    return raw


async def _lanes_with_group(queue: Queue, lanes: Sequence[str]) -> list[str]:
    """XPENDING fails on a lane that lost its group, and would take the whole transaction with it."""
    if not lanes:
        return []
    async with edge(queue.url), queue.client.pipeline(transaction=False) as pipe:
        for lane in lanes:
            pipe.xinfo_groups(queue.keys.stream(lane))
        found: list[Any] = await pipe.execute(raise_on_error=False)
    return [lane for lane, groups in zip(lanes, found, strict=True) if isinstance(groups, list) and groups]


def _stream(length: int, first: list[Any], pending: Any) -> _Stream:
    first_ms = int(as_text(first[0][0]).partition("-")[0]) if first else None
    return _Stream(int(length), first_ms, _owners(pending))


def _owners(pending: Any) -> dict[str, int]:
    consumers = pending.get("consumers") if isinstance(pending, dict) else None
    return {as_text(each["name"]): int(each["pending"]) for each in consumers or ()}


async def _stale(queue: Queue, lanes: dict[str, _Stream], live: set[str], lease_idle_ms: int) -> int:
    """Pending entries whose owner's session has lapsed, or who is no session and has been idle for too long."""
    stale = 0
    strangers: list[tuple[str, str]] = []
    for lane, stream in lanes.items():
        for owner, pending in stream.owners.items():
            if owner in live or not pending:
                continue
            # The name of a session is `watcher:run`; any other consumer belongs to somebody else's program.
            if ":" in owner:
                stale += pending
            else:
                strangers.append((lane, owner))
    if not strangers:
        return stale
    async with edge(queue.url), queue.client.pipeline(transaction=False) as pipe:
        for lane, owner in strangers:
            pipe.xpending_range(
                queue.keys.stream(lane), GROUP, "-", "+", STRANGERS_MAX, consumername=owner, idle=lease_idle_ms
            )
        found: list[Any] = await pipe.execute()
    return stale + sum(len(entries) for entries in found)


def _totals(raw: dict[str, Any], streams: Sequence[_Stream]) -> dict[str, int]:
    counters = {as_text(name): int(value) for name, value in raw["counters"].items() if value.isdigit()}
    leased = sum(stream.pending for stream in streams)
    queued = sum(stream.length for stream in streams) - leased
    return {
        "submitted": counters.get("accepted", 0),
        "queued": queued,
        "leased": leased,
        "delayed": raw["delayed"],
        "done": raw["result"],
        "failed": raw["failed"] - raw["history_cancelled"],
        "cancelled": raw["history_cancelled"],
        "outstanding": queued + leased + raw["delayed"],
    }


def _lane(name: str, stream: _Stream) -> dict[str, Any]:
    lane = parse_lane(name)
    return {
        "backend": lane.backend,
        "capability": lane.capability,
        "length": stream.length,
        "waiting": stream.length - stream.pending,
        "running": stream.pending,
    }


def _backlogs(names: _Names, intakes: dict[str, _Stream]) -> dict[str, Any]:
    found: dict[str, Any] = {name: {"waiting": 0, "high": 0, "normal": 0, "low": 0} for name in names.backlogs}
    for name, stream in intakes.items():
        intake = parse_intake(name)
        entry = found.setdefault(intake.backlog, {"waiting": 0, "high": 0, "normal": 0, "low": 0})
        entry["waiting"] += stream.length
        entry[intake.priority] += stream.length
    return found


def _lock(lock: dict[bytes, bytes], sessions: dict[str, int], live: set[str], now_ms: int) -> dict[str, Any]:
    """Who leads, and the backlogs that it serves: none named means all."""
    owner = as_text(lock.get(b"session", b""))
    if owner not in live:
        return {"owner": None, "ttl_ms": None, "dedicated": False, "backlogs": []}
    return {
        "owner": owner,
        "ttl_ms": sessions[owner] - now_ms,
        "dedicated": lock.get(b"dedicated") == b"1",
        "backlogs": [name for name in as_text(lock.get(b"backlogs", b"")).split(",") if name],
    }


def _watchers(heartbeats: dict[bytes, bytes], live: set[str]) -> list[dict[str, Any]]:
    alive = {member.partition(":")[0] for member in live}
    found: list[dict[str, Any]] = []
    for name, raw in sorted(heartbeats.items()):
        beat = read_json(raw)
        seen = beat.pop("last_seen_ms", None)
        found.append(
            {
                "name": as_text(name),
                "alive": as_text(name) in alive,
                "last_seen": iso_from_ms(int(seen)) if isinstance(seen, int) else None,
                **beat,
            }
        )
    return found


def _jobs_per_min(newest: Sequence[Any], now_ms: int) -> float:
    times = [int(as_text(entry).partition("-")[0]) for entry, _ in newest]
    recent = [time for time in times if time > now_ms - RATE_WINDOW_MS]
    if not recent:
        return 0.0
    return round(len(recent) * 60_000 / max(RATE_SPAN_LEAST_MS, now_ms - recent[-1]), 1)


def _eta(outstanding: int, jobs_per_min: float) -> int | None:
    if outstanding == 0:
        return 0
    return round(outstanding * 60 / jobs_per_min) if jobs_per_min > 0 else None
