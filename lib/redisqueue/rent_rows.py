"""What the row of a rented machine and its bill hold, as text: written and read here and nowhere else.

A row begins with what the scripts change (lua/include/rent.lua); the rest is one JSON object that they keep as it is.
A row that does not say everything, or says it in another form, is damaged: it is shown, and never guessed at. Pure.
Called by `lib.redisqueue.instances`.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import MISSING, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Final, cast

from lib.errors import QueueError
from lib.market.instance import STATES, Instance, seconds_by_state

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lib.market.instance import InstanceState

REST_MAX: Final = 4096
"""Bytes of the JSON of one row: ten times what a market's names need."""

WHY_MAX: Final = 500
"""Characters of a reason: a host may say whatever it likes."""

_HEAD: Final = re.compile(
    r"(\d{1,15})\|(\d{1,20})\|([a-z]+)\|\d{1,15}\|(\d{1,15})\|([01])\|([^|]*)\|(\{.*)", re.DOTALL | re.ASCII
)
_INTENT: Final = re.compile(r"[A-Za-z0-9]{8,40}")

_IN_THE_HEAD: Final = frozenset({"intent", "fence", "state", "cost", "owner", "version"})
_REST: Final = tuple(each for each in fields(Instance) if each.name not in _IN_THE_HEAD)
"""What the JSON holds. A field that is new has a default, and rows of before are without it."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row that can be read; `told`: somebody wants it to be over."""

    instance: Instance
    told: bool


@dataclass(frozen=True, slots=True)
class Bill:
    """What an instance came to. `spent` is seconds by state, `why` the reason of its end."""

    intent: str
    market: str
    market_id: str
    machine_id: str
    gpu: str
    dph: int
    micro: int
    jobs: int
    why: str
    failed: bool
    created_at: float | None
    ended_at: float
    spent: Mapping[InstanceState, float]


def rest_of(instance: Instance) -> bytes:
    """The JSON of a row: all that the scripts neither read nor change.

    Raises:
        QueueError: the intent is no name for a label, a number is none, or it is too long.

    """
    if not _INTENT.fullmatch(instance.intent):
        raise QueueError(f"not an intent: {instance.intent!r}", hint="8 to 40 letters and digits")
    said = {each.name: getattr(instance, each.name) for each in _REST}
    said |= {"reason": instance.reason[:WHY_MAX], "spent": dict(instance.spent)}
    try:
        rest = json.dumps(said, allow_nan=False, separators=(",", ":")).encode()
    except ValueError as exc:
        raise QueueError(f"instance {instance.intent}: a time that is no number: {exc}") from exc
    if len(rest) > REST_MAX:
        raise QueueError(f"instance {instance.intent}: a row of {len(rest)} bytes, more than {REST_MAX}")
    return rest


def read_row(intent: str, raw: bytes) -> Row | None:
    """The row in a field; None for one that is damaged."""
    try:
        found = _HEAD.fullmatch(raw.decode())
        said = json.loads(found[7]) if found else None
    except (ValueError, RecursionError):
        return None
    if found is None or not isinstance(said, dict) or found[3] not in STATES:
        return None
    known: dict[str, Any] = {}
    for each in _REST:
        if each.name in said:
            if not _FITS[str(each.type)](said[each.name]):
                return None
            known[each.name] = said[each.name]
        elif each.default is MISSING and each.default_factory is MISSING:
            return None
    known["spent"] = _seconds(known.get("spent"))
    instance = Instance(
        intent=intent,
        fence=found[2],
        state=cast("InstanceState", found[3]),
        cost=int(found[4]),
        owner=found[6],
        version=int(found[1]),
        **known,
    )
    return Row(instance, found[5] == "1")


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_moment(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


_FITS: Final[Mapping[str, Callable[[object], bool]]] = {
    "str": lambda value: isinstance(value, str),
    "int": _is_whole,
    "float": _is_moment,
    "float | None": lambda value: value is None or _is_moment(value),
    "bool": lambda value: isinstance(value, bool),
    "Mapping[InstanceState, float]": lambda value: isinstance(value, dict),
}
"""By the type of a field, as it is written there: whether this may be its value."""


def _seconds(said: object) -> dict[InstanceState, float]:
    """Seconds by state; what is no state, or no number of seconds, is left out: it only informs."""
    known = said if isinstance(said, dict) else {}
    return {
        cast("InstanceState", state): float(seconds)
        for state, seconds in known.items()
        if state in STATES and _is_moment(seconds)
    }


def adopted(instance: Instance, now: float, seconds: float) -> Instance:
    """How an instance stands whose new owner will destroy it; the script gives it fence, owner and version.

    What its owner had asked for in vain says nothing any more: asked and counted from the beginning.
    """
    then = replace(instance, state="destroying", deadline=now + seconds, asked=0, absent_at=None)
    if instance.state == "destroying":
        return then
    return replace(then, since=now, spent=seconds_by_state(instance, now), reason="orphaned")


def bill_of(instance: Instance, micro: int) -> bytes:
    """The JSON of a bill, without its intent and the time of its end, which stand beside it."""
    return json.dumps(
        {
            "schema_version": 1,
            "market": instance.market,
            "market_id": instance.market_id,
            "machine_id": instance.machine_id,
            "gpu": instance.gpu,
            "dph": instance.dph,
            "micro": micro,
            "jobs": instance.jobs_done,
            "why": instance.reason[:WHY_MAX],
            "failed": instance.failed,
            "created_at": instance.created_at,
            "spent": dict(instance.spent),
        },
        separators=(",", ":"),
    ).encode()


def read_bill(intent: str, raw: bytes, ended_at: float) -> Bill | None:
    """The bill of an entry; None for one that cannot be read."""
    try:
        said = json.loads(raw)
        return Bill(
            intent=intent,
            market=str(said["market"]),
            market_id=str(said["market_id"]),
            machine_id=str(said["machine_id"]),
            gpu=str(said["gpu"]),
            dph=int(said["dph"]),
            micro=int(said["micro"]),
            jobs=int(said["jobs"]),
            why=str(said["why"]),
            failed=bool(said["failed"]),
            created_at=None if said["created_at"] is None else float(said["created_at"]),
            ended_at=ended_at,
            spent=_seconds(said["spent"]),
        )
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
