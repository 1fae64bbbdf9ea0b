"""An instance of the fake market: how its life goes, as scripted, and the row that the API shows of it.

It keeps no time and bills nothing. Called by `tests.fakes.vast_server`.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.fakes.hosts import HostPlan

if TYPE_CHECKING:
    import asyncio

    from tests.fakes.billing import Meter
    from tests.fakes.hosts import Host
    from tests.fakes.vast_offers import Offer

_MESSAGES = {
    None: "",
    "loading": "pulling the image",
    "running": "success, running the image",
    "exited": "error: the container has exited with code 137",
    "offline": "the machine is offline",
    "unknown": "no heartbeat",
    "stopped": "stopped",
}


@dataclass(frozen=True, slots=True)
class Life:
    """What becomes of an instance by itself, in seconds of the market; None: for good.

    At first it is nothing (`provisioning`, no start date), then `loading`, then it `becomes` something, and if that
    `lasts` so long only, `then` another thing. `loading=None` is stuck. `stopped` is what a preempted one becomes.
    """

    provisioning: float = 0.02
    loading: float | None = 0.05
    becomes: str = "running"
    lasts: float | None = None
    then: str = "stopped"
    message: str | None = None

    def steps(self) -> list[tuple[str | None, float | None]]:
        """Each status and how long it lasts."""
        return [(None, self.provisioning), ("loading", self.loading), (self.becomes, self.lasts), (self.then, None)]


@dataclass(slots=True)
class Plan:
    """What the next instances on a machine are like: `times` of them, None: all; `machine` 0: on any."""

    life: Life = field(default_factory=Life)
    host: HostPlan = field(default_factory=HostPlan)
    machine: int = 0
    times: int | None = None

    def takes(self, machine: int) -> bool:
        """Whether it is for this one, counting it."""
        if self.machine not in {0, machine} or self.times == 0:
            return False
        if self.times is not None:
            self.times -= 1
        return True


@dataclass
class Rented:
    """One instance; `status` is the API's `actual_status`, `until` when a destroyed one is listed no more."""

    id: int
    account: str
    offer: Offer
    order: dict[str, Any]
    plan: Plan
    meter: Meter
    label: str | None
    is_bid: bool = False
    key: str = field(default_factory=lambda: secrets.token_hex(16))
    status: str | None = None
    intended: str = "running"
    message: str = ""
    started_at: float | None = None
    gone: bool = False
    listed_until: float | None = None
    host: Host | None = None
    living: asyncio.Task[None] | None = None
    switching: asyncio.Future[Any] | None = None

    def turn(self, status: str | None, message: str | None, at: float) -> None:
        """Become this."""
        self.status = status
        self.message = _MESSAGES.get(status, "") if message is None else message
        if status is not None and self.started_at is None:
            self.started_at = at
        if status in {"running", "stopped"}:
            self.intended = status
        self.meter.turn(status or "provisioning", at)

    def row(self, now: float) -> dict[str, Any]:
        """As the API shows it."""
        disk = float(self.order.get("disk") or 10.0)
        port = self.host.port if self.host else 0
        state = "stopped" if self.intended == "stopped" else "running"
        return {
            **self.offer.row(disk, bid=self.is_bid),
            "id": self.id,
            "label": self.label,
            "actual_status": self.status,
            "cur_state": state,
            "next_state": state,
            "intended_status": self.intended,
            "status_msg": self.message,
            "start_date": self.started_at,
            "end_date": None,
            "duration": None if self.started_at is None else now - self.started_at,
            "image_uuid": self.order.get("image"),
            "image_runtype": self.order.get("runtype") or "ssh_proxy",
            "onstart": self.order.get("onstart"),
            "extra_env": [list(each) for each in (self.order.get("env") or {}).items()],
            "disk_space": disk,
            "dph_base": self.meter.dph,
            "dph_total": self.meter.dph + self.meter.storage_dph,
            "is_bid": self.is_bid,
            "public_ipaddr": "127.0.0.1",
            "ssh_host": "127.0.0.1" if port else None,
            "ssh_port": port or None,
            "ssh_idx": "1",
            "machine_dir_ssh_port": port or None,
            "ports": {"22/tcp": [{"HostIp": "0.0.0.0", "HostPort": str(port)}]} if port else None,  # noqa: S104 - as shown
            "gpu_util": 0.0,
            "uptime_mins": None,
            "external": False,
        }
