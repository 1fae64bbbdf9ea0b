"""Single calls of the adapter of Vast.ai, through the real SDK: what is sent, what is read, what a broken answer is."""

from __future__ import annotations

import subprocess
import sys
import traceback
from typing import TYPE_CHECKING, Any

import pytest

from lib.clock import SystemClock
from lib.errors import SettingsError, UnreachableError
from lib.market.base import Address, GpuMarket, HostWants, Seen
from lib.market.errors import (
    BusyError,
    CreditError,
    KeyRefusedError,
    MarketError,
    OfferGoneError,
    UncertainError,
)
from lib.market.vast import VastMarket
from lib.market.vast_calls import reply_of
from lib.market.vast_refusals import Reply
from lib.redaction import BLACKENED
from tests.lib.market.conftest import KEY
from tests.lib.market.rows import ORDER, WANTS, instance, market_offer, offer, page
from tests.lib.market.scripted_market import Answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.lib.market.scripted_market import ScriptedMarket

SEARCH = "POST /api/v0/bundles/"
CREATE = "PUT /api/v0/asks/11/"
SHOW = "GET /api/v0/instances/7/"
DESTROY = "DELETE /api/v0/instances/7/"
USER = "GET /api/v0/users/current"
ATTACH = "POST /api/v0/instances/7/ssh/"


async def test_a_search_asks_for_what_fits_and_leaves_out_what_does_not(
    vast: VastMarket, server: ScriptedMarket
) -> None:
    """The query holds the usual filters, ours and the user's; what the market shows in spite of it is left out."""
    rows = [offer(11), offer(12, dph_base=0.999), offer(13), offer(14, disk_space=59), {"id": 15}]
    server.says(SEARCH, {"offers": rows})
    wants = HostWants(
        disk_gb=60, max_dph=1_000_000, query="gpu_name=RTX_4090 reliability>0.98", excluded=frozenset({"130"})
    )
    found = await vast.search(wants)
    assert [each.id for each in found] == ["11"]
    assert server.asked[0].body == {
        "verified": {"eq": True},
        "external": {"eq": False},
        "rentable": {"eq": True},
        "rented": {"eq": False},
        "gpu_name": {"eq": "RTX 4090"},
        "reliability": {"gt": "0.98"},
        "disk_space": {"gte": "60"},
        "dph_total": {"lte": "1"},
        "order": [["dlperf_per_dphtotal", "desc"]],
        "type": "on-demand",
        "limit": 64,
        "allocated_storage": 60,
    }
    assert server.asked[0].headers["authorization"] == f"Bearer {KEY}"


async def test_interruptible_machines_are_searched_by_their_bid(vast: VastMarket, server: ScriptedMarket) -> None:
    """The market is asked for bids, and an offer's price is the least bid."""
    server.says(SEARCH, {"offers": [offer()]})
    (found,) = await vast.search(HostWants(disk_gb=60, max_dph=1_000_000, interruptible=True))
    assert (server.asked[0].body["type"], found.dph, found.interruptible) == ("bid", 200_000, True)


@pytest.mark.parametrize("answer", [{"offers": None}, {"offers": [1, 2]}, {"success": True}, [], "<html>"])
async def test_a_search_that_is_answered_with_nonsense_is_no_empty_market(
    vast: VastMarket, server: ScriptedMarket, answer: Any
) -> None:
    """Nothing found and nothing understood are told apart."""
    server.says(SEARCH, answer)
    with pytest.raises(UnreachableError, match="is not understood"):
        await vast.search(WANTS)


async def test_a_wrong_query_is_told_before_anything_is_asked(vast: VastMarket, server: ScriptedMarket) -> None:
    """A field that there is not, with the nearest one; a sentence that the vendor's parser refuses."""
    with pytest.raises(SettingsError, match="gpu_nam is no field") as caught:
        await vast.search(HostWants(disk_gb=60, max_dph=1, query="gpu_nam=RTX_4090"))
    assert caught.value.hint is not None
    assert "did you mean gpu_name?" in caught.value.hint
    with pytest.raises(SettingsError, match="VAST_QUERY is not understood"):
        await vast.search(HostWants(disk_gb=60, max_dph=1, query="num_gpus=1 cheap"))
    assert server.asked == []


async def test_create_sends_the_label_the_script_and_no_second_try(vast: VastMarket, server: ScriptedMarket) -> None:
    """Everything that the order says travels in the one call; room on the machine or nothing."""
    server.says(CREATE, {"success": True, "new_contract": 7, "instance_api_key": "scoped"})
    assert await vast.create(market_offer(), ORDER) == "7"
    (asked,) = server.asked
    body = asked.body
    assert (body["label"], body["image"], body["disk"]) == (ORDER.label, "ubuntu:24.04", 60)
    assert (body["onstart"], body["env"], body["runtype"]) == ("echo started", {"NAMESPACE": "pab"}, "ssh_proxy")
    assert (body["price"], body["cancel_unavail"], body["client_id"]) == (None, True, "me")
    assert ORDER.public_key not in str(body)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer({"success": False, "error": "no_such_ask", "msg": "not available"}, 400), OfferGoneError),
        (Answer({"success": False, "error": "no_such_ask"}, 410), OfferGoneError),
        (Answer({"success": False, "error": "gone"}, 404), OfferGoneError),
        (Answer("gone", 404), UncertainError),
        (Answer({"success": False, "error": "no_such_ask"}), OfferGoneError),
        (Answer({"success": False, "error": "insufficient_credit", "msg": "lacks credit"}, 400), CreditError),
        (Answer({"success": False, "msg": "Your account lacks credit"}), CreditError),
        (Answer({"success": False, "msg": "no"}, 401), KeyRefusedError),
        (Answer({"success": False, "msg": "invalid image"}, 400), MarketError),
        (Answer("slow down", 429), BusyError),
        (Answer("bad gateway", 502), UncertainError),
        (Answer({"msg": "oops"}, 500), UncertainError),
        (Answer({"success": True}), UncertainError),
        (Answer({"success": True, "new_contract": "7"}), UncertainError),
        (Answer({"success": False, "new_contract": 7}), UncertainError),
        (Answer("<html>all is well</html>"), UncertainError),
        (Answer([]), UncertainError),
        (Answer(fault="reset"), UncertainError),
        (Answer({"success": True, "new_contract": 7}, fault="cut"), UncertainError),
        (Answer(fault="hang"), UncertainError),
        (Answer(fault="trickle"), UncertainError),
    ],
)
async def test_a_create_is_tried_once_whatever_comes(
    make: Callable[..., VastMarket], server: ScriptedMarket, answer: Answer, error: type[MarketError]
) -> None:
    """Where nothing was rented for certain it says so; in all else it is uncertain; it never asks twice."""
    server.says(CREATE, answer)
    with pytest.raises(error) as caught:
        await make(call_seconds=0.2).create(market_offer(), ORDER)
    assert type(caught.value) is error or error in {BusyError, MarketError}
    assert server.calls() == [CREATE]


async def test_a_create_that_never_left_is_not_uncertain(server: ScriptedMarket) -> None:
    """Where no connection was made nothing was asked."""
    url = server.url
    await server.__aexit__()
    with pytest.raises(UnreachableError):
        await VastMarket(KEY, clock=SystemClock(), url=url).create(market_offer(), ORDER)
    assert server.asked == []


async def test_an_instance_is_shown_before_its_bill_begins(vast: VastMarket, server: ScriptedMarket) -> None:
    """Without a start date and an address there is still a status and a label."""
    row = instance(actual_status="loading", start_date=None, ssh_host=None, ssh_port=None, extra_env=None)
    server.says(SHOW, {"instances": row})
    seen = await vast.show("7")
    assert seen is not None
    assert (seen.status, seen.started_at, seen.address, seen.label) == ("loading", None, None, ORDER.label)
    assert server.asked[0].query == "owner=me"


async def test_a_running_instance_is_shown_with_all_that_is_needed(vast: VastMarket, server: ScriptedMarket) -> None:
    """Where to connect, what it costs, since when."""
    server.says(SHOW, {"instances": instance()})
    assert await vast.show("7") == Seen(
        market_id="7",
        label=ORDER.label,
        status="running",
        message="success, running",
        address=Address("ssh4.example.org", 20022),
        machine_id="110",
        dph=420_000,
        started_at=1_800_000_000.5,
    )


@pytest.mark.parametrize(
    "answer", [{"instances": None}, Answer({"success": False, "error": "no_such_instance", "msg": "not found"}, 404)]
)
async def test_gone_is_only_what_the_market_itself_says(vast: VastMarket, server: ScriptedMarket, answer: Any) -> None:
    """In its two ways of saying it."""
    server.says(SHOW, answer)
    server.says("GET /api/v1/instances/", page(total=0))
    assert await vast.show("7") is None


@pytest.mark.parametrize(
    "answer",
    [
        Answer("404 page not found", 404),
        Answer("", 410),
        Answer({"detail": "Bad gateway"}, 502),
        {"instances": {}},
        {"instances": [instance()]},
        {"instances": instance(8)},
        {"success": True},
        {"success": False, "instances": None},
        "gone",
        Answer(fault="reset"),
        Answer({"instances": None}, fault="cut"),
        Answer(fault="trickle"),
    ],
)
async def test_nothing_else_means_that_an_instance_is_gone(
    make: Callable[..., VastMarket], server: ScriptedMarket, answer: Any
) -> None:
    """A proxy's page, an empty answer, another instance, a lost reply: all of them are errors."""
    server.says(SHOW, answer)
    server.says("GET /api/v1/instances/", page(total=0))
    with pytest.raises((UnreachableError, MarketError)):
        await make(call_seconds=0.2).show("7")


def test_an_answer_is_read_without_guessing_how_it_is_written() -> None:
    """The guess takes seconds where the page is large; the market's own answers are JSON."""

    class Response:
        status_code, headers, content = 502, {"Content-Type": "text/html"}, b"caf\xc3\xa9 \xff"

    assert reply_of(Response()) == Reply(502, "caf\u00e9 \ufffd", {"content-type": "text/html"})


async def test_destroy_is_content_with_what_is_gone_already(vast: VastMarket, server: ScriptedMarket) -> None:
    """An accepted order, one without a word, and one for nothing are all the same."""
    for answer in ({"success": True}, Answer("", 204), Answer({"error": "no_such_instance", "success": False}, 404)):
        server.says(DESTROY, answer)
        await vast.destroy("7")
    assert server.asked[0].body == {}


@pytest.mark.parametrize(
    "answer",
    [
        Answer("oops", 500),
        {"success": False, "msg": "try later"},
        Answer("no", 404),
        Answer("<html>welcome"),
        Answer('{"success": true'),
        [],
    ],
)
async def test_a_destroy_that_was_not_accepted_is_an_error(
    vast: VastMarket, server: ScriptedMarket, answer: Any
) -> None:
    """Whoever asked must ask again."""
    server.says(DESTROY, answer)
    with pytest.raises((UnreachableError, MarketError)):
        await vast.destroy("7")


@pytest.mark.parametrize(("left", "micro"), [(12.5, 12_500_000), (0, 0), (-3.25, 0)])
async def test_the_credit_of_the_account(vast: VastMarket, server: ScriptedMarket, left: float, micro: int) -> None:
    """In millionths; a debt is nothing."""
    server.says(USER, {"id": 1, "credit": left, "api_key": "x"})
    assert await vast.credit() == micro


@pytest.mark.parametrize("answer", [{"balance": 1}, {"credit": "many"}, {"credit": True}, []])
async def test_an_account_without_a_credit_is_nonsense(vast: VastMarket, server: ScriptedMarket, answer: Any) -> None:
    """No number is not zero dollars."""
    server.says(USER, answer)
    with pytest.raises(UnreachableError):
        await vast.credit()


async def test_the_key_of_an_order_is_let_in_when_its_instance_is_seen(
    vast: VastMarket, server: ScriptedMarket
) -> None:
    """Also where the reply of the create was lost, and again until it was accepted; then never more."""
    server.says(CREATE, Answer(fault="reset"))
    server.says(SHOW, {"instances": instance()})
    server.says(ATTACH, Answer("not yet", 500), {"success": False, "msg": "not yet"}, {"success": True})
    with pytest.raises(UncertainError):
        await vast.create(market_offer(), ORDER)
    for _ in range(4):
        assert await vast.show("7") is not None
    assert server.calls("POST") == [ATTACH, ATTACH, ATTACH]
    assert server.asked[-2].body == {"ssh_key": ORDER.public_key}


async def test_what_is_no_number_of_vast_is_never_asked_for(vast: VastMarket, server: ScriptedMarket) -> None:
    """An id becomes part of a path: nothing but a number may."""
    for ask in (vast.show, vast.destroy):
        with pytest.raises(MarketError):
            await ask("../users/current")
    with pytest.raises(MarketError):
        await vast.create(market_offer("1/../2"), ORDER)
    assert server.asked == []


@pytest.mark.parametrize(
    "answer",
    [Answer({"msg": f"key {KEY} is unknown"}, 403), Answer(f"<p>{KEY}</p>", 500), Answer(fault="reset"), Answer("<p>")],
)
async def test_the_api_key_is_in_no_error(vast: VastMarket, server: ScriptedMarket, answer: Answer) -> None:
    """Not even where the market says it back, and not in what a program that ends with it prints."""
    server.says(USER, answer)
    with pytest.raises((MarketError, UnreachableError)) as caught:
        await vast.credit()
    assert KEY not in "".join(traceback.format_exception(caught.value))
    assert (BLACKENED in str(caught.value)) == (KEY in str(answer.body))


@pytest.mark.parametrize("key", ["", "two words", "line\n", "clé-de-vast"])
def test_a_key_that_cannot_be_one_is_refused_at_once(key: str) -> None:
    """The library below would show it in its own error."""
    with pytest.raises(SettingsError, match="VAST_API_KEY") as caught:
        VastMarket(key, clock=SystemClock())
    assert not key or key not in str(caught.value)


async def test_without_the_extra_the_mend_is_named(
    vast: VastMarket, monkeypatch: pytest.MonkeyPatch, server: ScriptedMarket
) -> None:
    """It is said what to type."""
    monkeypatch.setitem(sys.modules, "vastai", None)
    with pytest.raises(SettingsError, match="vastai cannot be imported") as caught:
        await vast.credit()
    assert ".[vast]" in (caught.value.hint or "")
    assert server.asked == []


def test_it_is_a_market(vast: VastMarket) -> None:
    """As those who rent ask for one."""
    market: GpuMarket = vast
    assert market.name == "vast"


def test_the_vendors_library_is_loaded_with_the_first_call_alone() -> None:
    """It takes half a second, and prints nothing of ours."""
    code = "import sys, lib.market.vast; sys.exit(any(n in sys.modules for n in ('vastai', 'requests', 'aiohttp')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
