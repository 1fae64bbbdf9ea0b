"""What our adapter sends is what the vendor's own program sends: same method, path, query and body, call by call.

The real `vastai` program runs in a process of its own against a server that notes all requests; the adapter then
does the same against the same server. A difference that is meant is in `ALLOWED`, with its reason.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

import pytest

from lib.market.base import HostWants
from tests.lib.market.conftest import KEY
from tests.lib.market.rows import ORDER, instance, market_offer, offer, page
from tests.lib.market.scripted_market import Asked, ScriptedMarket

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lib.market.vast import VastMarket

QUERY: Final = "gpu_name in [RTX_4090,RTX_3090] reliability>0.98 num_gpus=1"
WANTS: Final = HostWants(disk_gb=60, max_dph=1_000_000, query=QUERY)
FOUND: Final = [f"{QUERY} rented=false disk_space>=60 dph<=1", "-o", "dlperf_usd-", "--limit", "64", "--storage", "60"]
MADE: Final = [
    "create", "instance", "11", "--image", ORDER.image, "--disk", "60", "--label", ORDER.label, "--onstart-cmd",
    ORDER.onstart, "--env", "-e NAMESPACE=pab", "--ssh", "--cancel-unavail",
]  # fmt: skip

COMMANDS: Final[dict[str, list[str]]] = {
    "search": ["search", "offers", *FOUND],
    "search for bids": ["search", "offers", *FOUND, "--interruptible"],
    "create": MADE,
    "create by a bid": [*MADE, "--bid_price", "0.25"],
    "show": ["show", "instance", "7", "--raw"],
    "list": ["show", "instances", "--raw"],
    "attach": ["attach", "ssh", "7", ORDER.public_key],
    "destroy": ["destroy", "instance", "7", "-y"],
    "user": ["show", "user", "--raw"],
}

ALLOWED: Final = {
    "at its start: only the program sends GET /api/v0/gpu_names/unique/": (
        "it completes the names of GPUs while one types; our query is written beforehand"
    ),
    "search: only the program sends GET /api/v0/users/current": (
        "it asks once who its user is, to choose what its menus show; we have no menus"
    ),
}

# One process for all: the program takes a second to load. Each command still runs in one of its own, by a fork.
DRIVER: Final = """
import http.client, importlib, json, os, pkgutil, sys
from urllib.parse import quote, urlsplit
from vastai.cli import main
import vastai.cli.commands
for module in pkgutil.iter_modules(vastai.cli.commands.__path__):
    importlib.import_module("vastai.cli.commands." + module.name)
for name, command in json.load(sys.stdin).items():
    connection = http.client.HTTPConnection(urlsplit(os.environ["VAST_URL"]).netloc)
    connection.request("GET", "/begins/" + quote(name))
    connection.getresponse().read()
    connection.close()
    if os.fork() == 0:
        sys.argv = ["vastai", *command]
        main.main()
    _, status = os.wait()
    print(name, os.waitstatus_to_exitcode(status), file=sys.stderr)
"""


def _answers(server: ScriptedMarket) -> None:
    rows = instance(1, extra_env=[]), instance(7, extra_env=[])
    server.says("POST /api/v0/bundles/", {"offers": [offer()]})
    server.says("PUT /api/v0/asks/11/", {"success": True, "new_contract": 7})
    server.says("GET /api/v0/instances/7/", {"instances": rows[1]})
    server.says("GET /api/v1/instances/", page(rows[0], total=2, then="a token"), page(rows[1], total=2))
    server.says("PUT /api/v0/instances/7/", {"success": True})
    server.says("POST /api/v0/instances/7/ssh/", {"success": True})
    server.says("DELETE /api/v0/instances/7/", {"success": True})
    server.says("GET /api/v0/gpu_names/unique/", {"gpu_names": ["RTX 4090"]})
    server.says("GET /api/v0/users/current", {"id": 1, "credit": 5.0, "balance": 0.0})


async def _of_the_program(server: ScriptedMarket, home: Path) -> dict[str, list[Asked]]:
    """The requests of each command, in the order of sending."""
    _answers(server)
    environment = {
        "HOME": str(home), "XDG_CONFIG_HOME": str(home), "XDG_CACHE_HOME": str(home), "XDG_STATE_HOME": str(home),
        "VAST_URL": server.url, "VAST_API_KEY": KEY, "VASTAI_NO_UPDATE_CHECK": "1", "PATH": "/usr/bin:/bin",
    }  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", DRIVER,
        env=environment, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(json.dumps(COMMANDS).encode()), 60)
    assert process.returncode == 0, (out.decode(), err.decode())
    now, sent = "at its start", {name: list[Asked]() for name in ("at its start", *COMMANDS)}
    for each in server.asked:
        if each.path.startswith("/begins/"):
            now = unquote(each.path.removeprefix("/begins/"))
        else:
            sent[now].append(each)
    server.asked.clear()
    return sent


async def _of_the_adapter(vast: VastMarket, server: ScriptedMarket) -> dict[str, list[Asked]]:
    _answers(server)
    sent: dict[str, list[Asked]] = {"at its start": list(server.asked)}

    def since(name: str) -> None:
        sent[name] = list(server.asked)
        server.asked.clear()

    await vast.search(WANTS)
    since("search")
    await vast.search(replace(WANTS, interruptible=True))
    since("search for bids")
    await vast.create(market_offer(), ORDER)
    since("create")
    await vast.create(market_offer(), replace(ORDER, bid=250_000))
    since("create by a bid")
    await vast.show("7")
    # The first look at a new instance lets the key of its order in.
    sent["show"], sent["attach"] = [server.asked[0]], server.asked[1:]
    server.asked.clear()
    await vast.listed()
    since("list")
    await vast.destroy("7")
    since("destroy")
    await vast.credit()
    since("user")
    return sent


def differences(theirs: Mapping[str, list[Asked]], ours: Mapping[str, list[Asked]]) -> set[str]:
    """Where two lists of requests differ, a line each; values are compared as JSON has them, so 60 is 60.0."""
    found = set()
    for name in theirs.keys() | ours.keys():
        left, right = list(theirs.get(name, ())), list(ours.get(name, ()))
        for each in [each for each in left if each.call not in {other.call for other in right}]:
            found.add(f"{name}: only the program sends {each.call}")
            left.remove(each)
        for each in [each for each in right if each.call not in {other.call for other in left}]:
            found.add(f"{name}: only the adapter sends {each.call}")
            right.remove(each)
        if len(left) != len(right):
            found.add(f"{name}: {len(left)} requests of the program, {len(right)} of the adapter")
        for one, other in zip(left, right, strict=False):
            for part in ("method", "path", "query", "body"):
                if getattr(one, part) != getattr(other, part):
                    found.add(f"{name}: {part} {getattr(one, part)!r} of the program, {getattr(other, part)!r} of ours")
            if one.headers.get("authorization") != other.headers.get("authorization"):
                found.add(f"{name}: another key")
    return found


async def test_the_adapter_sends_what_the_vendors_program_sends(
    vast: VastMarket, server: ScriptedMarket, tmp_path: Path
) -> None:
    """Searches, creates, show, list, destroy, user and attach: nothing but what is allowed by name differs."""
    theirs = await _of_the_program(server, tmp_path)
    ours = await _of_the_adapter(vast, server)
    assert differences(theirs, ours) == set(ALLOWED)
    assert all(ours[name] for name in COMMANDS)
    assert len(ours["list"]) == 2


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"method": "POST"}, "create: only the program sends PUT /a/"),
        ({"path": "/b/"}, "create: only the adapter sends PUT /b/"),
        ({"query": "q=2"}, "create: query 'q=1' of the program, 'q=2' of ours"),
        ({"body": {"disk": 61}}, "create: body {'disk': 60} of the program, {'disk': 61} of ours"),
        ({"body": {"disk": 60, "force": True}}, "create: body {'disk': 60} of the program"),
    ],
)
def test_any_difference_is_seen(change: dict[str, object], line: str) -> None:
    """In each part of a request."""
    one = Asked("PUT", "/a/", "q=1", {"disk": 60}, {})
    other = Asked(**{**{name: getattr(one, name) for name in Asked.__slots__}, **change})
    assert any(each.startswith(line) for each in differences({"create": [one]}, {"create": [other]}))
    assert differences({"create": [one, one]}, {"create": [one]}) == {
        "create: 2 requests of the program, 1 of the adapter"
    }
