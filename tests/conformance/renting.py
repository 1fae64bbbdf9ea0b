"""Rented machines for tests: an instance as a watcher writes it, and what the ledger says of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from lib.market.instance import Instance
from lib.redisqueue import instances, spend
from lib.redisqueue.instances import Intended, RentRefused

if TYPE_CHECKING:
    from tests.conformance.stage import Stage

USD = 1_000_000
HOUR = 3600.0


def machine(intent: str = "aaaa0001", **more: Any) -> Instance:
    """What is known of an instance before it is asked for; half a dollar an hour, for two hours."""
    values: dict[str, Any] = {
        "intent": intent,
        "fence": "",
        "market": "vast",
        "state": "intended",
        "since": 1000.0,
        "deadline": 1060.0,
        "expires_at": 1000.0 + 2 * HOUR,
        "offer": "offer-1",
        "machine_id": "m-7",
        "gpu": "RTX 4090",
        "dph": USD // 2,
    }
    return Instance(**(values | more))


@dataclass
class Renting:
    """One watcher that rents."""

    stage: Stage
    session: str = ""

    async def opened(self, name: str = "renter") -> Renting:
        """With a session."""
        self.session = await self.stage.open(name)
        return self

    async def ask(self, intent: str = "aaaa0001", **more: Any) -> Intended | RentRefused:
        """Ask for the first machine, for a dollar at worst, on a day that may cost three."""
        wish: dict[str, Any] = {"living": 0, "most": 1, "reserve": USD, "cap": 3 * USD}
        instance = machine(intent, **{name: more.pop(name) for name in list(more) if name not in wish})
        return await instances.intend(self.stage.queue, self.session, instance, **(wish | more))

    async def rent(self, intent: str = "aaaa0001", **more: Any) -> Instance:
        """The same, and it must be granted."""
        answer = await self.ask(intent, **more)
        assert isinstance(answer, Intended), answer
        return answer.instance

    async def advance(self, instance: Instance, charge: int = 0, **changes: Any) -> Instance | None:
        """Change its fields, and charge."""
        return await instances.advance(self.stage.queue, self.session, replace(instance, **changes), charge)

    async def advanced(self, instance: Instance, charge: int = 0, **changes: Any) -> Instance:
        """The same, and it must be done."""
        then = await self.advance(instance, charge, **changes)
        assert then is not None
        return then

    async def rows(self) -> dict[str, Instance]:
        """The rows that can be read."""
        return {row.intent: row for row in (await instances.rows(self.stage.queue)).instances}

    async def money(self) -> tuple[int, int]:
        """Settled today, and reserved."""
        today = await spend.today(self.stage.queue)
        return today.settled, today.reserved

    async def restarted(self) -> None:
        """The server was restarted: it says so by another run_id."""
        client, key = self.stage.queue.client, self.stage.queue.keys.of("quota")
        await client.hset(key, mapping={"run": "before", "since_us": str((await self.stage.now_ms() + 1) * 1000)})

    async def forget(self, *names: str) -> None:
        """Fields of the row hash are lost."""
        await self.stage.queue.client.hdel(self.stage.queue.keys.of("instances"), *names)
