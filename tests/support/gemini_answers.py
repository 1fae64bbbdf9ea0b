"""What the fake Gemini answers: words, an instance of the schema that was asked for, or a tone; and how it counts.

Called by the fake alone. The same request has the same answer.
"""

from __future__ import annotations

import base64
import json
import math
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.support.json_examples import example

if TYPE_CHECKING:
    from collections.abc import Mapping

RATE = 24_000
SECONDS_A_CHARACTER = 0.05
AUDIO_TOKENS_A_SECOND = 25
_HERTZ = 220
_PEAK = 12_000


@dataclass(frozen=True, slots=True)
class Answer:
    """The whole answer: its text, or its PCM; `cut` says that it reached maxOutputTokens."""

    text: str = ""
    pcm: bytes = b""
    cut: bool = False

    @property
    def tokens(self) -> int:
        """As the service would count them."""
        return math.ceil(len(self.pcm) / 2 / RATE * AUDIO_TOKENS_A_SECOND) if self.pcm else tokens(self.text)


def tokens(text: str) -> int:
    """A token is four characters."""
    return math.ceil(len(text) / 4)


def usage(prompt: str, answer: Answer) -> dict[str, int]:
    """The usageMetadata of a call."""
    sent = tokens(prompt)
    return {
        "promptTokenCount": sent,
        "candidatesTokenCount": answer.tokens,
        "totalTokenCount": sent + answer.tokens,
    }


def answer_to(body: Mapping[str, Any], prompt: str, text: str | None) -> Answer:
    """The right answer to a request; `text` where somebody has written it."""
    config = body.get("generationConfig") or {}
    if "AUDIO" in config.get("responseModalities", []):
        return Answer(pcm=tone(len(prompt) * SECONDS_A_CHARACTER))
    schema = config.get("responseJsonSchema") or config.get("responseSchema")
    if text is None:
        text = json.dumps(example(schema, prompt), ensure_ascii=False) if schema else f"You said: {prompt[:200]}"
    most = config.get("maxOutputTokens")
    if most and tokens(text) > most:
        return Answer(text[: most * 4], cut=True)
    return Answer(text)


def tone(seconds: float) -> bytes:
    """A sine of 16-bit samples, little-endian, mono; at least a fifth of a second."""
    period = array("h", (int(_PEAK * math.sin(2 * math.pi * n / (RATE // _HERTZ))) for n in range(RATE // _HERTZ)))
    samples = max(RATE // 5, int(seconds * RATE))
    whole = period.tobytes() * (samples // len(period) + 1)
    return whole[: samples * 2]


def wrong_schema(text: str) -> str:
    """Valid JSON that no schema of an object or array of objects accepts."""
    return json.dumps("not what was asked for: " + text[:20])


def parts_of(answer: Answer, pieces: int) -> list[dict[str, Any]]:
    """The answer as so many parts, each for one piece of a stream."""
    if answer.pcm:
        step = max(2, -(-len(answer.pcm) // pieces) // 2 * 2 + 2)
        cut = [answer.pcm[at : at + step] for at in range(0, len(answer.pcm), step)]
        mime = f"audio/L16;codec=pcm;rate={RATE}"
        return [{"inlineData": {"mimeType": mime, "data": base64.b64encode(each).decode()}} for each in cut]
    step = max(1, -(-len(answer.text) // pieces))
    return [{"text": answer.text[at : at + step]} for at in range(0, len(answer.text), step)] or [{"text": ""}]
