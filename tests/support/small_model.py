"""A server that speaks Ollama's API over a real small model, SmolLM2 with 135 million parameters, in this process.

In a test: `with SmallModel() as server:` and `server.url` as OLLAMA_HOST; its server is a thread, so other processes
reach it too. For many processes: `python -m tests.support.small_model --port N`, which prints its URL as one line of
JSON; POST /_fake/faults tells it what to do wrong. It has a model's mechanics and little of its wisdom. `Canned` in the
place of the model answers at once, with an example of the schema, where the model does not matter.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
import time
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from tests.support.gemini_wire import BreakableServer
from tests.support.small_engine import Canned, Engine, Said, Smol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MODEL: Final = "smollm2:135m"
TRAINED_CONTEXT: Final = 8192
_USUAL_CONTEXT: Final = 4096
"""What Ollama takes where a request names no num_ctx."""

Kind = Literal["hang", "stall", "500", "503", "error_in_stream", "cut", "slow", "missing"]


@dataclass(slots=True)
class Fault:
    """What goes wrong with the next `times` calls of `path`; None: with every one.

    hang: nothing at all; stall: a piece, then nothing; both for `seconds`, None until the server is closed. slow: the
    right answer after `seconds`. missing: no such model. cut: the connection breaks after a piece.
    """

    kind: Kind
    times: int | None = 1
    path: str = "/api/chat"
    seconds: float | None = None


@dataclass(slots=True)
class Asked:
    """One request as it came, at Unix seconds."""

    at: float
    path: str
    body: dict[str, Any] = field(default_factory=dict)
    fault: str = ""


class SmallModel:
    """The server; `asked` in order of arrival. `context` is what it sees at most, whatever a request says."""

    def __init__(
        self,
        *,
        port: int = 0,
        model: str = MODEL,
        context: int = 2048,
        says_context: int | None = None,
        engine: Engine | None = None,
        faults: Iterable[Fault] = (),
    ) -> None:
        self.model = model
        self.context = context
        self.says_context = context if says_context is None else says_context
        self.engine = engine or Smol(context)
        self.asked: list[Asked] = []
        self.closing = threading.Event()
        self._faults = list(faults)
        self._lock = threading.Lock()
        self._server = _Server(self, port)

    @property
    def port(self) -> int:
        """Where it listens on 127.0.0.1."""
        return self._server.port

    @property
    def url(self) -> str:
        """For OLLAMA_HOST."""
        return f"http://127.0.0.1:{self.port}"

    def fail(self, *faults: Fault) -> None:
        """Do these wrong from now on, behind those there are."""
        with self._lock:
            self._faults.extend(faults)

    def heal(self) -> None:
        """Do nothing wrong any more."""
        with self._lock:
            self._faults.clear()

    def start(self) -> Self:
        """Answer from now on."""
        self._server.begin("small-model")
        return self

    def close(self) -> None:
        """End it and all its connections, those that hang too."""
        self.closing.set()
        self._server.end()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def note(self, path: str, body: dict[str, Any]) -> Fault | None:
        """Record a request; what is to go wrong with it. Called by the wire."""
        with self._lock:
            found = next((each for each in self._faults if each.path == path and each.times != 0), None)
            if found is not None and found.times is not None:
                found.times -= 1
            self.asked.append(Asked(time.time(), path, body, found.kind if found else ""))
            return found


class _Server(BreakableServer):
    def __init__(self, model: SmallModel, port: int) -> None:
        self.model = model
        super().__init__(port, _Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        """What there is."""
        served = self.server.model
        about = {"name": served.model, "model": served.model, "size": 98_362_432, "details": _DETAILS}
        replies: dict[str, Any] = {
            "/": "Ollama is running",
            "/api/version": {"version": "0.12.0"},
            "/api/tags": {"models": [about]},
            "/api/ps": {"models": [{**about, "context_length": served.context}]},
            "/_fake/asked": [asdict(each) for each in served.asked],
        }
        if self._spoilt(served.note(self.path, {})):
            return
        self._send(200 if self.path in replies else 404, replies.get(self.path, {"error": "not found"}))

    def do_POST(self) -> None:
        """A chat, a description, or faults for the fake."""
        body = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)) or b"{}")
        served = self.server.model
        if self.path == "/_fake/faults":
            served.fail(*(Fault(**each) for each in body))
            self._send(200, {})
            return
        fault = served.note(self.path, body)
        if self._spoilt(fault):
            return
        if body.get("model") != served.model or (fault and fault.kind == "missing"):
            self._send(404, {"error": f"model '{body.get('model')}' not found"})
        elif self.path == "/api/show":
            about = {"general.architecture": "llama", "llama.context_length": served.says_context}
            self._send(200, {"details": _DETAILS, "model_info": about, "capabilities": ["completion"]})
        elif self.path == "/api/chat":
            self._chat(body, fault)
        else:
            self._send(404, {"error": "not found"})

    def _spoilt(self, fault: Fault | None) -> bool:
        closing = self.server.model.closing
        if fault is None:
            return False
        if fault.kind in {"hang", "slow"}:
            return closing.wait(fault.seconds) or fault.seconds is None
        if fault.kind in {"500", "503"}:
            said = "llama runner process has terminated: exit status 2" if fault.kind == "500" else "server busy"
            self._send(int(fault.kind), {"error": said})
            return True
        return False

    def _chat(self, body: dict[str, Any], fault: Fault | None) -> None:
        served, began = self.server.model, time.perf_counter_ns()
        context = min(int((body.get("options") or {}).get("num_ctx") or _USUAL_CONTEXT), served.context)
        said = served.engine.say(body, context)
        head = {"model": served.model, "created_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
        first = next(said)
        if first.error:
            self._send(first.status, {"error": first.error})
        elif body.get("stream", True):
            self._stream(head, first, said, fault, began)
        else:
            whole = [first, *said]
            text = "".join(each.text for each in whole)
            self._send(200, {**head, "message": _message(text), **_end(whole[-1], began)})

    def _stream(self, head: dict[str, Any], first: Said, rest: Iterator[Said], fault: Fault | None, began: int) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self._piece({**head, "message": _message(first.text), "done": False})
        kind = fault.kind if fault else ""
        if kind == "cut" or (fault and kind == "stall" and self.server.model.closing.wait(fault.seconds)):
            self.close_connection = True
            return
        if kind == "error_in_stream":
            self._piece({"error": "an error was encountered while running the model: unexpected EOF"})
        else:
            last = first
            for each in rest:
                last = each
                if not each.reason:
                    self._piece({**head, "message": _message(each.text), "done": False})
            self._piece({**head, "message": _message(""), **_end(last, began)})
        self.wfile.write(b"0\r\n\r\n")

    def _piece(self, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode() + b"\n"
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    def _send(self, status: int, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
        """Nothing on stderr."""


_DETAILS: Final = {
    "format": "gguf",
    "family": "llama",
    "families": ["llama"],
    "parameter_size": "134.52M",
    "quantization_level": "Q4_1",
}


def _message(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def _end(last: Said, began: int) -> dict[str, Any]:
    took = time.perf_counter_ns() - began
    return {
        "done": True,
        "done_reason": last.reason,
        "total_duration": took,
        "load_duration": 0,
        "prompt_eval_count": last.prompt_tokens,
        "prompt_eval_duration": took // 2,
        "eval_count": last.tokens,
        "eval_duration": took // 2,
    }


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--context", type=int, default=2048)
    parser.add_argument("--canned", action="store_true", help="examples of the schema in the place of a model")
    words = parser.parse_args()
    engine = Canned() if words.canned else Smol(words.context)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with SmallModel(port=words.port, model=words.model, context=words.context, engine=engine) as server:
        print(json.dumps({"url": server.url}), flush=True)  # noqa: T201 - whoever starts it reads this line
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    main()
