"""Tasks are known by name and alias; modules of one's own can add to them and nothing can hide another."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pydantic import BaseModel

from lib.errors import PermanentError, SettingsError
from lib.jobqueue import BUILT_IN, JobSpec, TaskKind, normalize_job_spec
from lib.tasks.base import TaskContext, TaskResult, built_in_kind
from lib.tasks.registry import TaskRegistry, built_in_tasks, load_task_modules

if TYPE_CHECKING:
    from lib.tasks.base import Task

ROOT = Path(__file__).parents[3]


class CountPayload(BaseModel):
    """What `count` takes."""

    to: int


class Count:
    """A task that an operator might add."""

    def __init__(self, name: str = "count", *aliases: str) -> None:
        self._kind = TaskKind(name, aliases, "any", CountPayload, 60, "inline", ("to",))

    @property
    def kind(self) -> TaskKind:
        """Its own."""
        return self._kind

    async def run(self, job: JobSpec, context: TaskContext) -> TaskResult:
        """Count."""
        del context
        return TaskResult(result={"counted": job.payload["to"]})


def test_every_built_in_kind_has_a_body() -> None:
    """What the catalogue lists can be run, under each of its names, by a task of that very kind."""
    registry = TaskRegistry(built_in_tasks())
    assert set(registry.catalogue.names) == set(BUILT_IN.names)
    for name in BUILT_IN.spellings:
        assert registry.require(name).kind is BUILT_IN.get(name)
    assert registry.get("tasks.sleep_task") is registry.get("sleep")


def test_an_unknown_task_is_told_the_near_names() -> None:
    """`speek` is permanent and hints at `speak`; a name that is near nothing lists all."""
    registry = TaskRegistry(built_in_tasks())
    assert registry.get("speek") is None
    with pytest.raises(PermanentError, match="speek") as caught:
        registry.require("speek")
    assert "speak" in (caught.value.hint or "")
    with pytest.raises(PermanentError) as caught:
        registry.require("zzz")
    assert "known tasks" in (caught.value.hint or "")


def test_a_task_of_ones_own_is_validated_like_the_others() -> None:
    """Its kind joins the catalogue, so its jobs are checked before they are queued."""
    registry = TaskRegistry((*built_in_tasks(), Count()))
    row = {"request_id": "c", "task": "count", "payload": {"to": 3}}
    assert normalize_job_spec(row, catalogue=registry.catalogue).payload == {"to": 3}
    assert registry.require("count").kind.capability == "any"


@pytest.mark.parametrize("twin", [Count("speak"), Count("count", "sleep"), Count("tasks.debug_task")])
def test_two_tasks_of_one_name_are_refused(twin: Task) -> None:
    """A module cannot silently take over a name or an alias."""
    with pytest.raises(SettingsError, match="two tasks"):
        TaskRegistry((*built_in_tasks(), twin))


def test_the_registry_cannot_be_changed() -> None:
    """Who holds it sees the same tasks for ever."""
    registry = TaskRegistry(built_in_tasks())
    with pytest.raises(TypeError):
        registry.tasks["count"] = Count()  # type: ignore[index]  # the promise under test


def test_modules_are_loaded_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each named module's TASKS are collected."""
    source = "from tests.lib.tasks.test_registry import Count\nTASKS = (Count('{}'),)\n"
    for name in ("first", "second"):
        (tmp_path / f"own_tasks_{name}.py").write_text(source.format(name))
    monkeypatch.syspath_prepend(tmp_path)
    tasks = load_task_modules(["own_tasks_first", "own_tasks_second"])
    assert [task.kind.name for task in tasks] == ["first", "second"]
    assert load_task_modules([]) == ()


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("TASKS = 7", "no TASKS"),
        ("x = 1", "no TASKS"),
        ("TASKS = (object(),)", "no TASKS"),
        ("TASKS = [1]", "no TASKS"),
        ("raise RuntimeError('no luck')", "RuntimeError: no luck"),
        ("import nowhere_to_be_found", "nowhere_to_be_found"),
        ("def broken(", "SyntaxError"),
    ],
)
def test_a_broken_module_is_named_with_what_is_wrong(
    source: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The setting, the module and the reason stand in the message."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "own_tasks_broken.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_tasks_broken", raising=False)
    with pytest.raises(SettingsError) as caught:
        load_task_modules(["own_tasks_broken"])
    assert "JOBS_TASK_MODULES: own_tasks_broken" in caught.value.message
    assert said in caught.value.message


def test_a_module_that_does_not_exist() -> None:
    """A misspelt module stops the start with its name."""
    with pytest.raises(SettingsError, match="no_such_module_anywhere"):
        load_task_modules(["no_such_module_anywhere"])


def test_a_kind_without_a_name_is_a_mistake_of_ours() -> None:
    """Asking for a built-in kind that is not one fails at once."""
    with pytest.raises(LookupError):
        built_in_kind("nothing")


def test_listing_tasks_loads_no_model() -> None:
    """A watcher that only lists its tasks holds neither numpy nor an engine in memory."""
    code = (
        "import sys\n"
        "from lib.tasks.registry import TaskRegistry, built_in_tasks\n"
        "TaskRegistry(built_in_tasks())\n"
        "print(' '.join(m for m in ('numpy', 'onnxruntime', 'hibari') if m in sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
