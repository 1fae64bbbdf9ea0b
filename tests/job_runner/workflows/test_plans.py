"""What planners make: the same plan from the same inputs, valid to the last entry, and written whole or not at all."""

from __future__ import annotations

import json
import os
import stat
from collections import Counter
from typing import TYPE_CHECKING, Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from job_runner.workflows.entries import Entry, plan_id, refuse_input, write_manifest
from job_runner.workflows.stress import StressPlan
from job_runner.workflows.system_test import DEFAULT_COUNTS, Mode, SystemTestPlan
from lib.errors import InvalidInputError, RefusedError
from lib.jobfile import FileRules, read_jobs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MODES: tuple[Mode, ...] = get_args(Mode)


def lines(plan: StressPlan | SystemTestPlan) -> list[dict[str, Any]]:
    """The entries as they are written."""
    return [json.loads(entry.line(plan.plan)) for entry in plan.entries()]


def test_the_stress_plan_is_the_one_of_the_requirement() -> None:
    """Ten `tasks.sleep_task` of 90 to 150 whole seconds, named Job 1 to Job 10."""
    found = lines(StressPlan())
    assert [entry["meta"]["id"] for entry in found] == [f"Job {number}" for number in range(1, 11)]
    assert {entry["task"] for entry in found} == {"tasks.sleep_task"}
    seconds = [entry["args"] for entry in found]
    assert all(len(args) == 1 and isinstance(args[0], int) and 90 <= args[0] <= 150 for args in seconds)
    assert len({args[0] for args in seconds}) > 5
    assert set(found[0]) == {"task", "args", "kwargs", "meta", "description"}


@given(st.integers(1, 50), st.integers(0, 500), st.integers(0, 500), st.integers())
def test_every_nap_is_within_the_bounds(count: int, low: int, more: int, seed: int) -> None:
    """Both ends included, whatever the seed."""
    found = lines(StressPlan(count, low, low + more, seed))
    assert len(found) == count
    assert all(low <= entry["args"][0] <= low + more for entry in found)


def test_bounds_the_wrong_way_round() -> None:
    """Are a mistake, not an exchange."""
    with pytest.raises(InvalidInputError, match="--seconds-min 5 is more than --seconds-max 4"):
        StressPlan(1, 5, 4)


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_is_a_valid_manifest(tmp_path: Path, mode: Mode) -> None:
    """Read back as it will be dispatched: all entries, each with its own name under the plan."""
    plan = SystemTestPlan(mode, DEFAULT_COUNTS[mode])
    written = write_manifest(tmp_path / plan.out, plan.plan, plan.entries())
    jobs = [job.spec for job in read_jobs(written.path, FileRules())]
    assert len(jobs) == len({job.request_id for job in jobs}) == written.entries == DEFAULT_COUNTS[mode]
    assert all(job.request_id.startswith(f"default:{plan.plan}:") for job in jobs)


def test_a_mode_holds_what_it_says() -> None:
    """One task each, both kinds of rounds under stress, everything at all priorities in a backlog."""
    tasks = {mode: Counter(entry["task"] for entry in lines(SystemTestPlan(mode, 60))) for mode in MODES}
    assert set(tasks["debug"]) == {"tasks.debug_task"}
    assert set(tasks["sleep"]) == {"tasks.sleep_task"}
    assert set(tasks["crud"]) == {"tasks.fast_crud_task"}
    assert set(tasks["crud_latency"]) == {"tasks.sleep_crud_task"}
    assert tasks["crud_stress"] == {"tasks.fast_crud_task": 30, "tasks.sleep_crud_task": 30}
    assert len(tasks["backlog"]) == 4
    backlog = lines(SystemTestPlan("backlog", 60))
    assert {entry["priority"] for entry in backlog} == {"high", "normal", "low"}


def test_the_same_inputs_give_the_same_bytes(tmp_path: Path) -> None:
    """And so the same names; another seed, count or mode gives other names, so that nothing clashes."""
    plan = SystemTestPlan("backlog", 20, seed=7)
    first = write_manifest(tmp_path / "a.jsonl", plan.plan, plan.entries())
    again = write_manifest(tmp_path / "b.jsonl", plan.plan, SystemTestPlan("backlog", 20, seed=7).entries())
    assert first.path.read_bytes() == again.path.read_bytes()
    others = [SystemTestPlan("backlog", 20, 8), SystemTestPlan("backlog", 21, 7), SystemTestPlan("debug", 20, 7)]
    assert len({plan.plan, *(other.plan for other in others)}) == 4
    assert plan_id("x", {"a": 1, "b": 2}) == plan_id("x", {"b": 2, "a": 1}) != plan_id("x", {"a": 1, "b": 3})
    # Names that were given to people stay what they are.
    assert StressPlan().plan == "stress-8fef118c"
    assert [entry["args"][0] for entry in lines(StressPlan())] == [92, 106, 138, 135, 142, 119, 121, 96, 114, 101]


def test_an_entry_keeps_what_it_was_given() -> None:
    """Arguments, more of meta, description and priority, in any script, on one line."""
    line = Entry("annotate", "ü 1", (1, None), {"a": "\n"}, "two\nlines", "high", {"of": [1]}).line("p")
    assert line.count(b"\n") == 1
    assert json.loads(line) == {
        "task": "annotate",
        "args": [1, None],
        "kwargs": {"a": "\n"},
        "meta": {"id": "ü 1", "plan": "p", "of": [1]},
        "description": "two\nlines",
        "priority": "high",
    }


def entries(number: int) -> Iterator[Entry]:
    """So many echoes."""
    return (Entry("debug", str(at), (at,)) for at in range(number))


def test_another_plan_is_not_written_over(tmp_path: Path) -> None:
    """The same one is left alone, another one needs `force`, and nothing else is left in the folder."""
    path = tmp_path / "deep" / "folder" / "m.jsonl"
    assert write_manifest(path, "p", entries(3)).fresh
    before = path.stat()
    assert not write_manifest(path, "p", entries(3)).fresh
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    with pytest.raises(RefusedError, match="holds another plan; nothing was written") as caught:
        write_manifest(path, "q", entries(3))
    assert "--force" in (caught.value.hint or "")
    assert path.stat().st_ino == before.st_ino
    assert write_manifest(path, "q", entries(2), force=True).fresh
    assert b'"q"' in path.read_bytes()
    assert os.listdir(path.parent) == ["m.jsonl"]  # noqa: PTH208 - hidden files too
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize(
    "held", ['{"id": "r1", "task": "sew"}\n', "a prompt\n", "[" * 10_000, '{"task": "annotate", "meta": 5}\n', "\n{}\n"]
)
def test_only_a_manifest_is_replaced(tmp_path: Path, held: str) -> None:
    """Not a corpus, a prompt or a scribble, whatever is forced; an empty file is the plan without entries."""
    path = tmp_path / "c.jsonl"
    path.write_text(held)
    for force in (False, True):
        with pytest.raises(RefusedError, match="is no manifest; nothing was written"):
            write_manifest(path, "p", entries(1), force=force)
    assert path.read_text() == held
    path.write_text("")
    assert write_manifest(path, "p", entries(1), force=True).fresh


def test_a_device_is_not_replaced(tmp_path: Path) -> None:
    """Nor a pipe: what is renamed into its place would end it."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(RefusedError, match="is no manifest"):
        write_manifest(pipe, "p", entries(1), force=True)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_plan_does_not_go_where_it_comes_from(tmp_path: Path) -> None:
    """By whatever name the input goes; what is not there yet is no input."""
    corpus, link = tmp_path / "c.jsonl", tmp_path / "link.jsonl"
    corpus.write_text("{}")
    link.symlink_to(corpus)
    for out in (corpus, link, tmp_path / "." / "c.jsonl"):
        with pytest.raises(RefusedError, match="is the file of --corpus; nothing was written"):
            refuse_input(out, {"--prompt": tmp_path / "p.txt", "--corpus": corpus})
    refuse_input(tmp_path / "m.jsonl", {"--corpus": corpus})


def test_a_plan_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    """Neither half a manifest nor a draft."""

    def broken() -> Iterator[Entry]:
        yield from entries(2)
        raise InvalidInputError("the corpus ends in the middle")

    path = tmp_path / "m.jsonl"
    write_manifest(path, "p", entries(1))
    before = path.read_bytes()
    with pytest.raises(InvalidInputError, match="in the middle"):
        write_manifest(path, "p", broken(), force=True)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["m.jsonl"]  # noqa: PTH208 - hidden files too


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A file where a folder should be, and a folder where the file should be."""
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInputError, match=r"file/m\.jsonl cannot be written: "):
        write_manifest(tmp_path / "file" / "m.jsonl", "p", entries(1))
    with pytest.raises(InvalidInputError, match="cannot be written: it is a directory"):
        write_manifest(tmp_path, "p", entries(1), force=True)
