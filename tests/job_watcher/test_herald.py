"""What the conductor says aloud: these very words, in this order, once per change."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loguru import logger

from job_watcher.herald import SENTENCES, SPILLS, Herald
from lib.jobqueue.moves import Move
from lib.routing.view import Condition, Decision

if TYPE_CHECKING:
    from collections.abc import Iterator

METAL, CLOUD = "lane:metal:any", "lane:cloud:any"
WORDS = {
    "metal_full": "M1 is full, trying Gemini",
    "near_limit": "Gemini near rate limit",
    "rate_paused": "Cloud Paused due to Rate Limit",
    "api_closed": "Cloud Paused due to Rate Limit",
    "budget_reached": "Budget of the day reached, nothing that is paid for begins",
    "holding": "No compute available holding",
}
"""Sentence by condition, as people know them."""


@pytest.fixture
def said() -> Iterator[list[str]]:
    """Every sentence said."""
    heard: list[str] = []
    sink = logger.add(lambda message: heard.append(message.record["message"]), level="INFO")
    yield heard
    logger.remove(sink)


@pytest.fixture
def fields() -> Iterator[list[dict[str, object]]]:
    """The fields of every sentence."""
    heard: list[dict[str, object]] = []
    sink = logger.add(lambda message: heard.append(dict(message.record["extra"])), level="INFO")
    yield heard
    logger.remove(sink)


def order(lane: str, *, rated: bool = False, intake: str = "stream:normal:any") -> Move:
    """An order for some jobs."""
    return Move(intake, lane, 5, 5, (lane,), 5, rated)


def decision(*conditions: Condition, orders: tuple[Move, ...] = ()) -> Decision:
    """What was decided, and what is true."""
    return Decision(orders, frozenset(conditions))


def test_the_words_are_these(said: list[str]) -> None:
    """Word for word: people and their scripts look for them."""
    for condition in get_args(Condition):
        Herald().seen(decision(condition))
        assert said.pop() == WORDS[condition]
    Herald().fed(decision(orders=(order(METAL), order(CLOUD, rated=True))), [1, 1])
    assert said == ["Fed Metal", "Fed Cloud"]
    assert set(get_args(Condition)) == {each for conditions, _ in SENTENCES for each in conditions}


def test_each_move_is_said_with_where_how_many_and_of_which_backlog(fields: list[dict[str, object]]) -> None:
    """For whoever reads the JSON lines."""
    metal, cloud = order(METAL, intake="backlog:stress:normal:any"), order(CLOUD, rated=True)
    Herald().fed(decision(orders=(cloud, metal)), [2, 7])
    assert fields == [
        {"backend": "metal", "backlog": "stress", "jobs": 7},
        {"backend": "cloud", "backlog": "default", "jobs": 2},
    ]


def test_an_order_that_moved_nothing_is_not_said(said: list[str]) -> None:
    """The queue found no room, or no job."""
    Herald().fed(decision("metal_full", orders=(order(METAL), order(CLOUD, rated=True))), [0, 0])
    assert said == []


def test_the_order_of_a_spill(said: list[str]) -> None:
    """Metal is fed, then it is full, then the cloud is fed: so it reads."""
    herald = Herald()
    spill = decision("metal_full", orders=(order(CLOUD, rated=True), order(METAL)))
    herald.fed(spill, [1, 2])
    assert said == ["Fed Metal", SPILLS, "Fed Cloud"]


def test_a_whole_afternoon(said: list[str]) -> None:
    """Two jobs a minute: the sentences of three minutes, in order, each once until it changes."""
    herald = Herald()
    spill = decision("metal_full", orders=(order(METAL), order(CLOUD, rated=True)))
    waits = decision("metal_full", "near_limit", "rate_paused", "holding")
    herald.fed(spill, [2, 2])
    for _ in range(5):
        herald.seen(waits)
    first = [
        "Fed Metal",
        "M1 is full, trying Gemini",
        "Fed Cloud",
        "Gemini near rate limit",
        "Cloud Paused due to Rate Limit",
        "No compute available holding",
    ]
    assert said == first
    said.clear()
    # The window lets one through; what held the rest is said again, that metal is full is not.
    herald.fed(decision("metal_full", orders=(order(CLOUD, rated=True),)), [1])
    herald.seen(waits)
    assert said == [first[2], *first[3:]]
    said.clear()
    # A place of metal is free in between: nothing about the cloud has changed.
    herald.fed(decision(orders=(order(METAL),)), [1])
    herald.seen(waits)
    assert said == ["Fed Metal"]
    said.clear()
    herald.seen(decision())
    herald.seen(waits)
    assert said == [first[1], *first[3:]]


def test_two_reasons_for_one_sentence_are_one_sentence(said: list[str]) -> None:
    """The limit a minute, then the API itself: the cloud is paused all the while."""
    herald = Herald()
    herald.seen(decision("rate_paused"))
    herald.seen(decision("rate_paused", "api_closed"))
    herald.seen(decision("api_closed"))
    assert said == ["Cloud Paused due to Rate Limit"]


def test_a_backend_nobody_has_named_yet_is_fed_by_its_name(said: list[str]) -> None:
    """What comes later is said in the same way."""
    Herald().fed(decision(orders=(order("lane:vast:any"),)), [1])
    assert said == ["Fed Vast"]


@settings(max_examples=30)
@given(st.lists(st.frozensets(st.sampled_from(get_args(Condition))), max_size=20))
def test_a_sentence_is_said_exactly_when_it_becomes_true(seen: list[frozenset[Condition]]) -> None:
    """Whatever is true in turn: nothing is said twice running, and nothing new is kept back; in the fixed order."""
    heard: list[str] = []
    sink = logger.add(lambda message: heard.append(message.record["message"]), level="INFO")
    try:
        herald, before = Herald(), set[str]()
        for conditions in seen:
            herald.seen(Decision((), conditions))
            now = {WORDS[each] for each in conditions}
            assert heard == [sentence for _, sentence in SENTENCES if sentence in now - before]
            heard.clear()
            before = now
    finally:
        logger.remove(sink)


def test_backlogs_that_are_left_alone_are_named_once() -> None:
    """Who conducts one backlog hears that others wait, again only when there is one more."""
    heard: list[tuple[str, str]] = []
    herald = Herald(lambda text, about: heard.append((text, str(about["backlogs"]))))
    for seen in ({"a"}, {"a"}, {"a", "b"}, {"b"}, set[str](), {"a"}):
        herald.left_alone(frozenset(seen))
    assert [names for _, names in heard] == ["a", "a, b", "a"]


def test_a_backlog_that_never_had_a_job_is_named_with_its_neighbours() -> None:
    """A slip in --backlog takes the lead from everybody and moves nothing: it is said at once."""
    heard: list[str] = []
    herald = Herald(lambda text, _: heard.append(text))
    herald.empty({"stres", "night"}, {"default", "stress", "night"})
    herald.empty((), {"default"})
    assert heard == ["the backlog stres has had no job yet; there are stress"]
