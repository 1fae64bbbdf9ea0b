"""What is to be spoken and how: a job's speech fields, and what an engine will make of them.

`prepare` answers, without loading anything, which voice will speak, with which settings, and what the job asked
for in vain. A take is made from its answer and a plan can show it; both therefore say the same.
"""

from __future__ import annotations

import unicodedata
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Final

from lib.errors import PermanentError
from lib.voice_synth.engines.base import BALANCED_TEMPERATURE, DEFAULT_LANGUAGE, SynthesisSettings
from lib.voice_synth.languages import named_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lib.jobqueue import JobSpec
    from lib.voice_synth.engines.base import EngineVoice, SpeechEngine
    from lib.voice_synth.voices import Choice, VoiceRegistry

DEFAULT_SEED: Final = 0
DEFAULT_PROFILE: Final = "balanced"


class LanguageError(PermanentError):
    """A language that no engine here, or not the one that was asked for, speaks with this voice: a wrong input."""

    code = "language"
    exit_code: ClassVar[int] = 2


@dataclass(frozen=True, slots=True)
class Sampling:
    """How freely a sampling engine chooses; others ignore it."""

    temperature: float
    top_p: float
    repetition_penalty: float


PROFILES: Final[Mapping[str, Sampling]] = MappingProxyType(
    {
        "stable": Sampling(temperature=0.45, top_p=0.78, repetition_penalty=1.12),
        "balanced": Sampling(temperature=BALANCED_TEMPERATURE, top_p=0.90, repetition_penalty=1.05),
        "expressive": Sampling(temperature=0.92, top_p=0.96, repetition_penalty=1.00),
    }
)

# Fields that shape the sound. An engine that lacks a control ignores them, and the result says which.
SHAPING_FIELDS: Final = (
    "tone",
    "instruct",
    "instruct_style",
    "profile",
    "temperature",
    "top_p",
    "repetition_penalty",
    "max_new_tokens",
)


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
    """None: the first that can (`lib.voice_synth.choice`)."""

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
    choice = voices.choose(engine, voice=request.voice, speaker=request.speaker, by_name=request.engine is not None)
    language = language_on(engine, choice.voice, request.language)
    check_text(engine, choice.voice, request.text, language)
    sampling = PROFILES[request.profile or DEFAULT_PROFILE]
    settings = SynthesisSettings(
        voice=choice.voice,
        language=language,
        seed=request.seed,
        temperature=_first(request.temperature, sampling.temperature),
        top_p=_first(request.top_p, sampling.top_p),
        repetition_penalty=_first(request.repetition_penalty, sampling.repetition_penalty),
        max_new_tokens=request.max_new_tokens,
        tone=request.tone,
        instruct=request.instruct,
        instruct_style=request.instruct_style,
    )
    return PreparedSpeech(choice, settings, ignored_fields(engine, choice.voice, request))


def check_text(engine: SpeechEngine, voice: EngineVoice, text: str, language: str) -> None:
    """Raise `PermanentError` for a text without a word, or one that the engine would silently skip a part of."""
    if not any(map(_is_spoken, text)):
        raise PermanentError("the text has nothing that can be spoken", hint="write words, not only punctuation")
    engine.check_text(text, voice, language)


def ignored_fields(engine: SpeechEngine, voice: EngineVoice, asked: SpeechRequest | JobSpec) -> tuple[str, ...]:
    """The fields that are set and that the engine cannot obey with this voice."""
    given = [name for name in SHAPING_FIELDS if getattr(asked, name) is not None]
    # Most ask for none, and a file may hold a hundred thousand of them.
    obeyed = engine.controls_of(voice) if given else frozenset()
    return tuple(name for name in given if name not in obeyed)


def _is_spoken(char: str) -> bool:
    """Letters and digits, and the signs that are read as words."""
    return char.isalnum() or char in "&%@#" or unicodedata.category(char) in {"Sc", "Sm"}


def _first(asked: float | None, by_profile: float) -> float:
    return by_profile if asked is None else asked


def language_on(engine: SpeechEngine, voice: EngineVoice, asked: str) -> str:
    """The engine's own name of a language; `PermanentError` when it does not speak it with this voice."""
    spoken = engine.languages_of(voice)
    language = named_in(spoken, asked)
    if language is not None:
        return language
    raise LanguageError(f"the engine {engine.name} does not speak {asked!r}", hint=f"it speaks {shortened(spoken)}")


def shortened(names: tuple[str, ...], most: int = 12) -> str:
    """The names in a row, the first few where there are many."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
