"""What the engines here can say of a job, asked before it is queued: nothing is loaded for it.

An unknown voice, speaker or language is a mistake of the file like any other, unless the voices are to be found
only where the watcher runs. What is the same for many rows is asked once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lib.errors import JobRunnerError, PermanentError
from lib.jobqueue.problems import FieldProblem, nearest, shown
from lib.voice_synth.choice import first_that_can
from lib.voice_synth.engines.base import DEFAULT_LANGUAGE, EngineVoice
from lib.voice_synth.engines.gemini import GeminiEngine
from lib.voice_synth.engines.registry import DEFAULT_ENGINE, make_engine
from lib.voice_synth.request import SHAPING_FIELDS, LanguageError, check_text, ignored_fields, language_on
from lib.voice_synth.voices import SPEAKERS, UnknownVoiceError, VoiceRegistry

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lib.jobqueue import JobSpec
    from lib.voice_synth.engines.base import SpeechEngine
    from lib.voice_synth.voices import Choice


_CLOUD: Final = "cloud"


@dataclass(frozen=True, slots=True)
class _Answer:
    """Who would speak the jobs of one voice or speaker and language, or why nobody would."""

    problems: tuple[FieldProblem, ...]
    engine: SpeechEngine | None = None
    choice: Choice | None = None
    language: str = ""


class Voicing:
    """Answers for one command. `refused` counts the jobs that it found a problem in."""

    def __init__(self, voices: VoiceRegistry | None = None) -> None:
        self.refused = 0
        self._voices = voices or VoiceRegistry()
        self._engines: dict[str, SpeechEngine] = {}
        self._answers: dict[tuple[str | None, str | None, str, bool], _Answer] = {}

    def problems(self, spec: JobSpec) -> tuple[FieldProblem, ...]:
        """Why this job would fail on the engines here; empty when it would not, or does not speak."""
        if spec.text is None:
            return ()
        answer = self._answer(spec)
        found = answer.problems
        engine, choice = answer.engine, answer.choice
        try:
            if engine is None or choice is None:
                # Nobody would speak it; the default engine still says what is wrong with the text.
                check_text(self._engine(DEFAULT_ENGINE), EngineVoice(""), spec.text, DEFAULT_LANGUAGE)
            else:
                check_text(engine, choice.voice, spec.text, answer.language)
        except JobRunnerError as exc:
            found += _problem("text", exc)
        self.refused += bool(found)
        return found

    def notes(self, spec: JobSpec) -> tuple[str, ...]:
        """What a sound job will not get exactly as asked, a sentence each."""
        answer = self._answer(spec) if spec.text is not None else None
        if answer is None or answer.engine is None or answer.choice is None:
            return ()
        engine, choice = answer.engine, answer.choice
        if choice.substituted is None and spec.model_fields_set.isdisjoint(SHAPING_FIELDS):
            # As almost every job of a large file.
            return ()
        ignored = ignored_fields(engine, choice.voice, spec)
        bundled = engine.name == DEFAULT_ENGINE
        notes: list[str] = []
        if choice.substituted is not None and bundled:
            notes.append(f"speaker {spec.speaker}: the bundled voice speaks in its place, at a pace of its own")
        elif choice.substituted is not None:
            who = f"speaker {spec.speaker}" if spec.speaker is not None else f"voice {spec.voice}"
            notes.append(f"{who}: {engine.name}'s voice {choice.voice.name} speaks {answer.language} in its place")
        if ignored:
            has, they = ("has", "it is") if len(ignored) == 1 else ("have", "they are")
            what = "the bundled voice" if bundled else "this voice"
            notes.append(
                f"{', '.join(ignored)} {has} no effect with {what} (engine {engine.name}); "
                f"{they} kept for engines that obey"
            )
        return tuple(notes)

    def _engine(self, name: str) -> SpeechEngine:
        if name not in self._engines:
            self._engines[name] = make_engine(name)
        return self._engines[name]

    def _answer(self, spec: JobSpec) -> _Answer:
        key = (spec.voice, spec.speaker, spec.language, spec.backend == _CLOUD)
        if key not in self._answers:
            self._answers[key] = self._asked(spec)
        return self._answers[key]

    def _asked(self, spec: JobSpec) -> _Answer:
        field = "voice" if spec.voice is not None else "speaker"
        try:
            engine = (
                self._on_cloud(spec) if spec.backend == _CLOUD else first_that_can(spec, self._engine, self._voices)
            )
            choice = self._voices.choose(engine, voice=spec.voice, speaker=spec.speaker)
            return _Answer((), engine, choice, language_on(engine, choice.voice, spec.language))
        except LanguageError as exc:
            return _Answer(_problem("language", exc))
        except UnknownVoiceError as exc:
            said = _taken_for_the_other(spec, self._voices)
            return _Answer((FieldProblem(field, f"{exc.message}; {said}"),) if said else _problem(field, exc))
        except JobRunnerError as exc:
            return _Answer(_problem(field, exc))

    def _on_cloud(self, spec: JobSpec) -> SpeechEngine:
        """Who speaks for the jobs that may run nowhere else."""
        if spec.voice is not None:
            self._voices.require(spec.voice)
            raise PermanentError(
                f"{shown(spec.voice)} speaks on your machines and not on the cloud",
                hint=f"write a speaker in its place ({', '.join(SPEAKERS[:2])} …), or leave out backend: cloud",
            )
        return GeminiEngine()


def of_no_voice_name(name: str, voices: VoiceRegistry) -> str:
    """What to say of a voice that no voice can be named like; empty when nothing better is known than that."""
    speaker = _folded(SPEAKERS).get(name.casefold())
    if speaker is not None:
        return f"{shown(name)} is no voice; {speaker} is a speaker: write speaker: {speaker}"
    near = nearest(name.casefold(), voices.slugs)
    return f"{shown(name)} is no voice name{near}" if near else ""


def _taken_for_the_other(spec: JobSpec, voices: VoiceRegistry) -> str:
    """The mend for a speaker that is written as a voice, or a voice as a speaker."""
    if spec.voice is not None:
        speaker = _folded(SPEAKERS).get(spec.voice.casefold())
        return f"{speaker} is a speaker: write speaker: {speaker}" if speaker is not None else ""
    voice = _folded(voices.slugs).get((spec.speaker or "").casefold())
    return f"{voice} is a voice: write voice: {voice}" if voice is not None else ""


def _folded(names: Iterable[str]) -> dict[str, str]:
    return {name.casefold(): name for name in names}


def _problem(field: str, exc: JobRunnerError) -> tuple[FieldProblem, ...]:
    return (FieldProblem(field, f"{exc.message}; {exc.hint}" if exc.hint else exc.message),)
