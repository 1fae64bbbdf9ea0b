"""A Gemini API on loopback, for the real client library: it records each call, keeps limits, and fails as it is told.

In a test: `with FakeGemini(limits=Limits(rpm=5)) as gemini:` and `gemini.url` as the base URL; its server is a thread,
so other processes reach it too. For many processes: `python -m tests.support.fake_gemini --port N --script FILE.json`,
which prints its URL as one line of JSON; the script holds `limits`, `rules`, `latency`, `keys` and `models`. Then
GET /_fake/calls answers with what came, POST /_fake/rules adds rules. It knows nothing of our code.

Answers are the same for the same prompt: an instance of the schema asked for, else some words; for speech, a tone as
long as the text. A token is four characters.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import signal
import sys
import threading
import time
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tests.support.gemini_answers import Answer, answer_to, usage
from tests.support.gemini_faults import Rule, key_error, quota_error, refusal, unknown_model
from tests.support.gemini_wire import Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


@dataclass(frozen=True, slots=True)
class Limits:
    """What one key may ask of one model in sliding windows; None: no limit. A refused call counts for nothing.

    `rpm` requests and `tpm` tokens of prompt and answer in `minute_seconds`, `rpd` requests in `day_seconds`. Without
    `enforce` a call that is too many is answered, and still noted.
    """

    rpm: int | None = None
    tpm: int | None = None
    rpd: int | None = None
    minute_seconds: float = 60.0
    day_seconds: float = 86_400.0
    enforce: bool = True


@dataclass(slots=True)
class Call:
    """One call as it came: Unix seconds of its arrival, and of its end; `key` is a hash.

    `tokens` are those of prompt and answer, had it one. `over` names the limit that it would break or has broken:
    rpm, tpm, rpd, closed, or nothing. `status` is 0 where none was sent.
    """

    at: float
    method: str
    model: str
    key: str
    prompt: str
    tokens: int = 0
    status: int = 200
    fault: str = ""
    over: str = ""
    ended: float | None = None
    body: dict[str, Any] = field(default_factory=dict)


@dataclass
class Verdict:
    """What the fake does about one call: an error reply, or an answer with a fault in it."""

    call: Call
    rule: Rule | None = None
    error: tuple[int, Mapping[str, Any]] | None = None
    answer: Answer | None = None


class FakeGemini:
    """The fake; `calls` in order of arrival. `answer(body)` may give the text of an answer, or None for the usual."""

    def __init__(
        self,
        *,
        port: int = 0,
        limits: Limits = Limits(),
        rules: Iterable[Rule] = (),
        latency: float = 0.0,
        keys: Iterable[str] | None = None,
        models: Iterable[str] | None = None,
        answer: Callable[[dict[str, Any]], str | None] | None = None,
    ) -> None:
        self.limits = limits
        self.latency = latency
        self.calls: list[Call] = []
        self._rules = list(rules)
        self._keys = None if keys is None else set(keys)
        self._models = None if models is None else set(models)
        self._answer = answer
        self._granted: dict[tuple[str, str], list[Call]] = defaultdict(list)
        self._closed_until: dict[tuple[str, str], float] = {}
        self._lock = threading.Lock()
        self._wire = Wire(self, port)

    @property
    def port(self) -> int:
        """Where it listens on 127.0.0.1."""
        return self._wire.port

    @property
    def url(self) -> str:
        """The base URL for a client."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def violations(self) -> list[Call]:
        """Calls that were too many, or came while their key and model were closed."""
        return [each for each in self.calls if each.over]

    def script(self, *rules: Rule) -> None:
        """Add rules behind those there are."""
        with self._lock:
            self._rules.extend(rules)

    def forget(self) -> None:
        """No rules, no calls, nothing closed."""
        with self._lock:
            self._rules.clear()
            self.calls.clear()
            self._granted.clear()
            self._closed_until.clear()

    def start(self) -> Self:
        """Answer from now on."""
        self._wire.start()
        return self

    def close(self) -> None:
        """End it and all its connections, those that hang too."""
        self._wire.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self.start()

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def judge(self, method: str, model: str, key: str, body: dict[str, Any]) -> Verdict:
        """Record a call of generateContent or streamGenerateContent and decide about it; called by the wire."""
        prompt = prompt_of(body)
        call = Call(time.time(), method, model, key_hash(key), prompt, body=body)
        with self._lock:
            self.calls.append(call)
            verdict = self._decide(call, self.key_or_model_error(key, model))
        if verdict.error is not None:
            call.status = verdict.error[0]
        return verdict

    def _decide(self, call: Call, error: tuple[int, Mapping[str, Any]] | None) -> Verdict:
        error = error or self._limit_error(call)
        if error is not None:
            return Verdict(call, error=error)
        rule = next((each for each in self._rules if each.takes(call.model, call.prompt)), None)
        call.fault = rule.fault if rule else ""
        error = refusal(rule, call.model) if rule else None
        if rule is not None and error is not None:
            if rule.closes:
                seconds = float("inf") if rule.seconds is None and rule.fault == "429_day" else rule.seconds or 17.0
                self._closed_until[call.key, call.model] = call.at + seconds
            return Verdict(call, rule, error=error)
        return Verdict(call, rule, answer=self._make(call, rule))

    def _make(self, call: Call, rule: Rule | None) -> Answer:
        text = rule.text if rule is not None and rule.fault == "answer" else None
        if text is None and self._answer is not None:
            text = self._answer(call.body)
        return answer_to(call.body, call.prompt, text)

    def recorded(self) -> list[dict[str, Any]]:
        """The calls as JSON, for other processes."""
        return [asdict(each) for each in self.calls]

    def key_or_model_error(self, key: str, model: str) -> tuple[int, Mapping[str, Any]] | None:
        """What the service says of a key that it does not know, or of a model."""
        if self._keys is not None and key not in self._keys:
            return 400, key_error()
        if self._models is not None and model not in self._models:
            return 404, unknown_model(model)
        return None

    def _limit_error(self, call: Call) -> tuple[int, Mapping[str, Any]] | None:
        pool, limits = (call.key, call.model), self.limits
        counted = usage(call.prompt, self._make(call, None))
        call.tokens = counted["totalTokenCount"]
        closed = self._closed_until.get(pool, 0.0) - call.at
        if closed > 0:
            call.over = "closed"
            day = closed == float("inf")
            return 429, quota_error("rpd" if day else "rpm", call.model, 1, None if day else closed)
        granted = self._granted[pool]
        call.over, wait = _too_many(limits, granted, call)
        if call.over and limits.enforce:
            value = {"rpm": limits.rpm, "tpm": limits.tpm, "rpd": limits.rpd}[call.over]
            return 429, quota_error(call.over, call.model, value or 0, wait)
        granted.append(call)
        return None


def _too_many(limits: Limits, granted: list[Call], call: Call) -> tuple[str, float | None]:
    """The limit that this call would break, and the seconds until it would not."""
    day = [each for each in granted if each.at > call.at - limits.day_seconds]
    minute = [each for each in day if each.at > call.at - limits.minute_seconds]
    if limits.rpd is not None and len(day) >= limits.rpd:
        return "rpd", None
    if limits.rpm is not None and len(minute) >= limits.rpm:
        return "rpm", minute[-limits.rpm].at + limits.minute_seconds - call.at
    if limits.tpm is not None and sum(each.tokens for each in minute) + call.tokens > limits.tpm:
        left, free = sum(each.tokens for each in minute) + call.tokens, minute[0].at if minute else call.at
        for each in minute:
            if left <= limits.tpm:
                break
            left, free = left - each.tokens, each.at
        return "tpm", free + limits.minute_seconds - call.at
    return "", None


def densest(calls: Iterable[Call], seconds: float, weigh: Callable[[Call], int] = lambda _call: 1) -> int:
    """The most of `weigh` (calls, unless told) that arrived within any half-open window of so many seconds."""
    most, inside, total = 0, list[Call](), 0
    for call in sorted(calls, key=lambda each: each.at):
        inside.append(call)
        total += weigh(call)
        while inside[0].at <= call.at - seconds:
            total -= weigh(inside.pop(0))
        most = max(most, total)
    return most


def key_hash(key: str) -> str:
    """How a call names its key."""
    return hashlib.sha256(key.encode()).hexdigest()[:12]


def prompt_of(body: Mapping[str, Any]) -> str:
    """All text of a request, the system's first."""
    contents = [body.get("systemInstruction") or {}, *(body.get("contents") or [])]
    return "\n".join(part.get("text", "") for each in contents for part in each.get("parts", []))


def from_script(script: Mapping[str, Any], port: int) -> FakeGemini:
    """The fake that a script describes."""
    return FakeGemini(
        port=port,
        limits=Limits(**script.get("limits", {})),
        rules=[Rule(**each) for each in script.get("rules", [])],
        latency=float(script.get("latency", 0.0)),
        keys=script.get("keys"),
        models=script.get("models"),
    )


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--script", type=Path)
    words = parser.parse_args()
    script = json.loads(words.script.read_text()) if words.script else {}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with from_script(script, words.port) as fake:
        print(json.dumps({"url": fake.url}), flush=True)  # noqa: T201 - whoever starts it reads this line
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    main()
