"""What `voice-synth speak` does once its flags are read: validate, speak, write result.json where it was asked for.

Apart from the command so that a manifest's entries can run it in one warm process with the engines kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lib.capabilities.speech import WarmEngines
from lib.errors import InvalidInputError
from lib.jobqueue import InvalidJobError, normalize_job_spec
from lib.voice_synth import documents
from lib.voice_synth.engines.registry import make_engine
from lib.voice_synth.listening import listener_here
from lib.voice_synth.replaceable import require_replaceable
from lib.voice_synth.request import request_of_job
from lib.voice_synth.takes import Report, Speaking, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from lib.capabilities.speech import SpeechEngines
    from lib.voice_synth.clips import Clips
    from lib.voice_synth.voices import VoiceRegistry


def speak_row(  # noqa: PLR0913  each of them is somebody's to give or to leave
    row: Mapping[str, Any],
    *,
    directory: Path,
    watch: Callable[[Iterator[Step]], object],
    seed: int = 0,
    engine: str | None = None,
    json_result: Path | None = None,
    engines: SpeechEngines | None = None,
    voices: VoiceRegistry | None = None,
    clips: Clips | None = None,
) -> Report:
    """Speak the speech fields of `row` into `directory`; `watch` is given the steps and runs them to the end.

    `engines` stay loaded for the next row that is given them; without `voices` only the built-in one is known,
    and without `clips` every sentence is spoken.
    Raises `InvalidInputError` for fields that no job may have, a directory that cannot be made, and otherwise what
    `Speaking.steps` raises.
    """
    try:
        job = normalize_job_spec({**row, "task": "speak", "request_id": "voice-synth"})
    except InvalidJobError as exc:
        raise InvalidInputError("; ".join(_flag(problem.field, problem.message) for problem in exc.problems)) from exc
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if json_result is not None:
            json_result.parent.mkdir(parents=True, exist_ok=True)
            require_replaceable(json_result, "--json-result")
    except OSError as exc:
        raise InvalidInputError(f"{exc.filename}: {exc.strerror}", hint="name a directory that can be written") from exc
    request = request_of_job(job, seed=seed, engine=engine)
    warm = engines or WarmEngines(make_engine, listener_here)
    speaking = Speaking(request, warm, directory, voices=voices, clips=clips, durable=True)
    watch(speaking.steps())
    report = speaking.report()
    if json_result is not None and json_result.resolve() != (directory / documents.RESULT).resolve():
        documents.write_atomically(json_result, documents.json_bytes(report.document), durable=True)
        (directory / documents.RESULT).unlink()
    return report


def _flag(field: str, message: str) -> str:
    return f"--{field.replace('_', '-')} {message}"
