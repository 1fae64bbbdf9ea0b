"""Questions and answers in the form that they travel in, and who answers which."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from job_watcher.child.asked_models import AskedTextModel, text_model_of
from job_watcher.child.engines import engines_of
from job_watcher.child.questions import (
    ModelAnswers,
    Question,
    Reply,
    ask_for_speech,
    ask_for_text,
    spoken_of,
    text_answer_of,
)
from lib.capabilities.speech import WarmEngines
from lib.capabilities.text_model import TextAnswer, TextRequest
from lib.capabilities.token_estimate import estimated_tokens
from lib.errors import PermanentError
from tests.lib.voice_synth.scripted_engine import ScriptedEngine
from tests.support.scripted_speech import ScriptedSpeech, hum

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from concurrent.futures import Future

ANSWER = TextAnswer('{"a":1}', {"a": 1}, "scripted", 3, 4, 0.5, 0.002)


class ScriptedText:
    """A text model that gives one answer."""

    model = "scripted"

    def __init__(self) -> None:
        self.asked: list[TextRequest] = []

    async def answer(self, request: TextRequest) -> TextAnswer:
        """Always the same."""
        self.asked.append(request)
        return ANSWER

    async def stream(self, request: TextRequest) -> AsyncIterator[str]:
        """Its text."""
        yield (await self.answer(request)).text

    def tokens_in(self, request: TextRequest) -> int:
        """None to speak of."""
        return len(request.prompt)

    async def aclose(self) -> None:
        """Nothing is open."""


def through_json(question: Question) -> Question:
    """As the wire carries it."""
    return replace(question, payload=json.loads(json.dumps(question.payload)))


def reply_through_json(reply: Reply) -> Reply:
    """The same for an answer."""
    return replace(reply, payload=json.loads(json.dumps(reply.payload)))


@pytest.mark.parametrize(
    "request_",
    [
        TextRequest("Hi"),
        TextRequest("Hi", "Be short.", {"type": "object", "properties": {"a": {}}}, 64, 0.5, 7),
    ],
)
async def test_a_text_request_arrives_as_it_was_asked(request_: TextRequest) -> None:
    """And its answer with everything that it took."""
    model = ScriptedText()
    reply = await ModelAnswers(text=model).answer(through_json(ask_for_text(request_)))
    assert model.asked == [request_]
    assert text_answer_of(reply_through_json(reply)) == ANSWER


async def test_speech_arrives_with_its_bytes_apart() -> None:
    """They are too many for JSON."""
    speech = ScriptedSpeech()
    reply = await ModelAnswers(speech=speech).answer(through_json(ask_for_speech("Hello.", "Leda", "Softly.")))
    assert speech.asked == [("Hello.", "Leda", "Softly.")]
    assert "pcm" not in reply.payload
    back = spoken_of(reply_through_json(reply))
    assert (back.pcm, back.rate, back.model, back.usd) == (hum("Hello."), 24_000, "scripted-tts", 0.001)


def test_what_is_answered_is_named_with_its_model() -> None:
    """So that a child knows what it may ask for."""
    assert ModelAnswers().models == {}
    assert ModelAnswers(ScriptedText(), ScriptedSpeech()).models == {"text": "scripted", "speech": "scripted-tts"}


@pytest.mark.parametrize(
    "question",
    [
        Question("weather", {}),
        Question("text", {"prompt": "Hi"}),
        Question("speech", {"text": "Hi", "voice_name": 3, "style": ""}),
        Question("speech", {}),
    ],
)
async def test_what_makes_no_sense_is_refused(question: Question) -> None:
    """A kind that nobody answers, or parts that are none."""
    with pytest.raises(PermanentError):
        await ModelAnswers(speech=ScriptedSpeech()).answer(question)


async def test_a_text_question_with_wrong_parts_is_refused() -> None:
    """What another version of a task may ask."""
    with pytest.raises(PermanentError, match="no question for a text model"):
        await ModelAnswers(text=ScriptedText()).answer(Question("text", {"promt": "Hi"}))


class TestInTheChild:
    """What an order's models are to a body."""

    def never(self, question: Question) -> Future[Any]:
        """Nobody is asked here."""
        raise AssertionError(question)

    def test_a_text_model_is_there_if_it_is_named(self) -> None:
        """By the watcher's name; it estimates as the watcher's does."""
        assert text_model_of({"speech": "x"}, self.never) is None
        model = text_model_of({"text": "a-model"}, self.never)
        assert isinstance(model, AskedTextModel)
        assert model.model == "a-model"
        request = TextRequest("Hello there", "Be short.")
        assert model.tokens_in(request) == estimated_tokens(request)

    def test_without_a_speech_model_the_engines_are_those_of_the_process(self) -> None:
        """All of them."""
        warm = WarmEngines(lambda name: ScriptedEngine(name=name))
        assert engines_of({"text": "m"}, self.never, warm) is warm
        assert warm.only is None

    def test_with_one_it_alone_speaks(self) -> None:
        """Others can still be asked about, and whoever listens is the same."""
        listener: Any = object()
        warm = WarmEngines(lambda name: ScriptedEngine(name=name), lambda: listener)
        engines = engines_of({"speech": "a-model"}, self.never, warm)
        assert engines.only == "gemini"
        assert engines.known("gemini").model_version == "a-model"
        ready = engines.warm("gemini")
        assert (ready.engine, ready.load_seconds) == (engines.known("gemini"), 0.0)
        assert engines.known("hibari").name == "hibari"
        assert engines.warm("hibari").engine.name == "hibari"
        assert engines.listener() is listener
