"""How much each measure does: once in full, and once so small that it only shows that nothing is broken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Sizes:
    """Counts of one run; `repeats` are how often each pair of ours and raw is measured."""

    repeats: int
    jobs: int
    """In bulk submits and drains."""
    singles: int
    """Submitted one by one."""
    pings: int
    rows: tuple[int, ...]
    """Of job files."""
    waiting: tuple[int, ...]
    """Jobs in the queue while others are measured; the second one is what growth is held against."""
    sample: int
    """Jobs submitted or drained at each of these."""
    texts: int
    """Spoken."""
    peer_factor: float
    """Of what a peer's own count of jobs says."""
    peers: tuple[str, ...] = ()
    """Only these; empty: all, our own queue among them as `own`."""


FULL: Final = Sizes(
    repeats=5,
    jobs=30_000,
    singles=2_000,
    pings=300,
    rows=(1_000, 10_000, 100_000),
    waiting=(1_000, 10_000, 100_000, 1_000_000),
    sample=10_000,
    texts=40,
    peer_factor=1.0,
)
QUICK: Final = Sizes(
    repeats=2,
    jobs=6_000,
    singles=500,
    pings=100,
    rows=(1_000, 10_000),
    waiting=(1_000, 10_000, 100_000),
    sample=4_000,
    texts=10,
    peer_factor=0.25,
)
