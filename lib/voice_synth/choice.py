"""Which engine a job gets. A plan and a take both ask here, so they say the same.

    an engine asked for by name     that one, or an error that says what it lacks
    a voice of somebody's own       the engines that it says how it sounds on: those it brought files or texts for
                                    first, then by the order of the engines
    a listed speaker                an engine that really has it, else a stand-in on the first engine that has one
    the built-in voice              the first engine

each only if it can speak here and speaks the language. So another language goes to the first engine that knows it, and
what then stands in for the speaker or the built-in voice is said as a substitute. It loads nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Protocol

from lib.errors import PermanentError
from lib.voice_synth.engines.registry import ENGINES
from lib.voice_synth.languages import named_in
from lib.voice_synth.request import LanguageError, language_on, shortened
from lib.voice_synth.voices import STAND_INS, UnknownVoiceError, require_speaker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lib.voice_synth.engines.base import EngineVoice, SpeechEngine
    from lib.voice_synth.voices import Voice, VoiceRegistry

_ORDER = tuple(ENGINES)


class LackingLanguageError(LanguageError):
    """A language that an engine would speak if this machine had what it needs: nothing is wrong with the input."""

    exit_code: ClassVar[int] = 1


class Asked(Protocol):
    """What of a job decides; exactly one of `voice` and `speaker` is given."""

    @property
    def voice(self) -> str | None:
        """A slug of the registry."""

    @property
    def speaker(self) -> str | None:
        """A listed speaker."""

    @property
    def language(self) -> str:
        """Of the text, by name or code."""


class AskedWithEngine(Asked, Protocol):
    """The same of a request that may name its engine."""

    @property
    def engine(self) -> str | None:
        """As `--engine` names it; None for the first that can."""


def engine_for(asked: AskedWithEngine, known: Callable[[str], SpeechEngine], voices: VoiceRegistry) -> SpeechEngine:
    """The engine that speaks what was asked; `known` gives one by its name, not loaded.

    Raises `UnknownVoiceError` for a voice or speaker that nobody has, and `PermanentError`, with every engine's
    reason, when none can speak it here.
    """
    if asked.engine is None:
        return first_that_can(asked, known, voices)
    engine = known(asked.engine)
    voice = voices.choose(engine, voice=asked.voice, speaker=asked.speaker, by_name=True).voice
    language_on(engine, voice, asked.language)
    lacking = engine.missing(voice)
    if lacking is not None:
        raise PermanentError(
            f"the speech engine {engine.name} cannot speak here: this machine lacks {lacking}",
            hint=engine.remedy(voice),
        )
    return engine


def first_that_can(asked: Asked, known: Callable[[str], SpeechEngine], voices: VoiceRegistry) -> SpeechEngine:
    """The engine for a job, which names none; raises as `engine_for` does."""
    why_not: list[tuple[SpeechEngine, EngineVoice]] = []
    broken: PermanentError | None = None
    for name, voice in _candidates(asked, known, voices):
        engine = known(name)
        try:
            speaks = named_in(engine.languages_of(voice), asked.language) is not None
        except PermanentError as exc:
            broken = broken or exc
            continue
        if speaks and engine.missing(voice) is None:
            return engine
        why_not.append((engine, voice))
    if broken is not None:
        raise broken
    raise _nobody(asked, why_not)


def _candidates(
    asked: Asked, known: Callable[[str], SpeechEngine], voices: VoiceRegistry
) -> Iterator[tuple[str, EngineVoice]]:
    if asked.speaker is not None:
        require_speaker(asked.speaker)
        engines = {name: known(name) for name in _ORDER}
        having = [name for name, engine in engines.items() if asked.speaker in engine.speakers]
        others = [name for name in _ORDER if name not in having and asked.speaker in STAND_INS.get(name, {})]
        for name in (*having, *others):
            yield name, voices.choose(engines[name], voice=None, speaker=asked.speaker).voice
        return
    if asked.voice is None:
        raise UnknownVoiceError("neither a voice nor a speaker is given", hint="write voice: newsroom")
    voice = voices.require(asked.voice)
    for name in sorted((name for name in voice.on_engine if name in _ORDER), key=lambda name: _preference(voice, name)):
        yield name, voice.on_engine[name]


def _preference(voice: Voice, name: str) -> tuple[bool, int]:
    sound = voice.on_engine[name]
    return not (sound.files or sound.texts), _ORDER.index(name)


def _nobody(asked: Asked, why_not: list[tuple[SpeechEngine, EngineVoice]]) -> PermanentError:
    who = f"speaker {asked.speaker}" if asked.speaker is not None else f"voice {asked.voice}"
    if not why_not:
        return PermanentError(
            f"the {who} has no sound on any engine that is known here",
            hint=f"engines here: {', '.join(_ORDER)}; register the voice for one of them",
        )
    reasons, remedies, speaks = [], [], False
    for engine, voice in why_not:
        if named_in(engine.languages_of(voice), asked.language) is None:
            reasons.append(f"{engine.name} does not speak it")
            continue
        speaks = True
        reasons.append(f"{engine.name} lacks {engine.missing(voice)}")
        remedies.append(f"for {engine.name}: {engine.remedy(voice)}")
    if not speaks:
        languages = tuple(dict.fromkeys(name for engine, voice in why_not for name in engine.languages_of(voice)))
        return LanguageError(
            f"nothing here speaks {asked.language!r} with the {who}: {'; '.join(reasons)}",
            hint=f"languages here: {shortened(languages) or 'none'}",
        )
    return LackingLanguageError(
        f"nothing here speaks {asked.language!r} with the {who}: {'; '.join(reasons)}", hint="; ".join(remedies)
    )
