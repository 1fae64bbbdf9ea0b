"""The reference pages say what the code does: made again, they are the same; and what is written by hand in them fits.

A test that fails here names the page; `make docs` writes it anew.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import TypeAdapter, ValidationError

from docs.generate import records
from docs.generate.commands import commands_of, options_of, programs
from docs.generate.fields import RULES, type_of
from docs.generate.pages import HOUSE, pages, with_part
from docs.generate.shapes import SHAPES, misfits, written
from docs.generate.shapes_offline import EXECUTION, MANIFEST
from docs.generate.shapes_voices import VOICE
from job_runner.cli.app import main as job_runner
from job_watcher.cli import main as job_watcher
from lib.jobqueue import fields, normalize_job_spec
from lib.jobqueue.records import Failure, Run, StoredOutputLike, done_tail, failed_tail
from lib.jobqueue.spec import JobSpec
from lib.redisqueue.keys import Keys
from lib.redisqueue.scripts import script_names
from lib.settings import variable_name, variables
from lib.voice_synth.cli import main as voice_synth
from tests.support.running import spec
from tests.support.watchers import WATCHER, environment_of, run_program

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MADE = pages()


@pytest.mark.parametrize("path", MADE)
def test_page_is_as_the_code_is(path: str) -> None:
    """The file and the page made now are the same, byte for byte."""
    file = HOUSE / path
    written_now = file.read_text(encoding="utf-8") if file.exists() else ""
    assert written_now == MADE[path], f"{path} is not as the code is; run: make docs"


def test_pages_are_the_same_wherever_they_are_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither the terminal nor the directory nor the environment of whoever makes them is in them."""
    for name, value in {"COLUMNS": "40", "HOME": str(tmp_path), "JOBS_STATE_DIR": str(tmp_path), "LINES": "9"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("JOB_RUNNER_RUN", "./run")
    monkeypatch.chdir(tmp_path)
    assert pages() == MADE
    whole = "".join(MADE.values())
    assert str(HOUSE) not in whole
    assert os.path.expanduser("~") not in whole  # noqa: PTH111 - the text of it, not a path


def test_every_command_stands_there_with_every_option() -> None:
    """Nothing that can be typed is missing."""
    page = MADE["docs/reference/commands.md"]
    for program in programs():
        for name, command in commands_of(program).items():
            section = page.partition(f"\n### {name}\n")[2].partition("\n### ")[0]
            assert section, name
            for option, _ in options_of(command):
                assert f"`{option}`".replace("|", "\\|") in section, f"{name} {option}"


def test_every_command_with_json_has_its_shape() -> None:
    """Whoever reads JSON finds what is in it."""
    with_json = {
        name
        for program in programs()
        for name, command in commands_of(program).items()
        if any(option.split(",")[0] == "--json" for option, _ in options_of(command))
    }
    assert set(SHAPES) == with_json, "docs/generate/shapes.py lacks one or has one too many"


def test_every_setting_key_and_script_stands_there() -> None:
    """By name."""
    for each in variables():
        assert f"| `{variable_name(each)}` |" in MADE["docs/reference/settings.md"]
    for key in Keys().all_fixed().values():
        assert f"| `{key}` |" in MADE["docs/reference/records.md"]
    for name in script_names():
        assert f"\n## {name}\n" in MADE["docs/reference/scripts.md"]
    assert set(records.KEYS) == set(Keys().all_fixed())


@pytest.mark.parametrize("name", RULES)
def test_the_rule_of_a_field_is_that_of_its_type(name: str) -> None:
    """What the words allow is accepted by the type, what they exclude is refused."""
    if name.startswith("fields."):
        accepts: TypeAdapter[Any] = TypeAdapter(getattr(fields, name.removeprefix("fields.")))
    else:
        accepts = TypeAdapter({"bool": bool, "dict[str, Any]": dict[str, Any]}[name])
    for value in RULES[name].good:
        accepts.validate_python(value)
    for value in RULES[name].bad:
        with pytest.raises(ValidationError):
            accepts.validate_python(value)


def test_every_field_has_a_rule() -> None:
    """And no rule is left of a type that is gone."""
    assert {type_of(name) for name in JobSpec.model_fields} == set(RULES)


def _names(raw: bytes) -> list[str]:
    return list(json.loads(b"{" + raw))


def _fitting(documented: dict[str, str], fullest: list[str], barest: list[str]) -> None:
    assert [name.rstrip("?") for name in documented] == fullest
    assert [name for name in documented if not name.endswith("?")] == [n for n in documented if n in barest]
    assert {name.rstrip("?") for name in documented if name.endswith("?")} == set(fullest) - set(barest)


def test_the_fields_of_a_done_record(stored: StoredOutputLike) -> None:
    """Those that are always there, those that may be missing, in their order."""
    job = normalize_job_spec({"output_name": "a/b", "voice": "newsroom", "text": "Good morning."})
    run = Run("metal", "run", job.queued_at, job.queued_at)
    full = done_tail(job, run, outputs=[stored], result={}, cost={"usd": 0}, backlog="news")
    _fitting(records.DONE, _names(full), _names(done_tail(spec("debug"), run)))


def test_the_fields_of_a_failed_record() -> None:
    """The same; what cannot be read stands there as bytes instead of the job's own fields."""
    job = spec("debug")
    failure = Failure("permanent", "execute", "no", job.queued_at)
    sound, unread = failed_tail(job, failure, backlog="news"), failed_tail(b"?", failure, request_id="x")
    barest = _names(failed_tail(None, failure, request_id="x"))
    assert set(_names(sound)) | set(_names(unread)) == {name.rstrip("?") for name in records.FAILED}
    assert [name for name in records.FAILED if not name.endswith("?")] == barest


def test_the_head_of_a_record_and_a_row_of_the_index() -> None:
    """The order in which the scripts write them."""
    lua = (HOUSE / "lib/redisqueue/lua/include/records.lua").read_text()
    pattern = lua.partition("local HEAD =")[2].partition("\n\n")[0]
    assert re.findall(r'"(\w+)":', pattern) == list(records.HEAD)
    assert records.index_row()[:2] == ("state", "generation")
    assert records.index_row()[-1] == "key"


@pytest.fixture
def stored() -> StoredOutputLike:
    """One file that a record names."""
    from lib.jobqueue.records import RecordedOutput  # noqa: PLC0415 - only this fixture makes one

    return RecordedOutput("take_01.wav", "take", "file:///a", 1, "0" * 64)


class Printing:
    """The commands, in this process: what they print is the promise here, not how they start."""

    def __init__(
        self, url: str, prefix: str, home: Path, monkeypatch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]
    ) -> None:
        self.environ = environment_of(url, prefix, home, {})
        self._home = home
        self._capture = capture
        monkeypatch.chdir(home)
        for name in set(os.environ) - self.environ.keys():
            monkeypatch.delenv(name)
        for name, value in self.environ.items():
            monkeypatch.setenv(name, value)

    def fits(self, program: str, line: str) -> Any:
        """The document that a command line prints, which has the shape of its command."""
        self._capture.readouterr()
        PROGRAMS[program]([*line.split(), "--json"])
        out, err = self._capture.readouterr()
        assert out, err
        document = json.loads(out)
        name = max((each for each in SHAPES if f"{program} {line} ".startswith(f"{each} ")), key=len)
        assert misfits(SHAPES[name], document) == [], line
        return document

    def watch_once(self) -> None:
        """A real watcher works on what there is."""
        asyncio.run(run_program(WATCHER, "--once", "--quiet", environ=self.environ, cwd=self._home))


PROGRAMS: dict[str, Callable[[list[str]], int]] = {
    "job-runner": job_runner,
    "job-watcher": job_watcher,
    "voice-synth": voice_synth,
}


@pytest.fixture
def printing(
    valkey_url: str,
    prefix: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Printing:
    """On a queue and in a directory of this test's own."""
    return Printing(valkey_url, prefix, tmp_path, monkeypatch, capsys)


def test_documents_are_of_their_shapes(printing: Printing, tmp_path: Path) -> None:
    """Every command that reads or changes the queue prints what the page says, on a queue with something of each."""
    (tmp_path / "jobs.yaml").write_text(
        "jobs:\n"
        "- {request_id: good, task: debug}\n"
        "- {request_id: bad, task: debug, payload: {fail: permanent}}\n"
        "- {request_id: later, task: debug, run_after: 2999-01-01T00:00:00Z}\n"
    )
    sheet = {"topicId": "t", "ttsDefaults": {"voice": "newsroom"}, "beats": [{"id": 1, "narration": "One."}]}
    (tmp_path / "sheet.json").write_text(json.dumps(sheet))
    for line in (
        "plan jobs.yaml",
        "enqueue jobs.yaml",
        "enqueue-beatsheet sheet.json",
        "status",
        "result good",
        "result no",
        "why later",
        "workflow stress plan --count 2 --seconds-min 0 --seconds-max 0",
        "workflow system-test plan --mode debug",
        "dispatch manifests/stress_test_v1.jsonl --target backlog:b",
        "verify manifests/stress_test_v1.jsonl",
    ):
        printing.fits("job-runner", line)
    printing.watch_once()
    printing.fits("job-watcher", "ping --consumer-name x")
    for line in (
        "report jobs.yaml",
        "history",
        "result good",
        "verify manifests/stress_test_v1.jsonl",
        "doctor --fsck",
        "retry bad",
        "cancel later --yes",
        "server stop",
        "flush --hard --yes",
    ):
        printing.fits("job-runner", line)


def test_documents_without_a_queue_are_of_their_shapes(printing: Printing, tmp_path: Path) -> None:
    """Manifest and execution, as files and as answers; a job that is made, one that was, one that cannot be."""
    (tmp_path / "jobs.yaml").write_text("- {output_name: a/b, voice: newsroom, text: Good morning.}\n")
    for line in (
        "compile jobs.yaml --out made",
        "execute-manifest made/manifest.json",
        "execute-manifest made/manifest.json",
        "run jobs.yaml --dry-run",
        "logs",
    ):
        printing.fits("job-runner", line)
    for name, shape in (("manifest.json", MANIFEST), ("execution.json", EXECUTION)):
        assert misfits(shape, json.loads((tmp_path / "made" / name).read_bytes())) == []


def test_documents_of_simulations_and_corpora_are_of_their_shapes(printing: Printing, tmp_path: Path) -> None:
    """Of what is shipped as an example: a night, and the corpus whose gaps are planned."""
    corpus = HOUSE / "examples/corpus"
    for name in ("fables.jsonl", "schema.json", "prompt.txt"):
        (tmp_path / name).write_bytes((corpus / name).read_bytes())
    (tmp_path / "simulation.yaml").write_bytes((HOUSE / "examples/simulation.yaml").read_bytes())
    printing.fits("job-watcher", "simulate simulation.yaml")
    gaps = "workflow gap-fill plan --corpus fables.jsonl --version v1 --schema schema.json --prompt prompt.txt"
    printing.fits("job-runner", gaps)


def test_documents_of_voices_are_of_their_shapes(printing: Printing) -> None:
    """Of every command of voice-synth, on a voice that comes and goes."""
    for line in (
        "register slow --engine hibari --name heart --speed 0.85",
        "list-voices",
        "list-speakers",
        "capabilities",
        "rename slow slower",
        "export slower",
        "import slower.zip --as again",
        "delete slower --yes",
        "speak --voice again --text Hello. --out-exact made",
    ):
        said = printing.fits("voice-synth", line)
        if "voice" in said:
            assert misfits(VOICE, said["voice"]) == []


def test_a_document_of_another_shape_is_found() -> None:
    """A field too much, one too few, one of another type; a boolean is no number."""
    shape = {"a": "whole", "b?": ["text | null"], "c": {"<name>": "number"}}
    assert misfits(shape, {"a": 1, "b": ["x", None], "c": {"z": 1.5}}) == []
    assert misfits(shape, {"a": True, "b": [1], "d": 0}) == [
        "$.c: missing",
        "$.a: True is not whole",
        "$.b[0]: 1 is not text or null",
        "$.d: not in the shape",
    ]
    assert misfits(shape, []) == ["$: [] is no object"]
    assert misfits(["text"], {}) == ["$: {} is no list"]
    assert json.loads(written(SHAPES["job-runner status"])) == SHAPES["job-runner status"]


def test_a_part_is_written_between_its_marks_alone() -> None:
    """What people wrote around it stays; a page without the marks is refused."""
    page = "before\n<!-- x: written by `make docs` -->\nold\n<!-- end of x -->\nafter\n"
    assert with_part(page, "x", "new") == page.replace("old\n", "\nnew\n\n")
    assert with_part(with_part(page, "x", "new"), "x", "new") == with_part(page, "x", "new")
    with pytest.raises(ValueError, match="end of y"):
        with_part(page, "y", "new")
