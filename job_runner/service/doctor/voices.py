"""Speech: does each engine load, and which voices are there."""

from __future__ import annotations

from job_runner.service.doctor.checks import Check
from lib.errors import JobRunnerError


def voice_checks() -> list[Check]:
    """Whether each engine loads, which is the only proof that its library and model are there."""
    from lib.voice_synth.engines.registry import ENGINES  # noqa: PLC0415 - loads engines, for this command alone
    from lib.voice_synth.voices import VoiceRegistry  # noqa: PLC0415 - for this command alone

    checks: list[Check] = []
    for name, make in ENGINES.items():
        try:
            engine = make()
            engine.load()
        except Exception as exc:  # noqa: BLE001 - whatever a broken installation raises is the finding
            hint = exc.hint if isinstance(exc, JobRunnerError) else None
            checks.append(Check("engine", "wrong", f"{name}: {exc}", hint or "install job-runner again"))
        else:
            checks.append(Check("engine", "ok", f"{name} ({engine.model_version}) loads"))
    return [*checks, Check("voices", "ok", ", ".join(VoiceRegistry().slugs))]
