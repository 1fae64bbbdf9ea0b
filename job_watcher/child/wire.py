"""What a parent and its child say to each other, and how: JSON frames of bounded size on a socket of their own.

Not standard output, because engines print. A frame is 4 bytes of length (big-endian) and so many bytes of JSON,
one object with the name of its kind under `is`. Both ends are the same version of the same program, yet nothing
read here is trusted further than its checks: a body may have written to the wrong descriptor.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from lib.errors import JobRunnerError, PermanentError, TaskError, TaskTimeoutError, TemporaryError
from lib.tasks.base import Output, OutputKind, TaskResult

if TYPE_CHECKING:
    import asyncio
    import socket

# A job is at most 400 KiB and its JSON at most doubles inside a JSON string; a result is at most 256 KiB.
MAX_FRAME_BYTES: Final = 1024 * 1024
_MAX_MESSAGE_CHARACTERS: Final = 8_192
_LENGTH: Final = struct.Struct(">I")


class WireError(JobRunnerError):
    """What came over the wire is no frame of this protocol: the child is not to be trusted any more."""

    code = "wire"


@dataclass(frozen=True, slots=True)
class Ready:
    """Child: imports are done; `pid` is the process in which bodies run."""

    pid: int


@dataclass(frozen=True, slots=True)
class Order:
    """Parent: run this. `job` is the JSON of the spec; `serial` comes back in every answer to it."""

    serial: int
    job: str
    attempt: int
    work_dir: str


@dataclass(frozen=True, slots=True)
class Begun:
    """Child: from here on a death of this process is this job's doing."""

    serial: int


@dataclass(frozen=True, slots=True)
class Report:
    """Child: how far it is."""

    serial: int
    progress: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Nearly:
    """Child: the body has a moment of writing left; the next order may be sent already."""

    serial: int


@dataclass(frozen=True, slots=True)
class Result:
    """Child: the body returned; `outputs` are (name, path, kind)."""

    serial: int
    result: dict[str, Any] | None
    outputs: list[list[str]]


@dataclass(frozen=True, slots=True)
class Failed:
    """Child: the body raised; `error` names which of the three kinds a task may raise."""

    serial: int
    error: Literal["temporary", "timeout", "permanent"]
    message: str
    hint: str | None
    delay_seconds: float | None


Message = Ready | Order | Begun | Report | Nearly | Result | Failed
_KINDS: Final[dict[str, type[Message]]] = {
    "ready": Ready,
    "order": Order,
    "begun": Begun,
    "report": Report,
    "nearly": Nearly,
    "result": Result,
    "failed": Failed,
}
_NAMES: Final = {kind: name for name, kind in _KINDS.items()}
_PARTS: Final = {kind: tuple(part.name for part in fields(kind)) for kind in _NAMES}


def encode(message: Message) -> bytes:
    """One frame.

    Raises:
        WireError: it would be larger than MAX_FRAME_BYTES.
    """
    # Not by `asdict`, which copies a whole result first.
    parts = {name: getattr(message, name) for name in _PARTS[type(message)]}
    body = json.dumps({"is": _NAMES[type(message)], **parts}, separators=(",", ":")).encode()
    if len(body) > MAX_FRAME_BYTES:
        raise WireError(f"a {_NAMES[type(message)]} frame of {len(body)} bytes; at most {MAX_FRAME_BYTES} are allowed")
    return _LENGTH.pack(len(body)) + body


def decode(body: bytes) -> Message:
    """The message in the body of a frame.

    Raises:
        WireError: it is none.
    """
    try:
        parts = json.loads(body)
        message = _KINDS[parts.pop("is")](**parts)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as exc:
        raise WireError(f"no message of the wire: {body[:80]!r}") from exc
    _check(message)
    return message


def _check(message: Message) -> None:
    """The types that the rest of the program builds on."""
    match message:
        case Ready(pid=int()) | Begun(serial=int()) | Nearly(serial=int()) | Report(serial=int(), progress=dict()):
            return
        case Order(serial=int(), job=str(), attempt=int(), work_dir=str()):
            return
        case Result(serial=int(), result=None | dict(), outputs=list() as outputs):
            if all(isinstance(each, list) and [type(part) for part in each] == [str, str, str] for each in outputs):
                return
        case Failed(serial=int(), error=str() as error, message=str(), hint=None | str(), delay_seconds=delay):
            if error in {"temporary", "timeout", "permanent"} and (delay is None or isinstance(delay, int | float)):
                return
    raise WireError(f"a {_NAMES[type(message)]} message with wrong parts")


def _length(head: bytes) -> int:
    size: int = _LENGTH.unpack(head)[0]
    if size > MAX_FRAME_BYTES:
        raise WireError(f"a frame announces {size} bytes; at most {MAX_FRAME_BYTES} are allowed")
    return size


async def read(stream: asyncio.StreamReader) -> Message:
    """The next message, on the parent's side.

    Raises:
        WireError: garbage.
        EOFError: the other end is gone (asyncio's IncompleteReadError is one).
        OSError: the same, seen by the socket.
    """
    return decode(await stream.readexactly(_length(await stream.readexactly(_LENGTH.size))))


def receive(end: socket.socket) -> Message | None:
    """The next message, blocking, on the child's side; None when the parent closed its end."""
    head = _exactly(end, _LENGTH.size)
    if head is None:
        return None
    body = _exactly(end, _length(head))
    return None if body is None else decode(body)


def _exactly(end: socket.socket, count: int) -> bytes | None:
    parts = bytearray()
    while len(parts) < count:
        part = end.recv(count - len(parts))
        if not part:
            return None
        parts += part
    return bytes(parts)


def answer(serial: int, result: TaskResult) -> bytes:
    """The frame of a result; a permanent failure when its JSON and its file names together are too large."""
    outputs = [[output.name, str(output.path), output.kind] for output in result.outputs]
    try:
        return encode(Result(serial, result.result, outputs))
    except WireError as exc:
        return failure(serial, PermanentError(f"the task's answer is too large: {exc}"))


def failure(serial: int, error: TaskError) -> bytes:
    """The frame of an error; a long message is cut."""
    kind: Literal["temporary", "timeout", "permanent"] = "permanent"
    delay: float | None = None
    if isinstance(error, TemporaryError):
        kind = "timeout" if isinstance(error, TaskTimeoutError) else "temporary"
        delay = error.delay_seconds
    message = error.message[:_MAX_MESSAGE_CHARACTERS]
    hint = error.hint[:_MAX_MESSAGE_CHARACTERS] if error.hint is not None else None
    return encode(Failed(serial, kind, message, hint, delay))


def result_of(message: Result) -> TaskResult:
    """The TaskResult that `answer` sent."""
    return TaskResult(
        message.result,
        tuple(Output(name, Path(path), cast("OutputKind", kind)) for name, path, kind in message.outputs),
    )


def error_of(message: Failed) -> TaskError:
    """The error that `failure` sent."""
    if message.error == "permanent":
        return PermanentError(message.message, hint=message.hint)
    kind = TaskTimeoutError if message.error == "timeout" else TemporaryError
    return kind(message.message, hint=message.hint, delay_seconds=message.delay_seconds)
