"""Where metrics are to be found; apart from what serves them, so that a daemon without them imports nothing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Address:
    """A host name or address of this machine, and a port; 0 is any free one."""

    host: str
    port: int
