"""What is to be spoken and how: a job's speech fields, and what an engine will make of them.

`prepare` answers, without loading anything, which voice will speak, with which settings, and what the job asked
for in vain. A take is made from its answer and a plan can show it; both therefore say the same.
"""

from __future__ import annotations

import unicodedata
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from lib.errors import PermanentError
from lib.voice_synth.engines.base import DEFAULT_LANGUAGE, SynthesisSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lib.jobqueue import JobSpec
    from lib.voice_synth.engines.base import SpeechEngine
    from lib.voice_synth.voices import Choice, VoiceRegistry

DEFAULT_SEED: Final = 0
DEFAULT_PROFILE: Final = "balanced"


@dataclass(frozen=True, slots=True)
class Sampling:
    """How freely a sampling engine chooses; others ignore it."""

    temperature: float
    top_p: float
    repetition_penalty: float


PROFILES: Final[Mapping[str, Sampling]] = MappingProxyType(
    {
        "stable": Sampling(temperature=0.45, top_p=0.78, repetition_penalty=1.12),
        "balanced": Sampling(temperature=0.70, top_p=0.90, repetition_penalty=1.05),
        "expressive": Sampling(temperature=0.92, top_p=0.96, repetition_penalty=1.00),
    }
)

# Fields that shape the sound. An engine that lacks a control ignores them, and the result says which.
_SHAPING_FIELDS: Final = (
    "tone",
    "instruct",
    "instruct_style",
    "profile",
    "temperature",
    "top_p",
    "repetition_penalty",
    "max_new_tokens",
)

_LANGUAGE_CODES: Final[Mapping[str, str]] = MappingProxyType({"en": "english", "en-us": "english", "en_us": "english"})


@dataclass(frozen=True, slots=True)
class SpeechRequest:
    """One text and how it is to be spoken; the fields and their meaning are those of a job."""

    text: str
    voice: str | None = None
    speaker: str | None = None
    language: str = DEFAULT_LANGUAGE
    tone: str | None = None
    instruct: str | None = None
    instruct_style: str | None = None
    profile: str | None = None
    variants: int = 1
    select_best: bool = False
    chunk: bool = False
    temperature: float | None = None
    top_p: float | None = None
    repetition_penalty: float | None = None
    max_new_tokens: int | None = None
    seed: int = DEFAULT_SEED
    """Variant i (from 0) uses seed + i."""
    engine: str | None = None
    """None: the default engine."""

    def as_json(self) -> dict[str, Any]:
        """The fields that say something, for result.json."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, slots=True)
class PreparedSpeech:
    """A request as one engine will do it. `ignored_fields` are those that the job set and the engine cannot obey."""

    choice: Choice
    settings: SynthesisSettings
    ignored_fields: tuple[str, ...]

    def settings_of(self, variant: int) -> SynthesisSettings:
        """The settings of variant `variant`, counted from 0."""
        return replace(self.settings, seed=self.settings.seed + variant)


def request_of_job(job: JobSpec, *, seed: int = DEFAULT_SEED, engine: str | None = None) -> SpeechRequest:
    """The speech fields of a normalised `speak` job."""
    if job.text is None:
        raise PermanentError(f"job {job.request_id} has no text", hint="only speak jobs can be spoken")
    return SpeechRequest(
        text=job.text,
        voice=job.voice,
        speaker=job.speaker,
        language=job.language,
        tone=job.tone,
        instruct=job.instruct,
        instruct_style=job.instruct_style,
        profile=job.profile,
        variants=job.variants,
        select_best=job.select_best,
        chunk=job.chunk,
        temperature=job.temperature,
        top_p=job.top_p,
        repetition_penalty=job.repetition_penalty,
        max_new_tokens=job.max_new_tokens,
        seed=seed,
        engine=engine,
    )


def prepare(request: SpeechRequest, engine: SpeechEngine, voices: VoiceRegistry) -> PreparedSpeech:
    """Bind a request to an engine; loads nothing.

    Raises `PermanentError` for a voice, speaker, language or text that the engine cannot do.
    """
    choice = voices.choose(engine, voice=request.voice, speaker=request.speaker)
    language = language_on(engine, request.language)
    check_text(engine, request.text)
    sampling = PROFILES[request.profile or DEFAULT_PROFILE]
    settings = SynthesisSettings(
        engine_voice=choice.voice.name,
        language=language,
        seed=request.seed,
        speed=choice.voice.speed,
        temperature=_first(request.temperature, sampling.temperature),
        top_p=_first(request.top_p, sampling.top_p),
        repetition_penalty=_first(request.repetition_penalty, sampling.repetition_penalty),
        max_new_tokens=request.max_new_tokens,
        tone=request.tone,
        instruct=request.instruct,
        instruct_style=request.instruct_style,
    )
    return PreparedSpeech(choice, settings, ignored_fields(engine, request))


def check_text(engine: SpeechEngine, text: str) -> None:
    """Raise `PermanentError` for a text without a word, or one that the engine would silently skip a part of."""
    if not any(_is_spoken(char) for char in text):
        raise PermanentError("the text has nothing that can be spoken", hint="write words, not only punctuation")
    engine.check_text(text)


def ignored_fields(engine: SpeechEngine, asked: SpeechRequest | JobSpec) -> tuple[str, ...]:
    """The fields that are set and that the engine cannot obey."""
    given = (name for name in _SHAPING_FIELDS if getattr(asked, name) is not None)
    return tuple(name for name in given if name not in engine.controls)


def _is_spoken(char: str) -> bool:
    """Letters and digits, and the signs that are read as words."""
    return char.isalnum() or char in "&%@#" or unicodedata.category(char) in {"Sc", "Sm"}


def _first(asked: float | None, by_profile: float) -> float:
    return by_profile if asked is None else asked


def language_on(engine: SpeechEngine, asked: str) -> str:
    """The engine's own name of a language; `PermanentError` when it does not speak it."""
    folded = asked.strip().casefold()
    folded = _LANGUAGE_CODES.get(folded, folded)
    for language in engine.languages:
        if language.casefold() == folded:
            return language
    raise PermanentError(
        f"the engine {engine.name} does not speak {asked!r}", hint=f"it speaks {', '.join(engine.languages)}"
    )
