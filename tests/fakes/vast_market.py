"""The state of the fake market: its offers, whose keys it knows, and every instance with its life, host and meter.

All of it happens in the loop of `tests.fakes.vast_wire`. It knows nothing of HTTP or of faults on the wire. Called by
`tests.fakes.vast_server`.
"""

from __future__ import annotations

import asyncio
import shutil
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.fakes.billing import BillLine, Meter
from tests.fakes.hosts import Host, HostMissingError
from tests.fakes.vast_lives import Life, Plan, Rented

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.fakes.billing import MarketClock
    from tests.fakes.vast_offers import Offer

MAIN = "main"


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose key a call bears: an account's, or that of one instance, which may do nothing but destroy itself."""

    account: str
    instance: int = 0


@dataclass
class Market:
    """What there is. `keys` maps each API key to its account; None: any key is the main account's.

    With `one_listing` all accounts are one team: each sees, and may destroy, the instances of all. `hosts` is where
    the files of hosts go; None: instances have no hosts, and no address. `credit` is dollars at the start.
    """

    clock: MarketClock
    offers: dict[int, Offer]
    keys: Mapping[str, str] | None = None
    one_listing: bool = False
    credit: dict[str, float] = field(default_factory=dict)
    hosts: Path | None = None
    url: str = ""
    instances: dict[int, Rented] = field(default_factory=dict)
    plans: list[Plan] = field(default_factory=list)
    account_keys: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    _last_id: int = 7_000_000

    def caller(self, key: str) -> Caller | None:
        """Whose key it is."""
        for each in self.instances.values():
            if each.key == key:
                return Caller(each.account, each.id)
        account = MAIN if self.keys is None else self.keys.get(key)
        return None if account is None else Caller(account)

    def visible(self, account: str) -> list[Rented]:
        """What a listing shows, oldest first."""
        now = self.clock.time()
        return [
            each
            for each in self.instances.values()
            if (self.one_listing or each.account == account)
            and (not each.gone or (each.listed_until is not None and now < each.listed_until))
        ]

    def left(self, account: str) -> float:
        """Dollars that the account has left."""
        spent = sum(each.dollars for each in self.bill() if each.account == account)
        return self.credit.get(account, 100.0) - spent

    def bill(self) -> list[BillLine]:
        """What each instance has cost until now."""
        now = self.clock.time()
        return [each.meter.line(now) for each in list(self.instances.values())]

    def rent(self, account: str, offer: Offer, order: dict[str, Any], *, plan: Plan | None = None) -> Rented:
        """Begin an instance; it costs from now on."""
        self._last_id += 1
        now = self.clock.time()
        bid = order.get("price")
        disk = float(order.get("disk") or 10.0)
        machine = str(offer.machine_id)
        label = order.get("label")
        dph = offer.dph if bid is None else float(bid)
        meter = Meter(self._last_id, label or "", account, machine, dph, offer.storage_dph(disk), now)
        found = plan or next((each for each in self.plans if each.takes(offer.machine_id)), None) or Plan()
        rented = Rented(self._last_id, account, offer, order, found, meter, label, is_bid=bid is not None)
        rented.turn(None, None, now)
        offer.rented = True
        if self.hosts is not None:
            rented.host = self._host_of(rented, self.hosts)
        self.instances[rented.id] = rented
        rented.living = asyncio.get_running_loop().create_task(self._live(rented, found.life))
        return rented

    def _host_of(self, rented: Rented, place: Path) -> Host:
        env = {str(name): str(value) for name, value in (rented.order.get("env") or {}).items() if name[:1] != "-"}
        host = Host(
            place / str(rented.id),
            plan=rented.plan.host,
            onstart=rented.order.get("onstart") or "",
            env=env,
            onstart_env={
                "CONTAINER_ID": str(rented.id),
                "CONTAINER_API_KEY": rented.key,
                "CONTAINER_LABEL": f"C.{rented.id}",
                "VAST_CONTAINERLABEL": f"C.{rented.id}",
                "VAST_URL": self.url,
            },
        )
        for key in self.account_keys[rented.account]:
            host.allow(key)
        return host

    async def _live(self, rented: Rented, life: Life) -> None:
        for status, seconds in life.steps():
            if status is not None or seconds:
                try:
                    await self.turn(rented, status, life.message if status == life.becomes else None)
                except HostMissingError as exc:
                    rented.turn("exited", str(exc), self.clock.time())
                    return
            if seconds is None:
                return
            await asyncio.sleep(self.clock.real(seconds))

    async def turn(self, rented: Rented, status: str | None, message: str | None = None) -> None:
        """Give it this status; its host is on while it is running, and off in all others but `unknown`."""
        if rented.gone:
            return
        if rented.host is not None and status != "unknown":
            switch = rented.host.start if status == "running" else rented.host.kill
            # Shielded: whoever ends this life waits for the switch, lest the host come up behind his back.
            rented.switching = asyncio.ensure_future(asyncio.to_thread(switch))
            await asyncio.shield(rented.switching)
        if not rented.gone:
            rented.turn(status, message, self.clock.time())

    async def force(self, rented: Rented, status: str, message: str | None = None) -> None:
        """The same, whatever its life had in store."""
        await self._stop_living(rented)
        await self.turn(rented, status, message)

    async def change(self, rented: Rented, state: str) -> None:
        """Start or stop it, as its renter asks."""
        rented.intended = state
        await self._stop_living(rented)
        if state == "running":
            rented.living = asyncio.get_running_loop().create_task(self._live(rented, rented.plan.life))
        else:
            await self.turn(rented, "stopped")

    async def destroy(self, rented: Rented, lingers: float | None = None) -> None:
        """End it: its host is dead and its files are gone when this returns, and then its bill ends."""
        if rented.gone:
            return
        await self._stop_living(rented)
        if rented.host is not None:
            await asyncio.to_thread(rented.host.remove)
        now = self.clock.time()
        rented.gone = True
        rented.meter.end(now)
        rented.listed_until = None if lingers is None else now + lingers
        rented.offer.rented = any(each.offer is rented.offer and not each.gone for each in self.instances.values())

    async def close(self) -> None:
        """Every host dies; the books stay."""
        for each in self.instances.values():
            await self._stop_living(each)
            if each.host is not None:
                await asyncio.to_thread(each.host.remove)
        if self.hosts is not None:
            await asyncio.to_thread(shutil.rmtree, self.hosts, ignore_errors=True)

    async def _stop_living(self, rented: Rented) -> None:
        living, rented.living = rented.living, None
        if living is not None and not living.done():
            living.cancel()
            await asyncio.wait([living])
        if rented.switching is not None:
            await asyncio.wait([rented.switching])
