"""The child's ear: orders in their turn, answers to whoever asked, and an end that leaves nobody waiting."""

from __future__ import annotations

import socket
from base64 import b64encode
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from job_watcher.child import typed_errors, wire
from job_watcher.child.inbox import Inbox
from job_watcher.child.questions import Question, Reply
from lib.errors import PermanentError, QuotaError, TemporaryError

if TYPE_CHECKING:
    from collections.abc import Iterator

SOON = 10.0
"""Seconds that no test takes."""


class Parent:
    """The other end, by hand. Its thread ends with the test's process."""

    def __init__(self) -> None:
        self.near, far = socket.socketpair()
        self.inbox = Inbox(far, far.sendall)
        self._far = far

    def say(self, *messages: wire.Message) -> None:
        """Send frames."""
        self.near.sendall(b"".join(wire.encode(message) for message in messages))

    def heard(self) -> wire.Message | None:
        """The next frame of the child."""
        return wire.receive(self.near)

    def close(self) -> None:
        """Both ends, once nobody reads."""
        self.near.close()
        with self.inbox._reading:
            self._far.close()


@pytest.fixture
def parent() -> Iterator[Parent]:
    """One, closed at the end."""
    made = Parent()
    yield made
    made.close()


def order(serial: int) -> wire.Order:
    """Any."""
    return wire.Order(serial, "{}", 1, "dir", {})


def question(text: str = "hello") -> Question:
    """Any."""
    return Question("text", {"prompt": text})


def test_orders_come_in_turn_and_then_the_end(parent: Parent) -> None:
    """None when the parent closed."""
    parent.say(order(1), order(2))
    assert [parent.inbox.next_order(), parent.inbox.next_order()] == [order(1), order(2)]
    parent.near.shutdown(socket.SHUT_RDWR)
    assert parent.inbox.next_order() is None
    assert parent.inbox.next_order() is None


def test_nobody_reads_while_nobody_waits(parent: Parent) -> None:
    """So that a body which closes the descriptor is heard by the parent at once, before a question and after."""
    parent.say(order(1))
    parent.inbox.next_order()
    assert not parent.inbox._reading.locked()
    future = parent.inbox.ask(1, question())
    parent.say(wire.Answer(1, 1, {}, None))
    future.result(SOON)
    with parent.inbox._reading:
        parent._far.close()
    parent.near.settimeout(SOON)
    assert isinstance(parent.heard(), wire.Ask)
    assert parent.heard() is None


def test_a_question_is_answered_while_the_next_order_waits(parent: Parent) -> None:
    """The order is not lost, and not mistaken for the answer."""
    future = parent.inbox.ask(7, question())
    asked = parent.heard()
    assert asked == wire.Ask(7, 1, "text", {"prompt": "hello"})
    parent.say(order(8), wire.Answer(7, 1, {"said": "hi"}, None))
    assert future.result(SOON) == Reply({"said": "hi"})
    assert parent.inbox.next_order() == order(8)


def test_answers_find_their_question_in_any_order(parent: Parent) -> None:
    """Many threads ask at once; the last question is answered first."""
    with ThreadPoolExecutor(8) as threads:
        futures = dict(threads.map(lambda n: (n, parent.inbox.ask(1, question(str(n)))), range(20)))
    asks = [parent.heard() for _ in range(20)]
    for ask in reversed(asks):
        assert isinstance(ask, wire.Ask)
        parent.say(wire.Answer(1, ask.call, {"said": ask.payload["prompt"]}, None))
    assert {n: future.result(SOON).payload["said"] for n, future in futures.items()} == {n: str(n) for n in range(20)}


def test_bytes_come_in_pieces_between_other_frames(parent: Parent) -> None:
    """Those of two answers at once are not mixed."""
    first, second = (parent.inbox.ask(1, question()) for _ in range(2))
    pieces = [wire.Piece(1, call, b64encode(data).decode()) for call, data in ((1, b"ab"), (2, b"xy"), (1, b"cd"))]
    parent.say(*pieces, order(2), wire.Answer(1, 1, {}, None), wire.Answer(1, 2, {}, None))
    assert (first.result(SOON).data, second.result(SOON).data) == (b"abcd", b"xy")


def test_an_error_is_raised_as_its_type(parent: Parent) -> None:
    """With what it knows."""
    future = parent.inbox.ask(1, question())
    error = QuotaError("used up", window="day", delay_seconds=5)
    parent.say(wire.Answer(1, 1, None, typed_errors.parts_of(error)))
    caught = future.exception(SOON)
    assert isinstance(caught, QuotaError)
    assert vars(caught) == vars(error)


def test_the_answer_to_an_order_that_is_over_is_nobodys(parent: Parent) -> None:
    """A thread that outlived its body gets none, and the next body no wrong one."""
    old = parent.inbox.ask(1, question())
    parent.inbox.forget(1)
    with pytest.raises(CancelledError):
        old.result(SOON)
    new = parent.inbox.ask(2, question())
    late = wire.Piece(1, 1, b64encode(b"late").decode())
    parent.say(late, wire.Answer(1, 1, {"for": "old"}, None), wire.Answer(2, 2, {"for": "new"}, None))
    assert new.result(SOON) == Reply({"for": "new"})


def test_a_question_that_was_given_up_may_still_be_answered(parent: Parent) -> None:
    """By a timeout of the body's own."""
    given_up = parent.inbox.ask(1, question())
    assert given_up.cancel()
    parent.say(wire.Answer(1, 1, {}, None), order(2))
    assert parent.inbox.next_order() == order(2)


def test_a_question_too_large_or_no_json_is_the_jobs_mistake(parent: Parent) -> None:
    """Nothing is sent, and nobody waits for it."""
    with pytest.raises(PermanentError, match="cannot be sent"):
        parent.inbox.ask(1, question("x" * wire.MAX_FRAME_BYTES))
    with pytest.raises(PermanentError, match="cannot be sent"):
        parent.inbox.ask(1, Question("text", {"prompt": object()}))
    parent.inbox.ask(1, question("small"))
    heard = parent.heard()
    assert isinstance(heard, wire.Ask)
    assert heard.payload == {"prompt": "small"}


def test_when_the_parent_is_gone_nobody_waits(parent: Parent) -> None:
    """Neither who asked before nor who asks after."""
    before = parent.inbox.ask(1, question())
    parent.near.shutdown(socket.SHUT_RDWR)
    with pytest.raises(TemporaryError, match="gone"):
        before.result(SOON)
    assert parent.inbox.next_order() is None
    with pytest.raises(TemporaryError, match="gone"):
        parent.inbox.ask(1, question()).result(SOON)


@pytest.mark.parametrize(
    "wrong", [wire.encode(wire.Begun(1)), b"\x00\x00\x00\x02{}", wire.encode(wire.Piece(1, 1, "?"))]
)
def test_what_no_child_is_sent_ends_it(parent: Parent, wrong: bytes) -> None:
    """The main thread hears of it, and whoever waits for an answer."""
    waiting = parent.inbox.ask(1, question())
    parent.near.sendall(wrong)
    with pytest.raises(TemporaryError):
        waiting.result(SOON)
    with pytest.raises(wire.WireError):
        parent.inbox.next_order()


def test_garbage_where_an_order_should_be_ends_it_too(parent: Parent) -> None:
    """Without a question."""
    parent.near.sendall(wire.encode(wire.Begun(1)))
    with pytest.raises(wire.WireError, match="was sent Begun"):
        parent.inbox.next_order()
