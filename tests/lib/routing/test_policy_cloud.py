"""The rules of what is paid for: when the cloud gets a job, what stands in its way, and what is said then."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.jobqueue.moves import LiveWatcher, RateState
from lib.routing.policy import Decision, IntakeClass, Limits, View, decide
from lib.routing.view import Estimate
from tests.lib.routing.seen_views import intake, lane, view

LANES = {lane(capability, backend): 0 for capability in ("any", "speech") for backend in ("metal", "cloud")}
OFFERS = {"metal": frozenset({"any", "speech"}), "cloud": frozenset({"any", "speech"})}
DESK = LiveWatcher("desk", "desk:1", frozenset({"any", "speech"}), {"metal": 1, "cloud": 10}, 0, OFFERS)


def seen(
    waiting: dict[IntakeClass, int],
    *,
    held: dict[str, int] | None = None,
    rate: RateState | None = None,
    budget: int | None = None,
    policy: str = "local-first",
    watcher: LiveWatcher = DESK,
) -> View:
    """A view of one watcher with one slot of metal and ten of the cloud."""
    found = view(waiting, watcher, held=LANES)
    survey = replace(found.survey, held={**found.survey.held, **(held or {})}, rate=rate or RateState(1_000_000))
    return replace(found, survey=survey, limits=Limits(2, 5, budget), policy=policy)  # type: ignore[arg-type]  # a word


def given_to(decision: Decision) -> Counter[str]:
    """How many jobs go to each backend."""
    found = Counter[str]()
    for order in decision.orders:
        found[order.lane.split(":")[1]] += order.count
    return found


def test_the_free_machine_is_filled_before_the_cloud_gets_anything() -> None:
    """Rules A and B: two for a slot of metal, then what the limit a minute grants the cloud, then hold."""
    decision = decide(seen({intake("stress"): 10}, rate=RateState(2)))
    assert [(order.lane, order.count) for order in decision.orders] == [("lane:metal:any", 2), ("lane:cloud:any", 2)]
    assert [order.rated for order in decision.orders] == [False, True]
    assert decision.says == {"metal_full", "near_limit", "rate_paused", "holding"}


def test_nothing_is_said_while_metal_has_room_for_all() -> None:
    """Who has no job to place wants to hear nothing."""
    assert decide(seen({intake(): 2}, rate=RateState(0, 1000))).says == set()
    assert decide(seen({}, rate=RateState(0, 1000))) == Decision()


def test_a_spent_limit_pauses_the_cloud_until_the_window_grants_one() -> None:
    """Nothing goes there, and it is said why."""
    decision = decide(seen({intake(): 4}, held={"lane:metal:any": 2}, rate=RateState(0, 30_000)))
    assert decision.orders == ()
    assert decision.says == {"metal_full", "near_limit", "rate_paused", "holding"}


def test_at_most_so_many_wait_for_a_slot_of_the_cloud() -> None:
    """CLOUD_CONCURRENCY run and CLOUD_QUEUE_MAX wait: no more, however much the limit grants."""
    decision = decide(seen({intake(): 100}))
    assert given_to(decision) == {"metal": 2, "cloud": 15}
    assert decision.says == {"metal_full", "holding"}
    full = decide(seen({intake(): 100}, held={"lane:metal:any": 2, "lane:cloud:speech": 15}))
    assert full.orders == (), "all lanes of the cloud share its slots"


def test_a_closed_api_holds_back_what_needs_it_and_nothing_else() -> None:
    """A 429 closes a model: jobs that need none of it go on."""
    closed = RateState(9, closed={"speech": 17_000})
    talk = decide(seen({intake(capability="speech"): 5}, held={"lane:metal:speech": 2}, rate=closed))
    assert talk.orders == ()
    assert talk.says == {"metal_full", "api_closed", "holding"}
    plain = decide(seen({intake(): 5}, held={"lane:metal:any": 2}, rate=closed))
    assert given_to(plain) == {"cloud": 5}
    assert plain.says == {"metal_full"}


def priced(found: View, worst: int) -> View:
    """The same, where speech on the cloud costs so much at worst."""
    return replace(found, estimates={("cloud", "speech"): Estimate(1.0, 2.0, worst // 2, worst)})


def test_the_budget_is_reserved_at_worst_and_never_passed() -> None:
    """Each order names what is reserved for a job; what is left pays for so many and no more."""
    waiting = {intake(capability="speech"): 9}
    full = {"lane:metal:speech": 2}
    rich = decide(priced(seen(waiting, held=full, budget=1_000_000, rate=RateState(99, spent=650_000)), 100_000))
    assert [(order.count, order.price) for order in rich.orders] == [(3, 100_000)]
    assert rich.says == {"metal_full", "budget_reached", "holding"}
    free = decide(priced(seen(waiting, held=full), 100_000))
    assert [(order.count, order.price) for order in free.orders] == [(9, 100_000)], "no cap, all are counted"


@pytest.mark.parametrize("spent", [1_000_000, 2_000_000])
def test_a_reached_budget_stops_also_what_was_never_measured(spent: int) -> None:
    """A job of unknown price would only be turned away at its first call."""
    waiting = {intake(capability="speech"): 9}
    held = {"lane:metal:speech": 2}
    decision = decide(seen(waiting, held=held, budget=1_000_000, rate=RateState(99, spent=spent)))
    assert decision.orders == ()
    assert "budget_reached" in decision.says
    assert given_to(decide(seen({intake(): 9}, held={"lane:metal:any": 2}, budget=0))) == {"cloud": 9}, "costs nothing"


@given(st.integers(1, 12), st.integers(0, 20), st.integers(1, 4))
def test_a_backlog_of_ten_thousand_starves_none_of_five(granted: int, spare: int, slots: int) -> None:
    """Places are dealt by turns, on both backends together: the small one has its share of every round."""
    wide = replace(DESK, slots={"metal": slots, "cloud": 10 + spare})
    crowd, few = intake("crowd"), intake("few")
    decision = decide(seen({crowd: 10_000, few: 5}, rate=RateState(granted), watcher=wide))
    shares = Counter[str]()
    for order in decision.orders:
        shares[order.intake] += order.count
    places = sum(shares.values())
    assert places == 2 * slots + granted
    assert shares[few.name] >= min(5, places // 2)


def test_the_intake_that_was_served_last_comes_last_whatever_backend_served_it() -> None:
    """One place a round, now here, now there: two backlogs take turns."""
    served: dict[str, str] = {}
    winners = []
    for turn in range(6):
        held = {"lane:metal:any": 1} if turn % 2 else {"lane:metal:any": 2}
        rate = RateState(0) if turn % 2 else RateState(1)
        found = replace(seen({intake("a"): 50, intake("b"): 50}, held=held, rate=rate), served=dict(served))
        [order] = decide(found).orders
        served["normal"] = order.intake
        winners.append(order.intake[0])
    assert winners == ["a", "b", "a", "b", "a", "b"]


def test_cheapest_pays_only_for_what_no_free_watcher_can_ever_run() -> None:
    """A full machine at hand is worth waiting for; a pin to the cloud, or a capability it lacks, is not."""
    full = {"lane:metal:any": 2, "lane:metal:speech": 2}
    assert decide(seen({intake(): 9}, held=full, policy="cheapest")).orders == ()
    assert given_to(decide(seen({intake(): 9}, policy="cheapest"))) == {"metal": 2}
    assert given_to(decide(seen({intake(pin="cloud"): 3}, held=full, policy="cheapest"))) == {"cloud": 3}
    mute = replace(DESK, offers={"metal": frozenset({"any"}), "cloud": frozenset({"any", "speech"})})
    spoken = decide(seen({intake(capability="speech"): 3}, policy="cheapest", watcher=mute))
    assert given_to(spoken) == {"cloud": 3}


def test_a_pin_to_metal_never_leads_to_the_cloud() -> None:
    """Whatever is free there."""
    decision = decide(seen({intake(pin="metal"): 9}, held={"lane:metal:any": 2}))
    assert decision.orders == ()
    assert decision.says == {"holding"}, "the cloud was not tried"
