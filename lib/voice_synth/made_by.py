"""What would speak a job, as the parts of an artifact key: asked before anything is loaded, and read from a result.

Both must agree, or a job would never find what was made for its like: the first asks the same functions as a take does,
the second reads what `documents.model_of` wrote. It knows no store and no queue; the watcher's cache calls it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NoReturn

from lib.capabilities.speech import WarmEngines
from lib.voice_synth import documents
from lib.voice_synth.choice import engine_for
from lib.voice_synth.engines.registry import make_engine
from lib.voice_synth.request import prepare, request_of_job

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lib.jobqueue import JobSpec
    from lib.jobqueue.artifact_key import Part
    from lib.voice_synth.engines.base import SpeechEngine
    from lib.voice_synth.voices import VoiceRegistry

Maker = Callable[["JobSpec"], dict[str, "Part"]]
"""What would speak a job; raises `PermanentError` when nothing does, `TemporaryError` when a voice cannot be read now.

It may read the files of a voice, once a process, and so blocks; it loads no model.
"""

PARTS: Final = ("engine", "version", "voice", "speed", "voice_digest", "sample_rate", "seed")
"""What beside the content decides how speech comes out."""


def makers_of(voices: VoiceRegistry, cloud_model: str = "") -> dict[str, Maker]:
    """By backend, where it is known what speaks there: this machine's engines, and a model of the cloud if named."""
    known = WarmEngines(make_engine).known
    makers: dict[str, Maker] = {"metal": lambda job: _made_by(job, known, voices)}
    if cloud_model:
        # Only who has a cloud pays for it.
        from lib.voice_synth.engines.gemini import GeminiEngine  # noqa: PLC0415

        engine = GeminiEngine(_Named(cloud_model))
        makers["cloud"] = lambda job: _made_by(job, lambda _: engine, voices, only=engine.name)
    return makers


def _made_by(
    job: JobSpec, known: Callable[[str], SpeechEngine], voices: VoiceRegistry, *, only: str | None = None
) -> dict[str, Part]:
    request = request_of_job(job, engine=only)
    engine = engine_for(request, known, voices)
    model = documents.model_of(engine, prepare(request, engine, voices))
    return {**model, "seed": request.seed}


def made_by_there(job: JobSpec, engine: str, voices: VoiceRegistry) -> dict[str, Part]:
    """What this engine speaks the job with on a machine of which nothing else is known: all but the `version`.

    The engine need not be on this machine. Blocks as a `Maker`, and raises as it does.
    """
    asked = make_engine(engine)
    request = request_of_job(job, engine=engine)
    model = documents.model_of(asked, prepare(request, asked, voices))
    del model["version"]
    return {**model, "seed": request.seed}


def made_by_of_result(result: Mapping[str, Any] | None) -> dict[str, Part] | None:
    """What spoke, by the result of a `speak` job; None where it does not say all of it."""
    try:
        assert result is not None  # noqa: S101 - as any other oddity of a result
        said = {**result["model"], "seed": result["takes"][0]["seed"]}
        parts = {name: said[name] for name in PARTS}
    except (AssertionError, LookupError, TypeError):
        return None
    sound = all(isinstance(part, str | int | float) and not isinstance(part, bool) for part in parts.values())
    return parts if sound else None


@dataclass(frozen=True, slots=True)
class _Named:
    """A speech model of which only the name is asked."""

    model: str

    def speak(self, text: str, voice_name: str, style: str) -> NoReturn:
        """Nobody asks it to."""
        raise AssertionError((text, voice_name, style))
