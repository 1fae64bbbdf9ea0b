"""What a task is and what it may ask for while it runs.

A task says what a job does; it knows nothing of queues, leases, backends or where its outputs end up.
The watcher's execution calls `Task.run` with the job and a context, in its own event loop or in a child
process of its own (`TaskKind.isolation`), and commits what comes back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from lib.jobqueue.catalogue import BUILT_IN, TaskKind

if TYPE_CHECKING:
    from pathlib import Path

    from lib.capabilities.speech import SpeechEngines
    from lib.capabilities.text_model import TextModel
    from lib.jobqueue import JobSpec
    from lib.jobqueue.records import StoredOutputLike
    from lib.voice_synth.clips import Clips
    from lib.voice_synth.voices import VoiceRegistry

OutputKind = Literal["best", "take", "meta"]
"""What a file is to a listener. The first `meta` of a job is the one that a record names so."""


@dataclass(frozen=True, slots=True)
class Output:
    """One file that a task made in its work directory.

    `name` is the file's name under the job's `output_name`: one plain path component.
    """

    name: str
    path: Path
    kind: OutputKind


@dataclass(frozen=True, slots=True)
class TaskResult:
    """What an attempt gives back: `result` is plain JSON for the record, `outputs` the files to store.

    `cost` is what the attempt was charged (`usd`, and what it was charged for), `waited` how many seconds of it were
    waits for quota or for the machine of its body. `stored` are files that are in the store already, put there by
    whoever ran the body and checked where they stand; then there are no `outputs`. A backend adds these, no task does.
    """

    result: dict[str, Any] | None = None
    outputs: tuple[Output, ...] = ()
    cost: dict[str, Any] | None = None
    waited: float = 0.0
    stored: tuple[StoredOutputLike, ...] = ()


class TaskContext(Protocol):
    """What a running task may ask of the one who runs it."""

    @property
    def request_id(self) -> str:
        """The job's name."""

    @property
    def attempt(self) -> int:
        """Which try this is; 1 for the first."""

    @property
    def work_dir(self) -> Path:
        """An existing, empty directory of this attempt's own; gone after the outputs were stored."""

    @property
    def engines(self) -> SpeechEngines:
        """The speech engines of this process, kept loaded between jobs."""

    @property
    def voices(self) -> VoiceRegistry:
        """The voices that a job may name here and now; one that was registered since the last job is among them."""

    @property
    def clips(self) -> Clips:
        """Sentences that were spoken on this machine before."""

    @property
    def text_model(self) -> TextModel:
        """The text model of the backend that runs this.

        Raises `PermanentError` in a task whose kind does not need `text_model`.
        """

    async def progress(
        self,
        percent: float,
        *,
        step: int | None = None,
        total: int | None = None,
        message: str = "",
    ) -> None:
        """Report how far the attempt is, 0 to 100. Cheap, may be dropped, never fails the task."""

    def nearly_over(self) -> None:
        """Say, once, that only a moment of writing is left: the next job may be sent to this process already.

        Cheap and optional. The slot counts as free from here on, so a task that goes on computing keeps a job waiting.
        """


class Task(Protocol):
    """A thing that jobs can ask for by name."""

    @property
    def kind(self) -> TaskKind:
        """Name, aliases, capability, payload model, timeout and where it must run."""

    async def run(self, job: JobSpec, context: TaskContext) -> TaskResult:
        """Do the job once, from the start; nothing is left over from an earlier attempt.

        May block only if `kind.isolation` is `child`. An inline task must let cancellation through at every
        await. Raises `TemporaryError` for what another attempt may cure and `PermanentError` for what none
        will; anything else is treated as the caller of `run` decides.
        """


def built_in_kind(name: str) -> TaskKind:
    """The kind that comes with job-runner under this name, for the task that gives it a body."""
    kind = BUILT_IN.get(name)
    if kind is None:
        raise LookupError(f"the built-in catalogue has no task {name!r}")
    return kind
