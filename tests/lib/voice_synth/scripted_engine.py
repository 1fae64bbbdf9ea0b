"""An engine that gives exactly the samples a test asks for: silence, crackle, a cut, a crash in mid-word."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lib.voice_synth.engines.base import EngineVoice, Samples, SynthesisSettings, VoicePart

RATE = 8_000


def tone(seconds: float, level: float = 0.3) -> Samples:
    """A clean sine of 220 Hz."""
    times = np.arange(round(seconds * RATE), dtype=np.float32) / RATE
    return (level * np.sin(2 * np.pi * 220 * times)).astype(np.float32)


def spoken(text: str, settings: SynthesisSettings) -> Iterator[Samples]:
    """What a good engine gives: a sound as long as the text, a little different for each seed."""
    characters = max(4, sum(char.isalnum() for char in text))
    yield tone(characters / 14 / settings.speed, 0.3 + 0.001 * settings.seed)


@dataclass
class ScriptedEngine:
    """Says what `script` says; remembers what it was asked."""

    script: Callable[[str, SynthesisSettings], Iterator[Samples]] = spoken
    name: str = "scripted"
    model_version: str = "scripted-1"
    voices: tuple[str, ...] = ("plain",)
    speakers: tuple[str, ...] = ("Ryan", "Vivian")
    languages: tuple[str, ...] = ("English", "French")
    controls: frozenset[str] = frozenset({"seed", "speed", "temperature", "profile"})
    voice_parts: tuple[VoicePart, ...] = ()
    sample_rate: int = RATE
    deterministic: bool = True
    lacks: str | None = None
    loads: int = 0
    loaded_voices: list[EngineVoice] = field(default_factory=list)
    asked: list[tuple[str, SynthesisSettings]] = field(default_factory=list)

    def missing(self, voice: EngineVoice | None = None) -> str | None:  # noqa: ARG002 - the same for all
        """What the test says."""
        return self.lacks

    def remedy(self, voice: EngineVoice | None = None) -> str:  # noqa: ARG002 - the same for all
        """A line to read."""
        return f"install {self.name}"

    def languages_of(self, voice: EngineVoice) -> tuple[str, ...]:  # noqa: ARG002 - the same for all
        """Those of the engine."""
        return self.languages

    def controls_of(self, voice: EngineVoice) -> frozenset[str]:  # noqa: ARG002 - the same for all
        """Those of the engine."""
        return self.controls

    def sample_rate_of(self, voice: EngineVoice) -> int:  # noqa: ARG002 - the same for all
        """That of the engine."""
        return self.sample_rate

    def load(self) -> None:
        """Count."""
        self.loads += 1

    def load_voice(self, voice: EngineVoice) -> None:
        """Remember."""
        self.loaded_voices.append(voice)

    def check_text(self, text: str, voice: EngineVoice, language: str) -> None:
        """Read anything."""

    def synthesise(self, text: str, settings: SynthesisSettings) -> Iterator[Samples]:
        """Follow the script."""
        self.asked.append((text, settings))
        yield from self.script(text, settings)
