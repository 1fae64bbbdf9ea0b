"""Instances in every state and events of every kind, for the tests of a rented machine's life."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from hypothesis import strategies as st

from lib.market import events as ev
from lib.market.base import Address, MarketOffer
from lib.market.instance import STATES, Instance
from lib.market.life import LifeLimits, begin, step

if TYPE_CHECKING:
    from lib.market.instance import InstanceState

NOW: Final = 1_000_000.0
ADDRESS: Final = Address("203.0.113.7", 2222)
LIMITS: Final = LifeLimits(max_runtime=7200.0, idle=75.0)
OFFER: Final = MarketOffer("17", "m4", "RTX 4090", 1, 24.0, 360_000, storage_gb_hour=100)
"""36 cents an hour: 100 millionths of a dollar a second, and 60 GB at 100 millionths an hour beside it."""

EVENTS: Final[tuple[ev.Event, ...]] = (
    ev.Recorded(),
    ev.Created("c1"),
    ev.Created("c2"),
    ev.Refused("offer gone"),
    ev.Uncertain(),
    ev.Shown("loading"),
    ev.Shown("running"),
    ev.Shown("running", ADDRESS),
    ev.Shown("stopped", message="outbid"),
    ev.Shown("exited", message="oom"),
    ev.Shown("offline"),
    ev.Shown("unknown"),
    ev.Absent(plain=True),
    ev.Absent(plain=False),
    ev.Connected(),
    ev.Probed(),
    ev.Probed("no driver"),
    ev.CanaryEnded(),
    ev.CanaryEnded("silent"),
    ev.Work(),
    ev.NoWork(),
    ev.Lost("connection lost"),
    ev.Lost("our network is down", blame=False),
    ev.Tick(),
    ev.ToldToEnd("by hand"),
)

HAPPY: Final[tuple[ev.Event, ...]] = (
    ev.Recorded(),
    ev.Created("c1"),
    ev.Shown("running", ADDRESS),
    ev.Connected(),
    ev.Probed(),
    ev.CanaryEnded(),
    ev.NoWork(),
)
"""From `intended` through every state to `idle`."""


def fresh() -> Instance:
    """An intent, as the ledger hands it back."""
    return replace(begin("intent0001", "vast", OFFER, 60.0, NOW, LIMITS), fence="12")


@dataclass(slots=True)
class Told:
    """A life that is told event by event, each at its moment; what was done is kept."""

    instance: Instance = field(default_factory=fresh)
    now: float = NOW
    limits: LifeLimits = LIMITS
    actions: list[ev.Action] = field(default_factory=list)
    states: list[InstanceState] = field(default_factory=list)

    def hears(self, *events: ev.Event, after: float = 1.0) -> list[ev.Action]:
        """Tell it these, `after` seconds each; what it wants done now."""
        done: list[ev.Action] = []
        for event in events:
            self.now += after
            then = step(self.instance, event, self.now, self.limits)
            self.instance = then.charged
            self.states.append(self.instance.state)
            done += then.actions
        self.actions += done
        return done


def in_state(state: InstanceState) -> Told:
    """A life that has come to this state without mishap, or to its end by being told to."""
    told = Told()
    if state in {"destroying", "gone"}:
        told.hears(*HAPPY, ev.ToldToEnd("by hand"))
        if state == "gone":
            told.hears(ev.Absent(plain=True))
    else:
        for event in HAPPY:
            if told.instance.state == state:
                break
            told.hears(event)
    assert told.instance.state == state
    return told


somewhere = st.builds(
    lambda state, change: replace(in_state(state).instance, **change),
    st.sampled_from(STATES),
    st.sampled_from([{}, {"market_id": ""}]),
)
"""An instance in any state; of some the market's id is not known, as an adopter may find them."""

_anything = st.lists(
    st.tuples(
        st.sampled_from(EVENTS),
        st.one_of(st.floats(0.0, 10.0), st.sampled_from([0.0, 4.9, 5.0, 60.0, 119.0, 600.0, 7300.0])),
    ),
    max_size=30,
)

happenings = st.builds(
    lambda steps, rest: [(event, 1.0) for event in HAPPY[:steps]] + rest, st.integers(0, len(HAPPY)), _anything
)
"""Events, each with the seconds that pass before it: a life that goes well for a while, and then anything."""
