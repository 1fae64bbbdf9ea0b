"""The raw limit: redis-py with hiredis in one process that sends only the needed commands, in pipelines.

No promise of any kind is kept here; it is what a queue on this server could do at best with this client if it did
nothing else. Every other figure is divided by one of these from the same run. `python -m bench.raw URL` is the other
end of the raw round trip, a process of its own as a watcher is.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, Final

import redis

if TYPE_CHECKING:
    from collections.abc import Sequence

SUBMIT_BATCH: Final = 500
DRAIN_BATCH: Final = 100
STREAM: Final = "raw"
RESULTS: Final = "raw:result"
PINGS: Final = "raw:ping"
ECHOES: Final = "raw:echo"
BLOCK_MS: Final = 5_000


def submit(client: redis.Redis, payloads: Sequence[bytes]) -> float:
    """Seconds for XADD in pipelines of 500."""
    begun = time.perf_counter()
    for at in range(0, len(payloads), SUBMIT_BATCH):
        pipe = client.pipeline(transaction=False)
        for payload in payloads[at : at + SUBMIT_BATCH]:
            pipe.xadd(STREAM, {"job": payload})
        pipe.execute()
    return time.perf_counter() - begun


def submit_one_by_one(client: redis.Redis, payloads: Sequence[bytes]) -> float:
    """Seconds for one XADD after the other's answer."""
    begun = time.perf_counter()
    for payload in payloads:
        client.xadd(STREAM, {"job": payload})
    return time.perf_counter() - begun


def drain(client: redis.Redis, record: bytes) -> float:
    """Seconds to read all of it by group, 100 at once, and answer each entry with HSET, XACK, XDEL."""
    client.xgroup_create(STREAM, "g", id="0", mkstream=True)
    begun = time.perf_counter()
    while True:
        reply: Any = client.xreadgroup("g", "c", {STREAM: ">"}, count=DRAIN_BATCH)
        entries = [entry for found in reply.values() for part in found for entry in part] if reply else []
        if not entries:
            break
        pipe = client.pipeline(transaction=False)
        for entry, _ in entries:
            pipe.hset(RESULTS, entry, record)
            pipe.xack(STREAM, "g", entry)
            pipe.xdel(STREAM, entry)
        pipe.execute()
    return time.perf_counter() - begun


def move(client: redis.Redis) -> float:
    """Seconds to bring all of it to another stream: XRANGE of 500, then XADD and XDEL of each."""
    begun = time.perf_counter()
    while True:
        entries: Any = client.xrange(STREAM, count=SUBMIT_BATCH)
        if not entries:
            return time.perf_counter() - begun
        pipe = client.pipeline(transaction=False)
        for entry, fields in entries:
            pipe.xadd(f"{STREAM}:lane", fields)
            pipe.xdel(STREAM, entry)
        pipe.execute()


def clear(client: redis.Redis) -> None:
    """Take away what these left, and nothing else."""
    client.delete(STREAM, f"{STREAM}:lane", RESULTS, PINGS, ECHOES)


def ping(client: redis.Redis, payload: bytes, after: bytes) -> tuple[float, float, bytes]:
    """One job there and back: milliseconds to the other end, and to its answer; the answer's entry id."""
    begun = time.monotonic_ns()
    client.xadd(PINGS, {"job": payload})
    reply: Any = client.xread({ECHOES: after}, block=BLOCK_MS)
    ended = time.monotonic_ns()
    entry, fields = reply[ECHOES.encode()][0][0]
    return (int(fields[b"began_ns"]) - begun) / 1e6, (ended - begun) / 1e6, entry


def echo(url: str) -> None:
    """Answer pings until the process is ended: one blocked read, then the three commands of a drain."""
    client = redis.Redis.from_url(url, protocol=3, socket_timeout=60)
    client.xgroup_create(PINGS, "g", id="0", mkstream=True)
    client.xadd(ECHOES, {"began_ns": 0})
    while True:
        reply: Any = client.xreadgroup("g", "c", {PINGS: ">"}, count=1, block=BLOCK_MS)
        began = time.monotonic_ns()
        for entry, fields in reply[PINGS.encode()][0] if reply else ():
            pipe = client.pipeline(transaction=False)
            pipe.hset(RESULTS, entry, fields[b"job"])
            pipe.xack(PINGS, "g", entry)
            pipe.xdel(PINGS, entry)
            pipe.xadd(ECHOES, {"began_ns": began})
            pipe.execute()


if __name__ == "__main__":
    echo(sys.argv[1])
