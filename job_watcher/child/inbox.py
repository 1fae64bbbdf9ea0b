"""The child's ear: orders for the main thread, and answers for whoever asked, on whatever thread.

The main thread reads the wire while it waits for an order; while a question is out a thread of ours does, which keeps
the next order for later. Otherwise nobody reads: a descriptor that a thread waits on does not close, and the parent
would not hear that a body has closed it.
"""

from __future__ import annotations

import base64
import contextlib
import threading
from collections import deque
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from job_watcher.child import typed_errors, wire
from job_watcher.child.questions import Reply
from lib.errors import PermanentError, TemporaryError

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from job_watcher.child.questions import Question


@dataclass(slots=True)
class _Asked:
    """A question that is out, and the bytes of its answer so far."""

    future: Future[Reply] = field(default_factory=Future)
    data: bytearray = field(default_factory=bytearray)


class Inbox:
    """Reads one end of the wire; `send` writes a frame to it from any thread."""

    def __init__(self, end: socket.socket, send: Callable[[bytes], None]) -> None:
        self._end = end
        self._send = send
        # Held by the one who reads.
        self._reading = threading.Lock()
        self._orders: deque[wire.Order] = deque()
        self._asked: dict[tuple[int, int], _Asked] = {}
        self._calls = 0
        self._ended = False
        self._wrong: wire.WireError | None = None
        self._changed = threading.Condition()
        threading.Thread(target=self._read_answers, name="answers", daemon=True).start()

    def next_order(self) -> wire.Order | None:
        """The next order, blocking; None when the parent closed its end.

        Raises:
            WireError: what came is nothing that a child is sent.
        """
        with self._reading:
            while not self._orders and not self._ended:
                self._read_one()
            if self._orders:
                return self._orders.popleft()
        if self._wrong is not None:
            raise self._wrong
        return None

    def ask(self, serial: int, question: Question) -> Future[Reply]:
        """Ask on behalf of the body of order `serial`; the future holds the reply, or the error that was its answer.

        Raises:
            PermanentError: the question is too large.
        """
        asked = _Asked()
        with self._changed:
            self._calls += 1
            call = self._calls
        try:
            frame = wire.encode(wire.Ask(serial, call, question.kind, question.payload))
        except (wire.WireError, TypeError, ValueError) as exc:
            raise PermanentError(
                f"this question cannot be sent to the model: {exc}", hint="ask for less at once"
            ) from exc
        with self._changed:
            if self._ended:
                asked.future.set_exception(_gone())
                return asked.future
            self._asked[serial, call] = asked
            self._changed.notify()
        self._send(frame)
        return asked.future

    def forget(self, serial: int) -> None:
        """The order is over: whoever of its body still waits for an answer gets none."""
        with self._changed:
            left = [self._asked.pop(key) for key in list(self._asked) if key[0] == serial]
        for asked in left:
            asked.future.cancel()

    def _read_answers(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._asked)
            with self._reading:
                while self._asked:
                    self._read_one()

    def _read_one(self) -> None:
        try:
            message = wire.receive(self._end)
            if message is None:
                self._end_it()
            else:
                self._sort(message)
        except wire.WireError as exc:
            self._wrong = exc
            self._end_it()
        except OSError:
            # The parent is gone, or a body has closed the descriptor: an end like any other.
            self._end_it()

    def _end_it(self) -> None:
        with self._changed:
            self._ended = True
            left = list(self._asked.values())
            self._asked.clear()
        for asked in left:
            _settle(asked.future, _gone())

    def _sort(self, message: wire.Message) -> None:
        match message:
            case wire.Order():
                self._orders.append(message)
            case wire.Piece(serial=serial, call=call, data=data):
                asked = self._asked.get((serial, call))
                if asked is not None:
                    asked.data += _bytes_of(data)
            case wire.Answer(serial=serial, call=call) as answer:
                # Of one whose order is over nobody waits any more.
                if (asked := self._take(serial, call)) is not None:
                    _settle(asked.future, _outcome(answer, bytes(asked.data)))
            case stray:
                raise wire.WireError(f"a child was sent {type(stray).__name__}")

    def _take(self, serial: int, call: int) -> _Asked | None:
        with self._changed:
            return self._asked.pop((serial, call), None)


def _bytes_of(data: str) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except ValueError as exc:
        raise wire.WireError("a piece of an answer is no base64") from exc


def _outcome(answer: wire.Answer, data: bytes) -> Reply | Exception:
    if answer.error is not None:
        return typed_errors.error_of(answer.error)
    return Reply(answer.payload or {}, data)


def _settle(future: Future[Reply], outcome: Reply | Exception) -> None:
    # Whoever asked may have given up in this moment.
    with contextlib.suppress(InvalidStateError):
        if isinstance(outcome, Reply):
            future.set_result(outcome)
        else:
            future.set_exception(outcome)


def _gone() -> TemporaryError:
    return TemporaryError("the watcher is gone; nobody can answer")
