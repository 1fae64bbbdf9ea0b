"""Files named on a command line: valid all together, or nothing is handed on."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest

from job_runner.service.jobfiles import jobs_of, names_in, rules_of, scanned
from lib.errors import InvalidInputError, InvalidJobsError, Problem
from lib.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path


def _settings(**environ: str) -> Settings:
    return Settings.load({"HOME": "/tmp", **environ})  # noqa: S108 - nothing is written


def _file(place: Path, name: str, *request_ids: str) -> Path:
    path = place / name
    path.write_text("".join(f"- {{request_id: {each}, task: debug}}\n" for each in request_ids))
    return path


def test_the_jobs_of_all_files_in_order(tmp_path: Path) -> None:
    """As they stand on the command line."""
    files = [_file(tmp_path, "b.yaml", "b1", "b2"), _file(tmp_path, "a.yaml", "a1"), _file(tmp_path, "empty.yaml")]
    with jobs_of(files, _settings()) as jobs:
        assert [job.request_id for job in jobs] == ["b1", "b2", "a1"]


def test_the_problems_of_all_files_at_once(tmp_path: Path) -> None:
    """Nothing is handed on, and each problem names its file."""
    bad, good, worse = tmp_path / "bad.yaml", _file(tmp_path, "good.yaml", "a"), tmp_path / "worse.yaml"
    bad.write_text("- {request_id: a, task: nap}\n")
    worse.write_text("- {request_id: a, task: debug, priority: 11}\n- 7\n")
    with pytest.raises(InvalidJobsError) as caught, jobs_of([bad, good, worse], _settings()):
        pytest.fail("the block must not begin")
    assert [(problem.source, problem.line) for problem in caught.value.problems] == [
        (str(bad), 1),
        (str(worse), 1),
        (str(worse), 2),
    ]


def test_a_missing_file_stops_before_anything(tmp_path: Path) -> None:
    """A path that is wrong is told at once."""
    with (
        pytest.raises(InvalidInputError, match="does not exist"),
        jobs_of([_file(tmp_path, "a.yaml", "a"), tmp_path / "nowhere.yaml"], _settings()),
    ):
        pytest.fail("the block must not begin")
    gc.collect()  # a spool left open would warn here, and warnings are errors


@pytest.mark.parametrize("read", [0, 1, 2])
def test_spools_are_closed_however_far_they_were_read(tmp_path: Path, read: int) -> None:
    """Leaving the block early leaves no file open."""
    with jobs_of([_file(tmp_path, "a.yaml", "a", "b"), _file(tmp_path, "b.yaml", "c")], _settings()) as jobs:
        seen = [next(jobs).request_id for _ in range(read)]
    assert seen == ["a", "b"][:read]
    gc.collect()


def test_settings_become_rules() -> None:
    """Limits, default attempts, and callbacks only where they are set up."""
    rules = rules_of(_settings(JOBS_MAX_JOB_BYTES="1000", WATCHER_MAX_ATTEMPTS="7", CALLBACK_ALLOWED_HOSTS="a.example"))
    assert (rules.max_job_bytes, rules.max_attempts, rules.callback_hosts) == (1000, 7, frozenset())
    ready = rules_of(_settings(CALLBACK_SECRET="s" * 16, CALLBACK_ALLOWED_HOSTS="a.example"))
    assert ready.callback_hosts == frozenset({"a.example"})


def test_default_attempts_reach_the_job(tmp_path: Path) -> None:
    """A job that says nothing has what the settings say."""
    with jobs_of([_file(tmp_path, "a.yaml", "a")], _settings(WATCHER_MAX_ATTEMPTS="7")) as jobs:
        assert next(jobs).max_attempts == 7


def test_scanned_hands_on_both(tmp_path: Path) -> None:
    """A plan shows what is right beside what is wrong."""
    path = tmp_path / "a.yaml"
    path.write_text("- {request_id: a, task: debug}\n- {request_id: b, task: nap}\n")
    found = list(scanned([path], _settings()))
    assert [file for file, _ in found] == [path, path]
    assert [isinstance(each, Problem) for _, each in found] == [False, True]


def test_a_task_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """JOBS_TASK_MODULES makes more tasks valid."""
    (tmp_path / "own_tasks.py").write_text(
        "from lib.jobqueue import TaskKind\n"
        "class Own:\n"
        "    kind = TaskKind('own', (), 'any', None, 10, 'inline')\n"
        "    async def run(self, job, context): ...\n"
        "TASKS = (Own(),)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "jobs.yaml"
    path.write_text("- {request_id: a, task: own, voice: x, text: Hi}\n")
    with pytest.raises(InvalidJobsError), jobs_of([path], _settings()):
        pytest.fail("the block must not begin")
    with jobs_of([path], _settings(JOBS_TASK_MODULES="own_tasks")) as jobs:
        assert next(jobs).task == "own"


def _texts(place: Path, name: str, **texts: str) -> Path:
    path = place / name
    path.write_text("".join(f"- {{request_id: {each}, voice: v, text: {text}}}\n" for each, text in texts.items()))
    return path


def test_one_name_in_two_files_with_other_content(tmp_path: Path) -> None:
    """Nothing is handed on; file and line of both are named, and every such name at once."""
    first = _texts(tmp_path, "a.yaml", a="one", b="two", c="three")
    second = _texts(tmp_path, "b.yaml", c="other", d="four", a="five")
    with pytest.raises(InvalidJobsError) as caught, jobs_of([first, second], _settings()):
        pytest.fail("the block must not begin")
    assert [str(problem) for problem in caught.value.problems] == [
        f"{second}:1: request_id: 'c' stands in {first} on line 3 too, with other content; give each job its own",
        f"{second}:3: request_id: 'a' stands in {first} on line 1 too, with other content; give each job its own",
    ]
    assert caught.value.message == "2 problems, nothing was queued"
    gc.collect()  # the spools are closed


def test_one_name_in_two_files_with_the_same_content(tmp_path: Path) -> None:
    """Harmless: the queue calls the second a duplicate. So is the same file twice."""
    first, second = _texts(tmp_path, "a.yaml", a="one", b="two"), _texts(tmp_path, "b.yaml", b="two")
    with jobs_of([first, second, first], _settings()) as jobs:
        assert [job.request_id for job in jobs] == ["a", "b", "b", "a", "b"]


def test_no_more_than_a_hundred_clashes_are_shown(tmp_path: Path) -> None:
    """Two versions of a large file are one mistake."""
    names = [f"r{number}" for number in range(250)]
    first, second = (_texts(tmp_path, f"{text}.yaml", **dict.fromkeys(names, text)) for text in ("old", "new"))
    with pytest.raises(InvalidJobsError) as caught, jobs_of([first, second], _settings()):
        pytest.fail("the block must not begin")
    assert len(caught.value.problems) == 101
    assert caught.value.problems[-1].message == "and 150 more problems"


def test_names_need_no_voice(tmp_path: Path) -> None:
    """A sheet without one got flags by hand, so it is marked; other mistakes are mistakes still."""
    sheet = tmp_path / "sheet.yaml"
    sheet.write_text("{topicId: t, beats: [{id: 1, narration: a}, {id: 2, narration: b, tts: {voice: v}}]}")
    with names_in([sheet], _settings()) as jobs:
        assert [(job.spec.request_id, job.content_known) for job in jobs] == [
            ("t:beat-001", False),
            ("t:beat-002", False),
        ]
    sheet.write_text("{topicId: t, ttsDefaults: {voice: v}, beats: [{id: 1, narration: a}]}")
    with names_in([sheet], _settings()) as jobs:
        assert [job.content_known for job in jobs] == [True]
    sheet.write_text("{topicId: t, beats: [{id: 1, narration: ' '}]}")
    with pytest.raises(InvalidJobsError) as caught, names_in([sheet], _settings()):
        pytest.fail("the block must not begin")
    assert caught.value.message == "1 problem"
