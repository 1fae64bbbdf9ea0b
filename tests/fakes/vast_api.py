"""The calls of Vast.ai's API that a renter makes, on the state of the fake market, and what tests do behind its back.

It judges no key beyond what the key may do, and makes no faults on the wire. Called by `tests.fakes.vast_server`.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from tests.fakes.vast_faults import Rule, listing, no_credit, no_instance, offer_gone, refused
from tests.fakes.vast_lives import Life, Plan
from tests.fakes.vast_offers import QueryError, matches, search
from tests.fakes.vast_wire import Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.fakes.vast_lives import Rented
    from tests.fakes.vast_market import Caller, Market
    from tests.fakes.vast_wire import Asked

_ROUTES: Final = tuple(
    (method, re.compile(pattern), operation)
    for method, pattern, operation in (
        ("POST", r"/api/v0/bundles/", "search"),
        ("PUT", r"/api/v0/asks/(\d+)/", "create"),
        ("GET", r"/api/v1/instances/", "list"),
        ("GET", r"/api/v0/instances/", "old_list"),
        ("GET", r"/api/v0/instances/(\d+)/", "show"),
        ("PUT", r"/api/v0/instances/(\d+)/", "change"),
        ("DELETE", r"/api/v0/instances/(\d+)/", "destroy"),
        ("POST", r"/api/v0/instances/(\d+)/ssh/", "ssh_key"),
        ("GET", r"/api/v0/ssh/", "account_keys"),
        ("POST", r"/api/v0/ssh/", "account_key"),
        ("GET", r"/api/v0/users/current", "user"),
        ("GET", r"/api/v0/gpu_names/unique/", "gpu_names"),
    )
)

_PAGE_ROWS: Final = 25
_LINGERS_SECONDS: Final = 1.0


class Api:
    """Answers calls from the state of one market."""

    ACTIONS: Final = (
        "preempt", "turn", "end", "freeze", "freeze_all", "thaw", "swap_key", "kill_host",
    )  # fmt: skip

    def __init__(self, market: Market) -> None:
        self._market = market

    def operation(self, asked: Asked) -> tuple[str, int]:
        """What a request asks for, and of which offer or instance; `unknown` and 0 where the API has no such call."""
        for method, pattern, operation in _ROUTES:
            found = pattern.fullmatch(asked.path if asked.path.endswith("current") else asked.path.rstrip("/") + "/")
            if found and method == asked.method:
                return operation, int(found[1]) if found.groups() else 0
        return "unknown", 0

    async def do(self, operation: str, thing: int, asked: Asked, caller: Caller, rule: Rule | None) -> Reply:
        """Do what is asked; `rule` is a fault of what is done, as opposed to one of the wire."""
        if caller.instance and (operation != "destroy" or caller.instance != thing):
            return refused(403, "forbidden", "This key may destroy its own instance and nothing else.")
        body = asked.body if isinstance(asked.body, dict) else {}
        if operation in {"show", "change", "destroy", "ssh_key"}:
            rented = next((each for each in self._market.visible(caller.account) if each.id == thing), None)
            return await self._of_instance(operation, thing, rented, body, rule)
        doing: Mapping[str, Callable[[], Reply]] = {
            "search": lambda: self._search(body, rule),
            "create": lambda: self._create(thing, body, caller, rule),
            "list": lambda: self._list(asked, caller, rule),
            "old_list": lambda: refused(410, "gone", "This endpoint is no more: use /api/v1/instances/."),
            "account_keys": lambda: self._account_keys(caller),
            "account_key": lambda: self._account_key(caller, str(body.get("ssh_key"))),
            "user": lambda: self._user(caller),
            "gpu_names": lambda: Reply(200, {"gpu_names": sorted({each.gpu for each in self._market.offers.values()})}),
        }
        if operation in doing:
            return doing[operation]()
        return refused(404, "not_found", f"no such path: {asked.method} {asked.path}")

    def _account_keys(self, caller: Caller) -> Reply:
        keys = self._market.account_keys[caller.account]
        return Reply(200, [{"id": at, "public_key": key} for at, key in enumerate(keys, 1)])

    def _account_key(self, caller: Caller, key: str) -> Reply:
        self._market.account_keys[caller.account].append(key)
        return Reply(200, {"success": True, "key": {"public_key": key}})

    def _user(self, caller: Caller) -> Reply:
        left = self._market.left(caller.account)
        return Reply(200, {"id": 42, "username": caller.account, "credit": left, "balance": 0.0})

    def _search(self, query: dict[str, Any], rule: Rule | None) -> Reply:
        fault = rule.fault if rule else ""
        try:
            found = search(self._market.offers.values(), query, as_free=fault == "stale")
        except (QueryError, TypeError, ValueError) as exc:
            return refused(400, "invalid_args", str(exc))
        return Reply(200, {"success": True, "offers": [] if fault == "nothing" else found})

    def _create(self, number: int, order: dict[str, Any], caller: Caller, rule: Rule | None) -> Reply:
        offer = self._market.offers.get(number)
        twice = rule is not None and rule.fault == "sold_twice"
        if offer is None or offer.withdrawn or (offer.rented and not twice):
            return offer_gone(number)
        if not order.get("image"):
            return refused(400, "invalid_args", "image: a value is needed")
        if self._market.left(caller.account) <= 0:
            return no_credit()
        bid = order.get("price")
        if bid is not None and bid < offer.min_bid:
            return refused(400, "invalid_args", f"price: {bid} is below the lowest bid, {offer.min_bid}")
        plan = Plan(Life(loading=None)) if twice else None
        rented = self._market.rent(caller.account, offer, order, plan=plan)
        return Reply(200, {"success": True, "new_contract": rented.id, "instance_api_key": rented.key})

    def _list(self, asked: Asked, caller: Caller, rule: Rule | None) -> Reply:
        now = self._market.clock.time()
        try:
            filters = json.loads(asked.query.get("select_filters") or "{}")
            limit = min(_PAGE_ROWS, int(asked.query.get("limit") or _PAGE_ROWS))
            after = int(asked.query.get("after_token") or 0)
            orders = json.loads(asked.query.get("order_by") or "[]")
            rows = [row for each in self._market.visible(caller.account) if matches(row := each.row(now), filters)]
            descending = bool(orders) and orders[0]["dir"] == "desc"
        except (ValueError, TypeError, KeyError) as exc:
            return refused(400, "invalid_args", str(exc))
        rows.sort(key=lambda row: int(row["id"]), reverse=descending)
        total = len(rows)
        if after:
            rows = [row for row in rows if (row["id"] < after if descending else row["id"] > after)]
        token = str(rows[limit - 1]["id"]) if len(rows) > limit else None
        labels = dict(Counter(str(row["label"]) for row in rows))
        page = {
            "success": True,
            "instances": rows[:limit],
            "next_token": token,
            "total_instances": total,
            "label_counts": labels,
        }
        return Reply(200, listing(rule, page))

    async def _of_instance(
        self, operation: str, thing: int, rented: Rented | None, body: dict[str, Any], rule: Rule | None
    ) -> Reply:
        if operation == "show":
            row = None if rented is None else rented.row(self._market.clock.time())
            return Reply(200, {"success": True, "instances": row})
        if rented is None or (rented.gone and operation != "destroy"):
            return no_instance(thing)
        if operation == "destroy":
            # Of its own accord: the caller may be a process of the host that dies by it.
            lingers = rule is not None and rule.fault == "lingers"
            await self._market.destroy(rented, (rule.seconds or _LINGERS_SECONDS) if rule and lingers else None)
        elif operation == "ssh_key":
            if rented.host is not None:
                rented.host.allow(str(body.get("ssh_key")))
        elif "label" in body:
            rented.label = str(body["label"])
        elif body.get("state") in {"running", "stopped"}:
            await self._market.change(rented, body["state"])
        else:
            return refused(400, "invalid_args", f"neither label nor state: {body}")
        return Reply(200, {"success": True})

    async def act(self, doing: str, instance: int, value: str) -> None:
        """Do this to an instance behind everybody's back.

        `preempt` outbids it, `turn` gives it the status `value` (with `kill_host` alone its status stays as it is),
        `end` makes it gone, `freeze` stops its sshd and `freeze_all` all that it runs, `thaw` lets them go on.

        Raises:
            ValueError: there is no such action or no such instance.
        """
        rented = self._market.instances.get(instance)
        if rented is None or doing not in self.ACTIONS:
            raise ValueError(f"no such action or instance: {doing} {instance}; there are {', '.join(self.ACTIONS)}")
        if doing == "preempt":
            await self._market.force(rented, "stopped", "outbid")
        elif doing == "turn":
            await self._market.force(rented, value)
        elif doing == "end":
            await self._market.destroy(rented)
        elif rented.host is None:
            raise ValueError(f"instance {instance} has no host")
        elif doing == "kill_host":
            await asyncio.to_thread(rented.host.kill)
        elif doing == "thaw":
            await asyncio.to_thread(rented.host.thaw)
        elif doing == "swap_key":
            await asyncio.to_thread(rented.host.swap_key)
        else:
            await asyncio.to_thread(rented.host.freeze, all_of_it=doing == "freeze_all")
