"""Is this host what was paid for? Asked before any input is sent to it.

Driver, memory, free disk, the speed of the line and what of job-runner is there. Called once an instance is connected.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from job_watcher.hosts.connection import Host


@dataclass(frozen=True, slots=True)
class Card:
    """A graphics card as its driver tells of it."""

    name: str
    driver: str
    memory_mb: int


@dataclass(frozen=True, slots=True)
class Wants:
    """What a host must have. `card`: whether it must have a graphics card that works; hosts of one's own need not."""

    disk_gb: float
    card: bool = True
    memory_gb: float = 2.0
    least_mbps: float = 2.0


@dataclass(frozen=True, slots=True)
class Probe:
    """What was found. `problem` says why the host is no use, "" for a good one.

    Speeds in Mbit/s as seen from the watcher: `up_mbps` from the host, `down_mbps` to it. `worker` is the path of
    job-runner there and `version` its version, both "" where there is none; `python` is as `3.12.3`.
    """

    cards: tuple[Card, ...] = ()
    memory_gb: float = 0.0
    disk_gb: float = 0.0
    up_mbps: float = 0.0
    down_mbps: float = 0.0
    python: str = ""
    worker: str = ""
    version: str = ""
    problem: str = ""


async def probe(host: Host, wants: Wants, seconds: float = 60.0) -> Probe:
    """Look at the host; a host that answers nonsense is one with a problem.

    Raises:
        HostLostError: it did not answer in time, or the connection broke.
    """
    raise NotImplementedError
