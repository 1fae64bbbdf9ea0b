"""Who is compared: each peer's versions, how many jobs it gets, and the setting it does best in, by words and numbers.

The settings were found by trying; where a peer has no means for something, its text says so. `bench.peers.measuring`
makes an environment of each and runs its side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Peer:
    """One queue. `jobs` are about three seconds of its work; `kill_slots` how many jobs it has in hand when killed."""

    name: str
    pins: tuple[str, ...]
    jobs: int
    slots: int
    setting: str
    kill_slots: int
    kill_setting: str
    claim_seconds: int = 3
    """0: there is nothing to set."""

    @property
    def side(self) -> str:
        """The module that drives it."""
        return f"bench.peers.{self.name.replace('-', '_').partition(' ')[0]}_side"


CLIENT: Final = ("redis==8.1.0", "hiredis==3.5.0")
LOOP: Final = "uvloop==0.23.0"

PEERS: Final[tuple[Peer, ...]] = (
    Peer(
        "streaq",
        ("streaq==7.2.0", "coredis==6.9.0", LOOP),
        jobs=4_000,
        slots=100,
        setting="concurrency 100, prefetch 100, uvloop, pickle, results kept; bulk: enqueue_many, 1 000 a pipeline",
        kill_slots=10,
        kill_setting="idle_timeout=3",
    ),
    Peer(
        "taskiq",
        ("taskiq==0.13.0", "taskiq-redis==1.2.4", "orjson==3.13.0", *CLIENT, LOOP),
        jobs=5_000,
        slots=100,
        setting="RedisStreamBroker, 1 process, max-async-tasks 100, prefetch 100, uvloop, orjson, results kept; "
        "bulk: no call for many, 500 at once",
        kill_slots=10,
        kill_setting="idle_timeout=3 s (must be above the longest job), lock timeout 3 s",
    ),
    Peer(
        "saq",
        ("saq==0.26.4", "typing_extensions==4.16.0", *CLIENT, LOOP),
        jobs=5_000,
        slots=50,
        setting="concurrency 50, uvloop, JSON, results kept; bulk: no call for many, 50 at once",
        kill_slots=10,
        kill_setting="timeout=3 (must be above the longest job), retries=3, sweep every 5 s",
    ),
    Peer(
        "arq",
        ("arq==0.28.0", "redis==5.3.1", "hiredis==3.5.0", LOOP),
        jobs=5_000,
        slots=100,
        setting="max_jobs 100, poll_delay 0.01, queue_read_limit 500, uvloop, pickle, results kept; "
        "bulk: no call for many, 500 at once",
        kill_slots=10,
        kill_setting="job_timeout=3 (must be above the longest job); 10 s are added to it",
    ),
    Peer(
        "dramatiq",
        ("dramatiq==2.2.1", *CLIENT),
        jobs=4_000,
        slots=8,
        setting="Redis broker, 1 process, 8 threads, prefetch 16, JSON, results kept; bulk: no call for many",
        kill_slots=8,
        kill_setting="heartbeat_timeout=3 s, maintenance at each command",
    ),
    Peer(
        "celery",
        ("celery==5.7.0", "kombu==5.7.0", "packaging==26.3", *CLIENT),
        jobs=2_000,
        slots=1,
        setting="solo pool, prefetch 64, JSON, results in Redis, no gossip or heartbeat; bulk: one producer for all",
        kill_slots=4,
        kill_setting="threads, acks_late, reject_on_worker_lost, prefetch 1, visibility_timeout=3 (must be above the "
        "longest job), unacked_restore_interval=1, unacked_restore_throttle=1",
    ),
    Peer(
        "rq",
        ("rq==3.0.0", *CLIENT),
        jobs=1_000,
        slots=1,
        setting="SimpleWorker (no fork for each job), pickle, results kept; bulk: enqueue_many, 500 a pipeline",
        kill_slots=1,
        kill_setting="job_timeout=3 (60 s are added to it), Retry(max=3), maintenance each second",
    ),
    Peer(
        "huey",
        ("huey==3.5.4", *CLIENT),
        jobs=6_000,
        slots=4,
        setting="4 threads, pickle, results kept, no signals; bulk: no call for many",
        kill_slots=4,
        kill_setting="none: what a worker has popped is nowhere else",
        claim_seconds=0,
    ),
)

OWN: Final = Peer(
    "own",
    (),
    jobs=10_000,
    slots=200,
    setting="METAL_CONCURRENCY=200, METAL_QUEUE_MAX=10, records kept; bulk: from the fields of a job, validation too",
    kill_slots=10,
    kill_setting="defaults",
    claim_seconds=0,
)
