"""What a speech engine promises, so that a take is made the same way by any of them.

An engine knows its own voices and what it can be told; which voice a job gets, how takes are cut, checked and
ranked is decided above it (`lib.voice_synth`). Attributes that describe it must be known before `load`, so
that a plan can be made on a machine that never loads a model.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    Samples = npt.NDArray[np.float32]
    """Mono samples, full scale at ±1.0."""

DEFAULT_LANGUAGE = "English"
BALANCED_TEMPERATURE = 0.70
"""How freely a sampling engine chooses when a job says nothing; other engines vary by it in proportion."""


@dataclass(frozen=True, slots=True)
class VoicePart:
    """Something that a voice of somebody's own must or may bring for an engine: a file, or a text, in a named role."""

    role: str
    kind: Literal["file", "text"]
    required: bool
    what: str
    """For a person, as `the .onnx model`."""


@dataclass(frozen=True, slots=True)
class EngineVoice:
    """How a voice sounds on one engine.

    `name` is the engine's own name of it, empty when the files say all. `speed` is a factor on its natural pace, above
    1 faster. `files` and `texts` are what a voice of somebody's own brings, by the role that a `VoicePart` names; the
    paths are absolute.
    """

    name: str
    speed: float = 1.0
    files: Mapping[str, Path] = field(default_factory=lambda: MappingProxyType({}))
    texts: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class SynthesisSettings:
    """Everything an engine may be told for one take; it uses what its `controls_of` names and ignores the rest.

    `language` is one of the engine's `languages_of(voice)`.
    """

    voice: EngineVoice
    language: str
    seed: int
    temperature: float | None = None
    top_p: float | None = None
    repetition_penalty: float | None = None
    max_new_tokens: int | None = None
    tone: str | None = None
    instruct: str | None = None
    instruct_style: str | None = None

    @property
    def speed(self) -> float:
        """A factor on the natural pace, above 1 faster."""
        return self.voice.speed


class SpeechEngine(Protocol):
    """One engine. Used by one job at a time; what it loaded stays in memory.

    Making one is cheap, and all but `load`, `load_voice` and `synthesise` may be asked on a machine that lacks it.
    A method that takes a voice may read small files of it and raises `PermanentError` when they are broken.
    """

    @property
    def name(self) -> str:
        """As `--engine` names it."""

    @property
    def model_version(self) -> str:
        """Changes whenever the same text and settings may sound different; part of a cache key beside the voice."""

    @property
    def voices(self) -> tuple[str, ...]:
        """Its own voices that work on this machine without a download."""

    @property
    def speakers(self) -> tuple[str, ...]:
        """The listed speakers that it really has; the others are spoken by a stand-in."""

    @property
    def languages(self) -> tuple[str, ...]:
        """English names of the languages that its own voices speak here."""

    @property
    def voice_parts(self) -> tuple[VoicePart, ...]:
        """What a voice of somebody's own brings for it; empty when its voices come with it alone."""

    @property
    def deterministic(self) -> bool:
        """Whether the same text, settings and seed give the same samples in every process."""

    def missing(self, voice: EngineVoice | None = None) -> str | None:
        """What this machine lacks for it, as `the package piper-tts`; None when it can be used.

        With a voice also what that voice needs beyond the engine. Imports no model.
        """

    def remedy(self, voice: EngineVoice | None = None) -> str:
        """What to type or do when something is `missing`."""

    def languages_of(self, voice: EngineVoice) -> tuple[str, ...]:
        """English names of the languages that it speaks with this voice."""

    def controls_of(self, voice: EngineVoice) -> frozenset[str]:
        """The job fields it obeys with this voice, by name; any other that a job sets is reported as ignored."""

    def sample_rate_of(self, voice: EngineVoice) -> int:
        """Samples a second of all it gives with this voice."""

    def check_text(self, text: str, voice: EngineVoice, language: str) -> None:
        """Raise `PermanentError` if it would silently skip part of the text."""

    def load(self) -> None:
        """Bring in what every voice needs; blocks; does nothing the second time.

        Raises `PermanentError` when the engine is not installed here, `TemporaryError` when the machine lacks
        memory. Never downloads anything unless the machine's owner has allowed it.
        """

    def load_voice(self, voice: EngineVoice) -> None:
        """Bring in what this voice needs beyond `load`, which came first; raises as it does."""

    def synthesise(self, text: str, settings: SynthesisSettings) -> Iterator[Samples]:
        """Speak: one or more pieces, to be joined in order without a gap. Blocks between them.

        May give no piece, or pieces of silence, for text that has no sound; who called it checks that.
        """
