"""What the policy must hold for every queue: room, priority, turns, pins, capabilities."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from lib.jobqueue.moves import LiveWatcher, Move, Survey
from lib.routing.policy import IntakeClass, LaneClass, Limits, View, is_offered
from lib.routing.policy import decide as decision

RANK = {"high": 0, "normal": 1, "low": 2}
CAPABILITIES = ("speech", "text_model", "any")
PINS = ("", "metal", "cloud", "vast")


def decide(seen: View) -> list[Move]:
    """The orders of a decision."""
    return list(decision(seen).orders)


def watcher(name: str, slots: int, *capabilities: str, backend: str = "metal") -> LiveWatcher:
    """A live watcher."""
    return LiveWatcher(name, f"{name}:1", frozenset(capabilities), {backend: slots}, 0)


def intake(backlog: str = "default", priority: str = "normal", capability: str = "any", pin: str = "") -> IntakeClass:
    """An intake of a class."""
    return IntakeClass(f"{backlog}:{priority}:{capability}:{pin}", priority, capability, pin)


def lane(capability: str = "any", backend: str = "metal") -> LaneClass:
    """A lane."""
    return LaneClass(f"lane:{backend}:{capability}", backend, capability)


def view(
    waiting: dict[IntakeClass, int],
    *watchers: LiveWatcher,
    held: dict[LaneClass, int] | None = None,
    factor: int = 2,
    served: dict[str, str] | None = None,
) -> View:
    """What the conductor sees; all three metal lanes are there unless `held` says which."""
    lanes = held if held is not None else {lane(each): 0 for each in CAPABILITIES}
    counted = {each.name: count for each, count in waiting.items()}
    survey = Survey(counted, {each.name: count for each, count in lanes.items()}, None, "")
    return View(survey, tuple(waiting), tuple(lanes), watchers, Limits(factor), served or {})


def counts(orders: list[Move]) -> dict[str, int]:
    """Intake -> ordered."""
    return {order.intake: order.count for order in orders}


intakes = st.builds(
    intake, st.sampled_from("abcd"), st.sampled_from(list(RANK)), st.sampled_from(CAPABILITIES), st.sampled_from(PINS)
)
watchers = st.builds(
    lambda number, slots, offered, backend: watcher(f"w{number}", slots, *offered, backend=backend),
    st.integers(0, 9),
    st.integers(0, 4),
    st.frozensets(st.sampled_from(CAPABILITIES)),
    st.sampled_from(["metal", "metal", "cloud"]),
)
views = st.builds(
    lambda waiting, live, held, factor: view(waiting, *live, held=held, factor=factor),
    st.dictionaries(intakes, st.integers(0, 50), max_size=12),
    st.lists(watchers, max_size=4),
    st.dictionaries(
        st.builds(lane, st.sampled_from(CAPABILITIES), st.sampled_from(["metal", "cloud"])),
        st.integers(0, 12),
        max_size=6,
    ),
    st.integers(1, 4),
)


def room(seen: View, capability: str | None = None) -> int:
    """The room of a metal lane, or of metal as a whole, by the contract: METAL_QUEUE_MAX a live slot."""
    slots = sum(
        each.slots.get("metal", 0) for each in seen.watchers if capability is None or capability in each.capabilities
    )
    held = sum(
        seen.survey.held[each.name]
        for each in seen.lanes
        if each.backend == "metal" and capability in {None, each.capability}
    )
    return seen.limits.metal_queue_max * slots - held


@given(views)
def test_no_lane_and_no_pool_is_ever_filled_beyond_its_room(seen: View) -> None:
    """Contracts §5: metal holds at most METAL_QUEUE_MAX x live slots, waiting and running together."""
    orders = decide(seen)
    into = Counter[str]()
    for order in orders:
        assert order.count > 0
        into[order.lane] += order.count
    for name, given_ in into.items():
        capability = name.rpartition(":")[2]
        assert given_ <= room(seen, capability)
    if orders:
        assert into.total() <= room(seen)


@given(views)
def test_what_waits_is_ordered_once_and_only_what_waits(seen: View) -> None:
    """One order an intake at most, never more than it holds: nothing that waits is ordered twice."""
    orders = decide(seen)
    assert len({order.intake for order in orders}) == len(orders)
    for order in orders:
        assert order.count <= seen.survey.waiting[order.intake]


@given(views)
def test_pins_and_capabilities_are_kept(seen: View) -> None:
    """A job goes only to a lane of its own capability, on metal, and never against its pin."""
    by_name = {each.name: each for each in seen.intakes}
    for order in decide(seen):
        source = by_name[order.intake]
        assert source.pin in {"", "metal"}
        assert order.lane == f"lane:metal:{source.capability}"
        assert order.lane in seen.survey.held


@given(views)
def test_every_order_carries_the_limits_that_the_queue_must_check_again(seen: View) -> None:
    """The limits in an order are those of the contract, whatever the decision took for granted."""
    for order in decide(seen):
        capability = order.lane.rpartition(":")[2]
        assert order.limit == room(seen, capability) + seen.survey.held[order.lane]
        assert set(order.pool) == {each.name for each in seen.lanes if each.backend == "metal"}
        assert order.pool_limit == room(seen) + sum(seen.survey.held[each] for each in order.pool)


@given(views)
def test_a_lower_priority_gets_a_place_only_when_no_higher_one_could_use_it(seen: View) -> None:
    """High before normal before low: what is left of a higher one has no room in its own lane."""
    orders = decide(seen)
    ordered = counts(orders)
    by_name = {each.name: each for each in seen.intakes}
    into = Counter[str]()
    for order in orders:
        into[order.lane] += order.count
    ranks = [RANK[by_name[order.intake].priority] for order in orders]
    assert ranks == sorted(ranks), "orders are carried out in their order"
    for order in orders:
        for other in seen.intakes:
            behind = RANK[other.priority] < RANK[by_name[order.intake].priority]
            rest = seen.survey.waiting[other.name] - ordered.get(other.name, 0)
            rival = other.capability == by_name[order.intake].capability and other.pin in {"", "metal"}
            if behind and rest > 0 and rival:
                raise AssertionError(f"{order.intake} was served before {other.name}")


@given(views)
def test_room_that_somebody_could_use_is_never_left(seen: View) -> None:
    """Work is moved as long as there is a job and a place for it."""
    orders = decide(seen)
    ordered = counts(orders)
    into = Counter[str]()
    for order in orders:
        into[order.lane] += order.count
    for each in seen.intakes:
        name = f"lane:metal:{each.capability}"
        rest = seen.survey.waiting[each.name] - ordered.get(each.name, 0)
        if each.pin in {"", "metal"} and name in seen.survey.held and rest > 0:
            left = min(room(seen, each.capability) - into[name], room(seen) - into.total())
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
    assert decide(view(waiting, watcher("cloud", 4, "any", backend="cloud"))) == []


def test_a_pin_to_another_backend_waits_and_hides_nobody() -> None:
    """A crowd that is pinned elsewhere does not take the places of those that can run here."""
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
    moved = decide(view({each: 1}, *present))
    assert is_offered(each, present) == bool(moved)
