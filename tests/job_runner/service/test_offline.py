"""Where work without a queue happens, what is remembered of it, and how several files share one folder."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from job_runner.service.jobfiles import jobs_of, scanned
from job_runner.service.offline import compile_files, execute_remembered, execution_file, folder_of
from lib.errors import InvalidJobsError, NotFoundError, Problem
from lib.manifest import ExecuteOptions, read_manifest
from lib.voice_synth.engines import registry
from lib.wiring import clips
from tests.lib.manifest.folders import Seen
from tests.lib.voice_synth.scripted_engine import ScriptedEngine
from tests.support.running import settings_in

if TYPE_CHECKING:
    from lib.settings import Settings

ROWS = '- {output_name: a, voice: newsroom, text: "A."}\n- {output_name: b, voice: newsroom, text: "B."}\n'
SHEET = '{"topicId": "t", "ttsDefaults": {"voice": "newsroom"}, "beats": [{"id": 1, "narration": "One."}]}'


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A state directory, and an engine that needs no model under the name of the bundled one."""
    engines = {**registry.ENGINES, "hibari": lambda: ScriptedEngine(name="hibari")}
    monkeypatch.setattr(registry, "ENGINES", engines)
    return settings_in(tmp_path / "state")


def written(path: Path, content: str) -> Path:
    """A file of this content."""
    path.write_text(content)
    return path


def test_each_file_has_a_folder_of_its_own(tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its path, however it is written; never outside the state directory."""
    runs = settings.jobs_state_dir / "runs"
    monkeypatch.chdir(tmp_path)
    here = folder_of([Path("jobs.yaml")], settings)
    assert here == folder_of([tmp_path / "x" / ".." / "jobs.yaml"], settings)
    assert here.parent == runs
    assert here.name.startswith("jobs-")
    others = [
        folder_of([tmp_path / name], settings) for name in ("x/jobs.yaml", "..", "a b/ü$(x).yaml", "y" * 200 + ".yaml")
    ]
    assert len({here, *others, folder_of([Path("jobs.yaml"), Path("more.yaml")], settings)}) == 6
    assert all(each.parent == runs and len(each.name) < 100 and each.name[0] != "." for each in others)


def test_the_latest_execution_is_remembered(tmp_path: Path, settings: Settings) -> None:
    """Of a run, not of a dry one; by name any other is found."""
    with pytest.raises(NotFoundError, match="nothing was executed here yet"):
        execution_file(None, settings)
    compiled = compile_files([written(tmp_path / "jobs.yaml", ROWS)], settings, tmp_path / "one")
    execute_remembered(read_manifest(compiled.manifest), settings, ExecuteOptions(dry_run=True), Seen())
    with pytest.raises(NotFoundError):
        execution_file(None, settings)
    done = execute_remembered(read_manifest(compiled.manifest), settings, ExecuteOptions(), Seen())
    assert execution_file(None, settings) == done.path == tmp_path / "one/execution.json"
    for name in ("one", "one/manifest.json", "one/execution.json"):
        assert execution_file(tmp_path / name, settings) == tmp_path / "one/execution.json"


def test_sentences_are_shared_by_all_folders_of_the_machine(tmp_path: Path, settings: Settings) -> None:
    """What one file had spoken another need not; they lie in the state directory."""
    for name, text in (("one", "One came. Two left."), ("two", "One came. Three left.")):
        row = f'- {{output_name: a, voice: newsroom, chunk: true, text: "{text}"}}\n'
        compiled = compile_files([written(tmp_path / f"{name}.yaml", row)], settings, tmp_path / name)
        assert execute_remembered(read_manifest(compiled.manifest), settings, ExecuteOptions(), Seen()).success
    assert json.loads((tmp_path / "two/a/result.json").read_bytes())["sentences"] == {"at_hand": 1, "of": 2}
    assert clips(settings).kept().clips == 3


def test_files_of_both_kinds_in_one_folder(tmp_path: Path, settings: Settings) -> None:
    """A job file and a beatsheet are one manifest."""
    files = [written(tmp_path / "jobs.yaml", ROWS), written(tmp_path / "beats.json", SHEET)]
    compiled = compile_files(files, settings, tmp_path / "out")
    assert [job.output_name for job, _ in read_manifest(compiled.manifest).jobs] == ["a", "b", "t/beat-001"]


def test_the_same_file_twice_is_a_mistake(tmp_path: Path, settings: Settings) -> None:
    """Every job of it stands twice, and the second is named."""
    file = written(tmp_path / "jobs.yaml", ROWS)
    copy = written(tmp_path / "copy.yaml", ROWS)
    with pytest.raises(InvalidJobsError) as caught:
        compile_files([file, copy], settings, tmp_path / "out")
    assert [(problem.source, problem.where) for problem in caught.value.problems] == [
        (str(copy), "jobs[0].output_name"),
        (str(copy), "jobs[1].output_name"),
    ]
    assert caught.value.message == "2 problems, nothing was compiled"


def test_problems_of_all_files_come_together(tmp_path: Path, settings: Settings) -> None:
    """Of job files and beatsheets alike."""
    files = [written(tmp_path / "jobs.yaml", ROWS + "- {}\n"), written(tmp_path / "beats.json", '{"beats": 1}')]
    with pytest.raises(InvalidJobsError) as caught:
        compile_files(files, settings, tmp_path / "out")
    assert {problem.source for problem in caught.value.problems} == {str(file) for file in files}
    assert not (tmp_path / "out").exists()


def test_a_beatsheet_through_a_pipe(tmp_path: Path, settings: Settings) -> None:
    """What can be read only once is told apart and read all the same."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=(SHEET,))
    writer.start()
    with jobs_of([pipe], settings) as jobs:
        assert [spec.request_id for spec in jobs] == ["t:beat-001"]
    writer.join()


def test_what_is_given_by_hand_and_what_is_noticed(tmp_path: Path, settings: Settings) -> None:
    """Both reach the reading of a sheet; a plan hears of notices too."""
    told: list[str] = []
    sheet = written(tmp_path / "beats.json", SHEET.replace('"ttsDefaults"', '"totalBeats": 2, "ttsDefaults"'))
    with jobs_of([sheet], settings, notice=told.append, by_hand={"speaker": "Ryan"}) as jobs:
        assert [(spec.voice, spec.speaker) for spec in jobs] == [(None, "Ryan")]
    assert not any(isinstance(found, Problem) for _, found in scanned([sheet], settings, notice=told.append))
    assert len(told) == 2
