"""What kinds of job there are, as data, so that a job can be validated where its task cannot run.

The command line normalises jobs on machines without a speech engine, and the watcher adopts entries that other
programs wrote: both need the names, aliases and payload models of the tasks and neither needs their bodies.
So the kinds stand here, pure, and `lib.tasks` binds bodies to them. It does no I/O and imports no task.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from lib.errors import InvalidInputError
from lib.jobqueue import receipts
from lib.jobqueue.annotating import AnnotatePayload

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lib.jobqueue.receipts import ReceiptCheck

Capability = Literal["speech", "speaker", "text_model", "any"]
"""What a job needs and a backend offers; `any` is offered by every backend. `speaker` is speech by a listed speaker:
no task is declared with it, a job comes to it by what it says (`lib.jobqueue.needs`)."""

Isolation = Literal["inline", "child"]
"""Whether the body runs in the watcher's event loop or in a process of its own (CPU-bound work)."""

DEFAULT_TASK: Final = "speak"

_DAY_SECONDS: Final = 86_400
# Longer than any test or workflow sleeps, short enough to stay a sane timer everywhere.
_LONGEST_SLEEP_SECONDS: Final = 30 * _DAY_SECONDS


@dataclass(frozen=True, slots=True)
class TaskKind:
    """One kind of job.

    `payload` is the model of its `payload` field, or None when its fields are flat in the job (only `speak`).
    `timeout_seconds` is the limit of one attempt unless the job says otherwise. `positional` names, in order,
    the arguments that a task manifest may give without a name. `receipt` says what is wrong with a done record of
    such a job, for `job-runner verify`; None believes every done record. `keeps_answers` promises that its next attempt
    does not ask a paid model again for what this one was answered: it may be put back in the middle at no cost.
    `deterministic` promises that what was made for a job is as good for another with the same content: such a job is
    given the files of an earlier one (`lib.stores.cache`).
    """

    name: str
    aliases: tuple[str, ...]
    capability: Capability
    payload: type[BaseModel] | None
    timeout_seconds: int
    isolation: Isolation
    positional: tuple[str, ...] = ()
    receipt: ReceiptCheck | None = None
    keeps_answers: bool = False
    deterministic: bool = False


class Catalogue:
    """The task kinds by name and alias; immutable."""

    def __init__(self, kinds: Iterable[TaskKind]) -> None:
        self._by_name: dict[str, TaskKind] = {}
        kept: list[TaskKind] = []
        for kind in kinds:
            for name in (kind.name, *kind.aliases):
                other = self._by_name.get(name)
                if other is not None:
                    raise InvalidInputError(
                        f"two tasks are called {name!r}: {other.name} and {kind.name}",
                        hint="rename one of them, or drop its module from JOBS_TASK_MODULES",
                    )
                self._by_name[name] = kind
            kept.append(kind)
        self._kinds = tuple(kept)

    def get(self, name: str) -> TaskKind | None:
        """The kind of this name or alias, or None."""
        return self._by_name.get(name)

    @property
    def names(self) -> tuple[str, ...]:
        """The names without aliases, in the order given."""
        return tuple(kind.name for kind in self._kinds)

    @property
    def spellings(self) -> tuple[str, ...]:
        """The names and aliases: everything that `get` answers."""
        return tuple(self._by_name)

    @property
    def kinds(self) -> tuple[TaskKind, ...]:
        """The kinds, in the order given."""
        return self._kinds

    def with_kinds(self, *kinds: TaskKind) -> Catalogue:
        """A new catalogue with more kinds.

        Raises:
            InvalidInputError: a name or alias is taken.
        """
        return Catalogue((*self._kinds, *kinds))


Seconds = Annotated[float, Field(strict=True, ge=0, le=_LONGEST_SLEEP_SECONDS, allow_inf_nan=False)]


class DebugPayload(BaseModel):
    """`debug` answers with its message, or fails as it is told, to try out the way of a job."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    message: str = ""
    fail: Literal["temporary", "permanent"] | None = None


class SleepPayload(BaseModel):
    """`sleep` holds its slot for so many seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seconds: Seconds


class CrudPayload(BaseModel):
    """`fast_crud` takes `data`, any JSON, through a round: created, read, updated, verified, deleted, looked for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: Any = None


class SleepCrudPayload(BaseModel):
    """`sleep_crud` does the same, and holds its connection for so many seconds before it writes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seconds: Seconds
    data: Any = None


BUILT_IN: Final = Catalogue(
    (
        TaskKind("speak", (), "speech", None, 600, "child", receipt=receipts.spoke, deterministic=True),
        TaskKind("debug", ("tasks.debug_task",), "any", DebugPayload, 60, "inline", ("message",), receipts.echoed),
        TaskKind(
            "sleep", ("tasks.sleep_task",), "any", SleepPayload, _DAY_SECONDS, "inline", ("seconds",), receipts.slept
        ),
        TaskKind(
            "fast_crud", ("tasks.fast_crud_task",), "any", CrudPayload, 300, "child", ("data",), receipts.went_round
        ),
        TaskKind(
            "sleep_crud",
            ("tasks.sleep_crud_task",),
            "any",
            SleepCrudPayload,
            _DAY_SECONDS,
            "child",
            ("seconds", "data"),
            receipts.slept_and_went_round,
        ),
        TaskKind(
            "annotate",
            ("tasks.annotate_batch", "tasks.process_batch_task"),
            "text_model",
            AnnotatePayload,
            3600,
            "inline",
            ("records", "data"),
            receipts.annotated,
            keeps_answers=True,
        ),
    )
)
"""The tasks that come with job-runner."""
