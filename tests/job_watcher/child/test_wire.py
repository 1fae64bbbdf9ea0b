"""Frames: what goes in comes out, and garbage is refused whatever it is."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from job_watcher.child import typed_errors, wire
from lib.errors import PermanentError, QuotaError
from lib.jobqueue import JobSpec
from lib.tasks.base import Output, TaskResult
from tests.support.running import spec

texts = st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    max_leaves=10,
)
objects = st.dictionaries(texts, values)
errors = st.fixed_dictionaries(
    {
        "code": st.sampled_from(["temporary", "timeout", "permanent", "quota", "budget", "paused", "blocked"]),
        "message": texts,
        "hint": st.none() | texts,
        "delay_seconds": st.none() | st.floats(0, 1e9),
        "detail": texts,
    }
)
messages = st.one_of(
    st.builds(wire.Ready, st.integers(1, 2**22)),
    st.builds(wire.Order, st.integers(0), texts, st.integers(1), texts, st.dictionaries(texts, texts)),
    st.builds(wire.Begun, st.integers(0)),
    st.builds(wire.Report, st.integers(0), objects),
    st.builds(wire.Result, st.integers(0), st.none() | objects, st.lists(st.lists(texts, min_size=3, max_size=3))),
    st.builds(wire.Failed, st.integers(0), errors),
    st.builds(wire.Ask, st.integers(0), st.integers(0), texts, objects),
    st.builds(wire.Piece, st.integers(0), st.integers(0), texts),
    st.builds(wire.Answer, st.integers(0), st.integers(0), objects, st.none()),
    st.builds(wire.Answer, st.integers(0), st.integers(0), st.none(), errors),
)


def pair() -> tuple[socket.socket, socket.socket]:
    """Both ends."""
    return socket.socketpair()


@given(messages)
def test_every_message_comes_back_the_same(message: wire.Message) -> None:
    """Through bytes and back, whatever its text holds."""
    frame = wire.encode(message)
    assert struct.unpack(">I", frame[:4])[0] == len(frame) - 4
    assert wire.decode(frame[4:]) == message


@given(st.binary(max_size=200))
def test_garbage_is_a_wire_error_and_nothing_else(body: bytes) -> None:
    """A body that wrote to the wrong descriptor can only end its own child."""
    with pytest.raises(wire.WireError):
        wire.decode(body)


@given(
    st.sampled_from(
        ["ready", "order", "begun", "report", "result", "failed", "ask", "piece", "answer", "unknown", 3, None]
    ),
    st.dictionaries(
        st.sampled_from(
            [
                "serial",
                "pid",
                "job",
                "attempt",
                "work_dir",
                "models",
                "progress",
                "result",
                "outputs",
                "error",
                "call",
                "kind",
                "payload",
                "data",
            ]
        ),
        values,
    ),
)
def test_json_with_wrong_parts_is_refused_or_right(kind: Any, parts: dict[str, Any]) -> None:
    """Nothing half typed passes: what decodes also encodes to an equal message."""
    try:
        message = wire.decode(json.dumps({"is": kind, **parts}).encode())
    except wire.WireError:
        return
    assert wire.decode(wire.encode(message)[4:]) == message


def test_a_deep_nesting_is_refused() -> None:
    """It must not end the parent."""
    with pytest.raises(wire.WireError):
        wire.decode(b'{"is":' + b"[" * 200_000 + b"]" * 200_000 + b"}")


def test_frames_of_any_cut_arrive_whole() -> None:
    """The child's reader puts together what the socket delivers in pieces, and sees a clean end."""
    near, far = pair()
    sent: list[wire.Message] = [wire.Begun(1), wire.Order(2, "x" * 300_000, 1, "dir", {}), wire.Begun(3)]

    def feed() -> None:
        data = b"".join(wire.encode(message) for message in sent)
        for start in range(0, len(data), 7_777):
            near.sendall(data[start : start + 7_777])
        near.close()

    with far:
        thread = threading.Thread(target=feed)
        thread.start()
        received = [wire.receive(far) for _ in range(4)]
        thread.join()
    assert received == [*sent, None]


def test_a_half_frame_is_the_end() -> None:
    """The parent died while it wrote."""
    near, far = pair()
    with far:
        near.sendall(wire.encode(wire.Begun(1))[:-1])
        near.close()
        assert wire.receive(far) is None


async def test_an_announced_size_beyond_the_limit_is_refused_unread() -> None:
    """Four wrong bytes must not make anyone allocate gigabytes, at either end."""
    head = struct.pack(">I", wire.MAX_FRAME_BYTES + 1)
    stream = asyncio.StreamReader()
    stream.feed_data(head)
    with pytest.raises(wire.WireError, match="announces"):
        await wire.read(stream)
    near, far = pair()
    with near, far:
        near.sendall(head)
        with pytest.raises(wire.WireError, match="announces"):
            wire.receive(far)


async def test_the_parent_reads_the_same_frames() -> None:
    """And an end in the middle is an EOFError."""
    stream = asyncio.StreamReader()
    stream.feed_data(wire.encode(wire.Begun(7)) + b"\x00\x00")
    stream.feed_eof()
    assert await wire.read(stream) == wire.Begun(7)
    with pytest.raises(EOFError):
        await wire.read(stream)


def test_the_largest_job_fits_into_an_order() -> None:
    """JOBS_MAX_JOB_BYTES at its highest, with text that grows most on the wire."""
    text = '"\\' * 102_000
    job = JobSpec.model_validate({**spec("debug").model_dump(), "payload": {"message": text}, "content_hash": ""})
    encoded = job.to_json().decode()
    assert len(encoded) > 390 * 1024
    assert len(wire.encode(wire.Order(1, encoded, 1, "dir", {"text": "m", "speech": "n"}))) < wire.MAX_FRAME_BYTES


def test_an_answer_comes_back_as_a_task_result() -> None:
    """Outputs keep name, path and kind."""
    given_result = TaskResult({"a": 1}, (Output("best.wav", Path("dir/best.wav"), "best"),))
    message = wire.decode(wire.answer(3, given_result)[4:])
    assert isinstance(message, wire.Result)
    assert (message.serial, wire.result_of(message)) == (3, given_result)


def test_an_answer_too_large_becomes_a_permanent_failure() -> None:
    """The child stays sound and the job learns why."""
    message = wire.decode(wire.answer(3, TaskResult({"a": "x" * wire.MAX_FRAME_BYTES}))[4:])
    assert isinstance(message, wire.Failed)
    assert isinstance(wire.error_of(message), PermanentError)
    assert "too large" in wire.error_of(message).message


def test_a_failure_comes_back_as_the_error_that_was_raised() -> None:
    """Every kind of it: `test_typed_errors.py`."""
    message = wire.decode(wire.failure(1, QuotaError("no more", window="day", hint="wait", delay_seconds=3.5))[4:])
    assert isinstance(message, wire.Failed)
    back = wire.error_of(message)
    assert isinstance(back, QuotaError)
    assert (back.message, back.hint, back.delay_seconds, back.window) == ("no more", "wait", 3.5, "day")


def test_an_answer_is_either_one_or_an_error() -> None:
    """Never both, never neither."""
    error = typed_errors.parts_of(PermanentError("no"))
    for parts in ({"payload": {}, "error": error}, {"payload": None, "error": None}):
        with pytest.raises(wire.WireError, match="wrong parts"):
            wire.decode(json.dumps({"is": "answer", "serial": 1, "call": 1, **parts}).encode())


def test_a_megabyte_of_error_is_cut() -> None:
    """A body may raise with a whole document as its message."""
    assert len(wire.failure(1, PermanentError("x" * 10_000_000, hint="y" * 10_000_000))) < 20_000
