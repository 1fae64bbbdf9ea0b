"""What a decision to rent is made from, and what it is: plain values that the fleet fills in, or the simulator.

Seconds are floats, money is millionths of a dollar. Nothing here decides; `lib.market.deciding` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Code = Literal[
    "nothing_waits", "gathering", "covered", "most", "no_budget", "budget", "not_worth",
    "deadline", "only_rented", "cheaper", "sooner",
]  # fmt: skip
"""Why nothing is rented: nothing waits that could run there; too few wait for too short; those that are rented do it
all; as many as may be are rented; no budget is set; what is left of it is less than one may cost; it would not repay
itself. Why something is: a deadline needs it; nobody else can do it; the cloud would be dearer; it is much sooner."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Equal jobs that wait and could run on a rented machine, in the order in which they are served.

    Seconds are of one job on one slot; None: it cannot run there, or is not allowed to. `cloud_price` is millionths of
    a dollar for one. `deadline` is seconds from now, of all of them.
    """

    jobs: int
    rented: float
    metal: float | None = None
    cloud: float | None = None
    cloud_price: int = 0
    deadline: float | None = None


@dataclass(frozen=True, slots=True)
class Capacity:
    """Live slots of a backend; `busy` is how many seconds pass until they have ended what they hold already.

    `per_second` bounds how many jobs may begin there, None: nothing does.
    """

    slots: int = 0
    busy: float = 0.0
    per_second: float | None = None


@dataclass(frozen=True, slots=True)
class Demand:
    """What waits at one moment, and what else works on it. `now` is Unix seconds of the server's clock.

    `oldest` is how long the oldest job has waited, in seconds. `held` is how many jobs rented machines hold already,
    in their lanes and running; `held_seconds` is what one of them takes. `quiet` is for how many seconds there has been
    neither a job waiting for a rented machine nor one on it.
    """

    now: float
    waiting: tuple[Waiting, ...] = ()
    oldest: float = 0.0
    held: int = 0
    held_seconds: float = 0.0
    quiet: float = 0.0
    metal: Capacity = Capacity()
    cloud: Capacity = Capacity()


@dataclass(frozen=True, slots=True)
class Limits:
    """What the settings say. `budget_left` is what of the day's budget is neither spent nor reserved; None: no budget.

    `hurry`: whether machines are rented to be sooner, when no deadline asks for it (policy `local-first`). `payback`:
    how many seconds a machine beside another one must save then for each second that is paid for without work; at 3,
    several do what only they can do for at most 8/7 of the dollars that one would take.
    """

    max_instances: int
    batch_min: int = 1
    batch_max_wait: float = 300.0
    idle_grace: float = 75.0
    max_runtime: float = 7200.0
    budget_left: int | None = None
    hurry: bool = True
    payback: float = 3.0


@dataclass(frozen=True, slots=True)
class Decision:
    """How many to rent now, which intents to give back, and why: a sentence for people, and a code."""

    rent: int = 0
    release: tuple[str, ...] = ()
    why: str = ""
    code: Code = "nothing_waits"
