"""Manifests: positional arguments by their names, ids, all mistakes at once with their lines, in bounded memory."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.errors import InvalidInputError, InvalidJobsError, Problem
from lib.jobfile import EntryNames, FileJob, FileRules, check_file, read_jobs, scan_jobs
from lib.jobfile.manifest_lines import BadLineError, TooLong, lines_of, parsed
from lib.jobfile.source import JobFile
from lib.jobfile.task_manifest import is_task_manifest, plan_of
from lib.jobqueue import BUILT_IN, FieldProblem, JobSpec
from tests.support.watchers import ROOT

if TYPE_CHECKING:
    from pathlib import Path

# A spawned interpreter with our modules alone is near 40 MB; the file is as large again.
MEMORY_LIMIT_MB = 80


def manifest(folder: Path, *lines: str | dict[str, Any] | bytes, name: str = "plan_1.jsonl") -> Path:
    """A file of these lines."""
    path = folder / name
    texts = [json.dumps(line) if isinstance(line, dict) else line for line in lines]
    path.write_bytes(b"".join((text.encode() if isinstance(text, str) else text) + b"\n" for text in texts))
    return path


def jobs(path: Path, **rules: Any) -> list[JobSpec]:
    """The jobs of a valid manifest."""
    return [job.spec for job in read_jobs(path, FileRules(**rules))]


def said(path: Path, **rules: Any) -> list[str]:
    """Every problem as `LINE: WHERE: MESSAGE`."""
    problems = check_file(path, FileRules(**rules)).problems
    for problem in problems:
        assert str(problem).isprintable(), repr(str(problem))
        assert len(str(problem)) < 700
    return [str(problem).removeprefix(f"{path}:") for problem in problems]


def test_an_entry_becomes_a_job(tmp_path: Path) -> None:
    """Arguments by position and by name, the id, what goes back with the record, and where it may run."""
    path = manifest(
        tmp_path,
        {"task": "tasks.sleep_task", "args": [92], "kwargs": {}, "meta": {"id": "Job 1"}},
        {"task": "debug", "args": ["hi"], "kwargs": {"fail": None}, "id": 2, "priority": 1, "description": "second"},
        {
            "task": "sleep_crud",
            "args": [0.5],
            "kwargs": {"data": [1]},
            "meta": {"id": "x", "plan": "p", "of": {"a": 1}},
        },
        {"task": "debug", "id": "late", "deadline": "2030-01-01T00:00:00Z", "backend": "metal", "max_attempts": 1},
        {"task": "speak", "kwargs": {"voice": "narrator", "text": "Hi.", "output_name": "a/b"}, "meta": {"id": "say"}},
    )
    first, second, third, late, spoken = jobs(path, names=EntryNames("stress"))
    assert (first.request_id, first.task, first.payload) == ("stress:plan_1:Job 1", "sleep", {"seconds": 92.0})
    assert first.callback_data == {"id": "Job 1"}
    assert (second.request_id, second.payload, second.priority) == ("stress:plan_1:2", {"message": "hi"}, "high")
    assert second.callback_data == {"description": "second"}
    assert (third.request_id, third.payload) == ("stress:p:x", {"seconds": 0.5, "data": [1]})
    assert third.callback_data == {"id": "x", "plan": "p", "of": {"a": 1}}
    assert (late.backend, late.max_attempts) == ("metal", 1)
    assert late.deadline is not None
    assert (spoken.text, spoken.output_name, spoken.payload) == ("Hi.", "a/b", {})


def test_both_names_of_a_task_are_the_same_work(tmp_path: Path) -> None:
    """By position or by name, under the task's name or its alias: one content, so that nothing is done twice."""
    path = manifest(
        tmp_path,
        {"task": "tasks.sleep_task", "args": [2], "id": "a"},
        {"task": "sleep", "kwargs": {"seconds": 2.0}, "id": "b"},
    )
    one, other = jobs(path)
    assert one.content_hash == other.content_hash


def test_the_plan_in_the_names(tmp_path: Path) -> None:
    """The entry's own, else the file's name without its ending; what is given by hand wins; a pipe has none."""
    path = manifest(tmp_path, {"task": "debug", "id": "a", "meta": {"plan": "p"}}, {"task": "debug", "id": "b"})
    assert [job.request_id for job in jobs(path)] == ["default:p:a", "default:plan_1:b"]
    assert [job.request_id for job in jobs(path, names=EntryNames("x", "y"))] == ["x:y:a", "x:y:b"]
    assert (plan_of("a/v1.2.jsonl"), plan_of("a:b.jsonl"), plan_of("/dev/fd/63")) == ("v1.2", "a-b", "")


def test_all_mistakes_at_once_with_their_lines(tmp_path: Path) -> None:
    """Each led back to the argument that a person wrote; nothing is handed on."""
    path = manifest(
        tmp_path,
        {"task": "sleep", "args": [1], "id": "fine"},
        {"task": "slep", "args": ["x"], "id": "a"},
        {"task": "sleep", "args": ["x"], "id": "b", "priority": 12},
        {"task": "sleep", "args": [1, 2], "id": "c"},
        "",
        {"task": "sleep", "args": [1], "kwargs": {"seconds": 1}, "id": "d"},
        {"task": "sleep", "kwargs": {"secs": 1}, "id": "e"},
        {"task": "sleep", "args": [1]},
        {"task": "sleep", "args": [1], "id": "f", "meta": {"id": "g"}},
        {"task": "sleep", "args": [1], "id": " "},
        {"task": "sleep", "args": [1], "id": True},
        {"task": "sleep", "args": 1, "meta": [], "kwargs": 1},
        {"args": [1], "id": "h"},
        {"task": 5, "id": "i"},
        {"task": " ", "id": "j"},
        {"task": "speak", "args": ["hi"], "kwargs": {"voise": "v", "text": "t", "voice": "v"}, "id": "k"},
        {"task": "debug", "id": "l", "meta": {"plan": "a:b"}, "description": 1, "schema_version": 2},
        {"task": "debug", "id": "m", "arg": [1]},
        {"task": "debug", "id": "n\x07", "kwargs": {"message\x07": 1}},
        {"task": "fast_crud", "args": [{"deep": {"n": 2**60}}], "meta": {"id": "o", "big": 2**60}},
    )
    assert said(path) == [
        "2: task: 'slep' is no known task; did you mean 'sleep'?",
        "3: args[0]: must be a number of seconds such as 3600, not 'x'",
        "3: priority: must be high, normal, low or 0 to 9, not 12",
        "4: args: has 2 arguments, and task sleep takes 1 at most: seconds",
        "6: args[0]: is seconds, which stands in kwargs too; keep one",
        "7: kwargs.seconds: is missing; write it",
        "7: kwargs.secs: is no known field; did you mean 'seconds'?",
        "8: meta.id: is missing; give each entry an id of its own",
        "9: meta.id: is 'g', but the id beside meta is 'f'; keep one",
        "10: id: is blank; give each entry an id of its own",
        "11: id: must be text, not True",
        "12: meta: must be an object {name: value}, not []",
        "12: kwargs: must be an object {name: value}, not 1",
        "12: args: must be a list, not 1",
        "13: task: is missing; write the name of a task",
        "14: task: must be text, not 5",
        "15: task: is blank; write the name of a task",
        "16: args: has 1 arguments, and task speak takes none; write them into kwargs",
        "16: kwargs.voise: is no field of task speak; did you mean 'voice'?",
        "17: schema_version: is 2; only 1 is known",
        "17: meta.plan: must be a name without a colon, not 'a:b'",
        "17: description: must be text, not 1",
        "18: arg: is no known field; did you mean 'args'?",
        "19: kwargs.message\\x07: is no known field; did you mean 'message'?",
        "19: meta.id: holds a control character; remove it",
        "20: meta.big: 1152921504606846976 is beyond 2**53, where JSON readers lose digits; put it in quotes",
        "20: args[0].deep.n: 1152921504606846976 is beyond 2**53, where JSON readers lose digits; put it in quotes",
    ]
    with pytest.raises(InvalidJobsError):
        read_jobs(path, FileRules())


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ('{"task": "debug", "id": "a"', "is no JSON: Expecting ',' delimiter (column 28); check quotes"),
        ('{"task": "debug", "id": "a"} {}', "has more behind its entry (column 30); write one entry a line"),
        ('{"task": "debug", "id": "a", "id": "b"}', "has the key 'id' twice; keep one"),
        ('{"task": "debug", "kwargs": {"message": NaN}}', "holds NaN, which is no number in JSON"),
        ('{"task": "debug", "id": ' + "9" * 5000 + "}", "holds a number of thousands of digits"),
        ("[" * 100_000, "is nested too deep; flatten it"),
        ("{", "is no entry; a manifest has each whole entry on one line"),
        ("[1]", 'must be an entry such as {"task": …'),
        ("null", "must be an entry such as"),
        (b'{"task": "\xff"}', "is no UTF-8 (byte 11 of the line); save the file as UTF-8"),
        ('{"task": "debug", "id": "' + "x" * 300_000 + '"}', "is larger than 262144 bytes, which JOBS_MAX_JOB_BYTES"),
        ('{"task": "debug", "id": "' + "x" * 600 + '"}', "meta.id: is 610 bytes long; at most 512 are allowed"),
    ],
)
def test_a_bad_line_is_an_error_with_its_number(tmp_path: Path, line: str | bytes, wanted: str) -> None:
    """And the lines around it are read all the same."""
    good = {"task": "debug", "id": "good"}
    path = manifest(tmp_path, good, line, {"task": "debug", "args": [], "id": "good"}, name="m.jsonl")
    found = said(path)
    assert found[0].startswith(f"2: {wanted}")
    assert found[1:] == ["3: meta.id: 'good' stands on line 1 too; give each entry its own id"]


def test_names_that_stand_twice_name_both_lines(tmp_path: Path) -> None:
    """By id within a plan, and by output_name; the same id in two plans is two jobs."""
    voice = {"voice": "v", "text": "t", "output_name": "same"}
    path = manifest(
        tmp_path,
        {"task": "debug", "meta": {"id": "a", "plan": "p"}},
        {"task": "debug", "meta": {"id": "a", "plan": "q"}},
        {"task": "speak", "kwargs": voice, "id": "s1"},
        {"task": "sleep", "args": [1], "meta": {"id": "a", "plan": "p"}},
        {"task": "speak", "kwargs": voice, "id": "s2"},
    )
    assert said(path) == [
        "4: meta.id: 'a' stands on line 1 too; give each entry its own id",
        "5: kwargs.output_name: 'same' stands on line 3 too; give each entry its own",
    ]


def test_other_forms_of_the_same_text(tmp_path: Path) -> None:
    """A mark at the start, Windows line ends, no newline at the end, blank lines; UTF-16 is refused once."""
    path = tmp_path / "m.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"task": "debug", "id": "a"}\r\n \r\n{"task": "debug", "id": "\\ud83d\\ude00"}')
    found = list(read_jobs(path, FileRules()))
    assert [(job.index, job.line, job.spec.request_id) for job in found] == [
        (0, 1, "default:m:a"),
        (1, 3, "default:m:\U0001f600"),
    ]
    path.write_bytes('{"task": "debug", "id": "a"}\n{"task": "debug", "id": "b"}\n'.encode("utf-16"))
    assert said(path) == ["1: is no UTF-8 but UTF-16; save the file as UTF-8"]
    path.write_bytes(b"")
    assert list(read_jobs(path, FileRules())) == []


def test_a_manifest_is_known_by_its_name_or_its_first_entry(tmp_path: Path) -> None:
    """Job files and beatsheets stay what they are, in JSON too; `manifest` makes the file be one."""
    for name, content, wanted in (
        ("m.jsonl", "", True),
        ("M.JSONL", "- {task: debug}", True),
        ("m.txt", '\n {"task": "debug", "args": [], "meta": {"id": "a"}}\n', True),
        ("m.json", '{"task": "debug", "id": "a"}', True),
        ("m.json", '{"task": "debug", "request_id": "a"}', False),
        ("m.json", '{"id": 1, "narration": "One."}', False),
        ("m.json", '{"jobs": [{"task": "debug"}]}', False),
        ("m.yaml", "{task: debug, args: []}", False),
        ("m.yaml", '{"args": ' + "x" * 300_000, False),
    ):
        path = manifest(tmp_path, content, name=name)
        assert is_task_manifest(JobFile(path, 1 << 20), 262_144) is wanted, (name, content[:20])
    assert said(manifest(tmp_path, "jobs: []", name="m.yaml"), manifest=True)[0].startswith("1: is a job file")
    with pytest.raises(InvalidInputError, match="does not exist"):
        list(read_jobs(tmp_path / "none.jsonl", FileRules()))


def test_a_file_over_the_limit_is_refused(tmp_path: Path) -> None:
    """As every other job file is."""
    path = manifest(tmp_path, *[{"task": "debug", "id": str(n)} for n in range(100)])
    with pytest.raises(InvalidInputError, match="JOBS_MAX_FILE_BYTES allows 1000"):
        list(read_jobs(path, FileRules(max_file_bytes=1000)))


def test_who_looks_at_jobs_is_asked_and_placed(tmp_path: Path) -> None:
    """What the queue's own side finds in a voice stands at the argument."""
    path = manifest(tmp_path, {"task": "speak", "kwargs": {"voice": "v", "text": "t"}, "id": "a"})
    found = said(path, inspect=lambda spec: [FieldProblem("voice", f"{spec.voice} is not here")])
    assert found == ["1: kwargs.voice: v is not here"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
KEYS = ("task", "args", "kwargs", "meta", "id", "description", "priority", "backend", "deadline", "schema_version")
ENTRIES = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(KEYS, JSON),
        "task": st.sampled_from(BUILT_IN.spellings) | JSON,
        "args": st.lists(JSON, max_size=3) | JSON,
        "kwargs": st.dictionaries(st.sampled_from(["seconds", "data", "message", "text", "voice", "x"]), JSON) | JSON,
        "meta": st.dictionaries(st.sampled_from(["id", "plan", "x"]), JSON) | JSON,
    },
)


@given(st.lists(ENTRIES | JSON | st.binary(max_size=30), max_size=4))
def test_whatever_stands_there_is_a_job_or_a_mistake(
    tmp_path_factory: pytest.TempPathFactory, lines: list[Any]
) -> None:
    """Never a crash; a line is either one job or has its mistakes, and what is a job can be written and read again."""
    path = tmp_path_factory.mktemp("any") / "m.jsonl"
    path.write_bytes(b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines))
    for found in scan_jobs(path, FileRules()):
        if isinstance(found, FileJob):
            assert JobSpec.from_json(found.spec.to_json()) == found.spec
            assert found.spec.request_id.startswith("default:")
        else:
            assert isinstance(found, Problem)
            assert str(found).isprintable(), repr(str(found))


@given(st.lists(st.binary(max_size=40).filter(lambda text: b"\n" not in text)), st.integers(1, 40))
def test_lines_are_those_of_the_file(tmp_path_factory: pytest.TempPathFactory, texts: list[bytes], limit: int) -> None:
    """Every line that is not blank with its number; those over the limit are marked, wherever reads are cut."""
    path = tmp_path_factory.mktemp("lines") / "m.jsonl"
    path.write_bytes(b"\n".join([b"-", *texts]))
    with JobFile(path, 1 << 20).opened() as stream:
        found = {number: line for number, line in lines_of(stream, limit) if number > 1}
    for number, text in enumerate(texts, start=2):
        line = found.pop(number, b"")
        assert isinstance(line, TooLong) if len(text) > limit else line == text.strip(b" \t\r")
    assert found == {}


def test_a_line_that_was_not_kept_says_so() -> None:
    """With the limit that it has passed."""
    with pytest.raises(BadLineError, match="is larger than 7 bytes"):
        parsed(TooLong(7))


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """40 MB of entries, and one line of 20 MB, in a process that may hold neither."""
    path = tmp_path / "m.jsonl"
    with path.open("w") as file:
        for number in range(400):
            file.write(json.dumps({"task": "fast_crud", "args": ["x" * 100_000], "id": str(number)}) + "\n")
        file.write('{"task": "' + "y" * 20_000_000 + '"}\n')
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from lib.jobfile import FileRules, check_file\n"
        "report = check_file(Path(sys.argv[1]), FileRules())\n"
        "peak = [line for line in open('/proc/self/status') if line.startswith('VmHWM')][0].split()[1]\n"
        "print(report.jobs, len(report.problems), int(peak) // 1024)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True, cwd=ROOT)
    count, problems, peak = map(int, done.stdout.split())
    assert (count, problems) == (400, 1)
    assert peak < MEMORY_LIMIT_MB
