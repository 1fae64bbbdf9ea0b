"""A speech model that says exactly what a test wants, and remembers what it was asked."""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lib.capabilities.speech_model import Spoken

if TYPE_CHECKING:
    from collections.abc import Callable

RATE = 24_000
_PERIOD = 120


def hum(text: str, level: float = 0.3) -> bytes:
    """A clean tone, as long as the text takes."""
    count = max(1, round(len(text) / 14 * RATE))
    period = array("h", (round(level * 32_767 * math.sin(n * math.tau / _PERIOD)) for n in range(_PERIOD))).tobytes()
    return (period * (count // _PERIOD + 1))[: 2 * count]


@dataclass
class ScriptedSpeech:
    """Says what `script` makes of a text; `asked` are text, voice and style of each call."""

    script: Callable[[str], bytes] = hum
    model: str = "scripted-tts"
    rate: int = RATE
    asked: list[tuple[str, str, str]] = field(default_factory=list)

    async def speak(self, text: str, voice_name: str, style: str = "") -> Spoken:
        """As the script says."""
        return self.spoken(text, voice_name, style)

    def spoken(self, text: str, voice_name: str, style: str) -> Spoken:
        """The same, for who cannot wait."""
        self.asked.append((text, voice_name, style))
        return Spoken(self.script(text), self.rate, self.model, len(text), 2 * len(text), 0.5, 0.001)

    def tokens_in(self, text: str, style: str = "") -> int:
        """One a sign."""
        return len(text) + len(style)

    def tokens_out(self, text: str) -> int:
        """Two a sign."""
        return 2 * len(text)

    async def aclose(self) -> None:
        """Nothing is open."""


@dataclass
class Blocking:
    """The same as an engine meets it in a child."""

    speech: ScriptedSpeech

    @property
    def model(self) -> str:
        """That of the model."""
        return self.speech.model

    def speak(self, text: str, voice_name: str, style: str) -> Spoken:
        """At once."""
        return self.speech.spoken(text, voice_name, style)
