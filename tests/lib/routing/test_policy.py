"""What the policy must hold for every queue: room, priority, turns, pins, capabilities."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from lib.jobqueue.moves import LiveWatcher, Move
from lib.routing.policy import IntakeClass, View, is_offered
from tests.lib.routing.seen_views import (
    CAPABILITIES,
    RANK,
    counts,
    decide,
    intake,
    intakes,
    lane,
    room,
    view,
    views,
    watcher,
    watchers,
)

BACKENDS = ("metal", "vast", "cloud")


def ordered_of(orders: list[Move]) -> Counter[str]:
    """Intake -> ordered, wherever to."""
    found = Counter[str]()
    for order in orders:
        found[order.intake] += order.count
    return found


def parts(lane_name: str) -> tuple[str, str]:
    """Backend and capability of a lane."""
    _, backend, capability = lane_name.split(":")
    return backend, capability


@given(views)
def test_no_lane_and_no_pool_is_ever_filled_beyond_its_room(seen: View) -> None:
    """Contracts §5: no lane and no backend gets more than its slots and queue allow, waiting and running together."""
    orders = decide(seen)
    into, pools = Counter[str](), Counter[str]()
    for order in orders:
        assert order.count > 0
        into[order.lane] += order.count
        pools[parts(order.lane)[0]] += order.count
    for name, given_ in into.items():
        assert given_ <= room(seen, *parts(name))
    for backend, given_ in pools.items():
        assert given_ <= room(seen, backend)


@given(views)
def test_what_waits_is_ordered_once_and_only_what_waits(seen: View) -> None:
    """One order an intake and lane at most, never more than it holds: nothing that waits is ordered twice."""
    orders = decide(seen)
    assert len({(order.intake, order.lane) for order in orders}) == len(orders)
    for name, count in ordered_of(orders).items():
        assert count <= seen.survey.waiting[name]


@given(views)
def test_pins_and_capabilities_are_kept(seen: View) -> None:
    """A job goes only to a lane of its own capability, and never against its pin."""
    by_name = {each.name: each for each in seen.intakes}
    for order in decide(seen):
        source = by_name[order.intake]
        backend, capability = parts(order.lane)
        assert source.pin in {"", backend}
        assert capability == source.capability
        assert order.lane in seen.survey.held


@given(views)
def test_every_order_carries_the_limits_that_the_queue_must_check_again(seen: View) -> None:
    """The limits in an order are those of the contract, whatever the decision took for granted."""
    for order in decide(seen):
        backend, capability = parts(order.lane)
        assert order.limit == room(seen, backend, capability) + seen.survey.held[order.lane]
        assert set(order.pool) == {each.name for each in seen.lanes if each.backend == backend}
        assert order.pool_limit == room(seen, backend) + sum(seen.survey.held[each] for each in order.pool)
        assert order.rated == (backend == "cloud"), "only what is paid for counts for the limit a minute"


@given(views)
def test_a_lower_priority_gets_a_place_only_when_no_higher_one_could_use_it(seen: View) -> None:
    """High before normal before low: what is left of a higher one has no room in its own lanes."""
    orders = decide(seen)
    ordered = ordered_of(orders)
    by_name = {each.name: each for each in seen.intakes}
    ranks = [RANK[by_name[order.intake].priority] for order in orders]
    assert ranks == sorted(ranks), "orders are carried out in their order"
    for order in orders:
        backend, capability = parts(order.lane)
        for other in seen.intakes:
            behind = RANK[other.priority] < RANK[by_name[order.intake].priority]
            rest = seen.survey.waiting[other.name] - ordered[other.name]
            rival = other.capability == capability and other.pin in {"", backend}
            if behind and rest > 0 and rival:
                raise AssertionError(f"{order.intake} was served before {other.name}")


@given(views)
def test_room_that_somebody_could_use_is_never_left(seen: View) -> None:
    """Work is moved as long as there is a job and a place for it, on either backend."""
    orders = decide(seen)
    ordered = ordered_of(orders)
    into, pools = Counter[str](), Counter[str]()
    for order in orders:
        into[order.lane] += order.count
        pools[parts(order.lane)[0]] += order.count
    for each in seen.intakes:
        for backend in BACKENDS:
            name = f"lane:{backend}:{each.capability}"
            rest = seen.survey.waiting[each.name] - ordered[each.name]
            if each.pin in {"", backend} and name in seen.survey.held and rest > 0:
                left = min(room(seen, backend, each.capability) - into[name], room(seen, backend) - pools[backend])
                assert left <= 0


@given(views)
def test_the_cloud_is_given_a_job_only_when_metal_has_no_room_for_it(seen: View) -> None:
    """Rule A before Rule B: a job that metal could take goes there."""
    orders = decide(seen)
    into = Counter[str]()
    for order in orders:
        into[order.lane] += order.count
    on_metal = sum(count for name, count in into.items() if parts(name)[0] == "metal")
    by_name = {each.name: each for each in seen.intakes}
    for order in orders:
        backend, capability = parts(order.lane)
        name = f"lane:metal:{capability}"
        if backend == "cloud" and not by_name[order.intake].pin and name in seen.survey.held:
            left = min(room(seen, "metal", capability) - into[name], room(seen) - on_metal)
            assert left <= 0


@given(st.integers(2, 6), st.integers(1, 3), st.data())
def test_no_backlog_starves_among_equals(backlogs: int, slots: int, data: st.DataObject) -> None:
    """Each of n equal intakes gets a place within n single places, whatever else comes and goes meanwhile.

    Rounds that find no room lie between the others, as in the conductor, and must not move the turn on.
    """
    names = [intake(f"b{i}") for i in range(backlogs)]
    patient = names[data.draw(st.integers(0, backlogs - 1))]
    served: dict[str, str] = {}
    passed_over = 0
    for _ in range(4 * backlogs):
        waiting = {each: (100 if each == patient else data.draw(st.integers(0, 3))) for each in names}
        held = {lane(): 2 * slots - 1}
        orders = decide(view(waiting, watcher("w", slots, "any"), held=held, served=served))
        served["normal"] = orders[-1].intake
        assert sum(order.count for order in orders) == 1
        passed_over = 0 if orders[-1].intake == patient.name else passed_over + 1
        assert passed_over < backlogs
        for _ in range(data.draw(st.integers(0, 2))):
            assert decide(view(waiting, watcher("w", slots, "any"), held={lane(): 2 * slots}, served=served)) == []


@given(st.integers(1, 30), st.integers(1, 8))
def test_a_million_beside_ten_take_equal_shares(places: int, backlogs: int) -> None:
    """Room is dealt one by one: shares of equals differ by at most one."""
    waiting = {intake(f"b{i}"): 1_000_000 if i == 0 else places for i in range(backlogs)}
    orders = decide(view(waiting, watcher("w", places, "any"), factor=1))
    shares = [counts(orders).get(each.name, 0) for each in waiting]
    assert sum(shares) == places
    assert max(shares) - min(shares) <= 1


def test_nothing_is_ordered_without_a_live_slot() -> None:
    """No watcher, one that drains, or one that offers something else: the jobs stay in their backlog."""
    waiting = {intake(): 5}
    assert decide(view(waiting)) == []
    assert decide(view(waiting, watcher("draining", 0, "any"))) == []
    assert decide(view(waiting, LiveWatcher("gone", "gone:1", frozenset({"any"}), {}, 0))) == []
    assert decide(view(waiting, watcher("other", 4, "speech"))) == []


def test_a_pin_to_another_backend_waits_and_hides_nobody() -> None:
    """A crowd that is pinned where nobody is does not take the places of those that can run here."""
    waiting = {intake("a", "high", pin="cloud"): 1_000, intake("b"): 1, intake("c", pin="metal"): 1}
    orders = decide(view(waiting, watcher("w", 2, "any")))
    assert counts(orders) == {intake("b").name: 1, intake("c", pin="metal").name: 1}


def test_a_full_lane_leaves_the_other_its_room() -> None:
    """Jobs that need nothing still find a place while speech is full, within what metal holds as a whole."""
    waiting = {intake(capability="speech"): 9, intake(): 9}
    held = {lane("speech"): 2, lane(): 0}
    live = watcher("both", 1, "speech", "any"), watcher("light", 1, "any")
    assert counts(decide(view(waiting, *live, held=held))) == {intake().name: 2}


@given(intakes, st.lists(watchers, max_size=4))
def test_offered_is_what_an_empty_queue_would_move(each: IntakeClass, present: list[LiveWatcher]) -> None:
    """The question of a drain and the decision of the conductor never differ."""
    empty = {lane(capability, backend): 0 for capability in CAPABILITIES for backend in BACKENDS}
    moved = decide(view({each: 1}, *present, held=empty))
    assert is_offered(each, present) == bool(moved)
