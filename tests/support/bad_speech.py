"""Speech by engines that misbehave, for `JOBS_TASK_MODULES=tests.support.bad_speech`.

Our own code makes the takes; only the engine is not a real one. The task leaves the pid of its child in `pid_file`.
"""

from __future__ import annotations

import os
import resource
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from lib.capabilities.speech import WarmEngines
from lib.jobqueue import TaskKind
from lib.tasks.base import Output, TaskContext, TaskResult
from lib.voice_synth.request import SpeechRequest
from lib.voice_synth.takes import Speaking
from tests.lib.voice_synth.scripted_engine import RATE, ScriptedEngine, spoken, tone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lib.jobqueue import JobSpec
    from lib.tasks.base import Task
    from lib.voice_synth.engines.base import Samples, SynthesisSettings

Fault = Literal[
    "none", "hang", "hang_loading", "memory_error", "out_of_memory", "killed", "silent", "clipped", "cut", "nan"
]


class BadSpeech(BaseModel):
    """How the engine misbehaves, and whether it would do the same again."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    fault: Fault
    deterministic: bool = True
    pid_file: str


def _hang(_text: str, _settings: SynthesisSettings) -> Iterator[Samples]:
    yield tone(0.1)
    time.sleep(3600)


def _out_of_memory(_text: str, _settings: SynthesisSettings) -> Iterator[Samples]:
    """Ask for more than this process may have, as a model does whose input is too long."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * os.sysconf("SC_PAGE_SIZE") + (64 << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    try:
        yield np.zeros(1 << 30, dtype=np.float32)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def _memory_error(_text: str, _settings: SynthesisSettings) -> Iterator[Samples]:
    yield tone(0.1)
    raise MemoryError


def _killed(_text: str, _settings: SynthesisSettings) -> Iterator[Samples]:
    """End as the kernel ends a process that takes too much memory."""
    yield tone(0.1)
    os.kill(os.getpid(), signal.SIGKILL)


def _silent(_text: str, _settings: SynthesisSettings) -> Iterator[Samples]:
    yield np.zeros(3 * RATE, dtype=np.float32)


def _clipped(_text: str, _settings: SynthesisSettings) -> Iterator[Samples]:
    yield np.clip(tone(3.0, 40.0), -1.0, 1.0)


def _cut(_text: str, _settings: SynthesisSettings) -> Iterator[Samples]:
    yield tone(0.1)


def _nan(_text: str, _settings: SynthesisSettings) -> Iterator[Samples]:
    yield np.full(3 * RATE, np.nan, dtype=np.float32)


_SCRIPTS: dict[str, Callable[[str, SynthesisSettings], Iterator[Samples]]] = {
    "none": spoken,
    "hang": _hang,
    "memory_error": _memory_error,
    "out_of_memory": _out_of_memory,
    "killed": _killed,
    "silent": _silent,
    "clipped": _clipped,
    "cut": _cut,
    "nan": _nan,
}


class _SlowToLoad(ScriptedEngine):
    def load(self) -> None:
        time.sleep(3600)


class SpeakBadly:
    """Takes by our own code out of a bad engine."""

    @property
    def kind(self) -> TaskKind:
        """Like `speak`: in a child, and out of the lane of speech."""
        return TaskKind("speak_badly", (), "speech", BadSpeech, 60, "child")

    async def run(self, job: JobSpec, context: TaskContext) -> TaskResult:
        """Make the takes, as the real task does."""
        asked = BadSpeech.model_validate(job.payload)
        Path(asked.pid_file).write_text(str(os.getpid()))
        engine: ScriptedEngine
        if asked.fault == "hang_loading":
            engine = _SlowToLoad()
        else:
            engine = ScriptedEngine(_SCRIPTS[asked.fault], deterministic=asked.deterministic)
        request = SpeechRequest("A text of some forty letters, no less than that.", speaker="Ryan")
        speaking = Speaking(request, WarmEngines(lambda _: engine), context.work_dir)
        for step in speaking.steps():
            await context.progress(step.percent)
        files = speaking.report().files
        return TaskResult(outputs=tuple(Output(file.path.name, file.path, "meta") for file in files))


TASKS: tuple[Task, ...] = (SpeakBadly(),)
