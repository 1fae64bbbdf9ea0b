"""Every key of the queue, declared once.

`Keys(prefix)` gives the fixed keys by the names that the headers of the Lua files use. Intakes and lanes are
streams that come and go; their names, relative to `<prefix>:jobs:`, are made and read here and nowhere else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

from lib.errors import SettingsError

GROUP: Final = "watchers"
"""The consumer group of every lane."""

_NAMES_KEPT: Final = 1024
"""How many names are read once and remembered: every job names its lane and its intake."""

Priority = Literal["high", "normal", "low"]
Pin = Literal["", "metal", "cloud", "vast"]
PINS: Final[tuple[Pin, ...]] = ("", "metal", "cloud", "vast")
PRIORITIES: Final[tuple[Priority, ...]] = ("high", "normal", "low")

_FIXED: Final = {
    "fence": ("jobs:fence", "string"),
    "index": ("jobs:req:index", "hash"),
    "result": ("jobs:result", "hash"),
    "failed": ("jobs:failed", "hash"),
    "due": ("jobs:retry:zset", "zset"),
    "delayed": ("jobs:delayed", "hash"),
    "key": ("jobs:key", "hash"),
    "key_wait": ("jobs:key:wait", "zset"),
    "history_done": ("jobs:history:done", "stream"),
    "history_failed": ("jobs:history:failed", "stream"),
    "history_cancelled": ("jobs:history:cancelled", "stream"),
    "expiry": ("jobs:expiry", "zset"),
    "progress": ("jobs:progress", "hash"),
    "events": ("jobs:events", "stream"),
    "control": ("jobs:control", "stream"),
    "wake": ("jobs:wake", "stream"),
    "outbox": ("jobs:outbox:publish", "stream"),
    "outbox_callback": ("jobs:outbox:callback", "stream"),
    "callback_due": ("jobs:outbox:callback:due", "zset"),
    "rejected": ("jobs:rejected", "stream"),
    "intakes": ("jobs:intakes", "set"),
    "lanes": ("jobs:lanes", "set"),
    "backlogs": ("jobs:backlogs", "set"),
    "sessions": ("watcher:sessions", "zset"),
    "sweep": ("watcher:sweep", "hash"),
    "lock": ("watcher:lock", "hash"),
    "heartbeat": ("watcher:heartbeat", "hash"),
    "instances": ("watcher:instance", "hash"),
    "namespace": ("watcher:namespace", "string"),
    "bills": ("watcher:bills", "stream"),
    "excluded": ("watcher:excluded", "hash"),
    "counters": ("metrics:jobs", "hash"),
    "quota": ("quota:pools", "hash"),
    "quota_grants": ("quota:grants", "zset"),
    "quota_calls": ("quota:calls", "hash"),
    "spend": ("spend:days", "hash"),
    "spend_open": ("spend:open", "hash"),
    "measures": ("measure:sums", "hash"),
    "moves": ("quota:moves", "zset"),
    "deadlines": ("jobs:deadlines", "zset"),
}

_PREFIX = re.compile(r"[A-Za-z0-9_.{}-]{1,64}")
_PART = re.compile(r"[a-z0-9_]{1,64}")
_BACKLOG = re.compile(r"[a-z0-9]([a-z0-9_-]{0,62}[a-z0-9])?")

DEFAULT_BACKLOG: Final = "default"
_INLET: Final = "stream"
"""The intake of unpinned speech of the default backlog: other programs may add to it by hand."""


@dataclass(frozen=True, slots=True)
class IntakeName:
    """One intake stream: a backlog, a priority, and the class (capability, pin) of the jobs in it."""

    backlog: str
    priority: Priority
    capability: str
    pin: Pin = ""

    def __str__(self) -> str:
        if self == _COMMONEST:
            return _INLET
        root = _INLET if self.backlog == DEFAULT_BACKLOG else f"backlog:{self.backlog}"
        tail = f":{self.pin}" if self.pin else ""
        return f"{root}:{self.priority}:{self.capability}{tail}"

    def high(self) -> IntakeName:
        """The intake of the same class where what comes back from a lane goes."""
        return IntakeName(self.backlog, "high", self.capability, self.pin)


_COMMONEST: Final = IntakeName(DEFAULT_BACKLOG, "normal", "speech")


@lru_cache(maxsize=_NAMES_KEPT)
def parse_intake(name: str) -> IntakeName:
    """The intake of a relative name; ValueError for a name that this module did not make."""
    if name == _INLET:
        return _COMMONEST
    parts = name.split(":")
    if parts[0] == _INLET:
        backlog, rest = DEFAULT_BACKLOG, parts[1:]
    elif parts[0] == "backlog" and len(parts) > 1:
        backlog, rest = parts[1], parts[2:]
    else:
        raise ValueError(f"not an intake: {name!r}")
    shapes = {2: (*rest, ""), 3: tuple(rest)}
    priority, capability, pin = shapes.get(len(rest), ("", "", ""))
    if (
        priority not in PRIORITIES
        or pin not in PINS
        or not (_BACKLOG.fullmatch(backlog) and _PART.fullmatch(capability))
    ):
        raise ValueError(f"not an intake: {name!r}")
    return IntakeName(backlog, priority, capability, PINS[PINS.index(pin)])


def backlog_of(intake: str) -> str:
    """The backlog of an intake's name; the default one for a name that this module did not make."""
    try:
        return parse_intake(intake).backlog
    except ValueError:
        return DEFAULT_BACKLOG


def is_intake(name: str) -> bool:
    """Whether `name` is an intake; in the set of their names anybody may have put something else."""
    try:
        parse_intake(name)
    except ValueError:
        return False
    return True


def is_lane(name: str) -> bool:
    """The same for lanes."""
    try:
        parse_lane(name)
    except ValueError:
        return False
    return True


def is_backlog(name: str) -> bool:
    """The same for backlogs."""
    return _BACKLOG.fullmatch(name) is not None


@dataclass(frozen=True, slots=True)
class LaneName:
    """One lane: the short stream in front of one backend's capability."""

    backend: str
    capability: str

    def __str__(self) -> str:
        return f"lane:{self.backend}:{self.capability}"


@lru_cache(maxsize=_NAMES_KEPT)
def parse_lane(name: str) -> LaneName:
    """The lane of a relative name; ValueError for a name that this module did not make."""
    match name.split(":"):
        case ["lane", backend, capability] if _PART.fullmatch(backend) and _PART.fullmatch(capability):
            return LaneName(backend, capability)
    raise ValueError(f"not a lane: {name!r}")


def parse_backlog(target: str) -> str:
    """The backlog's name out of `backlog:NAME`; SettingsError says what a name may be."""
    name = target.removeprefix("backlog:")
    if not _BACKLOG.fullmatch(name):
        raise SettingsError(
            f"not a backlog: {target!r}",
            hint="write backlog:NAME, lower-case letters, digits, '-' and '_', at most 64",
        )
    return name


class Keys:
    """The keys under one prefix: `of(name)` for the fixed ones, `stream(name)` for an intake or a lane."""

    def __init__(self, prefix: str = "pab") -> None:
        if not _PREFIX.fullmatch(prefix):
            raise SettingsError(
                f"JOBS_PREFIX: {prefix!r} is not allowed",
                hint="use letters, digits, '_', '.', '-', and braces for a Cluster, at most 64 characters",
            )
        self.prefix = prefix
        self._fixed = {name: f"{prefix}:{tail}" for name, (tail, _) in _FIXED.items()}

    @property
    def in_one_slot(self) -> bool:
        """Whether Redis Cluster keeps the whole queue in one slot: the prefix has a hash tag."""
        return re.search(r"\{[^{}]+\}", self.prefix) is not None

    def of(self, name: str) -> str:
        """The full key of a fixed key's name."""
        return self._fixed[name]

    def all_fixed(self) -> dict[str, str]:
        """Name -> full key, of every fixed key."""
        return dict(self._fixed)

    def stream(self, name: object) -> str:
        """The full key of an intake or lane, given as its name object or its relative name."""
        return f"{self.prefix}:jobs:{name}"

    @staticmethod
    def type_of(name: str) -> str:
        """The Redis type that a fixed key must have, as TYPE says it."""
        return _FIXED[name][1]
