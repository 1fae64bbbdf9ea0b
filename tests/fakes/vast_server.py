"""Vast.ai on loopback, for its real SDK and CLI: it rents out hosts, counts what they cost, and fails as it is told.

In a test: `with FakeVast(hosts=tmp_path / "hosts") as market:` and `market.url` as the server's URL; its server is a
thread, so blocking clients and other processes reach it too. For many processes: `python -m tests.fakes.vast_server
--port N --script FILE.json --hosts DIR`, which prints its URL as one line of JSON. What `script`, `plan` and `act` do
is done by POST /_faults, /_plans and /_do as well; GET /_requests, /_bill and /_instances show what came of it. It
knows nothing of our code. Without `hosts`, instances have no address.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import signal
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tests.fakes.billing import BillLine, MarketClock
from tests.fakes.hosts import HostMissingError, HostPlan, need_sshd
from tests.fakes.vast_api import Api
from tests.fakes.vast_faults import Rule, after, instead, refused
from tests.fakes.vast_lives import Life, Plan, Rented
from tests.fakes.vast_market import MAIN, Market
from tests.fakes.vast_offers import Offer
from tests.fakes.vast_wire import Asked, Reply, Wire

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.fakes.vast_market import Caller


@dataclass(slots=True)
class Request:
    """One request as it came: Unix seconds of its arrival; `key` is a hash; `who` an account, or `instance:ID`.

    `thing` is the offer of a create, else the instance. `status` is 0 where no reply was sent.
    """

    at: float
    operation: str
    method: str
    path: str
    query: Mapping[str, str]
    body: Any
    key: str
    who: str = ""
    thing: int = 0
    status: int = 0
    fault: str = ""


class FakeVast:
    """The fake; `requests` in order of arrival.

    Seconds of lives and bills are those of its clock: `speed` a real one, or a clock of the test's own. Where
    `most_per_second` is set, one key's requests beyond so many in a real second are refused with 429, all kinds alike.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        offers: Iterable[Offer] | None = None,
        hosts: Path | None = None,
        keys: Mapping[str, str] | None = None,
        credit: float | Mapping[str, float] = 100.0,
        one_listing: bool = False,
        speed: float = 1.0,
        clock: MarketClock | None = None,
    ) -> None:
        found = [Offer(id=101), Offer(id=102, dph=0.3), Offer(id=103, dph=0.4)] if offers is None else list(offers)
        if hosts is not None:
            need_sshd()
        accounts = set((keys or {}).values()) | {MAIN}
        money = {each: float(credit) for each in accounts} if isinstance(credit, int | float) else dict(credit)
        self.clock = clock or MarketClock(speed)
        self.requests: list[Request] = []
        self.rules: list[Rule] = []
        self.market = Market(
            self.clock, {each.id: each for each in found}, keys, one_listing=one_listing, credit=money, hosts=hosts
        )
        self._api = Api(self.market)
        self.most_per_second: int | None = None
        self._lock = threading.Lock()
        self._wire = Wire(self._answer, port, "fake-vast")

    @property
    def url(self) -> str:
        """The base URL for a client."""
        return f"http://127.0.0.1:{self._wire.port}"

    @property
    def instances(self) -> list[Rented]:
        """All that ever were, oldest first; for looking only."""
        return list(self.market.instances.values())

    @property
    def living(self) -> list[Rented]:
        """Those that are there and cost."""
        return [each for each in self.instances if not each.gone]

    def bill(self) -> list[BillLine]:
        """What each instance has cost until now."""
        return self.market.bill()

    def asked(self, operation: str) -> list[Request]:
        """The requests of one operation."""
        return [each for each in self.requests if each.operation == operation]

    def script(self, *rules: Rule) -> None:
        """Add rules behind those there are."""
        with self._lock:
            self.rules.extend(rules)

    def plan(self, *plans: Plan) -> None:
        """What the next instances are like; the first that fits an instance has it, an earlier one before a later."""
        with self._lock:
            self.market.plans.extend(plans)

    def offer(self, *offers: Offer) -> None:
        """Put these up for rent."""
        with self._lock:
            self.market.offers.update({each.id: each for each in offers})

    def withdraw(self, offer: int) -> None:
        """Its owner rents it out no more; searches do not find it and nobody can rent it."""
        self.market.offers[offer].withdrawn = True

    def place(self, label: str, *, offer: int, account: str = MAIN, life: Life | None = None) -> int:
        """An instance that somebody rented by other means; its id."""

        async def rent() -> int:
            order = {"label": label, "image": "somebody/image"}
            return self.market.rent(account, self.market.offers[offer], order, plan=Plan(life or Life())).id

        return self._wire.call(rent())

    def act(self, doing: str, instance: int, value: str = "") -> None:
        """Do this to an instance now: see `Api.ACTIONS`; `value` is the status for `turn`.

        Raises:
            ValueError: there is no such action or no such instance.
        """
        self._wire.call(self._api.act(doing, instance, value))

    def forget(self) -> None:
        """No rules, no plans, no requests; instances stay."""
        with self._lock:
            self.rules.clear()
            self.requests.clear()
            self.market.plans.clear()

    def start(self) -> Self:
        """Answer from now on."""
        self._wire.start()
        self.market.url = self.url
        return self

    def close(self) -> None:
        """End it, every host and every connection. Repeatable; the books can still be read."""
        if self._wire.running:
            self._wire.call(self.market.close())
        self._wire.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self.start()

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.close)

    async def _answer(self, asked: Asked) -> Reply | None:
        if asked.path.startswith("/_"):
            return await self._control(asked)
        operation, thing = self._api.operation(asked)
        key = asked.headers.get("authorization", "").removeprefix("Bearer ") or asked.query.get("api_key", "")
        caller = self.market.caller(key)
        hashed = hashlib.sha256(key.encode()).hexdigest()[:12]
        came = Request(time.time(), operation, asked.method, asked.path, asked.query, asked.body, hashed, thing=thing)
        if caller is not None:
            came.who = f"instance:{caller.instance}" if caller.instance else caller.account
        with self._lock:
            rule = self._too_many(came)
            self.requests.append(came)
            rule = rule or next((each for each in self.rules if each.takes(operation, thing)), None)
        came.fault = rule.fault if rule else ""
        reply: Reply | None
        if caller is None:
            reply = refused(401, "auth_error", "Invalid user key")
        elif rule is None:
            reply = await self._api.do(operation, thing, asked, caller, None)
        else:
            reply = await self._spoilt(rule, operation, thing, asked, caller)
        came.status = 0 if reply is None else reply.status
        return reply

    def _too_many(self, came: Request) -> Rule | None:
        """The fault of a request that is one too many for its key; those that were refused do not count."""
        if self.most_per_second is None:
            return None
        answered = [each for each in self.requests if each.key == came.key and each.fault != "429"]
        within = [each for each in answered if each.at > came.at - 1.0]
        return Rule("429") if len(within) >= self.most_per_second else None

    async def _spoilt(self, rule: Rule, operation: str, thing: int, asked: Asked, caller: Caller) -> Reply | None:
        """A call with a fault: nothing of it is done, or all of it and the reply is not what it should be."""
        if rule.fault in {"hang", "cut"}:
            await self._hang(rule)
            return None
        refusal = instead(rule, thing)
        if refusal is not None:
            return refusal
        reply = await self._api.do(operation, thing, asked, caller, rule)
        if rule.fault in {"slow", "done_hang"}:
            await self._hang(rule)
        return after(rule, reply)

    async def _hang(self, rule: Rule) -> None:
        if rule.fault == "cut":
            return
        if rule.seconds is not None:
            await asyncio.sleep(rule.seconds)
        elif rule.fault != "slow":
            await asyncio.Event().wait()  # until the wire is closed

    async def _control(self, asked: Asked) -> Reply:
        """What other processes ask of the fake itself."""
        body = asked.body
        try:
            match asked.method, asked.path:
                case "POST", "/_faults":
                    self.script(*(Rule(**each) for each in body))
                case "POST", "/_plans":
                    self.plan(*(plan_of(each) for each in body))
                case "POST", "/_do":
                    await self._api.act(body["do"], int(body["instance"]), str(body.get("value", "")))
                case "GET", "/_requests":
                    return Reply(200, [asdict(each) for each in self.requests])
                case "GET", "/_bill":
                    return Reply(200, [each.as_json() for each in self.bill()])
                case "GET", "/_instances":
                    now = self.clock.time()
                    return Reply(200, [each.row(now) | {"gone": each.gone} for each in self.instances])
                case _:
                    return refused(404, "not_found", f"no such path: {asked.method} {asked.path}")
        except (KeyError, TypeError, ValueError, HostMissingError) as exc:
            return refused(400, "invalid_args", str(exc))
        return Reply(200, {"success": True})


def plan_of(text: Mapping[str, Any]) -> Plan:
    """A plan that came as JSON."""
    life, host = Life(**text.get("life", {})), HostPlan(**text.get("host", {}))
    return Plan(life, host, int(text.get("machine", 0)), text.get("times"))


def from_script(script: Mapping[str, Any], port: int, hosts: Path | None) -> FakeVast:
    """The fake that a script describes.

    It may hold `offers`, `keys`, `credit`, `one_listing`, `speed`, `most_per_second`, `rules` and `plans`.
    """
    known = {name: script[name] for name in ("keys", "credit", "one_listing", "speed") if name in script}
    offers = [Offer(**each) for each in script["offers"]] if "offers" in script else None
    fake = FakeVast(port=port, offers=offers, hosts=hosts, **known)
    fake.most_per_second = script.get("most_per_second")
    fake.script(*(Rule(**each) for each in script.get("rules", [])))
    fake.plan(*(plan_of(each) for each in script.get("plans", [])))
    return fake


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--script", type=Path)
    parser.add_argument("--hosts", type=Path)
    words = parser.parse_args()
    script = json.loads(words.script.read_text()) if words.script else {}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with from_script(script, words.port, words.hosts) as fake:
        print(json.dumps({"url": fake.url}), flush=True)  # noqa: T201 - whoever starts it reads this line
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    main()
