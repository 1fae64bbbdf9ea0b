"""Jobs, compiled folders and a quick engine for tests of manifests."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lib.capabilities.speech import WarmEngines
from lib.jobqueue import JobSpec, normalize_job_spec
from lib.manifest import ExecuteOptions, Execution, compile_jobs, execute, read_manifest
from lib.manifest.speech import Speech
from lib.voice_synth.voices import VoiceRegistry
from tests.lib.voice_synth.scripted_engine import ScriptedEngine

if TYPE_CHECKING:
    from pathlib import Path

    from lib.manifest import ExecutedJob
    from lib.voice_synth.clips import Clips

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def job(name: str, text: str = "A line to say.", **fields: Any) -> JobSpec:
    """A `speak` job with this output_name."""
    given = {"output_name": name, "text": text, "voice": "newsroom", **fields}
    return normalize_job_spec(given, now=NOW)


def compiled(folder: Path, *specs: JobSpec) -> Path:
    """The manifest of these jobs, three if none are given."""
    made = compile_jobs(specs or (job("a/one"), job("a/two"), job("a/three")), folder)
    return made.manifest


def document_of(manifest: Path) -> dict[str, Any]:
    """manifest.json as it stands."""
    loaded: dict[str, Any] = json.loads(manifest.read_bytes())
    return loaded


def rewritten(manifest: Path, document: dict[str, Any]) -> Path:
    """The manifest with another content."""
    manifest.write_text(json.dumps(document))
    return manifest


class Seen:
    """A progress that remembers."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self.percents: list[float] = []
        self.done: list[ExecutedJob] = []

    def begun(self, request_id: str) -> None:
        """Remember the job."""
        self.began.append(request_id)

    def stepped(self, percent: float, message: str) -> None:
        """Remember how far."""
        assert message
        self.percents.append(percent)

    def ended(self, job: ExecutedJob) -> None:
        """Remember its end."""
        self.done.append(job)


def scripted(engine: ScriptedEngine | None = None, clips: Clips | None = None) -> Speech:
    """Speech by a scripted engine that goes by the name of the bundled one."""
    made = engine or ScriptedEngine(name="hibari")
    return Speech(VoiceRegistry(), WarmEngines(lambda _: made), clips=clips)


def executed(manifest: Path, speech: Speech | None = None, seen: Seen | None = None, **options: bool) -> Execution:
    """Execute a folder with a quick engine."""
    return execute(read_manifest(manifest), ExecuteOptions(**options), seen or Seen(), speech or scripted())


def statuses(execution: Execution) -> dict[str, str]:
    """Each job's status by its id, with the reason of those skipped."""
    return {each.request_id: each.reason or each.status for each in execution.jobs}
