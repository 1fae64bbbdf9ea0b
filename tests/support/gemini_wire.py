"""The HTTP of the fake Gemini: a thread for each connection, so that one that hangs holds up no other.

It reads requests, asks the fake what to do about them, and sends it, whole or as a stream of events, with the faults
that belong on the wire. Called by the fake alone.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import socket
import sys
import threading
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from tests.support.gemini_answers import Answer, parts_of, tokens, usage, wrong_schema
from tests.support.gemini_faults import Rule, error

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.support.fake_gemini import FakeGemini, Verdict

_PATH = re.compile(r"^/v1(?:beta|alpha)?/models/([^/:]+)(?::(\w+))?$")
_PIECES = 3


class BreakableServer(ThreadingHTTPServer):
    """A listening socket of loopback, its thread, and the connections that are open, so that all can be ended."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, port: int, handler: type[BaseHTTPRequestHandler]) -> None:
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        super().__init__(("127.0.0.1", port), handler)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])

    def begin(self, name: str) -> None:
        """Answer from now on."""
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), name=name, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Listen no more, and break every connection; its thread ends by that. Repeatable."""
        if self._thread is not None:
            self.shutdown()
            self._thread.join(5)
            self._thread = None
        self.server_close()
        with self._lock:
            for each in self._open:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember the connection."""
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget it."""
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that is gone is no news; whatever else it is, is."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class Wire(BreakableServer):
    """The fake's server."""

    def __init__(self, fake: FakeGemini, port: int) -> None:
        self.fake = fake
        self.closing = threading.Event()
        super().__init__(port, _Handler)

    def start(self) -> None:
        """Answer from now on."""
        self.begin("fake-gemini")

    def close(self) -> None:
        """End all of it."""
        self.closing.set()
        self.end()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Wire

    def do_POST(self) -> None:
        """A call of the API, or rules for the fake."""
        fake = self.server.fake
        body = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)) or b"{}")
        url = urlsplit(self.path)
        if url.path == "/_fake/rules":
            fake.script(*(Rule(**each) for each in body))
            self._send(200, {})
            return
        found = _PATH.match(url.path)
        model, method = found.groups() if found else ("", None)
        key = self._key()
        if method == "countTokens":
            text = json.dumps(body.get("contents", ""))
            self._send(*(fake.key_or_model_error(key, model) or (200, {"totalTokens": tokens(text)})))
        elif method in {"generateContent", "streamGenerateContent"}:
            self._answer(fake.judge(method, model, key, body))
        else:
            self._send(404, error(404, "NOT_FOUND", f"no such path: {url.path}"))

    def do_GET(self) -> None:
        """What is known of a model, or what the fake has recorded."""
        fake = self.server.fake
        url = urlsplit(self.path)
        if url.path == "/_fake/calls":
            self._send(200, fake.recorded())
            return
        found = _PATH.match(url.path)
        if found is None:
            self._send(404, error(404, "NOT_FOUND", f"no such path: {url.path}"))
            return
        about = {
            "name": f"models/{found[1]}",
            "inputTokenLimit": 1_048_576,
            "outputTokenLimit": 65_536,
            "supportedGenerationMethods": ["generateContent", "countTokens"],
        }
        self._send(*(fake.key_or_model_error(self._key(), found[1]) or (200, about)))

    def _key(self) -> str:
        asked = parse_qs(urlsplit(self.path).query).get("key", [""])[0]
        return self.headers.get("x-goog-api-key") or asked

    def _answer(self, verdict: Verdict) -> None:
        call, rule, closing = verdict.call, verdict.rule, self.server.closing
        fault = rule.fault if rule else ""
        seconds = rule.seconds if rule else None
        try:
            if closing.wait(self.server.fake.latency) or (fault == "slow" and closing.wait(seconds or 0.0)):
                return
            if fault == "hang" and (closing.wait(seconds) or seconds is None):
                call.status = 0
                return
            if verdict.error is not None:
                self._send(*verdict.error)
            elif call.method == "generateContent":
                self._whole(_merged(list(_events(verdict))), fault, seconds)
            else:
                self._stream(list(_events(verdict)), fault, seconds)
        finally:
            call.ended = time.time()

    def _stream(self, events: list[dict[str, Any]], fault: str, seconds: float | None) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number, event in enumerate(events):
            if number == 1 and fault == "stall" and self.server.closing.wait(seconds):
                return
            if number == 1 and fault == "cut":
                self.close_connection = True
                return
            if number and fault == "trickle" and self.server.closing.wait(0.05 if seconds is None else seconds):
                return
            data = b"data: " + json.dumps(event).encode() + b"\r\n\r\n"
            self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.write(b"0\r\n\r\n")

    def _whole(self, body: Mapping[str, Any], fault: str, seconds: float | None) -> None:
        if fault not in {"stall", "cut", "trickle"}:
            self._send(200, body)
            return
        data = json.dumps(body).encode()
        self._head(200, len(data))
        self.close_connection = True
        step = 1 if fault == "trickle" else len(data) // 2
        for at in range(0, len(data), step):
            if at and (fault == "cut" or self.server.closing.wait(0.05 if fault == "trickle" else seconds)):
                return
            self.wfile.write(data[at : at + step])

    def _send(self, status: int, body: Any) -> None:
        data = json.dumps(body).encode()
        self._head(status, len(data))
        self.wfile.write(data)

    def _head(self, status: int, length: int) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=UTF-8")
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
        """Nothing on stderr."""


def _events(verdict: Verdict) -> Iterator[dict[str, Any]]:
    """The answer as pieces of a stream, with its fault."""
    call, fault = verdict.call, verdict.rule.fault if verdict.rule else ""
    answer = _spoilt(verdict.answer or Answer(), fault)
    about = {"modelVersion": call.model, "responseId": f"r{int(call.at * 1000):x}"}
    counted = {"usageMetadata": usage(call.prompt, answer)}
    if fault == "blocked":
        feedback = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}
        yield {**feedback, **about, "usageMetadata": usage(call.prompt, Answer())}
        return
    if fault == "no_candidates":
        yield {**about, "usageMetadata": usage(call.prompt, Answer())}
        return
    if fault in {"SAFETY", "RECITATION", "PROHIBITED_CONTENT", "OTHER"}:
        yield {"candidates": [{"finishReason": fault, "index": 0}], **counted, **about}
        return
    if fault == "no_text":
        yield {"candidates": [{"content": {"role": "model"}, "finishReason": "STOP", "index": 0}], **counted, **about}
        return
    parts = parts_of(answer, len(answer.text) if fault == "trickle" else _PIECES)
    for part in parts[:-1]:
        yield {"candidates": [{"content": {"parts": [part], "role": "model"}, "index": 0}], **about}
        if fault == "error_in_stream":
            yield error(503, "UNAVAILABLE", "The model is overloaded. Please try again later.")
            return
    reason = "MAX_TOKENS" if fault == "MAX_TOKENS" or answer.cut else "STOP"
    last: dict[str, Any] = {"content": {"parts": parts[-1:], "role": "model"}, "finishReason": reason, "index": 0}
    if fault == "continuation":
        last |= {"finishReason": "CONTINUATION", "continuationToken": base64.b64encode(b"more").decode()}
    yield {"candidates": [last], **counted, **about}


def _spoilt(answer: Answer, fault: str) -> Answer:
    texts = {
        "MAX_TOKENS": answer.text[: max(1, len(answer.text) // 2)],
        "invalid_json": answer.text[: max(1, len(answer.text) // 2)] + " and so on",
        "wrong_schema": wrong_schema(answer.text),
    }
    if fault in texts and answer.text:
        return replace(answer, text=texts[fault])
    if not answer.pcm:
        return answer
    if fault == "silent_audio":
        return Answer(pcm=bytes(len(answer.pcm)))
    if fault == "short_audio":
        return Answer(pcm=answer.pcm[: len(answer.pcm) // 20 * 2])
    if fault == "no_audio":
        return Answer("I would rather write it down.")
    return answer


def _merged(events: list[dict[str, Any]]) -> Mapping[str, Any]:
    """The pieces of a stream as the one answer of a call that is none."""
    last = dict(events[-1])
    found = [one.get("content", {}) for each in events for one in each.get("candidates", ())]
    said = [part for each in found for part in each.get("parts", ())]
    if not said or "candidates" not in last:
        return last
    last["candidates"] = [{**last["candidates"][0], "content": {"role": "model", "parts": _joined(said)}}]
    return last


def _joined(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if "text" in parts[0]:
        return [{"text": "".join(each["text"] for each in parts)}]
    whole = b"".join(base64.b64decode(each["inlineData"]["data"]) for each in parts)
    return [{"inlineData": {**parts[0]["inlineData"], "data": base64.b64encode(whole).decode()}}]
