"""A request becomes files in one directory: takes, the best of them, and what there is to know about them.

    take_01.wav … take_NN.wav   16-bit mono, one a variant
    best.wav                    with select_best
    takes.meta.json             each take's seed, length, level and digest; the same for the same request
    text.txt                    the text, verbatim
    result.json                 the answer: request, model, selection, timings, files, sentences that were at hand

The `speak` task and `voice-synth speak` both call it; it knows neither queue nor command line. Audio that fails
its checks is an error: permanent on an engine that would repeat it sample by sample, temporary on one that
samples anew. Files of an earlier run in the same directory go when the new run has fewer of them.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lib.errors import PermanentError, TaskError, TemporaryError
from lib.voice_synth import documents
from lib.voice_synth.audio import (
    USUAL_CHARACTERS_PER_SECOND,
    BrokenSamplesError,
    Loudness,
    Recording,
    fault_of,
    spoken_characters,
)
from lib.voice_synth.choice import engine_for
from lib.voice_synth.chunking import CHUNK_SILENCE_SECONDS, chunks_of
from lib.voice_synth.clips import NoClips
from lib.voice_synth.listening import LANGUAGE, intelligibility
from lib.voice_synth.ranking import Heard, Rank, rank_takes
from lib.voice_synth.request import prepare
from lib.voice_synth.sentences import Sentences
from lib.voice_synth.voices import VoiceRegistry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lib.capabilities.speech import SpeechEngines
    from lib.voice_synth.clips import Clips
    from lib.voice_synth.documents import TakeFile
    from lib.voice_synth.engines.base import SpeechEngine
    from lib.voice_synth.request import PreparedSpeech, SpeechRequest

# A take is complete only when it was checked; its bar waits here until then.
_ALMOST = 0.98
# Percent when every take is spoken; the rest is ranking and writing.
_SPOKEN = 99.0


@dataclass(frozen=True, slots=True)
class Step:
    """How far it is: `percent` of all, `done` takes of `total`. `nearly`: what is left takes no time to speak of."""

    percent: float
    done: int
    total: int
    message: str
    nearly: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """What was made: `document` is result.json, `summary` the part of it that a record keeps."""

    document: dict[str, Any]
    summary: dict[str, Any]
    files: tuple[TakeFile, ...]


class Speaking:
    """One request on its way to files. Iterate `steps` to the end, then ask for `report`."""

    def __init__(
        self,
        request: SpeechRequest,
        engines: SpeechEngines,
        directory: Path,
        *,
        voices: VoiceRegistry | None = None,
        clips: Clips | None = None,
        durable: bool = False,
    ) -> None:
        """`clips` are sentences that were spoken before, for a request that is spoken by the sentence."""
        self._request = request
        self._engines = engines
        self._directory = directory
        self._voices = voices or VoiceRegistry()
        self._clips = clips or NoClips()
        self._durable = durable
        self._spoken = spoken_characters(request.text)
        self._report: Report | None = None

    def steps(self) -> Iterator[Step]:
        """Make everything; each step is a moment to report progress or to be abandoned.

        Raises `PermanentError` for what cannot be spoken, `TemporaryError` for what another try may cure. Nothing
        half-written stands under a final name then.
        """
        try:
            yield from self._steps()
        except OSError as exc:
            why = exc.strerror or str(exc)
            raise TemporaryError(
                f"writing takes to {self._directory}: {why}", hint="free some space, or mend the disk's permissions"
            ) from exc

    def _steps(self) -> Iterator[Step]:
        began = time.perf_counter()
        total = self._request.variants
        yield Step(0.0, 0, total, "loading the voice")
        chosen = engine_for(self._request, self._engines.known, self._voices)
        prepared = prepare(self._request, chosen, self._voices)
        loading = time.perf_counter()
        warm = self._engines.warm(chosen.name)
        sentences = Sentences(warm.engine, prepared, self._clips)
        warm.engine.load_voice(prepared.choice.voice)
        synthesising = time.perf_counter()
        takes: list[Loudness] = []
        for variant in range(total):
            message = f"take {variant + 1} of {total}"
            for seconds in self._take(warm.engine, prepared, variant, takes, sentences):
                part = min(_ALMOST, seconds / self._expected_seconds(prepared))
                yield Step(round(_SPOKEN * (variant + part) / total, 1), variant, total, message)
            yield Step(round(_SPOKEN * (variant + 1) / total, 1), variant + 1, total, message)
        ended = time.perf_counter()
        heard = None
        if self._listens():
            yield Step(_SPOKEN, total, total, "listening to the takes")
            heard = self._hear(total)
        yield Step(_SPOKEN, total, total, "writing", nearly=True)
        ranking = self._select(takes, prepared, heard)
        timings = documents.timings(
            load=synthesising - loading,
            synth=ended - synthesising,
            total=ended - began,
            audio=[take.seconds for take in takes],
        )
        self._report = self._write(warm.engine, prepared, takes, ranking, timings, sentences)
        yield Step(100.0, total, total, "done")

    def report(self) -> Report:
        """What was made, once `steps` came to its end."""
        if self._report is None:
            raise RuntimeError("report before the last step")
        return self._report

    def _take(
        self,
        engine: SpeechEngine,
        prepared: PreparedSpeech,
        variant: int,
        takes: list[Loudness],
        sentences: Sentences,
    ) -> Iterator[float]:
        """Record one variant, giving the seconds so far after each piece, and append what was measured to `takes`."""
        settings = prepared.settings_of(variant)
        name = documents.take_name(variant + 1)
        rate = engine.sample_rate_of(prepared.choice.voice)
        chunks = chunks_of(self._request.text) if self._request.chunk else [self._request.text]
        spoken = sentences.pieces if self._request.chunk else sentences.unkept
        with Recording(self._directory / name, rate, durable=self._durable) as recording:
            for number, chunk in enumerate(chunks):
                if number:
                    recording.add_silence(CHUNK_SILENCE_SECONDS)
                try:
                    for piece in spoken(chunk, settings):
                        recording.add(piece)
                        yield recording.seconds
                except BrokenSamplesError as exc:
                    raise _broken(engine, f"{name}: {exc}") from exc
            fault = fault_of(recording.measured(), self._request.text)
            if fault is not None:
                sentences.forget(settings)
                raise _broken(engine, f"{name}: {fault}")
            takes.append(recording.finish())

    def _expected_seconds(self, prepared: PreparedSpeech) -> float:
        pace = USUAL_CHARACTERS_PER_SECOND * prepared.settings.speed
        return max(1.0, self._spoken / pace)

    def _listens(self) -> bool:
        """Only where there is something to choose from, and in the language that the recogniser knows."""
        comparable = self._request.select_best and self._request.variants > 1
        return comparable and self._request.language.strip().casefold() in {LANGUAGE.casefold(), "en", "en-us"}

    def _hear(self, takes: int) -> list[Heard] | None:
        listener = self._engines.listener()
        if listener is None:
            return None
        said = self._request.text
        words = [listener.hear(self._directory / documents.take_name(number)) for number in range(1, takes + 1)]
        return [Heard(each, intelligibility(said, each)) for each in words]

    def _select(self, takes: list[Loudness], prepared: PreparedSpeech, heard: list[Heard] | None) -> list[Rank]:
        if not self._request.select_best:
            return []
        ranking = rank_takes(takes, self._request.text, prepared.settings.speed, heard)
        best = self._directory / documents.BEST
        partial = best.with_name(f".{best.name}.part")
        shutil.copyfile(self._directory / documents.take_name(ranking[0].take), partial)
        documents.finish_file(partial, best, durable=self._durable)
        return ranking

    def _write(
        self,
        engine: SpeechEngine,
        prepared: PreparedSpeech,
        takes: list[Loudness],
        ranking: list[Rank],
        timings: dict[str, float],
        sentences: Sentences,
    ) -> Report:
        directory = documents.TakeDirectory(self._directory, durable=self._durable)
        directory.forget_earlier(keep=len(takes), best=self._request.select_best)
        sound = directory.sound_files(len(takes), best=self._request.select_best)
        model = documents.model_of(engine, prepared)
        meta = documents.takes_meta(self._request, prepared, model, takes, sound)
        files = [*sound, directory.write_json(documents.META, meta, "meta"), directory.write_text(self._request.text)]
        document = documents.result_document(self._request, prepared, model, ranking, timings, files)
        if self._request.chunk:
            document["sentences"] = {"at_hand": sentences.at_hand, "of": sentences.spoken}
        files.append(directory.write_json(documents.RESULT, document, "result"))
        return Report(document, documents.summary_of(document, meta), tuple(files))


def _broken(engine: SpeechEngine, what: str) -> TaskError:
    if engine.deterministic:
        return PermanentError(
            f"{engine.name} gave no usable audio: {what}", hint="change the text; it would be the same again"
        )
    return TemporaryError(f"{engine.name} gave no usable audio: {what}", hint="it samples anew at the next attempt")
