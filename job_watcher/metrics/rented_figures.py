"""Rented machines as rows of metrics: out of one look at the queue, of bills, and of the backend that rents here.

Pure. What their time costs today is in the ledger, with all that is paid for; here is what is being paid for now, and
what the last machines came to. Called by `job_watcher.metrics.exposition`.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

from lib.market.instance import STATES
from lib.money import MICRO

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from job_watcher.backends.vast.condition import RentingHere
    from lib.redisqueue.instances import Bill

    Rows = Iterable[tuple[tuple[str, ...], float]]

SPAN_SECONDS: Final = 86_400.0
"""Of how long ago the bills are that are added up: of a shorter time there may be none for hours."""

SHOWN: Final = (*(state for state in STATES if state != "gone"), "damaged")
"""Of machines whose row stands; one that cannot be read is `damaged`."""

DOING: Final = ("starting", "working", "idle", "ending")
"""What the seconds of a bill went to."""

_DOING_IN: Final[Mapping[str, str]] = {"draining": "working", "idle": "idle", "destroying": "ending"}


@runtime_checkable
class Renter(Protocol):
    """A backend that rents machines."""

    @property
    def renting(self) -> RentingHere:
        """How that stands here."""


def machines(document: Mapping[str, Any]) -> dict[str, Rows]:
    """What is rented now, as the document of `status` says."""
    now = datetime.fromisoformat(document["timestamp"])
    found: list[Mapping[str, Any]] = document["instances"]
    sound = [each for each in found if not each["damaged"]]
    states = Counter("damaged" if each["damaged"] else each["state"] for each in found)
    ending = [each for each in sound if each["state"] == "destroying"]
    return {
        "rented_machines": [((state,), states[state]) for state in SHOWN],
        "rented_usd_per_hour": [((), sum(each["usd_per_hour"] for each in sound if each["created_at"]))],
        "rented_usd": [((), sum(each["usd"] for each in sound))],
        "rented_jobs": [((), sum(each["jobs"] for each in sound))],
        "rented_oldest_seconds": [((), _longest(now, (each["created_at"] for each in sound)))],
        "rented_overtime_seconds": [((), _longest(now, (each["expires_at"] for each in sound)))],
        "rented_ending_seconds": [((), _longest(now, (each["since"] for each in ending)))],
        "rented_ownerless": [((), sum(not each["owner_alive"] for each in sound))],
    }


def _longest(now: datetime, moments: Iterable[str | None]) -> float:
    """Seconds since the first of them; 0 where none has passed."""
    past = [(now - datetime.fromisoformat(moment)).total_seconds() for moment in moments if moment is not None]
    return max([0.0, *past])


def ended(bills: Iterable[Bill], now: float) -> dict[str, Rows]:
    """What the machines came to that ended within the last day; `now` is Unix seconds by the server's clock."""
    recent = [bill for bill in bills if bill.ended_at > now - SPAN_SECONDS]
    seconds = dict.fromkeys(DOING, 0.0)
    for bill in recent:
        for state, lasted in bill.spent.items():
            seconds[_DOING_IN.get(state, "starting")] += lasted
    well = sum(not bill.failed for bill in recent)
    return {
        "rented_ended_machines": [(("well",), well), (("failed",), len(recent) - well)],
        "rented_ended_usd": [((), sum(bill.micro for bill in recent) / MICRO)],
        "rented_ended_jobs": [((), sum(bill.jobs for bill in recent))],
        "rented_ended_seconds": [((doing,), lasted) for doing, lasted in seconds.items()],
    }


def here(renting: RentingHere | None, dead_man: float) -> dict[str, Rows]:
    """What only the watcher knows that drives them; `dead_man` is VAST_DEAD_MAN. Nothing of one that rents nothing."""
    if renting is None:
        return {}
    return {
        "renting_blocked": [((), float(renting.blocked))],
        "dead_man_silence_seconds": [((), renting.silence)],
        "dead_man_seconds": [((), dead_man)],
        "markets_unlisted": [((), renting.unlisted)],
        "stray_machines_ended": [((), renting.strays_ended)],
        "stray_machines_left": [((), renting.strays_left)],
    }
