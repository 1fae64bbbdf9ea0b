"""The parent's answers to the questions of one body: each a task of its own, none left when the attempt is over.

Called by `job_watcher.child.process`, which goes on listening meanwhile. What an answer costs, and whether it may be
asked for at all, is the business of who answers.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
from typing import TYPE_CHECKING, Final

from job_watcher.child import typed_errors, wire
from job_watcher.child.questions import MAX_DATA_BYTES, Question
from job_watcher.retrying import as_task_error
from lib.errors import PermanentError

if TYPE_CHECKING:
    from job_watcher.child.questions import Answers, Reply
    from lib.errors import TaskError

_PIECE_BYTES: Final = wire.MAX_FRAME_BYTES // 2


class Answering:
    """The questions of one attempt that are under way."""

    def __init__(self, answers: Answers | None, writer: asyncio.StreamWriter) -> None:
        self._answers = answers
        self._writer = writer
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, ask: wire.Ask) -> None:
        """Answer in a task of its own."""
        task = asyncio.create_task(self._answer(ask), name=f"answer {ask.serial}.{ask.call}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def cancel(self) -> None:
        """Nobody listens any more. Does not wait."""
        for task in self._tasks:
            task.cancel()

    async def ended(self) -> None:
        """Wait until every call that was cancelled has come to its end."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _answer(self, ask: wire.Ask) -> None:
        # A child that is gone has no use for an answer; whoever reads from it hears of its end.
        with contextlib.suppress(OSError):
            try:
                reply = await self._reply(ask)
                end = wire.encode(wire.Answer(ask.serial, ask.call, reply.payload, None))
            except wire.WireError as exc:
                await self._refuse(ask, PermanentError(f"the answer of the model is too large: {exc.message}"))
            except (Exception, SystemExit) as exc:  # noqa: BLE001  whatever it is, it is for the body
                await self._refuse(ask, as_task_error(exc))
            else:
                await self._send_pieces(ask, reply.data)
                await self._send(end)

    async def _reply(self, ask: wire.Ask) -> Reply:
        if self._answers is None:
            raise PermanentError(f"the job asked its watcher for {ask.kind!r}, which answers nothing here")
        try:
            reply = await self._answers.answer(Question(ask.kind, ask.payload))
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if current is not None and current.cancelling():
                raise
            raise PermanentError("the call cancelled itself") from None
        if len(reply.data) > MAX_DATA_BYTES:
            raise PermanentError(
                f"the answer of the model is too large: {len(reply.data)} bytes", hint="ask for less at once"
            )
        return reply

    async def _send_pieces(self, ask: wire.Ask, data: bytes) -> None:
        for at in range(0, len(data), _PIECE_BYTES):
            piece = base64.b64encode(data[at : at + _PIECE_BYTES]).decode()
            await self._send(wire.encode(wire.Piece(ask.serial, ask.call, piece)))

    async def _refuse(self, ask: wire.Ask, error: TaskError) -> None:
        await self._send(wire.encode(wire.Answer(ask.serial, ask.call, None, typed_errors.parts_of(error))))

    async def _send(self, frame: bytes) -> None:
        # Whole frames, so that an order may go out between two pieces; waiting, so that a slow child bounds them.
        self._writer.write(frame)
        await self._writer.drain()
