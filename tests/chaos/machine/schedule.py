"""From a seed to what is broken, where and when: pure, so that the same seed gives the same schedule, byte for byte.

It does nothing itself; `faults.py` carries a schedule out, and the machine prints it first.
"""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MACHINE_LIFE_SECONDS: Final = 3.0
MACHINE_SWEEP_SECONDS: Final = 0.8
MACHINE_RENEW_SECONDS: Final = 0.4
"""L, S and the renewals of every watcher here. A seed's schedule depends on them, so they are the machine's own."""

SHORT: Final = (0.2, 1.5)
BEYOND_LIFE: Final = (MACHINE_LIFE_SECONDS + 0.7, MACHINE_LIFE_SECONDS * 2)
"""Longer than a session lives."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong: `at` seconds after the start, for `seconds` (0: it is over at once)."""

    at: float
    kind: str
    target: str
    seconds: float = 0.0
    detail: str = ""

    @property
    def line(self) -> str:
        """For people, and for comparing."""
        return f"{self.at:9.3f} s  {self.kind:<16} {self.target:<11} {self.seconds:6.3f} s  {self.detail}".rstrip()


@dataclass(frozen=True, slots=True)
class _Kind:
    """How often a fault comes, on what kind of target, for how long, and with which details."""

    weight: float
    on: str
    seconds: tuple[float, float] = (0.0, 0.0)
    details: tuple[str, ...] = ("",)


_NAMES: Final = ("same name", "same name", "new name and host")
_CATCHES: Final = ("reset", "reset", "silence")
KINDS: Final[Mapping[str, _Kind]] = {
    "kill": _Kind(22, "watcher", (0.1, MACHINE_LIFE_SECONDS), _NAMES),
    "term": _Kind(4, "watcher", (0.1, 1.0), _NAMES),
    "pause": _Kind(9, "watcher", SHORT),
    "long_pause": _Kind(6, "watcher", BEYOND_LIFE),
    "reset": _Kind(12, "wire"),
    "lose_reply": _Kind(16, "wire", details=_CATCHES),
    "blackhole": _Kind(7, "wire", SHORT),
    "long_blackhole": _Kind(4, "wire", BEYOND_LIFE),
    "half_open": _Kind(3, "wire", BEYOND_LIFE),
    "delay": _Kind(6, "wire", SHORT, ("20 ms", "80 ms", "200 ms")),
    "producer_kill": _Kind(7, "producer", (0.1, 1.0)),
    "server_kill": _Kind(4, "server", (0.1, 1.5)),
    "long_server_kill": _Kind(1.5, "server", BEYOND_LIFE),
    "server_restart": _Kind(2.5, "server", (0.1, 1.0)),
    "server_pause": _Kind(4, "server", SHORT),
    "long_server_pause": _Kind(2, "server", BEYOND_LIFE),
    "clock": _Kind(5, "server", details=("+0", "+3", "-5", "+40", "-40", "+3600", "-3600")),
    "server_full": _Kind(3, "server", SHORT),
    "script_flush": _Kind(5, "server"),
    "disk_full": _Kind(4, "disk", (0.5, 3.0)),
    "stale_entry": _Kind(6, "hand", details=("waiting", "running")),
    "junk": _Kind(3, "hand"),
    "group_lost": _Kind(2, "hand"),
}

NEEDS: Final = {"clock": "libfaketime", "disk_full": "root, to mount a small disk"}
"""What a kind cannot do without on this machine."""

FIRST_SHARE, LAST_SHARE = 0.03, 0.96
"""When the first and the last fault may come, as shares of the run."""
_REST_SECONDS: Final = 0.5
"""How long a target is left alone after a fault, so that each is seen by itself."""


def targets(watchers: int, producers: int) -> dict[str, tuple[str, ...]]:
    """What can be hit, by the word that a kind uses."""
    return {
        "watcher": tuple(f"watcher-{i}" for i in range(1, watchers + 1)),
        "wire": (*(f"wire-{i}" for i in range(1, watchers + 1)), "wire-p"),
        "producer": tuple(f"producer-{i}" for i in range(1, producers + 1)),
        "server": ("server",),
        "disk": ("disk",),
        "hand": ("hand",),
    }


def draw(
    seed: int, *, seconds: float, faults: int, watchers: int, producers: int, only: Iterable[str] = ()
) -> list[Fault]:
    """The schedule of a seed, sorted by time; `only` names the kinds to draw from, all of them when empty."""
    chance = random.Random(f"faults {seed}")  # noqa: S311 - the same each time is what is asked
    kinds = {name: KINDS[name] for name in (tuple(only) or KINDS)}
    places = targets(watchers, producers)
    free_at: dict[str, float] = {}
    span = seconds * (LAST_SHARE - FIRST_SHARE) / max(faults, 1)
    drawn: list[Fault] = []
    for i in range(faults):
        at = round(seconds * FIRST_SHARE + (i + chance.random()) * span, 3)
        fault = _one(chance, at, kinds, places, free_at)
        if fault is not None:
            drawn.append(fault)
    return sorted(drawn, key=lambda each: (each.at, each.target))


def _one(
    chance: random.Random,
    at: float,
    kinds: Mapping[str, _Kind],
    places: Mapping[str, tuple[str, ...]],
    free_at: dict[str, float],
) -> Fault | None:
    """A fault on a target that is whole by then; None when all are broken already."""
    whole = {
        name: [place for place in places[kind.on] if free_at.get(_busy(place), 0.0) <= at]
        for name, kind in kinds.items()
    }
    open_to = [name for name, found in whole.items() if found]
    if not open_to:
        return None
    name = chance.choices(open_to, [kinds[each].weight for each in open_to])[0]
    kind = kinds[name]
    target = chance.choice(whole[name])
    seconds = round(chance.uniform(*kind.seconds), 3)
    detail = chance.choice(kind.details)
    free_at[_busy(target)] = at + seconds + _REST_SECONDS
    return Fault(at, name, target, seconds, detail)


def _busy(place: str) -> str:
    """What a hand does needs a server that answers, so the two are one target."""
    return "server" if place == "hand" else place


def possible(schedule: Iterable[Fault], missing: Iterable[str]) -> list[Fault]:
    """The schedule without the kinds that this machine cannot do; what stays is as it was."""
    left_out = frozenset(missing)
    return [fault for fault in schedule if fault.kind not in left_out]


def text(schedule: Iterable[Fault]) -> str:
    """A line each."""
    return "\n".join(fault.line for fault in schedule)


def as_json(fault: Fault) -> dict[str, Any]:
    """For the history."""
    return asdict(fault)
