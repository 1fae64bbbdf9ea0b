"""One entry of a manifest: its text checked against its hash, what it would be spoken with, and the speaking itself.

All entries share one set of warm engines. It raises; what becomes of a failed entry is `executing`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from lib.capabilities.speech import WarmEngines
from lib.errors import InvalidInputError
from lib.jobqueue import JobSpec, normalize_job_spec
from lib.manifest.documents import TEXT
from lib.manifest.earlier import result_of
from lib.manifest.folder import read_plain
from lib.manifest.places import below, check_files
from lib.voice_synth import documents
from lib.voice_synth.choice import engine_for
from lib.voice_synth.clips import NoClips, SpokenAnew
from lib.voice_synth.engines.registry import make_engine
from lib.voice_synth.listening import listener_here
from lib.voice_synth.request import SpeechRequest, prepare, request_of_job
from lib.voice_synth.speaking import speak_row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lib.capabilities.speech import SpeechEngines
    from lib.manifest.documents import ManifestJob
    from lib.voice_synth.cli.speak import SpeakCall
    from lib.voice_synth.clips import Clips
    from lib.voice_synth.takes import Step
    from lib.voice_synth.voices import VoiceRegistry

# A job file's own limit is a setting; whoever compiled with a larger one executes here too.
_MAX_TEXT_BYTES: Final = 16 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """One job of a manifest, ready to be spoken."""

    directory: Path
    spec: JobSpec
    call: SpeakCall

    @property
    def request(self) -> SpeechRequest:
        """What is to be spoken."""
        return request_of_job(self.spec, seed=self.call.seed, engine=self.call.engine)


class Speech:
    """Speaks entries with engines that stay loaded from one to the next."""

    def __init__(
        self, voices: VoiceRegistry, engines: SpeechEngines | None = None, *, clips: Clips | None = None
    ) -> None:
        """`clips` are sentences that were spoken before; None: every one is spoken."""
        self._voices = voices
        self._clips = clips or NoClips()
        self._engines = engines or WarmEngines(make_engine, listener_here)

    @staticmethod
    def entry_of(folder: Path, job: ManifestJob, call: SpeakCall) -> Entry:
        """The job with its text.

        Raises:
            InvalidInputError: its directory or text leads elsewhere, what stands there cannot be written over, or the
                text is not the one that was compiled.

        """
        directory = below(folder, job.output_name)
        if directory.exists():
            check_files(directory, job.output_name)
        text = _text(directory / TEXT, job)
        given = {
            **call.row,
            "text": text,
            "request_id": job.request_id,
            "output_name": job.output_name,
            "attempt": job.attempt,
        }
        spec = normalize_job_spec(given, max_job_bytes=2 * _MAX_TEXT_BYTES)
        if spec.content_hash != job.content_hash:
            raise InvalidInputError(
                f"{job.text_file} or argv is not what was compiled (content_hash differs)",
                hint="compile again: `job-runner compile`",
            )
        return Entry(directory, spec, call)

    def model_of(self, entry: Entry) -> dict[str, Any]:
        """What it will be spoken with; loads nothing.

        Raises:
            PermanentError: no engine here can.

        """
        request = entry.request
        engine = engine_for(request, self._engines.known, self._voices)
        return documents.model_of(engine, prepare(request, engine, self._voices))

    def made(self, entry: Entry) -> dict[str, Any] | None:
        """result.json of an earlier run that made exactly this, else None.

        Raises:
            PermanentError: no engine here can speak it.

        """
        return result_of(entry.directory, entry.request, self.model_of(entry))

    def speak(self, entry: Entry, watch: Callable[[Iterator[Step]], object], *, anew: bool = False) -> dict[str, Any]:
        """Make its files; result.json. `anew`: speak every sentence, as an entry may wish by itself.

        Raises:
            TaskError: it cannot be spoken, now or at all.

        """
        report = speak_row(
            {**entry.call.row, "text": entry.spec.text},
            seed=entry.call.seed,
            engine=entry.call.engine,
            directory=entry.directory,
            watch=watch,
            engines=self._engines,
            voices=self._voices,
            clips=SpokenAnew(self._clips) if anew or entry.call.no_cache else self._clips,
        )
        return report.document


def _text(path: Path, job: ManifestJob) -> str:
    try:
        raw = read_plain(path, _MAX_TEXT_BYTES)
    except OSError as exc:
        raise InvalidInputError(
            f"{job.text_file}: {exc.strerror}", hint="compile again: `job-runner compile` writes it"
        ) from exc
    try:
        return raw.decode()
    except UnicodeDecodeError as exc:
        raise InvalidInputError(f"{job.text_file}: no UTF-8 at byte {exc.start}", hint="compile again") from exc
