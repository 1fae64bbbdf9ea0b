"""Paid speech goes through the meter of its attempt too; and a grant that came late is not used."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import fakeredis
import pytest

from job_watcher.backends.metered_speech import MeteredSpeech
from lib.capabilities.speech_model import Spoken
from lib.capabilities.text_model import TextRequest
from lib.redisqueue import quota
from lib.redisqueue.queue import Queue
from lib.redisqueue.quota import Allowance, Pool
from tests.conformance.stage import Stage
from tests.job_watcher.backends.paying import Desk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@dataclass
class Whistle:
    """Speaks each character as two tokens of the same sound."""

    model: str = "scripted"
    asked: list[tuple[str, str, str]] = field(default_factory=list)

    async def speak(self, text: str, voice_name: str, style: str = "") -> Spoken:
        """Two bytes a character."""
        self.asked.append((text, voice_name, style))
        return Spoken(b"\0\1" * len(text), 24_000, self.model, len(text), 2 * len(text), 0.1)

    def tokens_in(self, text: str, style: str = "") -> int:
        """A character is a token."""
        return len(text) + len(style)

    def tokens_out(self, text: str) -> int:
        """Rather more than it will be."""
        return 10 * len(text)

    async def aclose(self) -> None:
        """Nothing is open."""


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


async def test_speech_is_metered(desk: Desk) -> None:
    """What was said reaches the model; what it cost is in the answer, the ledger and the record."""
    meter = desk.model().meter
    speech = MeteredSpeech(Whistle(), meter, Pool("k1", "scripted"), Allowance(rpm=1, tpm=1000))
    spoken = await speech.speak("hello", "Kore", "softly")
    assert (spoken.pcm, spoken.usd) == (b"\0\1" * 5, (5 + 2 * 5 * 10) / 10**6)
    assert await desk.paying.money() == (105, 0)
    (view,) = await quota.pools(desk.paying.stage.queue)
    assert (view.requests, view.tokens) == (1, 15)
    assert meter.cost() == {"usd": 105 / 10**6, "calls": 1, "input_tokens": 5, "output_tokens": 10, "model": "scripted"}
    assert (speech.model, speech.tokens_in("ab", "c"), speech.tokens_out("ab")) == ("scripted", 3, 20)
    await speech.aclose()


@pytest.mark.parametrize(("slow", "grants"), [(1, 2), (9, 4)])
async def test_a_grant_that_came_late_is_given_back(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, slow: int, grants: int
) -> None:
    """Its call would arrive in a window that does not hold it. Where every answer is slow, a few tries are enough."""
    scripts, takes = desk.paying.stage.queue.scripts, 0
    call = scripts.call

    async def late(name: str, **more: Any) -> Any:
        nonlocal takes
        reply = await call(name, **more)
        if name == "quota_take":
            takes += 1
            desk.clock.at += 0.8 if takes <= slow else 0.0
        return reply

    monkeypatch.setattr(scripts, "call", late)
    await desk.model(Allowance(rpm=1)).answer(TextRequest("0123456789", max_output_tokens=100))
    assert takes == grants
    (view,) = await quota.pools(desk.paying.stage.queue)
    assert (view.requests, view.today) == (1, 1)
