"""What a parent and its child say to each other, and how: JSON frames of bounded size on a socket of their own.

Not standard output, because engines print. A frame is 4 bytes of length (big-endian) and so many bytes of JSON,
one object with the name of its kind under `is`. Both ends are the same version of the same program, yet nothing
read here is trusted further than its checks: a body may have written to the wrong descriptor.

    parent   Setup          Order …                          Piece* Answer …     Order …
    child           Ready           Begun  Report*  Ask …              Nearly            Result or Failed

A body that needs a model which only the watcher may call asks for it; of many questions at once each has a number.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from job_watcher.child import typed_errors
from lib.errors import JobRunnerError, PermanentError
from lib.tasks.base import Output, OutputKind, TaskResult

if TYPE_CHECKING:
    import asyncio
    import socket

    from lib.errors import TaskError

# A job is at most 400 KiB and its JSON at most doubles inside a JSON string; a result is at most 256 KiB.
MAX_FRAME_BYTES: Final = 1024 * 1024
_LENGTH: Final = struct.Struct(">I")


class WireError(JobRunnerError):
    """What came over the wire is no frame of this protocol: the child is not to be trusted any more."""

    code = "wire"


@dataclass(frozen=True, slots=True)
class Setup:
    """Parent, first of all: the one secret that bodies need, which must not stand in an environment."""

    database_url: str


@dataclass(frozen=True, slots=True)
class Ready:
    """Child: imports are done; `pid` is the process in which bodies run."""

    pid: int


@dataclass(frozen=True, slots=True)
class Order:
    """Parent: run this. `job` is the JSON of the spec; `serial` comes back in every answer to it.

    `models` are those that the body may ask for: the kind of question, and the model's name.
    """

    serial: int
    job: str
    attempt: int
    work_dir: str
    models: dict[str, str]


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
    """Child: the body raised `error`, in the form of `typed_errors`."""

    serial: int
    error: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Ask:
    """Child: the body has a question for a model of the watcher; `call` is its number within the order."""

    serial: int
    call: int
    kind: str
    payload: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Piece:
    """Parent: a part of the bytes of an answer, in base64; the parts come in order, the Answer after the last."""

    serial: int
    call: int
    data: str


@dataclass(frozen=True, slots=True)
class Answer:
    """Parent: the answer to a question, or the error that it ended in; one of `payload` and `error` is None."""

    serial: int
    call: int
    payload: dict[str, Any] | None
    error: dict[str, Any] | None


Message = Setup | Ready | Order | Begun | Report | Nearly | Result | Failed | Ask | Piece | Answer
_KINDS: Final[dict[str, type[Message]]] = {
    "setup": Setup,
    "ready": Ready,
    "order": Order,
    "begun": Begun,
    "report": Report,
    "nearly": Nearly,
    "result": Result,
    "failed": Failed,
    "ask": Ask,
    "piece": Piece,
    "answer": Answer,
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
    if not (_is_talk(message) or _is_question(message)):
        raise WireError(f"a {_NAMES[type(message)]} message with wrong parts")


def _is_talk(message: Message) -> bool:
    match message:
        case Setup(database_url=str()) | Ready(pid=int()) | Begun(serial=int()) | Nearly(serial=int()):
            return True
        case Report(serial=int(), progress=dict()):
            return True
        case Order(serial=int(), job=str(), attempt=int(), work_dir=str(), models=dict() as models):
            return all(isinstance(name, str) for name in models.values())
        case Result(serial=int(), result=None | dict(), outputs=list() as outputs):
            return all(isinstance(each, list) and [type(part) for part in each] == [str, str, str] for each in outputs)
        case Failed(serial=int(), error=dict() as error):
            return typed_errors.is_sound(error)
    return False


def _is_question(message: Message) -> bool:
    match message:
        case Ask(serial=int(), call=int(), kind=str(), payload=dict()) | Piece(serial=int(), call=int(), data=str()):
            return True
        case Answer(serial=int(), call=int(), payload=dict(), error=None):
            return True
        case Answer(serial=int(), call=int(), payload=None, error=dict() as error):
            return typed_errors.is_sound(error)
    return False


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
    return encode(Failed(serial, typed_errors.parts_of(error)))


def result_of(message: Result) -> TaskResult:
    """The TaskResult that `answer` sent."""
    return TaskResult(
        message.result,
        tuple(Output(name, Path(path), cast("OutputKind", kind)) for name, path, kind in message.outputs),
    )


def error_of(message: Failed) -> TaskError:
    """The error that `failure` sent."""
    return typed_errors.error_of(message.error)
