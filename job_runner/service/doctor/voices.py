"""Speech: can each engine speak here, and which voices are there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from job_runner.service.doctor.checks import Check
from lib.errors import JobRunnerError
from lib.wiring import voices

if TYPE_CHECKING:
    from lib.settings import Settings
    from lib.voice_synth.engines.base import SpeechEngine


def voice_checks(settings: Settings) -> list[Check]:
    """Every engine, and the voices that are registered."""
    from lib.voice_synth.engines.registry import ENGINES, make_engine  # noqa: PLC0415 - for this command alone

    return [*(_engine(make_engine(name)) for name in ENGINES), *_voices(settings)]


def _engine(engine: SpeechEngine) -> Check:
    """Whether it loads, which is the only proof that its library is there.

    The default engine must; another that was never installed is a choice and no fault. What is installed must load.
    """
    from lib.voice_synth.engines.registry import DEFAULT_ENGINE  # noqa: PLC0415 - for this command alone

    try:
        lacking = engine.missing()
        if lacking is None:
            engine.load()
            return Check("engine", "ok", f"{engine.name} ({engine.model_version}) loads")
        if engine.name != DEFAULT_ENGINE:
            return Check("engine", "ok", f"{engine.name} is not here, nor needed; for it: {engine.remedy()}")
        return Check("engine", "wrong", f"{engine.name} lacks {lacking}", engine.remedy())
    except Exception as exc:  # noqa: BLE001 - whatever a broken installation raises is the finding
        hint = exc.hint if isinstance(exc, JobRunnerError) else None
        return Check("engine", "wrong", f"{engine.name}: {exc}", hint or "install job-runner again")


def _voices(settings: Settings) -> list[Check]:
    from lib.voice_synth.voices import VoiceRegistry  # noqa: PLC0415 - for this command alone

    listed = voices(settings, check_files=True).listed()
    whole = [*VoiceRegistry().slugs, *(voice.slug for voice in listed if voice.broken is None)]
    broken = [
        Check("voices", "wrong", f"{voice.slug}: {voice.broken.message}", voice.broken.hint or "register it again")
        for voice in listed
        if voice.broken is not None
    ]
    return [Check("voices", "ok", ", ".join(whole)), *broken]
