"""An answer that is no use costs what the service has counted for it, not the most that it might have cost."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import fakeredis
import pytest

from job_watcher.backends.metered_speech import MeteredSpeech
from lib.capabilities.gemini import GeminiModel
from lib.capabilities.gemini_speech import GeminiSpeech
from lib.capabilities.text_model import TextRequest
from lib.clock import SystemClock
from lib.errors import TaskError
from lib.redisqueue import quota
from lib.redisqueue.queue import Queue
from lib.redisqueue.quota import Allowance
from tests.conformance.stage import Stage
from tests.job_watcher.backends.paying import POOL, Desk
from tests.support.fake_gemini import FakeGemini
from tests.support.gemini_faults import Rule

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
ASK = TextRequest("hello there, how many are you?", schema=SCHEMA, max_output_tokens=8000)
MOST = 8000 * 10
"""More than this is reserved for one call, in millionths of a dollar."""

USELESS = ("invalid_json", "wrong_schema", "SAFETY", "blocked", "MAX_TOKENS", "no_text", "OTHER")


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    """One job on the cloud, on a queue that is sound at the end."""
    client = fakeredis.FakeAsyncRedis(server=fakeredis.FakeServer(), protocol=2)
    stage = Stage(Queue.over(client, "redis://fake", "p", flags=False), "fakeredis")
    await stage.queue.refresh_streams()
    made = await Desk.of(stage)
    yield made
    await stage.check()
    await client.aclose()


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "in pieces"])
async def test_a_useless_answer_costs_its_tokens(desk: Desk, streamed: bool) -> None:  # noqa: FBT001 - a parameter
    """Its tokens are on its error; the ledger, the record and the quota have them."""
    with FakeGemini() as gemini:
        text = GeminiModel("k" * 40, "scripted", base_url=gemini.url, clock=SystemClock())
        async with contextlib.aclosing(text):
            desk.inner = text  # type: ignore[assignment]  # a real one behind the same meter
            model, tokens = desk.model(), 0
            for fault in USELESS:
                gemini.script(Rule(fault))
                before = (await desk.paying.money())[0]
                with pytest.raises(TaskError) as caught:
                    _ = [each async for each in model.stream(ASK)] if streamed else await model.answer(ASK)
                assert caught.value.counted is not None, fault
                sent, received = caught.value.counted
                assert sent == -(-len(gemini.calls[-1].prompt) // 4)
                assert await desk.paying.money() == (before + sent + 10 * received, 0)
                tokens += sent + received
    (view,) = await quota.pools(desk.paying.stage.queue)
    assert (view.requests, view.tokens) == (len(USELESS), tokens)


@pytest.mark.parametrize("fault", ["cut", "error_in_stream"])
async def test_an_answer_that_broke_off_costs_its_most(desk: Desk, fault: str) -> None:
    """What was counted so far is not all."""
    with FakeGemini(rules=[Rule(fault)]) as gemini:
        text = GeminiModel("k" * 40, "scripted", base_url=gemini.url, clock=SystemClock())
        async with contextlib.aclosing(text):
            desk.inner = text  # type: ignore[assignment]  # a real one behind the same meter
            with pytest.raises(TaskError) as caught:
                await desk.model().answer(ASK)
    assert caught.value.counted is None
    assert (await desk.paying.money())[0] >= (0 if caught.value.free else MOST)


@pytest.mark.parametrize("fault", ["SAFETY", "blocked", "no_audio", "MAX_TOKENS"])
async def test_useless_speech_costs_its_tokens(desk: Desk, fault: str) -> None:
    """As text does."""
    with FakeGemini(rules=[Rule(fault)]) as gemini:
        voice = GeminiSpeech("k" * 40, "scripted", base_url=gemini.url, clock=SystemClock())
        async with contextlib.aclosing(voice):
            speech = MeteredSpeech(voice, desk.model().meter, POOL, Allowance())
            with pytest.raises(TaskError) as caught:
                await speech.speak("The quick brown fox jumps over the lazy dog.", "Kore")
    assert caught.value.counted is not None
    sent, received = caught.value.counted
    assert await desk.paying.money() == (sent + 10 * received, 0)


async def test_speech_that_is_broken_off_costs_its_most(desk: Desk) -> None:
    """Nobody knows what the service goes on counting."""
    with FakeGemini() as gemini:
        voice = GeminiSpeech("k" * 40, "gemini-2.5-flash-preview-tts", base_url=gemini.url, clock=SystemClock())
        async with contextlib.aclosing(voice):
            speech = MeteredSpeech(voice, desk.model().meter, POOL, Allowance())
            with pytest.raises(TaskError, match="did not end"):
                await speech.speak("Hi.", "Kore", "Slowly. " * 100)
            assert (await desk.paying.money())[0] >= 10 * voice.tokens_out("Hi.")
