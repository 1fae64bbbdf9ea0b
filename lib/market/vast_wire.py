"""What Vast.ai's API says, in our words: offers, instances and whole listings. Pure; it asks nobody.

The API's answers are not trusted: a row that cannot be read is left out where that costs nothing (an offer), and makes
the whole answer unknown where it would hide a bill (an instance). Called by `lib.market.vast` alone.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Final

from lib.market.base import Address, MarketOffer, Seen, Status
from lib.market.errors import UnknownListingError
from lib.money import MICRO

if TYPE_CHECKING:
    from collections.abc import Mapping

HOURS_A_MONTH: Final = 720
"""Storage is priced by the month of thirty days."""

LONGEST_MESSAGE: Final = 300

_LOOKED_AT: Final = 8 * LONGEST_MESSAGE
"""Characters of a text, whatever its length: to go through megabytes takes seconds, and others wait meanwhile."""

_PORT_DIGITS: Final = 5

_MOST: Final = 2**63
"""No figure of the API reaches it; JSON knows numbers that are no float."""

_LOADING: Final = frozenset({"", "created", "loading", "scheduling", "running"})
"""What a start passes through; `running` only until the container runs as well."""

_NEVER_STARTS: Final = re.compile(
    r"error response from daemon|failed to (?:create|start) |oci runtime|no such image|manifest (?:unknown|for )"
    r"|pull access denied",
    re.IGNORECASE,
)
"""A container that could not be made: the market goes on saying `loading`, and goes on charging."""

_HOST: Final = re.compile(r"^[A-Za-z0-9](?:[A-Za-z0-9.:-]{0,253}[A-Za-z0-9])?$")


def number(value: Any) -> float | None:
    """A number from zero up that is not beyond all sense; anything else is None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < _MOST else None


def whole(value: Any) -> int | None:
    """A positive whole number, as ids are."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < _MOST else None


def money(value: Any) -> int:
    """Dollars as millionths, rounded up; 0 where it is no number."""
    # The tenth of a millionth is what a float adds to a price that was none.
    return math.ceil((number(value) or 0.0) * MICRO - 0.1)


def words(value: Any) -> str:
    """A text of the market on one line that is not too long."""
    text = value if isinstance(value, str) else ""
    return " ".join("".join(c if c.isprintable() else " " for c in text[:_LOOKED_AT]).split())[:LONGEST_MESSAGE]


def offer_of(row: Any, *, interruptible: bool) -> MarketOffer | None:
    """One row of a search; None where it is no offer that could be rented."""
    if not isinstance(row, dict):
        return None
    offer_id, machine_id = whole(row.get("id")), whole(row.get("machine_id"))
    storage = number(row.get("storage_cost"))
    price = _price(row, storage, interruptible=interruptible)
    if offer_id is None or machine_id is None or not price:
        return None
    if row.get("rentable") is False or row.get("rented") is True:
        return None
    return MarketOffer(
        id=str(offer_id),
        machine_id=str(machine_id),
        gpu=words(row.get("gpu_name")),
        gpus=int(number(row.get("num_gpus")) or 0),
        gpu_memory_gb=(number(row.get("gpu_ram")) or 0.0) / 1000,
        dph=money(price),
        storage_gb_hour=math.ceil((storage or 0.0) * MICRO / HOURS_A_MONTH),
        upload_gb=money(row.get("inet_up_cost")),
        download_gb=money(row.get("inet_down_cost")),
        reliability=min(number(row.get("reliability", row.get("reliability2"))) or 0.0, 1.0),
        up_mbps=number(row.get("inet_up")) or 0.0,
        down_mbps=number(row.get("inet_down")) or 0.0,
        disk_gb=number(row.get("disk_space")) or 0.0,
        cuda=words(str(row.get("cuda_max_good") or "")),
        place=words(row.get("geolocation")),
        interruptible=interruptible,
        min_bid=money(row.get("min_bid")),
    )


def _price(row: Mapping[str, Any], storage: float | None, *, interruptible: bool) -> float | None:
    """Dollars an hour. The base has no storage in it; the total has, and counts where one of them is not known."""
    if interruptible:
        return number(row.get("min_bid"))
    base, total = row.get("dph_base"), row.get("dph_total")
    return number(total if not base or (storage is None and number(total)) else base)


def status_of(row: Mapping[str, Any]) -> Status:
    """How an instance is, from the four fields in which the API says so.

    `actual_status` is the container, `cur_state` the contract, `intended_status` what its owner wants. A contract that
    stands still is `stopped` whatever its container says: it was outbid, taken away, or never begun after a race.
    """
    actual, contract, intended = (
        words(row.get(name)).lower() for name in ("actual_status", "cur_state", "intended_status")
    )
    if actual == "offline":
        return "offline"
    if "stopped" in {actual, contract, intended} or contract == "inactive":
        # Between create and start there is a moment in which nothing runs yet and nothing was said.
        return "loading" if not actual and not words(row.get("status_msg")) else "stopped"
    if actual == "exited":
        return "exited"
    if actual == "running" and contract in {"", "running"}:
        return "running"
    if actual in _LOADING:
        return "exited" if _NEVER_STARTS.search(words(row.get("status_msg"))) else "loading"
    return "unknown"


def seen_of(row: Any) -> Seen | None:
    """One instance; None where it has no id, or nothing is said of its label, without which it would be nobody's."""
    if not isinstance(row, dict) or "label" not in row:
        return None
    market_id, label = whole(row.get("id")), row["label"]
    if market_id is None or not (label is None or isinstance(label, str)):
        return None
    started = number(row.get("start_date"))
    machine_id = whole(row.get("machine_id"))
    return Seen(
        market_id=str(market_id),
        label=(label or "").strip(),
        status=status_of(row),
        message=words(row.get("status_msg")),
        address=_address(row),
        machine_id="" if machine_id is None else str(machine_id),
        dph=money(row.get("dph_total")),
        started_at=started or None,
    )


def _address(row: Mapping[str, Any]) -> Address | None:
    host, port = row.get("ssh_host"), row.get("ssh_port")
    if isinstance(port, str):
        port = int(port) if port.isdecimal() and len(port) <= _PORT_DIGITS else None
    port = whole(port)
    if not isinstance(host, str) or not _HOST.fullmatch(host) or not port or port > 65535:  # noqa: PLR2004 - the last port
        return None
    return Address(host=host, port=port)


class Pages:
    """Puts a listing together from its pages, and says at the end whether it is whole.

    Raises UnknownListingError at the first thing that cannot be so: a page that is none, an instance twice, a number
    of all that changes or is not reached.
    """

    MOST: Final = 400
    """Pages: ten thousand instances; an account with more is a server that never ends."""

    def __init__(self) -> None:
        self.rows: dict[str, Seen] = {}
        self._tokens: set[str] = set()
        self._total: int | None = None

    def add(self, page: Any) -> str | None:
        """Take a page in; the token of the next one, None after the last."""
        if not isinstance(page, dict) or not isinstance(page.get("instances"), list):
            raise _unknown("a page without instances")
        if page.get("success") is False:
            raise _unknown("it says itself that it did not succeed")
        self._count(page.get("total_instances"))
        for row in page["instances"]:
            seen = seen_of(row)
            if seen is None:
                raise _unknown("an instance without an id or a label")
            if seen.market_id in self.rows:
                raise _unknown(f"instance {seen.market_id} is on two pages")
            self.rows[seen.market_id] = seen
        token = page.get("next_token")
        if not token:
            if self._total is None and "next_token" not in page:
                raise _unknown("nothing says where it ends")
            self._end()
            return None
        if not isinstance(token, str) or token in self._tokens or len(self._tokens) >= self.MOST:
            raise _unknown("the pages do not end")
        if not page["instances"]:
            raise _unknown("an empty page before the last")
        self._tokens.add(token)
        return token

    def _count(self, total: Any) -> None:
        if total is None:
            return
        if isinstance(total, bool) or not isinstance(total, int) or total < 0:
            raise _unknown("a number of instances that is none")
        if self._total is not None and total != self._total:
            raise _unknown("the number of instances changed from page to page")
        self._total = total

    def _end(self) -> None:
        if self._total is None and not self.rows:
            raise _unknown("an empty page that does not say that there are none")
        if self._total is not None and self._total != len(self.rows):
            raise _unknown(f"{len(self.rows)} of {self._total} instances")


def _unknown(why: str) -> UnknownListingError:
    return UnknownListingError(
        f"Vast.ai's list of instances cannot be believed: {why}", hint="nothing is concluded from it; it is asked again"
    )
