"""Which tasks exist: the built-in ones and those of the modules that the operator names.

Who calls it: the wiring, once at start, for the command line (to validate) and the watcher (to run). It does
not choose where a task runs. A module of `JOBS_TASK_MODULES` is an extension point: it holds
`TASKS: tuple[Task, ...]`, each with a `kind` of its own.
"""

from __future__ import annotations

import difflib
import importlib
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from lib.corpus.places import CorpusPlaces
from lib.errors import PermanentError, SettingsError
from lib.jobqueue.catalogue import Catalogue, TaskKind
from lib.tasks.annotate import Annotate
from lib.tasks.crud import Databases, FastCrud, SleepCrud
from lib.tasks.diagnostics import Debug, Sleep
from lib.tasks.speak import Speak

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lib.tasks.base import Task


def built_in_tasks(database_url: str = "", corpus_root: Path | None = None) -> tuple[Task, ...]:
    """The tasks that every installation has.

    `database_url` is where those go round that try a database, and the only server whose corpora are annotated;
    `corpus_root` is above the files that are, by default the working directory.
    """
    databases = Databases(database_url)
    places = CorpusPlaces(corpus_root or Path.cwd(), database_url)
    return (Speak(), Debug(), Sleep(), FastCrud(databases), SleepCrud(databases), Annotate(places))


class TaskRegistry:
    """An immutable map from a task's name, or any of its aliases, to the task.

    Raises `SettingsError` when two tasks claim one name.
    """

    def __init__(self, tasks: Iterable[Task]) -> None:
        by_name: dict[str, Task] = {}
        kinds: list[TaskKind] = []
        for task in tasks:
            kinds.append(task.kind)
            for name in (task.kind.name, *task.kind.aliases):
                if name in by_name:
                    raise SettingsError(
                        f"two tasks are named {name}: {type(by_name[name]).__name__} and {type(task).__name__}",
                        hint="rename one, or take its module out of JOBS_TASK_MODULES",
                    )
                by_name[name] = task
        self._by_name: Mapping[str, Task] = MappingProxyType(by_name)
        self._catalogue = Catalogue(kinds)

    @property
    def catalogue(self) -> Catalogue:
        """The kinds of these tasks, for whoever validates jobs."""
        return self._catalogue

    @property
    def tasks(self) -> Mapping[str, Task]:
        """Every name and alias with its task."""
        return self._by_name

    def get(self, name: str) -> Task | None:
        """The task of this name or alias, or None."""
        return self._by_name.get(name)

    def require(self, name: str) -> Task:
        """The task of this name or alias; `PermanentError` naming the near ones when there is none."""
        task = self._by_name.get(name)
        if task is not None:
            return task
        near = difflib.get_close_matches(name, self._by_name, n=3)
        raise PermanentError(
            f"no task is named {name!r} here",
            hint=f"near names: {', '.join(near)}" if near else f"known tasks: {', '.join(sorted(self._by_name))}",
        )


def load_task_modules(names: Sequence[str]) -> tuple[Task, ...]:
    """Import each named module and collect its `TASKS`.

    Raises `SettingsError` naming the module when it cannot be imported or holds no `TASKS` of tasks.
    """
    found: list[Task] = []
    for name in names:
        try:
            module = importlib.import_module(name)
        except Exception as exc:
            raise SettingsError(
                f"JOBS_TASK_MODULES: {name} cannot be imported: {type(exc).__name__}: {exc}",
                hint="name importable modules, separated by commas",
            ) from exc
        tasks = getattr(module, "TASKS", None)
        if not isinstance(tasks, tuple) or not all(_is_task(task) for task in tasks):
            raise SettingsError(
                f"JOBS_TASK_MODULES: {name} has no TASKS, a tuple of tasks",
                hint="each task needs a `kind` (TaskKind) and an async `run(job, context)`",
            )
        found.extend(tasks)
    return tuple(found)


def _is_task(candidate: object) -> bool:
    return isinstance(getattr(candidate, "kind", None), TaskKind) and callable(getattr(candidate, "run", None))
