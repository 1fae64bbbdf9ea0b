"""Views of a queue to decide on: builders with few words, and strategies that draw them."""

from __future__ import annotations

from hypothesis import strategies as st

from lib.jobqueue.moves import LiveWatcher, Move, Survey
from lib.routing.policy import IntakeClass, LaneClass, Limits, View
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
    st.sampled_from(["metal", "metal", "cloud", "vast"]),
)
views = st.builds(
    lambda waiting, live, held, factor: view(waiting, *live, held=held, factor=factor),
    st.dictionaries(intakes, st.integers(0, 50), max_size=12),
    st.lists(watchers, max_size=4),
    st.dictionaries(
        st.builds(lane, st.sampled_from(CAPABILITIES), st.sampled_from(["metal", "cloud", "vast"])),
        st.integers(0, 12),
        max_size=6,
    ),
    st.integers(1, 4),
)


def room(seen: View, backend: str = "metal", capability: str | None = None) -> int:
    """The room of a lane, or of a backend as a whole, by the contract.

    METAL_QUEUE_MAX a live slot on metal; on the cloud its slots and CLOUD_QUEUE_MAX that wait for one; on rented
    machines their slots.
    """
    slots = sum(
        each.slots.get(backend, 0) for each in seen.watchers if capability is None or capability in each.capabilities
    )
    held = sum(
        seen.survey.held[each.name]
        for each in seen.lanes
        if each.backend == backend and capability in {None, each.capability}
    )
    if backend == "metal":
        return seen.limits.metal_queue_max * slots - held
    return (slots + (seen.limits.cloud_queue_max if backend == "cloud" else 0) if slots else 0) - held
