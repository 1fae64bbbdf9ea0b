"""The fake Gemini behind the vendor's own client: other tests believe what it says."""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
import sys
import urllib.request
from contextlib import asynccontextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from google import genai
from google.genai import _api_client, errors, types

from tests.support.fake_gemini import Call, FakeGemini, Limits, densest, key_hash
from tests.support.gemini_answers import RATE, SECONDS_A_CHARACTER
from tests.support.gemini_faults import FAULTS, Rule
from tests.support.json_examples import example
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

MODEL = "gemini-2.5-flash"
SCHEMA = {
    "type": "object",
    "properties": {
        "mood": {"enum": ["glad", "sad"]},
        "score": {"type": "integer", "minimum": 1, "maximum": 5},
        "share": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
        "words": {"type": "array", "items": {"$ref": "#/$defs/word"}, "minItems": 2, "maxItems": 4},
        "code": {"type": "string", "pattern": "^[a-z]{2}$"},
        "note": {"type": ["string", "null"], "minLength": 3, "maxLength": 10},
        "either": {"anyOf": [{"type": "boolean"}, {"type": "null"}]},
    },
    "required": ["mood", "score", "share", "words", "code", "note", "either"],
    "additionalProperties": False,
    "$defs": {"word": {"type": "string", "minLength": 1}},
}


@pytest.fixture
def gemini() -> Iterator[FakeGemini]:
    """A fake of one test."""
    with FakeGemini() as fake:
        yield fake


SSL = ssl.create_default_context()

# Where another package has brought aiohttp the library takes that for its own calls; ours are never made by it.
_api_client.has_aiohttp = False
"""Made once: it takes most of the time of making a client."""


def client(fake: FakeGemini, key: str = "a-key") -> genai.Client:
    """The vendor's client for it."""
    options = types.HttpOptions(base_url=fake.url, client_args={"verify": SSL}, async_client_args={"verify": SSL})
    return genai.Client(api_key=key, vertexai=False, http_options=options)


@asynccontextmanager
async def opened(fake: FakeGemini, key: str) -> AsyncIterator[genai.Client]:
    """A client, and closed."""
    vendor = client(fake, key)
    try:
        yield vendor
    finally:
        await vendor.aio.aclose()
        vendor.close()


async def ask(
    fake: FakeGemini, prompt: str = "hello", *, key: str = "a-key", vendor: genai.Client | None = None, **config: Any
) -> Any:
    """One whole answer."""
    async with nullcontext(vendor) if vendor else opened(fake, key) as one:
        wanted = types.GenerateContentConfig(**config)
        return await one.aio.models.generate_content(model=MODEL, contents=prompt, config=wanted)


async def pieces(
    fake: FakeGemini, prompt: str = "hello", *, vendor: genai.Client | None = None, **config: Any
) -> list[Any]:
    """A stream to its end."""
    async with nullcontext(vendor) if vendor else opened(fake, "a-key") as one:
        wanted = types.GenerateContentConfig(**config)
        stream = await one.aio.models.generate_content_stream(model=MODEL, contents=prompt, config=wanted)
        return [each async for each in stream]


@pytest.mark.parametrize("seed", ["", "one", "two words", "näher"])
def test_an_example_is_what_its_schema_accepts(seed: str) -> None:
    """And the same seed has the same example."""
    made = example(SCHEMA, seed)
    jsonschema.validate(made, SCHEMA)
    assert made == example(SCHEMA, seed)


async def test_it_answers_the_schema_whole_and_streamed_alike(gemini: FakeGemini) -> None:
    """The library reads both, and the counts of tokens."""
    wanted: dict[str, Any] = {"response_mime_type": "application/json", "response_json_schema": SCHEMA}
    whole = await ask(gemini, **wanted)
    streamed = await pieces(gemini, **wanted)
    assert len(streamed) == 3
    assert "".join(each.text for each in streamed) == whole.text
    jsonschema.validate(json.loads(whole.text), SCHEMA)
    assert whole.usage_metadata.prompt_token_count == 2
    assert streamed[-1].usage_metadata.candidates_token_count == whole.usage_metadata.candidates_token_count > 0
    assert whole.candidates[0].finish_reason.name == "STOP"
    assert [(each.method, each.model, each.key, each.prompt) for each in gemini.calls] == [
        ("generateContent", MODEL, key_hash("a-key"), "hello"),
        ("streamGenerateContent", MODEL, key_hash("a-key"), "hello"),
    ]


async def test_it_speaks_a_tone_as_long_as_the_text(gemini: FakeGemini) -> None:
    """PCM of 24 kHz, in pieces or whole."""
    whole = await ask(gemini, "x" * 20, response_modalities=["AUDIO"])
    sound = whole.candidates[0].content.parts[0].inline_data
    assert sound.mime_type == "audio/L16;codec=pcm;rate=24000"
    assert len(sound.data) == 20 * SECONDS_A_CHARACTER * RATE * 2
    streamed = await pieces(gemini, "x" * 20, response_modalities=["AUDIO"])
    assert b"".join(p.inline_data.data for each in streamed for p in each.candidates[0].content.parts) == sound.data


async def test_limits_are_kept_by_sliding_windows(gemini: FakeGemini) -> None:
    """The third of two a minute is refused, with the time until there is room; another key has its own."""
    gemini.limits = Limits(rpm=2)
    for _ in range(2):
        await ask(gemini)
    with pytest.raises(errors.ClientError) as refused:
        await ask(gemini)
    details = refused.value.details["error"]["details"]
    assert details[0]["violations"][0]["quotaId"] == "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"
    assert 55 < float(details[2]["retryDelay"].removesuffix("s")) <= 60
    assert [each.over for each in gemini.violations] == ["rpm"]
    assert (await ask(gemini, key="another")).text


async def test_tokens_and_days_are_limited_too(gemini: FakeGemini) -> None:
    """A limit that is not enforced is noted only."""
    gemini.limits = Limits(tpm=40)
    await ask(gemini, "x" * 60)  # 15 tokens, and 18 of "You said: " and the same
    with pytest.raises(errors.ClientError, match="RESOURCE_EXHAUSTED"):
        await ask(gemini, "x" * 60)
    gemini.forget()
    gemini.limits = Limits(rpd=1, enforce=False)
    await ask(gemini)
    await ask(gemini)
    assert [each.over for each in gemini.calls] == ["", "rpd"]


async def test_a_rule_may_close_a_key_and_model(gemini: FakeGemini) -> None:
    """Who comes in that time is noted."""
    gemini.script(Rule("429_minute", seconds=17, closes=True))
    for _ in range(2):
        with pytest.raises(errors.ClientError, match="retryDelay"):
            await ask(gemini)
    assert [(each.fault, each.over) for each in gemini.calls] == [("429_minute", ""), ("", "closed")]


async def test_rules_are_for_the_calls_they_name(gemini: FakeGemini) -> None:
    """By prompt, after some, so many times, in order."""
    gemini.script(Rule("503", match="bad", skip=1, times=2), Rule("answer", text="told", times=None))
    seen = []
    for prompt in ("bad", "bad", "good", "bad", "bad"):
        try:
            seen.append((await ask(gemini, prompt)).text)
        except errors.ServerError as exc:
            seen.append(str(exc.code))
    assert seen == ["told", "503", "told", "503", "told"]
    with pytest.raises(ValueError, match="no such fault: 5O3"):
        Rule("5O3")


async def test_the_library_reads_every_fault(gemini: FakeGemini) -> None:
    """Whole or streamed, it is an answer or one of the library's errors, and the next call is answered."""
    seen = set()
    vendor = client(gemini)
    for fault in sorted(FAULTS - {"hang", "stall", "trickle", "cut", "continuation"}):
        gemini.script(Rule(fault, times=2))
        for call in (ask, pieces):
            try:
                await call(gemini, vendor=vendor)
                seen.add((fault, 200))
            except errors.APIError as exc:
                seen.add((fault, exc.code))
    assert {fault for fault, code in seen if code != 200} == {"error_in_stream", *(f for f in FAULTS if f[0].isdigit())}
    assert ("429_day", 429) in seen
    assert (await ask(gemini, vendor=vendor)).text == "You said: hello"
    await vendor.aio.aclose()
    vendor.close()


async def test_a_hanging_call_ends_with_the_fake() -> None:
    """Nothing is left behind."""
    with FakeGemini(rules=[Rule("hang"), Rule("stall")]) as gemini:
        waiting = [asyncio.create_task(pieces(gemini)) for _ in range(2)]
        await wait_until(lambda: len(gemini.calls) == 2)
    assert all(isinstance(each, Exception) for each in await asyncio.gather(*waiting, return_exceptions=True))


async def test_unknown_keys_and_models_are_refused() -> None:
    """As the service does: a wrong key is a 400."""
    with FakeGemini(keys=["right"], models=["other"]) as gemini:
        with pytest.raises(errors.ClientError, match="API_KEY_INVALID"):
            await ask(gemini)
        with pytest.raises(errors.ClientError, match="NOT_FOUND"):
            await ask(gemini, key="right")


def test_the_densest_window_is_found() -> None:
    """Half open: two calls a window apart are in two windows."""
    calls = [Call(at, "", "", "", "", tokens=weight) for at, weight in ((0, 1), (10, 5), (59.9, 1), (60, 9))]
    assert densest(calls, 60) == 3
    assert densest(calls, 60, lambda each: each.tokens) == 15


def test_it_is_a_program(tmp_path: Path) -> None:
    """For tests of many processes."""
    script = tmp_path / "script.json"
    script.write_text(json.dumps({"limits": {"rpm": 5}, "rules": [{"fault": "503", "times": 1}], "keys": ["k"]}))
    words = [sys.executable, "-m", "tests.support.fake_gemini", "--script", str(script)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = json.loads(process.stdout.readline())["url"]
            with urllib.request.urlopen(f"{url}/_fake/calls") as reply:  # noqa: S310 - loopback
                assert json.load(reply) == []
        finally:
            process.terminate()
    assert process.returncode == 0
