"""The first job of a rented machine: one word, spoken there and listened to here, before any input of a user goes."""

from __future__ import annotations

import asyncio
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from job_watcher.work_dirs import WorkDir
from lib.errors import TaskError
from lib.jobqueue import JobSpec
from lib.voice_synth.voices import NEWSROOM

if TYPE_CHECKING:
    from job_watcher.hosts.batches import BatchRunner

WORD: Final = "Ready."
VOICE: Final = NEWSROOM.slug
"""Which every worker has."""

_SECONDS: Final = 240.0
"""The first job loads a model, on a machine that may be slow to read."""


async def sing(runner: BatchRunner, intent: str) -> str:
    """Run it; empty when its audio is sound, else what was wrong."""
    job = JobSpec(
        request_id=f"canary-{intent}",
        text=WORD,
        voice=VOICE,
        max_attempts=1,
        timeout_seconds=_SECONDS,
        queued_at=datetime.now(UTC),
        output_name="canary",
    )
    with tempfile.TemporaryDirectory(prefix="job-runner-canary-") as place:
        async with WorkDir(Path(place) / "out", _hold_nothing) as work_dir:
            try:
                await runner.warm()
                async with asyncio.timeout(_SECONDS):
                    result = await runner.speak(job, 1, None, work_dir, _tell_nobody)
            except TimeoutError:
                return f"its first job did not end within {_SECONDS:g} s"
            except TaskError as exc:
                return exc.message
            sound = [each for each in result.outputs if each.kind in {"best", "take"} and each.path.stat().st_size]
            return "" if sound else "its first job made no audio"


def _hold_nothing() -> None:
    return


def _tell_nobody(_: dict[str, Any]) -> None:
    return
