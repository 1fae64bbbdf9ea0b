"""Gemini as a text model, behind the vendor's own client and a fake of the service: every fault has its error."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from lib.capabilities.breaker import Breaker
from lib.capabilities.gemini import GeminiModel
from lib.capabilities.text_model import CallDeadlines, TextModel, TextRequest
from lib.clock import SystemClock
from lib.errors import (
    AnswerError,
    BlockedError,
    JobRunnerError,
    OverloadedError,
    PausedError,
    PermanentError,
    QuotaError,
    TruncatedError,
)
from tests.lib.capabilities.conftest import NEVER, Terse
from tests.support.fake_gemini import FakeGemini
from tests.support.gemini_faults import Rule
from tests.support.hand_clock import HandClock
from tests.support.wait import wait_until

MODEL = "gemini-2.5-flash"
KEY = "a-canary-of-a-key"
SCHEMA = {
    "type": "object",
    "properties": {"mood": {"enum": ["glad", "sad"]}, "note": {"type": "string"}},
    "required": ["mood", "note"],
}
QUESTION = TextRequest("How does the writer feel about the lamp that burned all night?", schema=SCHEMA)
SHORT = 0.2

Make = Callable[..., GeminiModel]


@pytest.fixture
def gemini() -> Iterator[FakeGemini]:
    """The service; it knows one key."""
    with FakeGemini(keys=[KEY]) as fake:
        yield fake


@pytest.fixture
async def make(gemini: FakeGemini) -> AsyncIterator[Make]:
    """Models of that service, closed behind the test; deadlines that nobody meets, unless it says others."""
    made: list[GeminiModel] = []

    def one(url: str = "", key: str = KEY, breaker: Breaker | None = None, **deadlines: float) -> GeminiModel:
        limits = CallDeadlines(**{"connect": NEVER, "first_byte": NEVER, "idle": NEVER, "total": NEVER, **deadlines})
        model = GeminiModel(
            key, MODEL, base_url=url or gemini.url, clock=SystemClock(), deadlines=limits, breaker=breaker
        )
        made.append(model)
        return model

    yield one
    for each in made:
        await each.aclose()


async def told(model: TextModel, request: TextRequest = QUESTION) -> JobRunnerError:
    """The error of a call, which must be the same for an answer and for a stream, and tell no key."""
    with pytest.raises(JobRunnerError) as failed:
        await model.answer(request)
    assert KEY not in f"{failed.value.message}{failed.value.hint}"
    with pytest.raises(type(failed.value)) as streamed:
        [each async for each in model.stream(request)]
    assert streamed.value.code == failed.value.code
    return failed.value


async def test_an_answer_is_checked_json_with_its_counts(gemini: FakeGemini, make: Make) -> None:
    """What was asked is what was sent."""
    model = make()
    request = TextRequest("hello", system="Be brief.", schema=SCHEMA, max_output_tokens=99, temperature=0.5, seed=2**40)
    answer = await model.answer(request)
    assert answer.value["mood"] in {"glad", "sad"}
    assert (answer.model, answer.input_tokens, answer.usd) == (MODEL, 4, 0.0)
    assert answer.output_tokens == -(-len(answer.text) // 4)
    assert answer.seconds > 0
    body = gemini.calls[0].body
    assert body["systemInstruction"]["parts"] == [{"text": "Be brief."}]
    assert body["generationConfig"] == {
        "temperature": 0.5,
        "maxOutputTokens": 99,
        "candidateCount": 1,
        "seed": 0,
        "responseMimeType": "application/json",
        "responseJsonSchema": SCHEMA,
        "thinkingConfig": {"thinking_budget": 0},
    }
    assert model.tokens_in(request) >= answer.input_tokens


async def test_plain_text_comes_whole_or_in_pieces(make: Make) -> None:
    """The same text."""
    model = make()
    answer = await model.answer(TextRequest("hello"))
    assert (answer.text, answer.value) == ("You said: hello", None)
    pieces = [each async for each in model.stream(TextRequest("hello"))]
    assert len(pieces) == 3
    assert "".join(pieces) == answer.text


FAULTS: tuple[tuple[str, type[JobRunnerError], str], ...] = (
    ("429_no_hint", QuotaError, "does not say until when"),
    ("503", OverloadedError, "The model is overloaded"),
    ("500", OverloadedError, "An internal error has occurred"),
    ("error_in_stream", OverloadedError, "The model is overloaded"),
    ("cut", OverloadedError, "broke off its answer"),
    ("400", PermanentError, "invalid argument"),
    ("400_key", PausedError, "API key not valid"),
    ("403", PausedError, "(403)"),
    ("404", PausedError, "is not found"),
    ("SAFETY", BlockedError, "refuses to answer: SAFETY"),
    ("RECITATION", BlockedError, "refuses to answer: RECITATION"),
    ("PROHIBITED_CONTENT", BlockedError, "refuses to answer: PROHIBITED_CONTENT"),
    ("blocked", BlockedError, "refuses the prompt: PROHIBITED_CONTENT"),
    ("MAX_TOKENS", TruncatedError, "cut off at its limit of tokens"),
    ("continuation", TruncatedError, "cut off at its limit of tokens"),
    ("OTHER", AnswerError, "gave no answer: OTHER"),
    ("no_candidates", AnswerError, "gave no answer"),
    ("no_text", AnswerError, "is empty"),
    ("invalid_json", AnswerError, "is no JSON"),
    ("wrong_schema", AnswerError, "is not what its schema asks for"),
)


async def test_every_fault_has_its_error(gemini: FakeGemini, make: Make) -> None:
    """A success is a complete and checked answer, nothing else; one call is one request, whatever becomes of it."""
    model = make()
    for number, (fault, kind, said) in enumerate(FAULTS):
        gemini.script(Rule(fault, times=2))
        error = await told(model)
        assert (fault, type(error)) == (fault, kind)
        assert said in error.message
        assert len(gemini.calls) == 3 * number + 2
        assert (await model.answer(QUESTION)).value


async def test_a_quota_is_closed_for_what_it_names(gemini: FakeGemini, make: Make) -> None:
    """Per minute, and per day until midnight in Los Angeles."""
    gemini.script(Rule("429_minute", times=2, seconds=17.5), Rule("429_day", times=2, seconds=20))
    model = make()
    error = await told(model)
    assert isinstance(error, QuotaError)
    assert (error.window, error.delay_seconds) == ("minute", 17.5)
    error = await told(model)
    assert isinstance(error, QuotaError)
    assert error.window == "day"
    assert error.delay_seconds is not None
    assert 20 < error.delay_seconds <= 25 * 3600


@pytest.mark.parametrize(
    ("rule", "deadlines", "said"),
    [
        (Rule("hang", times=2), {"first_byte": SHORT}, "did not begin to answer within 0.2 s"),
        (Rule("stall", times=2), {"idle": SHORT}, "stopped in the middle of an answer"),
        (Rule("trickle", times=2, seconds=0.05), {"total": 1.5 * SHORT}, "was not done with its answer within 0.3 s"),
        (Rule("hang", times=2), {"total": SHORT}, "was not done with its answer within 0.2 s"),
    ],
    ids=["first byte", "idle", "total of a trickle", "total"],
)
async def test_each_deadline_ends_a_call(
    gemini: FakeGemini, make: Make, rule: Rule, deadlines: dict[str, float], said: str
) -> None:
    """And says which one it was."""
    gemini.script(rule)
    error = await told(make(**deadlines))
    assert type(error) is OverloadedError
    assert said in error.message


async def test_a_slow_answer_whose_pieces_are_in_time_is_an_answer(gemini: FakeGemini, make: Make) -> None:
    """However small they are."""
    gemini.script(Rule("trickle", seconds=0.001))
    assert (await make().answer(QUESTION)).value


async def test_nobody_there_is_a_pause(gemini: FakeGemini, make: Make) -> None:
    """No attempt of a job is used up for it."""
    gemini.close()
    error = await told(make())
    assert isinstance(error, PausedError)
    assert error.message.startswith(f"Gemini cannot be reached at {gemini.url}")
    assert error.capability == "text_model"
    assert error.delay_seconds == 30


async def test_a_host_that_lets_nobody_in_is_given_up(make: Make, unreachable: str) -> None:
    """The connection has a deadline of its own."""
    model = make(unreachable, connect=SHORT)
    assert isinstance(await told(model), PausedError)
    assert "does not answer" in str(await model.available()) or "cannot be reached" in str(await model.available())


async def test_it_says_whether_it_can_serve(gemini: FakeGemini, make: Make) -> None:
    """With the mend, and without a request that counts."""
    assert await make().available() is None
    assert gemini.calls == []
    why = await make(key="another-key").available()
    assert why is not None
    assert "API key not valid" in why
    assert "GEMINI_API_KEY" in why
    gemini.close()
    assert "cannot be reached" in str(await make().available())


async def test_failures_in_a_row_open_its_breaker(gemini: FakeGemini, make: Make) -> None:
    """Nobody is asked any more until its time is over; then one call closes it."""
    clock = HandClock()
    model = make(breaker=Breaker(clock, failures=2, first_seconds=10))
    gemini.script(Rule("503", times=2))
    await told(model)
    error = await told(model)
    assert isinstance(error, PausedError)
    assert error.delay_seconds == 10
    assert "The model is overloaded" in error.message
    assert "too many failures" in str(await model.available())
    assert len(gemini.calls) == 2
    await clock.move(10)
    assert await model.available() is None
    assert (await model.answer(QUESTION)).value
    assert model.breaker.state == "closed"


async def test_faults_of_one_request_leave_the_breaker_closed(gemini: FakeGemini, make: Make) -> None:
    """Many poisoned records stop nothing."""
    model = make(breaker=Breaker(HandClock(), failures=1))
    for fault in ("SAFETY", "429_minute", "invalid_json", "MAX_TOKENS", "404", "400"):
        gemini.script(Rule(fault, times=4))
        await told(model)
        await told(model)
        assert (fault, model.breaker.state) == (fault, "closed")


EVENT = b'data: {"candidates": [{"content": {"parts": [{"text": "some"}], "role": "model"}, "index": 0}]}\r\n\r\n'
BEGINNING = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n"


@pytest.mark.parametrize("reply", [b"", BEGINNING % (len(EVENT), EVENT)], ids=["before an answer", "in its middle"])
async def test_a_cancelled_call_leaves_no_connection(make: Make, terse: Terse, reply: bytes) -> None:
    """The service is not kept busy for nobody."""
    terse.replies = {b"streamGenerateContent": reply}
    model = make(terse.url)
    call = asyncio.create_task(model.answer(QUESTION))
    await wait_until(lambda: terse.seen == 1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await wait_until(lambda: terse.open == 0)


async def test_a_stream_that_is_left_leaves_no_connection(make: Make, terse: Terse) -> None:
    """Whoever has heard enough may go."""
    terse.replies = {b"streamGenerateContent": BEGINNING % (len(EVENT), EVENT)}
    stream: Any = make(terse.url).stream(TextRequest("hello"))
    assert await anext(stream) == "some"
    await stream.aclose()
    await wait_until(lambda: terse.open == 0)


async def test_an_end_without_a_reason_is_no_answer(make: Make, terse: Terse) -> None:
    """What came may be half of it."""
    terse.replies = {b"streamGenerateContent": BEGINNING % (len(EVENT), EVENT) + b"0\r\n\r\n"}
    error = await told(make(terse.url), TextRequest("hello"))
    assert type(error) is OverloadedError
    assert error.message == "Gemini ended its answer without saying that it was done"


async def test_a_reply_that_is_no_json_is_an_overload(make: Make, terse: Terse) -> None:
    """As of a proxy in between."""
    page = b"<html>try later</html>"
    terse.replies = {b"streamGenerateContent": BEGINNING % (len(page), page) + b"0\r\n\r\n"}
    assert type(await told(make(terse.url), TextRequest("hello"))) is OverloadedError


async def test_thoughts_are_paid_for_and_no_answer(make: Make, terse: Terse) -> None:
    """Their tokens count as those of the answer."""
    event = (
        b'data: {"candidates": [{"content": {"parts": [{"text": "hm", "thought": true}, {"text": "yes"}]}, '
        b'"finishReason": "STOP"}], "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 1, '
        b'"thoughtsTokenCount": 40}}\r\n\r\n'
    )
    terse.replies = {b"streamGenerateContent": BEGINNING % (len(event), event) + b"0\r\n\r\n"}
    answer = await make(terse.url).answer(TextRequest("hello"))
    assert (answer.text, answer.input_tokens, answer.output_tokens) == ("yes", 3, 41)


async def test_a_key_that_no_header_can_hold_is_told_without_it(make: Make) -> None:
    """The library's own message would have it."""
    bad = f"{KEY}\nx"
    with pytest.raises(JobRunnerError) as failed:
        await make(key=bad).answer(QUESTION)
    assert KEY not in failed.value.message


async def test_closing_is_repeatable_and_calls_at_once_share_a_client(gemini: FakeGemini, make: Make) -> None:
    """A closed model opens again when it is asked."""
    model = make()
    answers = await asyncio.gather(*(model.answer(QUESTION) for _ in range(5)))
    assert len({each.text for each in answers}) == 1
    await model.aclose()
    await model.aclose()
    assert (await model.answer(QUESTION)).value
    assert len(gemini.calls) == 6
