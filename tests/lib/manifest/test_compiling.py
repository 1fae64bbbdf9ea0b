"""Compiling: the same jobs give the same bytes, each text as it is, nothing of what was made is lost."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from lib.errors import InvalidInputError, RefusedError
from lib.jobqueue import normalize_job_spec
from lib.manifest import compile_jobs, read_manifest
from lib.manifest.command_lines import argv_of, call_of
from lib.manifest.compiling import problems_of
from lib.manifest.folder import held
from lib.manifest.places import place_of
from tests.lib.manifest.folders import compiled, document_of, job

if TYPE_CHECKING:
    from pathlib import Path

    from lib.jobqueue import JobSpec

JOBS = (
    job("b/two", "Zwei — “quoted”, 😀\r\nand a second line.\n"),
    job("b/one", voice=None, speaker="Ryan", instruct="--calm", variants=3, select_best=True),
    job("a", chunk=True, profile="stable", temperature=0.1, tone="warm"),
)


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file below, by its relative path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_same_jobs_give_the_same_bytes_anywhere(tmp_path: Path) -> None:
    """Twice in one folder, in another folder, and from another order of the jobs."""
    compile_jobs(JOBS, tmp_path / "x")
    first = files_of(tmp_path / "x")
    compile_jobs(JOBS, tmp_path / "x")
    compile_jobs(reversed(JOBS), tmp_path / "deep" / "er")
    assert files_of(tmp_path / "x") == first
    assert files_of(tmp_path / "deep" / "er") == first
    assert str(tmp_path).encode() not in first["manifest.json"]


def test_the_folder_holds_the_texts_and_the_manifest(tmp_path: Path) -> None:
    """Each text verbatim, byte for byte; nothing else."""
    compile_jobs(JOBS, tmp_path)
    assert files_of(tmp_path).keys() == {"manifest.json", "a/text.txt", "b/one/text.txt", "b/two/text.txt"}
    assert (tmp_path / "b/two/text.txt").read_bytes() == "Zwei — “quoted”, 😀\r\nand a second line.\n".encode()


def test_the_manifest_says_all_of_a_job(tmp_path: Path) -> None:
    """The fields of the contract, sorted by source, output_name and request_id; paths relative to itself."""
    document = document_of(compiled(tmp_path, *JOBS))
    assert list(document) == ["schema_version", "run_id", "jobs"]
    assert [(each["source_key"], each["output_name"]) for each in document["jobs"]] == [
        ("speaker:Ryan", "b/one"),
        ("voice:newsroom", "a"),
        ("voice:newsroom", "b/two"),
    ]
    assert document["jobs"][0] == {
        "request_id": "b:one",
        "content_hash": JOBS[1].content_hash,
        "attempt": 0,
        "source_key": "speaker:Ryan",
        "output_name": "b/one",
        "out_exact": "b/one",
        "text_file": "b/one/text.txt",
        "json_result": "b/one/result.json",
        "argv": [
            *("voice-synth", "speak", "--speaker", "Ryan", "--language", "English", "--instruct", "--calm"),
            *("--variants", "3", "--select-best", "--text-file", "b/one/text.txt", "--out-exact", "b/one"),
            *("--json-result", "b/one/result.json"),
        ],
    }


def test_the_run_id_follows_from_the_jobs_or_is_given(tmp_path: Path) -> None:
    """Another text is another run; a name of one's own stands as it is."""
    first = compile_jobs(JOBS, tmp_path / "1")
    other = compile_jobs((*JOBS[1:], job("b/two", "Other.")), tmp_path / "2")
    named = compile_jobs(JOBS, tmp_path / "3", run_id="monday")
    assert first.run_id.startswith("run-")
    assert first.run_id != other.run_id
    assert document_of(named.manifest)["run_id"] == named.run_id == "monday"
    assert named.document() == {"run_id": "monday", "job_count": 3, "manifest": str(tmp_path / "3/manifest.json")}


@pytest.mark.parametrize("name", ["", " ", "a\x1b[2J", "x" * 600])
def test_a_run_id_that_cannot_be(tmp_path: Path, name: str) -> None:
    """Said before anything is written."""
    with pytest.raises(InvalidInputError, match="--run-id"):
        compile_jobs(JOBS, tmp_path / "out", run_id=name)
    assert not (tmp_path / "out").exists()


FIELDS: list[dict[str, Any]] = [
    {},
    {"language": "French", "tone": "a tone\nof two lines"},
    {"profile": "expressive", "variants": 7, "select_best": True, "chunk": True},
    {"temperature": 0, "top_p": 1e-05, "repetition_penalty": 1.0000000001, "max_new_tokens": 1},
    {"voice": None, "speaker": "Uncle_Fu", "instruct": "-"},
    {"chunk": True, "cache": False},
    {"voice": None, "speaker": "-x", "instruct_style": "--help"},
]


@pytest.mark.parametrize("fields", FIELDS)
def test_a_command_line_is_the_job(fields: dict[str, Any]) -> None:
    """What the program's own parser reads has the content hash of the job it was made from."""
    spec = job("a/b", **fields)
    argv = argv_of(spec, text_file="a/b/text.txt", out_exact="a/b", json_result="a/b/result.json")
    call = call_of(argv)
    again = normalize_job_spec({**call.row, "text": spec.text, "request_id": "x"})
    assert again.content_hash == spec.content_hash
    assert call.no_cache is not spec.cache
    assert (str(call.text_file), str(call.out_exact), str(call.json_result)) == (
        "a/b/text.txt",
        "a/b",
        "a/b/result.json",
    )


@pytest.mark.parametrize(
    ("request_id", "place"),
    [
        ("topic:beat-001", "topic/beat-001"),
        ("plain", "plain"),
        ("a b:c", "a b/c"),
        ("../up", "up-"),
        ("a::b", "a_b-"),
        ("/etc/passwd", "etc_passwd-"),
        ("manifest.json", "manifest.json-"),
        (":", "job-"),
        ("x" * 400, "x" * 100 + "-"),
    ],
)
def test_a_job_without_output_name_has_a_place_of_its_own(request_id: str, place: str) -> None:
    """Where the id makes a sound path it is that path; else a plain name with a hash, never outside."""
    spec = normalize_job_spec({"request_id": request_id, "text": "t", "voice": "newsroom"})
    found = place_of(spec)
    assert found == place or (place.endswith("-") and found.startswith(place) and len(found) == len(place) + 12)


def test_only_speech_is_compiled() -> None:
    """Another task is refused with what to do, and so is a name that the folder needs itself."""
    nap = normalize_job_spec({"request_id": "nap", "task": "sleep", "payload": {"seconds": 1}})
    [problem] = problems_of(nap)
    assert str(problem).startswith("task: is sleep; without a queue only speak jobs run")
    [problem] = problems_of(job("Manifest.json/x"))
    assert problem.field == "output_name"
    assert problems_of(job("a")) == ()


@pytest.mark.parametrize("inner", ["a/text.txt", "a/take_01.wav", "a/best.wav/deep", "a/Result.json"])
def test_a_job_inside_another_jobs_file_is_refused(tmp_path: Path, inner: str) -> None:
    """One directory cannot be a file as well."""
    with pytest.raises(
        InvalidInputError, match=r"is the name of a file of the job at 'a'|leads through a file|is a file"
    ):
        compile_jobs((job("a"), job(inner)), tmp_path)
    assert not (tmp_path / "manifest.json").exists()


def test_jobs_may_lie_below_each_other(tmp_path: Path) -> None:
    """`a` and `a/b` are two directories."""
    assert len(read_manifest(compiled(tmp_path, job("a"), job("a/b"), job("a/b/take"))).jobs) == 3


def test_compiling_again_forgets_what_is_gone_and_keeps_what_was_made(tmp_path: Path) -> None:
    """Texts of jobs that are no more go, with the directories that are empty then; audio stays with its text."""
    compile_jobs(JOBS, tmp_path)
    (tmp_path / "b/two/take_01.wav").write_bytes(b"made")
    (tmp_path / "mine.txt").write_text("mine")
    done = compile_jobs(JOBS[2:], tmp_path)
    assert done.removed == 1
    assert files_of(tmp_path).keys() == {
        "manifest.json",
        "a/text.txt",
        "b/two/text.txt",
        "b/two/take_01.wav",
        "mine.txt",
    }
    assert not (tmp_path / "b/one").exists()


def test_a_text_that_is_the_same_is_left_alone(tmp_path: Path) -> None:
    """Its time says when it changed."""
    compile_jobs(JOBS, tmp_path)
    before = (tmp_path / "a/text.txt").stat().st_ino
    compile_jobs((*JOBS[:2], job("a", "changed", chunk=True)), tmp_path)
    assert (tmp_path / "a/text.txt").read_text() == "changed"
    changed = (tmp_path / "a/text.txt").stat().st_ino
    compile_jobs((*JOBS[:2], job("a", "changed", chunk=True)), tmp_path)
    assert before != changed
    assert (tmp_path / "a/text.txt").stat().st_ino == changed


@pytest.mark.parametrize("name", ["manifest.json", "strange"])
def test_what_stands_there_and_is_no_manifest_harms_nothing(tmp_path: Path, name: str) -> None:
    """A broken manifest of before is replaced; nothing is removed for it."""
    (tmp_path / name).write_text('{"jobs": [{"output_name": "../../etc"}]}')
    (tmp_path / "a").mkdir()
    (tmp_path / "a/text.txt").write_text("old")
    assert compile_jobs(JOBS, tmp_path).removed == 0
    assert json.loads((tmp_path / "manifest.json").read_bytes())["schema_version"] == 1


def test_a_symlink_on_the_way_is_refused(tmp_path: Path) -> None:
    """Nothing is written outside the folder, whoever put the link there."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out/b").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InvalidInputError, match="leads through a symlink"):
        compile_jobs(JOBS, tmp_path / "out")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    """A file in its place is named; a folder at work is left to whoever works there."""
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInputError, match="file"):
        compile_jobs(JOBS, tmp_path / "file" / "below")
    with held(tmp_path), pytest.raises(RefusedError, match="another job-runner is at work"):
        compile_jobs(JOBS, tmp_path)


def test_no_jobs_are_a_manifest_too(tmp_path: Path) -> None:
    """Zero jobs is an answer."""
    none: tuple[JobSpec, ...] = ()
    assert compile_jobs(none, tmp_path).job_count == 0
    assert read_manifest(tmp_path).jobs == ()
