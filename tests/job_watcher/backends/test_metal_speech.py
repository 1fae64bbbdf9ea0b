"""The real voice on the real backend: what a listener gets, and that a model is loaded once."""

from __future__ import annotations

import wave
from typing import TYPE_CHECKING, Any

from job_watcher.backends.metal import Metal
from job_watcher.execution import Execution
from job_watcher.retrying import RetryPolicy
from job_watcher.work_dirs import WorkDirs
from lib.clock import SystemClock
from lib.jobqueue.protocol import Ending
from lib.stores.artifacts import LocalArtifacts
from tests.support.running import lease_of, registry, settings_in, spec

if TYPE_CHECKING:
    from pathlib import Path


async def test_a_speech_job_becomes_a_stored_wav(tmp_path: Path) -> None:
    """From lease to record: audio of a plausible length, stored, with progress on the way; warm the second time."""
    settings = settings_in(tmp_path)
    metal = Metal(registry(), settings)
    work_dirs = WorkDirs(settings.watcher_work_dir, "w1")
    execution = Execution(
        backend=metal,
        store=LocalArtifacts(settings.watcher_output_root),
        work_dirs=work_dirs,
        policy=RetryPolicy(3),
        clock=SystemClock(),
        run_id="run-1",
    )
    reports: list[dict[str, Any]] = []
    try:
        for number in range(2):
            job = spec(
                "speak", request_id=f"job-{number}", payload=None, voice="newsroom", text="The quick brown fox jumps."
            )
            outcome = await execution.run(lease_of(job, fence=str(2000 + number)), reports.append)
            assert isinstance(outcome, Ending)
            assert outcome.status == "done", outcome.tail
        pids = {child.pid for child in metal._children._idle}
    finally:
        await metal.aclose()
        await work_dirs.aclose()
    assert len(pids) == 1
    assert reports[-1]["percent"] == 100.0
    stored = sorted((tmp_path / "output" / ".store").rglob("*.wav"))
    assert len(stored) == 2
    assert stored[0].read_bytes() == stored[1].read_bytes()
    with wave.open(str(stored[0])) as audio:
        assert 1.0 < audio.getnframes() / audio.getframerate() < 10.0
