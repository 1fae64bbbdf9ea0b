"""What the bundled engine can say of a job, asked before it is queued: nothing is loaded for it.

An unknown voice, speaker or language is a mistake of the file like any other, unless the voices are to be found
only where the watcher runs. What is the same for many rows is asked once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib.errors import JobRunnerError
from lib.jobqueue.problems import FieldProblem
from lib.voice_synth.engines.registry import DEFAULT_ENGINE, make_engine
from lib.voice_synth.request import check_text, ignored_fields, language_on
from lib.voice_synth.voices import VoiceRegistry

if TYPE_CHECKING:
    from collections.abc import Callable

    from lib.jobqueue import JobSpec


class Voicing:
    """Answers for one command. `refused` counts the jobs that it found a problem in."""

    def __init__(self) -> None:
        self.refused = 0
        self._engine = make_engine(DEFAULT_ENGINE)
        self._voices = VoiceRegistry()
        self._known: dict[tuple[str | None, str | None, str], tuple[FieldProblem, ...]] = {}

    def problems(self, spec: JobSpec) -> tuple[FieldProblem, ...]:
        """Why this job would fail on the bundled engine; empty when it would not, or does not speak."""
        if spec.text is None:
            return ()
        text = spec.text
        key = (spec.voice, spec.speaker, spec.language)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._about(*key)
        found += _said("text", lambda: check_text(self._engine, text))
        self.refused += bool(found)
        return found

    def notes(self, spec: JobSpec) -> tuple[str, ...]:
        """What a sound job will not get exactly as asked, a sentence each."""
        if spec.text is None:
            return ()
        notes: list[str] = []
        if spec.speaker is not None and spec.speaker not in self._engine.speakers:
            notes.append(f"speaker {spec.speaker}: the bundled voice speaks in its place, at a pace of its own")
        ignored = ignored_fields(self._engine, spec)
        if ignored:
            has, they = ("has", "it is") if len(ignored) == 1 else ("have", "they are")
            notes.append(
                f"{', '.join(ignored)} {has} no effect with the bundled voice (engine {self._engine.name}); "
                f"{they} kept for engines that obey"
            )
        return tuple(notes)

    def _about(self, voice: str | None, speaker: str | None, language: str) -> tuple[FieldProblem, ...]:
        field = "voice" if voice is not None else "speaker"
        return (
            *_said(field, lambda: self._voices.choose(self._engine, voice=voice, speaker=speaker)),
            *_said("language", lambda: language_on(self._engine, language)),
        )


def _said(field: str, ask: Callable[[], object]) -> tuple[FieldProblem, ...]:
    try:
        ask()
    except JobRunnerError as exc:
        return (FieldProblem(field, f"{exc.message}; {exc.hint}" if exc.hint else exc.message),)
    return ()
