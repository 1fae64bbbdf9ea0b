"""A real small model behind Ollama's API and the vendor's own client: what it says is what these promises are about.

It is a model of 135 million parameters: the mechanics are tested, not its wisdom.
"""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

import ollama
import pytest

from lib.capabilities.ollama import OllamaModel
from lib.capabilities.text_model import TextRequest
from lib.capabilities.token_estimate import estimated_tokens, most_tokens
from lib.clock import SystemClock
from lib.errors import TruncatedError
from tests.support.small_model import MODEL, SmallModel

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

CONTEXT = 256
SCHEMA = {
    "type": "object",
    "properties": {"mood": {"enum": ["glad", "sad"]}, "score": {"type": "integer", "minimum": 1, "maximum": 5}},
    "required": ["mood", "score"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def server() -> Iterator[SmallModel]:
    """Loaded once."""
    with SmallModel(context=CONTEXT) as served:
        yield served


@pytest.fixture
async def model(server: SmallModel) -> AsyncIterator[OllamaModel]:
    """As a watcher makes it."""
    made = OllamaModel(server.url, MODEL, clock=SystemClock())
    yield made
    await made.aclose()


async def test_it_answers_what_the_schema_asks_for(model: OllamaModel) -> None:
    """Twice the same, since temperature is 0."""
    request = TextRequest("I found my lamp again and I am so happy! Say my mood as JSON.", schema=SCHEMA, seed=1)
    first = await model.answer(request)
    second = await model.answer(request)
    assert first.value["mood"] in {"glad", "sad"}
    assert 1 <= first.value["score"] <= 5
    assert first.value == second.value
    assert 0 < first.input_tokens == second.input_tokens
    assert 0 < first.output_tokens < 60


async def test_it_talks_piece_by_piece_until_its_limit(model: OllamaModel) -> None:
    """The pieces come before the error that they are not all."""
    heard: list[str] = []

    async def listen() -> None:
        async for piece in model.stream(TextRequest("Tell me a story about a lamp.", max_output_tokens=12)):
            heard.append(piece)  # noqa: PERF401 - a comprehension would lose what came before the error

    with pytest.raises(TruncatedError, match="cut off at its limit of tokens"):
        await listen()
    assert len(heard) > 3


async def test_the_estimate_of_tokens_is_not_too_low(model: OllamaModel) -> None:
    """Of a usual prompt, against the model's own count."""
    prompt = "The lamp had burned all night; who lit it? Anna, 42, says it was her brother (on 3 May)."
    request = TextRequest(prompt, system="Answer with yes.", schema=SCHEMA)
    answer = await model.answer(request)
    assert answer.input_tokens <= model.tokens_in(request) <= 3 * answer.input_tokens


async def test_the_most_is_above_what_a_model_counts(model: OllamaModel) -> None:
    """Of what is no word of any language, which the estimate is too low for."""
    letters = base64.b64encode(hashlib.shake_128(b"lamp").digest(110)).decode()
    request = TextRequest(letters, max_output_tokens=1)
    with pytest.raises(TruncatedError) as caught:
        await model.answer(request)
    assert caught.value.counted is not None
    assert estimated_tokens(request) < caught.value.counted[0] <= most_tokens(request)


async def test_a_prompt_that_was_cut_is_no_success(model: OllamaModel) -> None:
    """The model has answered the end of it, as Ollama has it."""
    with pytest.raises(TruncatedError, match="fills the whole context of smollm2:135m, 256 tokens"):
        await model.answer(TextRequest("lamp " * 300, max_output_tokens=4))


async def test_the_vendors_client_reads_the_rest_of_the_api(server: SmallModel) -> None:
    """What is there, what is loaded, and what is not."""
    client = ollama.AsyncClient(server.url)
    assert [each.model for each in (await client.list()).models] == [MODEL]
    assert [each.model for each in (await client.ps()).models] == [MODEL]
    whole = await client.chat(MODEL, [{"role": "user", "content": "Say yes."}], options={"num_predict": 3})
    assert (whole.done, whole.done_reason, whole.eval_count) == (True, "length", 3)
    assert whole.message.content
    with pytest.raises(ollama.ResponseError, match="model 'other' not found"):
        await client.chat("other")
    await client.close()  # type: ignore[no-untyped-call]
