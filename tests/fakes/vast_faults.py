"""What the fake market may be told to do wrong, and the bodies that it refuses with.

A rule names a fault and the calls it is for; the rules are asked in order, the first that fits a call has it. Called
by `tests.fakes.vast_server`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tests.fakes.vast_wire import Reply

if TYPE_CHECKING:
    from collections.abc import Mapping

OPERATIONS: Final = frozenset({
    "search", "create", "show", "list", "change", "destroy", "ssh_key", "user",
})  # fmt: skip

FAULTS: Final[Mapping[str, frozenset[str]]] = {
    # Any call. Nothing is done:
    "hang": OPERATIONS,  # no reply for `seconds` (None: until the fake is closed), then the connection breaks
    "cut": OPERATIONS,  # the connection breaks
    "429": OPERATIONS,  # in plain text; Retry-After where `seconds` is set
    "500": OPERATIONS,
    "502": OPERATIONS,  # as a page of HTML
    "503": OPERATIONS,
    "401": OPERATIONS,  # the key is wrong
    "403": OPERATIONS,  # the key has not this right
    "html": OPERATIONS,  # 200, and a page for people
    # It is done, but:
    "slow": OPERATIONS,  # the right reply comes after `seconds`
    "done_hang": OPERATIONS,  # the reply never comes; `seconds` as above
    "done_cut": OPERATIONS,  # the connection breaks before it
    "done_half": OPERATIONS,  # in the middle of it
    "done_500": OPERATIONS,
    "done_502": OPERATIONS,
    "odd": OPERATIONS,  # 200, JSON, but not what belongs there
    # Of one call:
    "stale": frozenset({"search"}),  # rented offers are shown as free
    "nothing": frozenset({"search", "list"}),  # no offers; an empty page and a total of 0
    "gone": frozenset({"create"}),  # the offer is not available
    "no_credit": frozenset({"create"}),
    "sold_twice": frozenset({"create"}),  # a rented offer is rented once more, and never gets beyond loading
    "no_success": frozenset({"create", "destroy", "change"}),  # 200 and success: false; nothing is done
    "ignored": frozenset({"destroy"}),  # 200, and it runs and costs on
    "lingers": frozenset({"destroy"}),  # it is gone and costs no more, but is shown for `seconds` of the market
    "410": frozenset({"list", "show"}),
    "empty_page": frozenset({"list"}),  # no rows, though the total says that there are some
    "partial": frozenset({"list"}),  # the first half of a page, and no token for more; the total says more
    "endless": frozenset({"list"}),  # the token leads to the same page again
    "no_total": frozenset({"list"}),  # no total_instances, no next_token
    "bare_rows": frozenset({"list"}),  # rows with nothing but an id
    "not_found": frozenset({"show", "destroy"}),  # though it is there
}


@dataclass(slots=True)
class Rule:
    """A fault, the calls it is for, and how many of them: `times` after the first `skip`; None: every one.

    `on` is an operation, empty: each that can have this fault. `offer`, `instance`: of this one alone; 0: any.
    """

    fault: str
    on: str = ""
    skip: int = 0
    times: int | None = 1
    seconds: float | None = None
    offer: int = 0
    instance: int = 0

    def __post_init__(self) -> None:
        if self.fault not in FAULTS:
            raise ValueError(f"no such fault: {self.fault}; there are {', '.join(sorted(FAULTS))}")
        if self.on and self.on not in FAULTS[self.fault]:
            raise ValueError(f"{self.fault} is no fault of {self.on}, but of {', '.join(sorted(FAULTS[self.fault]))}")

    def takes(self, operation: str, thing: int) -> bool:
        """Whether this call is its, counting it; `thing` is the offer of a create, else the instance."""
        if operation not in ({self.on} if self.on else FAULTS[self.fault]):
            return False
        wanted = self.offer if operation == "create" else self.instance
        if wanted and wanted != thing:
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.times is None:
            return True
        self.times -= 1
        return self.times >= 0


def refused(status: int, error: str, message: str) -> Reply:
    """An error as the API words it."""
    return Reply(status, {"success": False, "error": error, "msg": message})


_PAGE: Final = "<!DOCTYPE html><html><body><h1>{} </h1><p>We will be right back.</p></body></html>"


def instead(rule: Rule, thing: int) -> Reply | None:
    """The reply of a fault with which nothing is done; None for every other fault."""
    retry = {} if rule.seconds is None else {"Retry-After": f"{rule.seconds:g}"}
    replies = {
        "429": Reply(429, "API requests too frequent: endpoint threshold=4.5", retry),
        "500": refused(500, "internal_error", "Something went wrong."),
        "502": Reply(502, _PAGE.format("502 Bad Gateway")),
        "503": Reply(503, "upstream connect error or disconnect/reset before headers"),
        "401": refused(401, "auth_error", "Invalid user key"),
        "403": refused(403, "forbidden", "This key has no permission for this call."),
        "html": Reply(200, _PAGE.format("Welcome")),
        "gone": offer_gone(thing),
        "no_credit": no_credit(),
        "no_success": refused(200, "try_later", "The request was not carried out."),
        "ignored": Reply(200, {"success": True}),
        "410": refused(410, "gone", "This endpoint is no more."),
        "not_found": no_instance(thing),
    }
    return replies.get(rule.fault)


def after(rule: Rule, reply: Reply) -> Reply | None:
    """What is sent of a reply to what was done; None: nothing, the connection breaks."""
    if rule.fault in {"done_cut", "done_hang"}:
        return None
    replies = {
        "done_half": Reply(reply.status, reply.body, reply.headers, cut=True),
        "done_500": refused(500, "internal_error", "Something went wrong."),
        "done_502": Reply(502, _PAGE.format("502 Bad Gateway")),
        "odd": Reply(200, {"success": True, "result": [None, {"instances": {"id": "seven"}}]}),
    }
    return replies.get(rule.fault, reply)


def listing(rule: Rule | None, page: dict[str, Any]) -> dict[str, Any]:
    """A page of instances, with its fault."""
    rows, fault = page["instances"], rule.fault if rule else ""
    if fault == "no_total":
        return {"success": True, "instances": rows}
    changes: Mapping[str, dict[str, Any]] = {
        "nothing": {"instances": [], "next_token": None, "total_instances": 0},
        "empty_page": {"instances": [], "next_token": None},
        "partial": {"instances": rows[: len(rows) // 2], "next_token": None},
        "endless": {"next_token": str(rows[0]["id"] - 1) if rows else "1"},
        "bare_rows": {"instances": [{"id": row["id"]} for row in rows]},
    }
    return page | changes.get(fault, {})


def offer_gone(offer: int) -> Reply:
    """Of a create: somebody was quicker."""
    return refused(404, "no_such_ask", f"error 404/3603: no_such_ask Instance type by id {offer} is not available.")


def no_credit() -> Reply:
    """Of a create: nothing left to pay with."""
    return refused(400, "insufficient_credit", "Your account lacks credit; see the billing page.")


def no_instance(instance: int) -> Reply:
    """Of what is no more, or never was."""
    return refused(404, "no_such_instance", f"Instance {instance} not found.")
