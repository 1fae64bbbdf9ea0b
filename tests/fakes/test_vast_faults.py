"""The fake market fails as it is told, and only then: each fault as the real SDK meets it, and what was done by it."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tests.fakes.billing import MarketClock
from tests.fakes.vast_faults import FAULTS, OPERATIONS, Rule
from tests.fakes.vast_offers import Offer
from tests.fakes.vast_sdk import create, listed, sdk
from tests.fakes.vast_server import FakeVast
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def market() -> Iterator[FakeVast]:
    """Three offers, without hosts."""
    with FakeVast() as fake:
        yield fake


def refused(doing: Any, *words: Any, **named: Any) -> requests.Response:
    """The reply that the SDK raises for."""
    with pytest.raises(requests.HTTPError) as caught:
        doing(*words, **named)
    assert caught.value.response is not None
    return caught.value.response


def test_a_rule_is_for_some_calls_and_no_others(market: FakeVast) -> None:
    """After the first `skip`, `times` of them, on the operation and the offer named."""
    market.script(Rule("500", on="create", offer=102, skip=1, times=1))
    create(market, 101)
    first = create(market, 102)
    sdk(market).destroy_instance(first)
    assert refused(sdk(market).create_instance, 102, image="x").status_code == 500
    create(market, 102)
    assert [each.fault for each in market.asked("create")] == ["", "", "500", ""]


def test_a_rule_that_cannot_be_is_refused() -> None:
    """A mistyped fault would be a test that proves nothing."""
    with pytest.raises(ValueError, match="no such fault: 418"):
        Rule("418")
    with pytest.raises(ValueError, match="partial is no fault of create, but of list"):
        Rule("partial", on="create")


@pytest.mark.parametrize("fault", ["done_cut", "done_hang"])
def test_a_create_may_succeed_and_its_reply_be_lost(market: FakeVast, fault: str) -> None:
    """The instance is there and costs, under its label. Row 33."""
    market.script(Rule(fault, on="create", seconds=0.01))
    with pytest.raises(requests.ConnectionError):
        create(market, label="lost")
    assert [row["label"] for row in listed(market)] == ["lost"]
    assert market.bill()[0].ended is None


def test_half_a_reply_is_none(market: FakeVast) -> None:
    """It breaks off in the middle of the body, after it was done. Row 33."""
    market.script(Rule("done_half", on="create"))
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        create(market)
    assert len(market.living) == 1


@pytest.mark.parametrize("fault", ["cut", "hang"])
def test_a_request_may_be_lost_before_anything_is_done(market: FakeVast, fault: str) -> None:
    """To its sender it looks as if only the reply were. Row 33."""
    market.script(Rule(fault, on="create", seconds=0.01))
    with pytest.raises(requests.ConnectionError):
        create(market)
    assert market.instances == []


def test_a_hanging_call_holds_up_no_other_and_ends_with_the_fake(market: FakeVast) -> None:
    """It hangs for good, others are answered, and closing breaks it."""
    market.script(Rule("hang", on="user"))
    errors = list[BaseException]()

    def ask() -> None:
        try:
            sdk(market).show_user()
        except requests.ConnectionError as exc:
            errors.append(exc)

    asking = threading.Thread(target=ask)
    asking.start()
    while not market.asked("user"):
        pass
    assert listed(market) == []
    assert asking.is_alive()
    market.close()
    asking.join(5)
    assert len(errors) == 1


def test_too_many_requests_are_told_in_plain_text(market: FakeVast) -> None:
    """A burst of them, whatever is asked, with a time to come again only where it is set. Row 41."""
    market.script(Rule("429", times=2), Rule("429", on="destroy", seconds=3.0))
    for doing in (sdk(market).show_user, sdk(market).search_offers):
        reply = refused(doing)
        assert (reply.status_code, reply.headers["content-type"]) == (429, "text/plain; charset=utf-8")
        assert "Retry-After" not in reply.headers
    assert refused(sdk(market).destroy_instance, 7).headers["Retry-After"] == "3"
    sdk(market).show_user()


def test_a_key_may_be_held_to_so_many_requests_a_second(market: FakeVast) -> None:
    """Those beyond are refused, another key's are not, and after a second all is well. Row 41."""
    market.most_per_second = 2
    for _ in range(2):
        sdk(market).show_user()
    for each in market.requests:
        each.at += 60.0  # so that this test may take its time
    assert refused(sdk(market).show_user).status_code == 429
    sdk(market, "another").show_user()
    for each in market.requests:
        each.at -= 120.0
    sdk(market).show_user()
    assert [each.status for each in market.requests] == [200, 200, 429, 200, 200]


@pytest.mark.parametrize(("fault", "status"), [("500", 500), ("502", 502), ("503", 503), ("401", 401), ("403", 403)])
def test_what_is_refused_is_not_done(market: FakeVast, fault: str, status: int) -> None:
    """A destroy that fails leaves the instance, and its bill goes on. Row 40."""
    instance = create(market)
    market.script(Rule(fault, on="destroy"))
    assert refused(sdk(market).destroy_instance, instance).status_code == status
    assert [each.id for each in market.living] == [instance]


@pytest.mark.parametrize(("fault", "status"), [("done_500", 500), ("done_502", 502)])
def test_what_is_refused_may_have_been_done(market: FakeVast, fault: str, status: int) -> None:
    """A destroy that says that it failed, and did not. Row 40."""
    instance = create(market)
    market.script(Rule(fault, on="destroy"))
    assert refused(sdk(market).destroy_instance, instance).status_code == status
    assert market.living == []


def test_a_destroy_may_be_answered_and_ignored_some_times(market: FakeVast) -> None:
    """200, and it is still listed and costs on, until the last of them. Row 40."""
    instance = create(market)
    market.script(Rule("ignored", times=2))
    for _ in range(2):
        assert sdk(market).destroy_instance(instance) == {"success": True}
        assert len(listed(market)) == 1
        assert market.bill()[0].ended is None
    sdk(market).destroy_instance(instance)
    assert market.living == []


async def test_a_destroyed_one_may_be_listed_for_a_while() -> None:
    """It is shown and may be destroyed again, but costs no more. Row 40."""
    now = [1000.0]
    with FakeVast(clock=MarketClock(1.0, lambda: now[0])) as market:
        instance = create(market)
        await wait_until(lambda: market.instances[0].status == "running")
        now[0] += 10.0
        market.script(Rule("lingers", seconds=60.0))
        sdk(market).destroy_instance(instance)
        now[0] += 59.0
        assert len(listed(market)) == 1
        assert sdk(market).show_instance(instance)["id"] == instance
        assert sdk(market).destroy_instance(instance) == {"success": True}
        now[0] += 2.0
        assert listed(market) == []
        assert market.bill()[0].seconds == 10.0


def test_no_success_is_two_hundred_and_not_done(market: FakeVast) -> None:
    """The status alone proves nothing."""
    instance = create(market)
    market.script(Rule("no_success", on="destroy"))
    assert sdk(market).destroy_instance(instance)["success"] is False
    assert len(market.living) == 1


def test_an_offer_may_be_gone_and_credit_too(market: FakeVast) -> None:
    """Though the search still shows the offer, and the account its money. Rows 36 and 44."""
    market.script(Rule("gone", offer=101), Rule("no_credit"))
    assert refused(sdk(market).create_instance, 101, image="x").json()["error"] == "no_such_ask"
    assert refused(sdk(market).create_instance, 102, image="x").json()["error"] == "insufficient_credit"
    assert market.instances == []


async def test_an_offer_may_be_sold_twice(market: FakeVast) -> None:
    """A search still shows it; the second instance loads for good and costs. Row 36."""
    market.script(Rule("stale"), Rule("sold_twice", skip=1))
    create(market, 101)
    assert 101 in [row["id"] for row in sdk(market).search_offers()]
    create(market, 101)
    await wait_until(lambda: [each.status for each in market.instances] == ["running", "loading"])


PAGES: dict[str, Callable[[dict[str, Any]], bool]] = {
    "nothing": lambda page: page["instances"] == [] and page["total_instances"] == 0,
    "empty_page": lambda page: page["instances"] == [] and page["total_instances"] == 2,
    "partial": lambda page: len(page["instances"]) == 1 and page["next_token"] is None and page["total_instances"] == 2,
    "endless": lambda page: len(page["instances"]) == 2 and page["next_token"] is not None,
    "no_total": lambda page: set(page) == {"success", "instances"},
    "bare_rows": lambda page: [set(row) for row in page["instances"]] == [{"id"}, {"id"}],
    "odd": lambda page: "instances" not in page,
}


@pytest.mark.parametrize("fault", PAGES)
def test_a_listing_may_be_anything_but_the_truth(market: FakeVast, fault: str) -> None:
    """Two instances are there; what the page says of them is another matter. Row 39."""
    create(market, 101)
    create(market, 102)
    market.script(Rule(fault, on="list"))
    assert PAGES[fault](sdk(market).show_instances_v1({"limit": 25}))
    assert len(listed(market)) == 2


def test_an_endless_listing_gives_the_same_page_again(market: FakeVast) -> None:
    """Its token leads nowhere else, however often it is followed. Row 39."""
    create(market, 101)
    market.script(Rule("endless", times=None))
    first = sdk(market).show_instances_v1({"limit": 25})
    again = sdk(market).show_instances_v1({"limit": 25, "after_token": first["next_token"]})
    assert [row["id"] for row in again["instances"]] == [row["id"] for row in first["instances"]]
    assert again["next_token"] == first["next_token"]


def test_a_listing_may_be_gone_or_a_page_for_people(market: FakeVast) -> None:
    """410, and 200 with HTML. Row 39."""
    market.script(Rule("410", on="list"), Rule("html", on="list"))
    assert refused(sdk(market).show_instances_v1, {}).status_code == 410
    with pytest.raises(requests.exceptions.JSONDecodeError):
        sdk(market).show_instances_v1({})


def test_an_instance_may_be_denied_though_it_is_there(market: FakeVast) -> None:
    """By `show` alone; the listing has it."""
    instance = create(market)
    market.script(Rule("not_found", on="show"))
    assert refused(sdk(market).show_instance, instance).status_code == 404
    assert len(listed(market)) == 1


def test_a_slow_reply_is_the_right_one(market: FakeVast) -> None:
    """It only takes its time."""
    market.script(Rule("slow", on="user", seconds=0.05))
    began = time.monotonic()
    assert sdk(market).show_user()["credit"] == 100.0
    assert time.monotonic() - began >= 0.05


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
def test_every_fault_can_be_had_on_every_call_that_it_is_for(operation: str) -> None:
    """Each is recorded as what it was, and the next call is answered rightly."""
    faults = sorted(fault for fault, operations in FAULTS.items() if operation in operations)
    with FakeVast(offers=[Offer(id=each) for each in range(1, 2 * len(faults) + 1)]) as market:
        for number, fault in enumerate(faults, 1):
            instance = market.place("a-label", offer=len(faults) + number)
            market.forget()
            market.script(Rule(fault, on=operation, seconds=0.001))
            try:
                call(market, operation, number, instance)
            except (requests.RequestException, KeyError, TypeError, AttributeError):
                assert fault not in {"slow", "lingers", "ignored"}
            assert [(each.operation, each.fault) for each in market.requests] == [(operation, fault)]
            assert sdk(market).show_user()["username"] == "main"


def call(market: FakeVast, operation: str, offer: int, instance: int) -> None:
    """Make one call of this kind."""
    ask = sdk(market)
    calls: dict[str, Callable[[], Any]] = {
        "search": ask.search_offers,
        "create": lambda: ask.create_instance(offer, image="x"),
        "show": lambda: ask.client.get(f"/instances/{instance}/", query_args={"owner": "me"}),
        "list": lambda: ask.show_instances_v1({}),
        "change": lambda: ask.label_instance(instance, "other"),
        "destroy": lambda: ask.destroy_instance(instance),
        "ssh_key": lambda: ask.attach_ssh(instance, "ssh-ed25519 AAAA"),
        "user": ask.show_user,
    }
    calls[operation]()
