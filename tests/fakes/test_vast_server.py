"""The fake market is what the real SDK takes it for: offers, instances, labels, keys and money."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import requests

from tests.fakes.vast_lives import Life, Plan
from tests.fakes.vast_offers import Offer
from tests.fakes.vast_sdk import create, listed, sdk
from tests.fakes.vast_server import FakeVast
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def market() -> Iterator[FakeVast]:
    """Three offers, without hosts."""
    with FakeVast() as fake:
        yield fake


def status(market: FakeVast, instance: int) -> str | None:
    """As the API shows it."""
    row = requests.get(f"{market.url}/api/v0/instances/{instance}/?owner=me", timeout=5).json()["instances"]
    return None if row is None else str(row["actual_status"])


def refusal(doing: Any, *words: Any, **named: Any) -> tuple[int, str]:
    """Status and word of what the SDK raises."""
    with pytest.raises(requests.HTTPError) as caught:
        doing(*words, **named)
    reply = caught.value.response
    assert reply is not None
    return reply.status_code, reply.json()["error"]


def test_a_search_filters_orders_and_prices_with_the_storage_asked_for(market: FakeVast) -> None:
    """A query in the words of the CLI; numbers may come as words."""
    market.offer(Offer(id=104, gpu="RTX 3060", dph=0.05), Offer(id=105, dph=0.01, verified=False))
    found = sdk(market).search_offers(
        query="gpu_name=RTX_4090 num_gpus=1 dph<0.38", order="dph_total", storage=72, limit=5
    )
    assert [row["id"] for row in found] == [101, 102]
    assert found[0]["dph_total"] == pytest.approx(0.2 + 0.15 / 10)
    assert [row["id"] for row in sdk(market).search_offers(limit=1)] == [104]


def test_a_filter_that_is_none_is_refused(market: FakeVast) -> None:
    """As the API does, with 400."""
    assert refusal(sdk(market).search_offers, query={"gpu_name": "RTX 4090"}, no_default=True) == (400, "invalid_args")


def test_an_offer_is_rented_once_and_comes_back_when_the_instance_is_destroyed(market: FakeVast) -> None:
    """A second renter is told that somebody was quicker, and searches do not find it meanwhile. Row 36."""
    instance = create(market)
    assert refusal(sdk(market).create_instance, 101, image="x") == (404, "no_such_ask")
    assert 101 not in [row["id"] for row in sdk(market).search_offers(query="rented=false")]
    sdk(market).destroy_instance(instance)
    assert 101 in [row["id"] for row in sdk(market).search_offers()]


def test_a_withdrawn_offer_is_no_more(market: FakeVast) -> None:
    """Its owner took it back between search and create."""
    market.withdraw(102)
    assert refusal(sdk(market).create_instance, 102, image="x") == (404, "no_such_ask")
    assert [row["id"] for row in sdk(market).search_offers()] == [101, 103]


async def test_a_life_goes_from_nothing_to_loading_to_running(market: FakeVast) -> None:
    """At first there is neither a status nor a start date, at which the SDK's own listing breaks."""
    market.plan(Plan(Life(provisioning=600.0), times=1))
    unborn = create(market, label="one")
    [row] = listed(market)
    assert (row["actual_status"], row["start_date"], row["label"]) == (None, None, "one")
    with pytest.raises(TypeError):
        sdk(market).show_instances()
    instance = create(market, 102)
    await wait_until(lambda: status(market, instance) == "running")
    assert [each.status for each in market.instances] == [None, "running"]
    assert market.bill()[1].by_status["loading"] > 0
    sdk(market).destroy_instance(unborn)


@pytest.mark.parametrize("status_then", ["exited", "offline", "unknown", "stopped"])
async def test_a_life_may_end_in_any_way(market: FakeVast, status_then: str) -> None:
    """It ran for a while, then something else; it costs on until it is destroyed. Row 37."""
    market.plan(Plan(Life(loading=0.0, lasts=0.01, then=status_then)))
    instance = create(market)
    await wait_until(lambda: status(market, instance) == status_then)
    assert "running" in market.bill()[0].by_status
    assert market.bill()[0].ended is None


async def test_a_stuck_one_loads_for_ever_and_plans_are_for_one_machine(market: FakeVast) -> None:
    """Only the machine named is stuck, and only for the times given. Row 37."""
    market.plan(Plan(Life(loading=None), machine=10_102, times=1))
    fine, stuck = create(market, 101), create(market, 102)
    await wait_until(lambda: status(market, fine) == "running" and status(market, stuck) == "loading")
    sdk(market).destroy_instance(stuck)
    again = create(market, 102)
    await wait_until(lambda: status(market, again) == "running")


async def test_what_is_preempted_is_stopped_and_costs_its_storage(market: FakeVast) -> None:
    """The market says so by three fields. Row 38."""
    instance = create(market)
    await wait_until(lambda: status(market, instance) == "running")
    market.act("preempt", instance)
    row = sdk(market).show_instance(instance)
    fields = ("actual_status", "cur_state", "intended_status", "status_msg")
    assert [row[name] for name in fields] == ["stopped", "stopped", "stopped", "outbid"]


async def test_it_is_stopped_and_started_and_labelled_as_its_renter_asks(market: FakeVast) -> None:
    """By PUT; a start runs through loading again."""
    instance = create(market)
    sdk(market).stop_instance(instance)
    assert status(market, instance) == "stopped"
    sdk(market).start_instance(instance)
    await wait_until(lambda: status(market, instance) == "running")
    sdk(market).label_instance(instance, "mine")
    assert [row["label"] for row in listed(market)] == ["mine"]


def test_a_destroyed_one_is_shown_no_more_and_its_bill_has_ended(market: FakeVast) -> None:
    """`show` answers null, a second destroy 404."""
    instance = create(market)
    assert sdk(market).destroy_instance(instance) == {"success": True}
    assert sdk(market).show_instance(instance) is None
    assert listed(market) == []
    assert refusal(sdk(market).destroy_instance, instance) == (404, "no_such_instance")
    assert market.bill()[0].ended is not None
    assert market.living == []


def test_a_listing_comes_in_pages_with_a_total() -> None:
    """Twenty-five rows at most, a token for the next page, the number of all on each."""
    with FakeVast(offers=[Offer(id=each) for each in range(1, 31)]) as market:
        for each in range(1, 31):
            market.place(f"label-{each}", offer=each)
        page = sdk(market).show_instances_v1({"limit": 25})
        assert (len(page["instances"]), page["total_instances"]) == (25, 30)
        assert [row["label"] for row in listed(market)] == [f"label-{each}" for each in range(1, 31)]
        only = sdk(market).show_instances_v1({"select_filters": {"label": {"eq": "label-7"}}})
        assert (len(only["instances"]), only["next_token"], only["label_counts"]) == (1, None, {"label-7": 1})


def test_the_old_listing_is_no_more(market: FakeVast) -> None:
    """410 at the address of before."""
    reply = requests.get(f"{market.url}/api/v0/instances/", headers={"Authorization": "Bearer k"}, timeout=5)
    assert reply.status_code == 410


def test_accounts_are_apart_unless_they_are_one_team() -> None:
    """One does not see nor touch what the other has; in one listing both see all."""
    keys = {"ka": "a", "kb": "b"}
    with FakeVast(keys=keys) as market:
        mine = create(market, 101, "ka")
        assert (len(listed(market, "ka")), len(listed(market, "kb"))) == (1, 0)
        assert refusal(sdk(market, "kb").destroy_instance, mine) == (404, "no_such_instance")
        assert refusal(sdk(market, "kc").show_user) == (401, "auth_error")
    with FakeVast(keys=keys, one_listing=True) as market:
        create(market, 101, "ka")
        create(market, 102, "kb")
        assert len(listed(market, "ka")) == len(listed(market, "kb")) == 2


def test_the_key_of_an_instance_may_destroy_that_one_and_do_nothing_else(market: FakeVast) -> None:
    """So it may be left on a machine of a stranger."""
    made = sdk(market).create_instance(101, image="x")
    other = create(market, 102)
    held = sdk(market, made["instance_api_key"])
    for doing in (held.show_user, held.search_offers, lambda: held.destroy_instance(other)):
        assert refusal(doing)[0] == 403
    held.destroy_instance(made["new_contract"])
    assert [each.id for each in market.living] == [other]
    assert market.requests[-1].who == f"instance:{made['new_contract']}"


def test_credit_is_used_up_by_the_clock_of_the_market() -> None:
    """An hour a millisecond: after some real time nothing is left, and nothing more can be rented. Row 44."""
    with FakeVast(credit=0.0001, speed=3_600_000.0) as market:
        create(market)
        assert sdk(market).show_user()["credit"] < 0
        assert refusal(sdk(market).create_instance, 102, image="x") == (400, "insufficient_credit")


def test_a_bid_is_paid_as_bid_and_must_reach_the_lowest(market: FakeVast) -> None:
    """An interruptible one costs what was bid, storage besides."""
    assert sdk(market).search_offers(type="bid")[0]["is_bid"]
    assert refusal(sdk(market).create_instance, 101, image="x", bid_price=0.01) == (400, "invalid_args")
    create(market, 101, bid_price=0.15, disk=72)
    [row] = listed(market)
    assert row["is_bid"]
    assert row["dph_total"] == pytest.approx(0.15 + 0.15 / 10)


def test_every_request_is_recorded_without_its_key(market: FakeVast) -> None:
    """Method, path, query, body, who asked, what was answered."""
    create(market, 101, "a-secret-key", label="L")
    listed(market, "a-secret-key")
    first, second = market.requests
    assert (first.operation, first.method, first.path, first.thing) == ("create", "PUT", "/api/v0/asks/101/", 101)
    assert (first.body["label"], first.body["client_id"], first.who, first.status) == ("L", "me", "main", 200)
    assert second.query == {"limit": "25"}
    assert "a-secret-key" not in repr(market.requests)
    assert market.asked("list") == [second]
