"""Ollama as a text model, behind the vendor's own client: every fault of the server has its error.

The answers are canned here; `test_ollama_with_a_model` asks a real one.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from lib.capabilities.breaker import Breaker
from lib.capabilities.ollama import OllamaModel
from lib.capabilities.text_model import CallDeadlines, TextModel, TextRequest
from lib.clock import SystemClock
from lib.errors import AnswerError, JobRunnerError, OverloadedError, PausedError, PermanentError, TruncatedError
from tests.lib.capabilities.conftest import NEVER, Terse
from tests.support.hand_clock import HandClock
from tests.support.small_engine import Canned, Said
from tests.support.small_model import MODEL, Fault, SmallModel
from tests.support.wait import wait_until

SCHEMA = {
    "type": "object",
    "properties": {"mood": {"enum": ["glad", "sad"]}, "note": {"type": "string"}},
    "required": ["mood", "note"],
}
QUESTION = TextRequest("How does the writer feel about the lamp that burned all night?", schema=SCHEMA)
SHORT = 0.2

Make = Callable[..., OllamaModel]


class Says:
    """An engine that says what the test wants."""

    def __init__(self, *said: Said) -> None:
        self.said = said

    def say(self, _body: dict[str, Any], _context: int) -> Iterator[Said]:
        """The same each time."""
        yield from self.said


@pytest.fixture
def server() -> Iterator[SmallModel]:
    """A server of one model, without the model."""
    with SmallModel(engine=Canned()) as fake:
        yield fake


@pytest.fixture
async def make(server: SmallModel) -> AsyncIterator[Make]:
    """Models of that server, closed behind the test; deadlines that nobody meets, unless it says others."""
    made: list[OllamaModel] = []

    def one(url: str = "", name: str = MODEL, breaker: Breaker | None = None, **deadlines: float) -> OllamaModel:
        limits = CallDeadlines(**{"connect": NEVER, "first_byte": NEVER, "idle": NEVER, "total": NEVER, **deadlines})
        made.append(OllamaModel(url or server.url, name, clock=SystemClock(), deadlines=limits, breaker=breaker))
        return made[-1]

    yield one
    for each in made:
        await each.aclose()


async def told(model: TextModel, request: TextRequest = QUESTION) -> JobRunnerError:
    """The error of a call, which must be the same for an answer and for a stream."""
    with pytest.raises(JobRunnerError) as failed:
        await model.answer(request)
    with pytest.raises(type(failed.value)) as streamed:
        [each async for each in model.stream(request)]
    assert streamed.value.message == failed.value.message
    return failed.value


async def test_an_answer_is_checked_json_with_its_counts(server: SmallModel, make: Make) -> None:
    """What was asked is what was sent."""
    model = make()
    request = TextRequest("hello", system="Be brief.", schema=SCHEMA, max_output_tokens=99, temperature=0.5, seed=7)
    answer = await model.answer(request)
    assert answer.value["mood"] in {"glad", "sad"}
    assert (answer.model, answer.input_tokens, answer.usd) == (MODEL, 4, 0.0)
    assert answer.output_tokens == -(-len(answer.text) // 4)
    assert [each.path for each in server.asked] == ["/api/show", "/api/chat"]
    body = server.asked[1].body
    assert body["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hello"}]
    assert body["options"] == {"temperature": 0.5, "num_predict": 99, "num_ctx": 2048, "seed": 7}
    assert (body["format"], body["think"], body["stream"]) == (SCHEMA, False, True)
    assert model.tokens_in(request) >= answer.input_tokens


async def test_plain_text_comes_whole_or_in_pieces(make: Make) -> None:
    """The same text."""
    model = make()
    answer = await model.answer(TextRequest("hello"))
    assert (answer.text, answer.value) == ("You said: hello", None)
    pieces = [each async for each in model.stream(TextRequest("hello"))]
    assert len(pieces) == 2
    assert "".join(pieces) == answer.text


@pytest.mark.parametrize(
    ("kind", "error", "said"),
    [
        ("500", OverloadedError, "Ollama cannot answer now: llama runner process has terminated: exit status 2"),
        ("503", OverloadedError, "Ollama cannot answer now: server busy"),
        ("error_in_stream", OverloadedError, "Ollama cannot answer now: an error was encountered"),
        ("cut", OverloadedError, "Ollama broke off its answer"),
        ("missing", PausedError, f"does not have the model {MODEL}"),
    ],
)
async def test_every_fault_has_its_error(
    server: SmallModel, make: Make, kind: Any, error: type[JobRunnerError], said: str
) -> None:
    """And the next call is answered."""
    server.fail(Fault(kind, times=2))
    model = make()
    found = await told(model)
    assert type(found) is error
    assert said in found.message
    assert (await model.answer(QUESTION)).value


async def test_a_model_that_is_missing_is_a_pause_with_its_mend(server: SmallModel, make: Make) -> None:
    """It can be called while a person pulls it: then it is there."""
    model = make(name="qwen3:8b")
    error = await told(model)
    assert isinstance(error, PausedError)
    assert error.message == f"Ollama at {server.url} does not have the model qwen3:8b"
    assert (error.hint, error.capability, error.delay_seconds) == ("ollama pull qwen3:8b", "text_model", 15)
    assert await model.available() == f"{error.message} (ollama pull qwen3:8b)"
    server.model = "qwen3:8b"
    assert await model.available() is None
    assert (await model.answer(QUESTION)).value


async def test_a_server_that_is_down_is_a_pause_and_comes_back(server: SmallModel, make: Make) -> None:
    """On the same port."""
    model = make()
    server.close()
    error = await told(model)
    assert isinstance(error, PausedError)
    assert error.message.startswith(f"Ollama does not answer at {server.url}: ")
    assert (error.hint, error.capability, error.delay_seconds) == ("start it: ollama serve", "text_model", 15)
    assert "ollama serve" in str(await model.available())
    with SmallModel(port=server.port, engine=Canned()):
        assert await model.available() is None
        assert (await model.answer(QUESTION)).value


async def test_a_host_that_lets_nobody_in_is_given_up(make: Make, unreachable: str) -> None:
    """The connection has a deadline of its own."""
    assert isinstance(await told(make(unreachable, connect=SHORT)), PausedError)


@pytest.mark.parametrize(
    ("fault", "deadlines", "said"),
    [
        (Fault("hang", None), {"first_byte": SHORT}, "Ollama did not begin to answer within 0.2 s"),
        (Fault("hang", None, "/api/show"), {"first_byte": SHORT}, "Ollama did not begin to answer within 0.2 s"),
        (Fault("stall", None), {"idle": SHORT}, "Ollama stopped in the middle of an answer and said nothing more"),
        (Fault("stall", None), {"total": SHORT}, "Ollama was not done with its answer within 0.2 s"),
    ],
    ids=["wedged", "wedged from the start", "idle", "total"],
)
async def test_each_deadline_ends_a_call(
    server: SmallModel, make: Make, fault: Fault, deadlines: dict[str, float], said: str
) -> None:
    """A server that accepts and hangs holds up nobody for ever."""
    server.fail(fault)
    error = await told(make(**deadlines))
    assert type(error) is OverloadedError
    assert said in error.message


async def test_a_wedged_server_opens_the_breaker_and_says_so(server: SmallModel, make: Make) -> None:
    """After three calls that nobody answered; when it answers again, one call closes it."""
    clock = HandClock()
    breaker = Breaker(clock, failures=3, first_seconds=10)
    model, hasty = make(breaker=breaker), make(breaker=breaker, first_byte=SHORT)
    server.fail(Fault("hang", 3))
    for _ in range(3):
        with pytest.raises(OverloadedError):
            await hasty.answer(QUESTION)
    why = (
        "left alone until 1970-01-01T00:16:50.000Z after too many failures: Ollama did not begin to answer within 0.2 s"
    )
    assert await model.available() == why
    error = await told(model)
    assert isinstance(error, PausedError)
    assert error.message == f"Ollama is {why}"
    await clock.move(10)
    assert await model.available() is None
    assert (await model.answer(QUESTION)).value
    assert breaker.state == "closed"


async def test_its_own_breaker_opens_after_three(server: SmallModel, make: Make) -> None:
    """One slot is too dear for more."""
    server.fail(Fault("500", 3))
    model = make()
    for _ in range(3):
        with pytest.raises(OverloadedError):
            await model.answer(QUESTION)
    assert model.breaker.state == "open"


async def test_a_server_that_hangs_is_not_available(server: SmallModel, make: Make) -> None:
    """Nobody waits for it longer than for a connection."""
    server.fail(Fault("hang", 1, "/api/show"))
    assert await make(connect=SHORT).available() == f"Ollama at {server.url} does not answer within 0.2 s"


@pytest.mark.parametrize(
    ("said", "kind", "message"),
    [
        ([Said("{"), Said("", "length", 9, 1)], TruncatedError, "was cut off at its limit of tokens"),
        ([Said("{"), Said("", "stop", 9, 1)], AnswerError, "is no JSON"),
        ([Said('{"mood": "odd", "note": ""}'), Said("", "stop", 9, 9)], AnswerError, "is not what its schema asks"),
        ([Said(""), Said("", "stop", 9, 0)], AnswerError, "the answer of Ollama is empty"),
    ],
)
async def test_only_a_complete_and_checked_answer_is_one(
    make: Make, said: list[Said], kind: type[JobRunnerError], message: str
) -> None:
    """What a model may say instead."""
    with SmallModel(engine=Says(*said)) as server:
        error = await told(make(server.url), TextRequest("hello", schema=SCHEMA))
    assert type(error) is kind
    assert message in error.message


async def test_a_prompt_that_fills_the_context_was_cut(make: Make) -> None:
    """The server says nothing of it; the count does."""
    with SmallModel(engine=Canned(), context=256) as server:
        model = make(server.url)
        error = await told(model, TextRequest("lamplighter " * 100))
        assert isinstance(error, TruncatedError)
        assert f"the prompt fills the whole context of {MODEL}, 256 tokens" in error.message
        assert "larger context" in str(error.hint)
        assert (await model.answer(TextRequest("lamp " * 20))).text


async def test_a_server_that_sees_less_than_it_says_is_found_out(make: Make) -> None:
    """There are fewer tokens than words."""
    with SmallModel(engine=Canned(), context=128, says_context=8192) as server:
        error = await told(make(server.url), TextRequest("lamp " * 200))
    assert type(error) is TruncatedError
    assert "has seen 128 tokens of a prompt of at least 200, the rest was cut off" in error.message


async def test_the_context_grows_with_the_prompts_and_never_shrinks(make: Make) -> None:
    """Another context loads the model anew, which takes seconds; nor is more asked for than the model has."""
    with SmallModel(engine=Canned(), context=16_384) as server:
        model = make(server.url)
        for words in (10, 6000, 10, 13_000):
            await model.answer(TextRequest("lamp " * words, max_output_tokens=100))
        asked = [each.body["options"]["num_ctx"] for each in server.asked if each.path == "/api/chat"]
    assert asked == [4096, 8192, 8192, 16_384]


SHOW = json.dumps({"model_info": {"llama.context_length": 4096}}).encode()
SHOWN = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(SHOW), SHOW)
PIECE = b'{"model": "m", "message": {"role": "assistant", "content": "some"}, "done": false}\n'
BEGINNING = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n"


@pytest.mark.parametrize("reply", [b"", BEGINNING % (len(PIECE), PIECE)], ids=["before an answer", "in its middle"])
async def test_a_cancelled_call_leaves_no_connection(make: Make, terse: Terse, reply: bytes) -> None:
    """The model stops working for nobody."""
    terse.replies = {b"/api/show": SHOWN, b"/api/chat": reply}
    call = asyncio.create_task(make(terse.url).answer(QUESTION))
    await wait_until(lambda: terse.seen == 2)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await wait_until(lambda: terse.open == 0)


async def test_a_stream_that_is_left_leaves_no_connection(make: Make, terse: Terse) -> None:
    """Whoever has heard enough may go."""
    terse.replies = {b"/api/show": SHOWN, b"/api/chat": BEGINNING % (len(PIECE), PIECE)}
    stream: Any = make(terse.url).stream(TextRequest("hello"))
    assert await anext(stream) == "some"
    await stream.aclose()
    await wait_until(lambda: terse.open == 0)


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"),
    [
        (
            b"400 Bad Request",
            b'{"error": "invalid format"}',
            PermanentError,
            "refuses the request (400): invalid format",
        ),
        (b"400 Bad Request", b'{"error": "prompt exceeds the context"}', TruncatedError, "longer than what"),
        (b"403 Forbidden", b"", PausedError, "refuses us (403)"),
        (b"429 Too Many", b"{}", OverloadedError, "cannot answer now"),
        (b"200 OK", b"<html>", OverloadedError, "broke off its answer"),
        (b"200 OK", b"", OverloadedError, "without saying that it was done"),
    ],
)
async def test_every_other_reply_has_its_meaning(
    make: Make, terse: Terse, status: bytes, body: bytes, kind: type[JobRunnerError], said: str
) -> None:
    """Of a server, or of something before it."""
    reply = b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (status, len(body), body)
    terse.replies = {b"/api/show": SHOWN, b"/api/chat": reply}
    error = await told(make(terse.url))
    assert type(error) is kind
    assert said in error.message


async def test_closing_is_repeatable_and_calls_at_once_share_a_client(server: SmallModel, make: Make) -> None:
    """A closed model opens again when it is asked."""
    model = make()
    await asyncio.gather(*(model.answer(QUESTION) for _ in range(5)))
    await model.aclose()
    await model.aclose()
    assert (await model.answer(QUESTION)).value
    assert len([each for each in server.asked if each.path == "/api/chat"]) == 6
