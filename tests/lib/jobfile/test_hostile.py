"""Files that want to crash, hang, fill memory or be misread. Each is refused or read right, with a line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lib.errors import InvalidInputError, Problem
from lib.jobfile import FileRules, check_file, scan_jobs
from tests.lib.jobfile.written import JOB, jobs, said, written

GOOD = "- {output_name: a, voice: v, text: Grüße}\n"
DEEP = 50_000
# A spawned interpreter with our modules alone is near 40 MB; a tree of one of these files would be hundreds.
MEMORY_LIMIT_MB = 150

LAUGHS = "a0: &a0 [lol, lol]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))

# Line of the problem and words that it must hold.
CORPUS: dict[str, tuple[str | bytes, int, str]] = {
    "nested lists": ("a: " + "[" * DEEP, 1, "deeper than 64"),
    "nested mappings": ("a: " + "{b: " * DEEP, 1, "deeper than 64"),
    "nested in a row": (f"- output_name: a\n  callback_data: {{a: {'[' * DEEP}}}", 2, "deeper than 64"),
    "nested blocks": ("".join(" " * at + "a:\n" for at in range(500)), 63, "deeper than 64"),
    "nested dashes": ("- " * DEEP, 1, "deeper than 64"),
    "nested below a bad key": ("? " * DEEP, 1, "deeper than 64"),
    "nested below a merge key": (f"- <<: {'[' * DEEP}", 1, "merge keys"),
    "billion laughs": (LAUGHS, 1, "anchor &a0"),
    "anchor on a row": ("- &x {output_name: a, voice: v, text: t}", 1, "anchor &x"),
    "anchor on a key": ("- &x output_name: a", 1, "anchor &x"),
    "anchor on a list": ("jobs: &x []", 1, "anchor &x"),
    "anchor on the root": ("&x []", 1, "anchor &x"),
    "alias": (GOOD + "- *x", 2, "alias *x"),
    "alias as a value": ("- output_name: a\n  text: *x", 2, "alias *x"),
    "alias as a key": ("- *x : a", 1, "alias *x"),
    "alias to itself": ("- &x [*x]", 1, "anchor &x"),
    "alias in defaults": ("defaults: *x\njobs: []", 1, "alias *x"),
    "python object": ("- !!python/object/apply:os.system ['true']", 1, "tag tag:yaml.org,2002:python/object"),
    "python name": ("- text: !!python/name:os.system", 1, "tag "),
    "own tag": ("- !job {output_name: a}", 1, "tag !job"),
    "text tag": ("- output_name: !!str 5", 1, "tag tag:yaml.org,2002:str"),
    "binary tag": ("- text: !!binary aGk=", 1, "tag tag:yaml.org,2002:binary"),
    "tag directive": ("%TAG ! tag:evil,2000:\n---\n- !x a", 3, "tag tag:evil,2000:x"),
    "tag on the root": ("!!seq []", 1, "tag "),
    "merge key": ("- <<: {output_name: a}\n  voice: v\n  text: t", 1, "merge keys are not read"),
    "merge key with an alias": ("defaults: &d {voice: v}\njobs:\n- {<<: *d}", 1, "anchor &d"),
    "duplicate key": ("- output_name: a\n  output_name: b", 2, "stands twice, first on line 1"),
    "duplicate key in callback data": ("- callback_data:\n    a: 1\n    a: 1", 3, "first on line 2"),
    "duplicate key at the root": ("text: a\ntext: b", 2, "first on line 1"),
    "duplicate key in defaults": ("defaults:\n  voice: a\n  'voice': b\njobs: []", 3, "first on line 2"),
    "number as a key": ("- 1: a", 1, "the key '1' must be text"),
    "null as a key": ("- ~: a", 1, "must be text"),
    "empty key": ("- {'': a}", 1, "no known field"),
    "boolean as a key": ("- callback_data: {true: a}", 1, "must be text"),
    "huge number as a key": (f"- ? {'9' * 5_000}\n  : a", 1, "must be text"),
    "list as a key": ("- [a, b]: c", 1, "not a list or mapping"),
    "mapping as a key": ("- {a: b}: c", 1, "not a list or mapping"),
    "very long key": (f'- ? "{"k" * 200_000}"\n  : a', 1, "no known field"),
    "very long text": (f'- text: "{"x" * 10_000_000}"', 1, "larger than 262144 bytes"),
    "very many fields": ("- {" + ", ".join(f"f{at}: 1" for at in range(100_000)) + "}", 1, "larger than 262144"),
    "very long list": (f"- callback_data: {{a: [{'1,' * 300_000}]}}", 1, "larger than 262144 bytes"),
    "very many empty lists": (f"- callback_data: {{a: [{'[],' * 300_000}]}}", 1, "larger than 262144 bytes"),
    "a mistake behind a very long text": (f'- text: "{"x" * 10_000_000}"\n- {{a: b}}', 2, "no known field"),
    "far too many nodes": (f"- callback_data: {{a: [{'1,' * 600_000}]}}", 1, "reading stops"),
    "very large defaults": (f"defaults: {{text: '{'x' * 300_000}'}}\njobs: []", 1, "larger than 262144"),
    "very long number": (GOOD + f"- variants: {'9' * 100_000}", 2, "digits; put it in quotes"),
    "control characters in a key": ('- "\\e[31mred": 1', 1, "no known field"),
    "NUL": (GOOD.encode() + b"- text: a\0b\n", 2, "control character 0x00"),
    "NUL at the start": (b"\0", 1, "control character 0x00"),
    "escape character": (GOOD.encode() + b"\n- text: a\x1bb\n", 3, "control character 0x1b"),
    "latin-1": (GOOD.encode() + "- text: Grüße\n".encode("latin-1"), 2, "save the file as UTF-8"),
    "broken UTF-8 in the middle": (
        b"# Gr\xc3\xbc\xc3\x9fe\n" * 1_000 + b"- a: \xc3\x28\n",
        1_001,
        "save the file as UTF-8",
    ),
    "overlong UTF-8": (b"- text: \xc0\xae\xc0\xae\n", 1, "save the file as UTF-8"),
    "a surrogate in UTF-8": (b"- text: \xed\xa0\x80\n", 1, "save the file as UTF-8"),
    "an escaped surrogate": (GOOD + '- text: "\\ud83d\\ude00"\n', 2, "write the character itself"),
    "UTF-16 without a mark": (GOOD.encode("utf-16-le"), 1, "save the file as UTF-8"),
    "UTF-16 cut in half": (GOOD.encode("utf-16")[:-1], 1, "save the file as UTF-8"),
    "UTF-32": (GOOD.encode("utf-32"), 1, "save the file as UTF-8"),
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), 1, "save the file as UTF-8"),
    "gzip": (b"\x1f\x8b\x08\x00" + b"\xaa" * 50, 1, "save the file as UTF-8"),
    "two documents": (GOOD + "---\n" + GOOD, 2, "a second document"),
    "unknown version": ("%YAML 3.0\n---\n[]", 1, "is no YAML"),
    "unknown escape": ('- text: "\\q"', 1, "is no YAML"),
}


@pytest.mark.parametrize(("content", "line", "words"), CORPUS.values(), ids=CORPUS.keys())
def test_it_is_refused_where_it_stands(tmp_path: Path, content: str | bytes, line: int, words: str) -> None:
    """A problem has the line of the trouble and says what to do about it."""
    found = said(tmp_path, content)
    assert [text for text in found if text.startswith(f"{line}: ") and words in text], found[:5]


READ_RIGHT: dict[str, bytes] = {
    "plain": GOOD.encode(),
    "with a byte order mark": b"\xef\xbb\xbf" + GOOD.encode(),
    "UTF-16 little-endian": GOOD.encode("utf-16"),
    "UTF-16 big-endian": b"\xfe\xff" + GOOD.encode("utf-16-be"),
    "CRLF": b"# from another system\r\n" + GOOD.replace("\n", "\r\n").encode(),
    "CR": GOOD.replace("\n", "\r").encode(),
    "no newline at the end": GOOD.strip().encode(),
    "a version": b"%YAML 1.1\n---\n" + GOOD.encode(),
    "tabs around values": b"- {output_name:\ta,\tvoice: v, text: Gr\xc3\xbc\xc3\x9fe}\n",
}


@pytest.mark.parametrize("content", READ_RIGHT.values(), ids=READ_RIGHT.keys())
def test_it_is_read_right(tmp_path: Path, content: bytes) -> None:
    """However the editor saved it."""
    (job,) = jobs(tmp_path, content)
    assert (job.spec.output_name, job.spec.text) == ("a", "Grüße")


def test_lines_are_counted_as_an_editor_counts_them(tmp_path: Path) -> None:
    """With CRLF, with a byte order mark, in UTF-16."""
    text = "# one\n\n- {output_name: a, voice: v, text: ' '}\n"
    for content in (
        text.encode(),
        text.replace("\n", "\r\n").encode(),
        b"\xef\xbb\xbf" + text.encode(),
        text.encode("utf-16"),
    ):
        (line,) = said(tmp_path, content)
        assert line.startswith("3: jobs[0].text: is blank")


def test_text_in_a_crlf_file_has_plain_newlines(tmp_path: Path) -> None:
    """The same file from two systems is the same job with the same hash."""
    text = "- output_name: a\n  voice: v\n  text: |\n    one\n    two\n"
    (unix,) = jobs(tmp_path, text)
    (windows,) = jobs(tmp_path, text.replace("\n", "\r\n"))
    assert windows.spec.text == "one\ntwo\n"
    assert windows.spec.content_hash == unix.spec.content_hash


def test_sixty_four_levels_are_read(tmp_path: Path) -> None:
    """The root list, the row, callback_data and its own 61."""
    deep = "[" * 60 + "]" * 60
    (job,) = jobs(tmp_path, f"- {{output_name: a, voice: v, text: t, callback_data: {{a: {deep}}}}}")
    assert job.spec.callback_data["a"]
    (line,) = said(tmp_path, f"- {{output_name: a, voice: v, text: t, callback_data: {{a: {'[' * 64 + ']' * 64}}}}}")
    assert "deeper than 64" in line


def test_reading_goes_on_after_each_refusal(tmp_path: Path) -> None:
    """All of these in one file are all told."""
    found = said(
        tmp_path,
        "- &a {output_name: a, voice: v, text: t}\n- !b {output_name: b, voice: v, text: t}\n- *c\n"
        "- {<<: {x: y}, output_name: d, voice: v, text: t}\n- {output_name: e, output_name: e, voice: v, text: t}\n"
        "- {1: 2, output_name: f, voice: v, text: t}\n- {output_name: g, voice: v, text: t, callback_data: {a: !z 1}}\n"
        "- {[k]: 1, output_name: h, voice: v, text: t}\n- {output_name: i, voice: ' ', text: t}\n",
    )
    assert [line.partition(":")[0] for line in found] == [str(line) for line in range(1, 10)]


def test_no_refused_row_becomes_a_job(tmp_path: Path) -> None:
    """A row of which a part was refused is not the row that was written."""
    content = "- {output_name: a, voice: v, text: t, %s}\n"
    for part in ("callback_data: {a: *x}", "callback_data: {a: [!t 1]}", "[k]: 1", "*x : 1", "1: 2", "text: u"):
        found = list(scan_jobs(written(tmp_path, content % part), FileRules()))
        assert [type(item) for item in found] == [Problem], part


# Not ru_maxrss: Linux carries the parent's over into a child.
MEASURE = """
import re, sys
from pathlib import Path
from lib.errors import InvalidInputError
from lib.jobfile import FileRules, check_file
try:
    report = check_file(Path(sys.argv[1]), FileRules())
    print(report.jobs, len(report.problems), end=" ")
except InvalidInputError:
    print("refused 1", end=" ")
print(int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text()).group(1)) // 1024)
"""


needs_proc = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")


def measured(path: Path) -> tuple[str, int, int]:
    """Jobs, problems and peak megabytes of a process that checks this file and does nothing else."""
    run = subprocess.run(
        [sys.executable, "-c", MEASURE, str(path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
        cwd=Path(__file__).parents[3],
    )
    assert run.returncode == 0, run.stderr
    answer, problems, megabytes = run.stdout.split()
    return answer, int(problems), int(megabytes)


BOMBS: dict[str, bytes] = {
    "nesting of 50 000": b"a: " + b"[" * DEEP,
    "nesting of 5 000 000": b"[" * 5_000_000,
    "billion laughs": LAUGHS.encode(),
    "one list of ten million": b"- callback_data: {a: [" + b"1," * 10_000_000 + b"]}",
    # One astral character makes Python hold the whole megabyte in four.
    "sixty texts that swell": b"- callback_data: [" + (b"x" * 1_000_000 + "🎙, ".encode()) * 60 + b"]",
    "one row of a million fields": b"- {" + b"".join(b"f%d: 1, " % at for at in range(1_000_000)) + b"}",
    "one million rows of nothing": b"- {}\n" * 1_000_000,
    "one million wrong keys": b"- {" + b"1: 1, " * 1_000_000 + b"}",
    "one million anchors": b"".join(b"- &a%d x\n" % at for at in range(1_000_000)),
    "hidden behind a merge key": b"- <<: [" + b"[1],[2]," * 2_000_000 + b"]",
}


@needs_proc
@pytest.mark.parametrize("content", BOMBS.values(), ids=BOMBS.keys())
def test_a_bomb_neither_crashes_nor_fills_memory(tmp_path: Path, content: bytes) -> None:
    """In a process of its own, because a crash of the interpreter would take the tests along."""
    answer, problems, megabytes = measured(written(tmp_path, content))
    assert answer == "0"
    assert problems >= 1
    assert megabytes < MEMORY_LIMIT_MB


@needs_proc
def test_a_file_of_a_hundred_megabytes_is_refused_unread(tmp_path: Path) -> None:
    """Memory does not notice it."""
    path = tmp_path / "huge.yaml"
    with path.open("wb") as file:
        file.truncate(100_000_000)
    answer, _, megabytes = measured(path)
    assert answer == "refused"
    assert megabytes < MEMORY_LIMIT_MB


@needs_proc
def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """Twenty times the rows cost a few bytes each, not a tree of them."""
    row = "- {{output_name: t/b-{:06d}, voice: newsroom, text: 'A line of some length, number {:06d}.'}}\n"
    few, many = (tmp_path / name for name in ("few.yaml", "many.yaml"))
    few.write_text("".join(row.format(at, at) for at in range(2_000)))
    many.write_text("".join(row.format(at, at) for at in range(40_000)))
    (jobs_few, _, small), (jobs_many, _, large) = measured(few), measured(many)
    assert (jobs_few, jobs_many) == ("2000", "40000")
    assert large - small < 8, "38 000 rows more, 4 MB of text: a tree of them would be 60 MB"


_TOKENS = st.sampled_from(
    [
        *("- ", "  ", "\n", "jobs:", "defaults:", "text: t", "voice: v", "output_name: a", "{", "}", "[", "]", ","),
        *(": ", "&a ", "*a ", "!t ", "!!str ", "<<: ", "? ", "|\n", ">-\n", '"', "'", "#", "---\n", "...\n", "1.9"),
        *("%YAML 1.2\n", "1", "~", "true", "\t", "\r\n", "\ufeff", "é", "\u2028", "\\", "@", "`"),
        "callback_data: {a: [1]}",
    ]
)


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(content=st.lists(_TOKENS, max_size=25).map(lambda parts: "".join(parts).encode()) | st.binary(max_size=80))
def test_no_bytes_at_all_crash_the_reader(tmp_path: Path, content: bytes) -> None:
    """The answer is jobs or problems with lines inside the file, whatever the bytes are."""
    path = written(tmp_path, content)
    try:
        report = check_file(path, FileRules())
    except InvalidInputError as error:
        pytest.fail(f"a readable file was refused as a whole: {error}")
    lines = content.count(b"\n") + content.count(b"\r") + content.count("\u2028".encode()) + 2
    for problem in report.problems:
        assert 1 <= problem.line <= lines
        assert str(problem).isprintable()


# No digits: what YAML 1.1 writes plain, as 1e5, YAML 1.2 reads as a number.
_UNLIKE_NUMBERS = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Nd"), exclude_characters="\u2028\u2029\ufeff")
)
_PLAIN = st.dictionaries(
    _UNLIKE_NUMBERS,
    _UNLIKE_NUMBERS
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.booleans()
    | st.none()
    | st.lists(st.integers(0, 9), max_size=3),
    max_size=4,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=_PLAIN, flow=st.booleans())
def test_what_pyyaml_writes_is_read_as_it_was(
    tmp_path: Path,
    data: dict[str, object],
    flow: bool,  # noqa: FBT001  Hypothesis gives it
) -> None:
    """Any callback data that a program dumps comes back equal."""
    row = {"output_name": "a", "voice": "v", "text": "t", "callback_data": data}
    content = yaml.safe_dump([row], default_flow_style=flow, allow_unicode=True)
    assert [job.spec.callback_data for job in jobs(tmp_path, content)] == [data]


def test_a_good_row_is_good(tmp_path: Path) -> None:
    """The row that all of this is built around."""
    assert len(jobs(tmp_path, JOB)) == 1
