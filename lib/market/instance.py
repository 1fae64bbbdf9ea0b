"""An instance: what is known of a rented machine from the intent to rent it to the proof that it is gone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

InstanceState = Literal[
    "intended", "creating", "loading", "connecting", "probing", "canary", "draining", "idle", "destroying", "gone"
]
"""In the order of a life without mishaps; `draining` and `idle` alternate, `destroying` may follow any of them."""

STATES: Final[tuple[InstanceState, ...]] = (
    "intended", "creating", "loading", "connecting", "probing", "canary", "draining", "idle", "destroying", "gone",
)  # fmt: skip

READY: Final = frozenset({"draining", "idle"})
"""In these it takes jobs."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One row. Times are Unix seconds of the server's clock, money is millionths of a dollar.

    `intent` names it for good, `market_id` is the market's name once that is known. `since` is when its state began and
    `deadline` when that must have ended; `expires_at` is the hard end of the rent. `cost` is what was charged so far,
    `spent` the seconds in each earlier state. `reason` says why it is being destroyed: a word of `ending.REASONS`, then
    perhaps a colon and more; `failed`: by its own fault. `created_at` is when the market was asked for it, None before:
    from then on it may cost. `asked` is how often its end was asked for; `absent_at` is since when it may be that it is
    not there: the reply to its create was lost, or a listing was without it.
    """

    intent: str
    fence: str
    market: str
    state: InstanceState
    since: float
    deadline: float
    expires_at: float
    offer: str = ""
    machine_id: str = ""
    gpu: str = ""
    dph: int = 0
    market_id: str = ""
    created_at: float | None = None
    cost: int = 0
    jobs_done: int = 0
    reason: str = ""
    failed: bool = False
    asked: int = 0
    absent_at: float | None = None
    spent: Mapping[InstanceState, float] = field(default_factory=dict)
    owner: str = ""
    version: int = 0


def seconds_by_state(instance: Instance, now: float) -> dict[InstanceState, float]:
    """Seconds in each state so far, that of now included; what is gone stands still."""
    so_far = dict(instance.spent)
    if instance.state != "gone":
        so_far[instance.state] = so_far.get(instance.state, 0.0) + max(0.0, now - instance.since)
    return so_far
