"""The whole way: a real sshd, the real worker, the bundled engine. A job's files are those that metal makes.

Some seconds, for a process that starts and a model that is loaded twice: nothing shorter proves it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from job_watcher.child.engines import warm_engines
from job_watcher.context import AttemptContext
from job_watcher.hosts.batches import BatchRunner, WorkerOn
from job_watcher.work_dirs import WorkDir
from lib.tasks.speak import Speak
from lib.voice_synth.library import VoiceLibrary
from tests.job_watcher.hosts.batching import job, lease_of

if TYPE_CHECKING:
    from job_watcher.hosts.connection import Host
    from lib.tasks.base import TaskResult

WORKER = WorkerOn(argv=(str(Path(sys.executable).with_name("job-runner")),))


def without_clocks(result: TaskResult) -> dict[str, Any]:
    """A result but for what a clock has said."""
    assert result.result is not None
    return {name: value for name, value in result.result.items() if name != "timings"}


async def test_a_job_makes_the_same_on_a_host_as_on_metal(host: Host, tmp_path: Path) -> None:
    """The same outputs of the same bytes, the same result; of result.json all but its timings."""
    spec = job("Good day.", select_best=True, profile="stable")
    here = tmp_path / "here"
    here.mkdir()
    context = AttemptContext(spec.request_id, 1, lambda: here, warm_engines(), lambda _: None)
    metal = await Speak().run(spec, context)
    voices = VoiceLibrary(tmp_path / "voices")
    runner = BatchRunner(host, voices, most_jobs=4, worker=WORKER)
    work_dir = WorkDir(tmp_path / "there", lambda: None)
    rented = await runner.speak(spec, 1, lease_of(spec), work_dir, lambda _: None)
    await runner.aclose()
    assert [(output.name, output.kind) for output in rented.outputs] == [
        (output.name, output.kind) for output in metal.outputs
    ]
    for one, other in zip(rented.outputs, metal.outputs, strict=True):
        if one.name != "result.json":
            assert one.path.read_bytes() == other.path.read_bytes(), one.name
    assert without_clocks(rented) == without_clocks(metal)
    documents = [json.loads((place / "result.json").read_bytes()) for place in (tmp_path / "there", here)]
    for document in documents:
        del document["timings"]
    assert documents[0] == documents[1]
