"""How renting stands at this watcher, in plain figures: what an operator asks of the one process that drives machines.

What the queue knows of machines is in their rows, and the same everywhere; this is only known here. Made by the backend
for the metrics.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RentingHere:
    """At one moment.

    `blocked`: nothing can be rented however much waits. `silence` is the longest time, in seconds, for which a machine
    that ends itself has not been told that its watcher lives. `unlisted` are markets that did not say for sure what is
    rented there. `strays_ended` are machines that no row knew and that were ended since this process began, and
    `strays_left` those that the last look could not prove gone.
    """

    blocked: bool = False
    silence: float = 0.0
    unlisted: int = 0
    strays_ended: int = 0
    strays_left: int = 0
