"""The list of instances: whole, or an error; never shorter than it is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import pytest

from lib.errors import UnreachableError
from lib.market.errors import BusyError, KeyRefusedError, UnknownListingError
from tests.lib.market.rows import ORDER, instance, market_offer, page
from tests.lib.market.scripted_market import Answer

if TYPE_CHECKING:
    from lib.market.vast import VastMarket
    from tests.lib.market.scripted_market import ScriptedMarket

LIST = "GET /api/v1/instances/"
SHOW = "GET /api/v0/instances/7/"


async def test_all_pages_are_read_one_after_the_other(vast: VastMarket, server: ScriptedMarket) -> None:
    """Each by the token of the one before; others' labels and those that have none are in it too."""
    server.says(
        LIST,
        page(instance(1), instance(2, label=None), total=4, then="a"),
        page(instance(3, label="someone else's"), total=4, then="b"),
        page(instance(4), total=4),
    )
    found = await vast.listed()
    assert [(each.market_id, each.label) for each in found] == [
        ("1", ORDER.label),
        ("2", ""),
        ("3", "someone else's"),
        ("4", ORDER.label),
    ]
    first, second, third = (parse_qs(each.query) for each in server.asked)
    assert json.loads(first["order_by"][0]) == [{"col": "id", "dir": "asc"}]
    assert (first["limit"], first["select_filters"], "after_token" in first) == (["25"], ["{}"], False)
    assert (second["after_token"], third["after_token"]) == (["a"], ["b"])


async def test_an_account_with_nothing_says_so_itself(vast: VastMarket, server: ScriptedMarket) -> None:
    """An empty list with its number is an answer."""
    server.says(LIST, page(total=0))
    assert list(await vast.listed()) == []


ODD: list[tuple[str, list[Any]]] = [
    ("empty, and no number", [page()]),
    ("a number that is not reached", [page(instance(1), total=2)]),
    ("fewer than there are, on two pages", [page(instance(1), total=3, then="a"), page(instance(2), total=3)]),
    ("none, and a number", [page(total=2)]),
    ("the number changes", [page(instance(1), total=2, then="a"), page(instance(2), total=1)]),
    ("one instance twice", [page(instance(1), then="a"), page(instance(1))]),
    ("the same token again", [page(instance(1), then="a"), page(instance(2), then="a")]),
    ("a token that is none", [page(instance(1)) | {"next_token": 7}]),
    ("an empty page before the last", [page(instance(1), then="a"), page(then="b"), page(instance(2))]),
    ("the second page missing", [page(instance(1), then="a"), Answer("", 410)]),
    ("no list", [{"success": True}]),
    ("null for a list", [{"instances": None, "total_instances": 0}]),
    ("an object for a list", [{"instances": {"1": instance(1)}}]),
    ("a row that is none", [page() | {"instances": ["1"]}]),
    ("a row with nothing but an id", [page({"id": 1}, total=1)]),
    ("neither a number nor an end", [{"success": True, "instances": [instance(1)]}]),
    ("a row without an id", [page(instance(1), {"label": ORDER.label})]),
    ("an id that is none", [page(instance(1) | {"id": "1"})]),
    ("a label that is none", [page(instance(1) | {"label": {"name": "x"}})]),
    ("a number that is none", [page(instance(1)) | {"total_instances": "1"}]),
    ("a number below zero", [page() | {"total_instances": -1}]),
    ("410 and nothing", [Answer("", 410)]),
    ("404", [Answer("not found", 404)]),
    ("400", [Answer({"msg": "bad filters"}, 400)]),
    ("no JSON", ["<html>"]),
    ("none, and no success", [page(total=0) | {"success": False}]),
    ("some, and no success", [page(instance(1), total=1) | {"success": False, "error": "try_later"}]),
    ("a list alone", [[instance(1)]]),
    ("an endless depth", ["[" * 100_000]),
]


@pytest.mark.parametrize("answers", [each[1] for each in ODD], ids=[each[0] for each in ODD])
async def test_what_is_no_whole_list_is_unknown(vast: VastMarket, server: ScriptedMarket, answers: list[Any]) -> None:
    """Never an empty list, never a part of one."""
    server.says(LIST, *answers)
    with pytest.raises(UnknownListingError, match="list of instances"):
        await vast.listed()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer("", 503), UnreachableError),
        (Answer(fault="reset"), UnreachableError),
        (Answer({"msg": "no"}, 401), KeyRefusedError),
        (Answer("slow down", 429, {"Retry-After": "600"}), BusyError),
    ],
)
async def test_a_list_that_did_not_come_says_why(
    vast: VastMarket, server: ScriptedMarket, answer: Answer, error: type[Exception]
) -> None:
    """Where the market itself is the matter, that is the error."""
    server.says(LIST, answer)
    with pytest.raises(error):
        await vast.listed()


async def test_an_instance_that_vanishes_from_the_list_is_asked_for_by_its_id(
    vast: VastMarket, server: ScriptedMarket
) -> None:
    """A list that says zero where there was one is believed only when the market says the same of that one."""
    server.says("PUT /api/v0/asks/11/", {"success": True, "new_contract": 7})
    server.says(LIST, page(total=0))
    server.says(SHOW, {"instances": instance()})
    server.says("POST /api/v0/instances/7/ssh/", {"success": True})
    await vast.create(market_offer(), ORDER)
    with pytest.raises(UnknownListingError, match="7 is not in it, and is there"):
        await vast.listed()
    server.says(SHOW, {"instances": None})
    assert list(await vast.listed()) == []
    # It is known to be gone now, and is not asked for again.
    asked = len(server.asked)
    await vast.listed()
    assert server.calls()[asked:] == [LIST]


async def test_a_shorter_list_is_believed_once_each_that_is_missing_is_gone(
    vast: VastMarket, server: ScriptedMarket
) -> None:
    """What an earlier list showed counts as known, too."""
    server.says(LIST, page(instance(7), instance(8)), page(instance(8)))
    server.says(SHOW, Answer("bad gateway", 502), {"instances": None})
    await vast.listed()
    with pytest.raises(UnreachableError):
        await vast.listed()
    assert [each.market_id for each in await vast.listed()] == ["8"]


async def test_an_instance_is_gone_when_the_question_and_the_list_agree(
    vast: VastMarket, server: ScriptedMarket
) -> None:
    """While the list has it, it is shown from there; while the list cannot be believed, nothing is said."""
    server.says(SHOW, Answer({"success": False, "error": "no_such_instance"}, 404))
    server.says(LIST, page(instance(7), total=1), page(total=1), Answer("", 503), page(total=0))
    seen = await vast.show("7")
    assert seen is not None
    assert seen.status == "running"
    with pytest.raises(UnknownListingError):
        await vast.show("7")
    with pytest.raises(UnreachableError):
        await vast.show("7")
    assert await vast.show("7") is None


async def test_a_key_is_let_in_by_the_list_as_well(vast: VastMarket, server: ScriptedMarket) -> None:
    """An instance that was found by its label is known from the list alone."""
    server.says("PUT /api/v0/asks/11/", Answer(fault="reset"))
    server.says(LIST, page(instance(7), instance(8, label="someone else's"), total=2))
    server.says("POST /api/v0/instances/7/ssh/", {"success": True})
    with pytest.raises(Exception, match="reply was lost"):
        await vast.create(market_offer(), ORDER)
    await vast.listed()
    assert server.calls("POST") == ["POST /api/v0/instances/7/ssh/"]
