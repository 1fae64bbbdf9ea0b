"""A manifest may come from anybody: whatever a compiled one cannot hold is refused as a whole, before anything runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from lib.errors import InvalidInputError
from lib.manifest import read_manifest
from tests.lib.manifest.folders import compiled, document_of, job, rewritten

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Change = "Callable[[dict[str, Any]], object]"


def first(document: dict[str, Any]) -> dict[str, Any]:
    """The first job."""
    found: dict[str, Any] = document["jobs"][0]
    return found


def with_argv(*argv: str) -> Callable[[dict[str, Any]], object]:
    """The first job with another command line."""
    return lambda document: first(document).update(argv=list(argv))


def with_flags(*flags: str) -> Callable[[dict[str, Any]], object]:
    """The first job with more flags."""
    return lambda document: first(document)["argv"].extend(flags)


def with_field(**fields: Any) -> Callable[[dict[str, Any]], object]:
    """The first job with other fields."""
    return lambda document: first(document).update(fields)


def with_flag_value(flag: str, value: str) -> Callable[[dict[str, Any]], object]:
    """The first job with another value of a flag."""

    def change(document: dict[str, Any]) -> None:
        argv = first(document)["argv"]
        argv[argv.index(flag) + 1] = value

    return change


HOSTILE: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "another program": (with_argv("rm", "-rf", "x"), "only `voice-synth speak` is run from a manifest, not 'rm -rf'"),
    "another command": (with_argv("voice-synth", "register", "x"), "only `voice-synth speak`"),
    "a program by path": (with_argv("/bin/voice-synth", "speak"), "only `voice-synth speak`"),
    "no program": (with_argv(), "only `voice-synth speak`"),
    "an unknown flag": (with_flags("--exec", "sh"), "No such option"),
    "help": (with_flags("--help"), "No such option"),
    "a stray word": (with_flags("more"), "unexpected extra argument"),
    "json": (with_flags("--json"), "have no place in a manifest"),
    "voices of another folder": (with_flags("--voices-dir", "voices"), "have no place in a manifest"),
    "a text in the flags": (with_flags("--text", "x"), "give exactly one of"),
    "a count that is none": (with_flag_value("--variants", "many"), "--variants"),
    "too many takes": (with_flag_value("--variants", "100000"), "variants"),
    "no voice": (with_argv("voice-synth", "speak", "--text-file", "a/one/text.txt", "--out-exact", "a/one"), "json"),
    "text from stdin": (with_flag_value("--text-file", "-"), "--text-file in argv is '-'"),
    "text from elsewhere": (with_flag_value("--text-file", "/etc/passwd"), "it must be 'a/one/text.txt'"),
    "out above": (with_flag_value("--out-exact", "../x"), "--out-exact in argv"),
    "a result above": (with_flag_value("--json-result", "a/../../r.json"), "--json-result in argv"),
    "an output_name above": (with_field(output_name="../a"), "has a part '..'"),
    "an absolute output_name": (with_field(output_name="/a"), "must be relative"),
    "a reserved output_name": (with_field(output_name="execution.json"), "stands beside the jobs"),
    "out_exact of another": (with_field(out_exact="a/two"), "out_exact is 'a/two'"),
    "text_file of another": (with_field(text_file="a/two/text.txt"), "text_file is"),
    "json_result on the manifest": (with_field(json_result="manifest.json"), "json_result is"),
    "another source": (with_field(source_key="voice:other"), "which is not what argv names"),
    "a number for a name": (with_field(request_id=7), "must be text"),
    "an id with control characters": (with_field(request_id="a\x1b[2J"), "control character"),
    "a negative attempt": (with_field(attempt=-1), "attempt"),
    "a field more": (with_field(environ={}), "environ"),
    "an argv of numbers": (with_field(argv=["voice-synth", 1]), "argv"),
    "the same id twice": (lambda d: d["jobs"][1].update(request_id="a:one"), "stands in jobs[0] too"),
    "a newer schema": (lambda d: d.update(schema_version=2), "schema_version"),
    "a root field more": (lambda d: d.update(env={}), "env"),
    "no run_id": (lambda d: d.pop("run_id"), "run_id"),
    "jobs that are none": (lambda d: d.update(jobs={}), "jobs"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_manifest_is_refused(tmp_path: Path, name: str) -> None:
    """It says which job, and what is wrong; nothing is run."""
    change, said = HOSTILE[name]
    manifest = compiled(tmp_path, job("a/one"), job("a/two"))
    document = document_of(manifest)
    change(document)
    with pytest.raises(InvalidInputError) as caught:
        read_manifest(rewritten(manifest, document))
    assert said in caught.value.message
    assert caught.value.message.startswith(f"{manifest} is not executed")
    assert caught.value.hint is not None
    assert caught.value.exit_code == 2


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    """Up to twenty lines, then a number."""
    manifest = compiled(tmp_path, *(job(f"n/{number:02d}") for number in range(30)))
    document = document_of(manifest)
    for each in document["jobs"]:
        each["argv"].append("--loud")
    with pytest.raises(InvalidInputError) as caught:
        read_manifest(rewritten(manifest, document))
    lines = caught.value.message.splitlines()
    assert len(lines) == 22
    assert lines[1].startswith("  jobs[0] (n:00): voice-synth speak: No such option: --loud")
    assert lines[-1] == "  and 10 more"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is no manifest"),
        (b"[]", "is not executed"),
        (b"{", "is no manifest"),
        (b"\xff\xfe", "is no manifest"),
        (b'{"jobs": NaN}', "NaN is no JSON"),
        (b'{"run_id": "a", "run_id": "b"}', "a key stands twice"),
        (b"[" * 100_000, "is no manifest"),
        (b'{"a": ' * 100_000, "is no manifest"),
        (b"1" * 5_000, "is no manifest"),
    ],
)
def test_what_is_no_manifest(tmp_path: Path, content: bytes, said: str) -> None:
    """Said in a line, never with a crash."""
    path = tmp_path / "manifest.json"
    path.write_bytes(content)
    with pytest.raises(InvalidInputError) as caught:
        read_manifest(path)
    assert said in caught.value.message


def test_a_missing_manifest(tmp_path: Path) -> None:
    """A folder without one, and a name that is nothing."""
    for path in (tmp_path, tmp_path / "x.json"):
        with pytest.raises(InvalidInputError, match="No such file"):
            read_manifest(path)


def test_a_folder_is_as_good_as_its_manifest(tmp_path: Path) -> None:
    """Either can be named; jobs come in the order of the file, with what their flags say."""
    manifest = compiled(tmp_path, job("a/one"), job("a/two", voice=None, speaker="Ryan"))
    found = read_manifest(tmp_path)
    assert found == read_manifest(manifest)
    assert found.folder == tmp_path.resolve()
    assert [entry.request_id for entry, _ in found.jobs] == ["a:two", "a:one"]
    assert found.jobs[0][1].row["speaker"] == "Ryan"


def test_a_manifest_by_hand_may_name_seed_and_engine(tmp_path: Path) -> None:
    """They are flags of the program, and harmless."""
    manifest = compiled(tmp_path, job("a"))
    document = document_of(manifest)
    first(document)["argv"] += ["--seed", "7", "--engine", "hibari"]
    [(_, call)] = read_manifest(rewritten(manifest, document)).jobs
    assert (call.seed, call.engine) == (7, "hibari")


def test_a_symlink_that_leads_out_is_refused(tmp_path: Path) -> None:
    """As a directory on the way, or as a file where something would be written or read."""
    folder = tmp_path / "batch"
    manifest = compiled(folder, job("a/one"))
    (folder / "a/one/result.json").symlink_to(tmp_path / "victim")
    with pytest.raises(InvalidInputError, match=r"a/one/result\.json is a symlink"):
        read_manifest(manifest)
    (folder / "a/one/result.json").unlink()
    (folder / "a").rename(tmp_path / "outside")
    (folder / "a").symlink_to(tmp_path / "outside")
    with pytest.raises(InvalidInputError, match="leads through a symlink"):
        read_manifest(manifest)


def test_the_folder_itself_may_be_a_symlink(tmp_path: Path) -> None:
    """That is its owner's choice."""
    compiled(tmp_path / "batch", job("a/one"))
    (tmp_path / "link").symlink_to(tmp_path / "batch")
    assert read_manifest(tmp_path / "link").folder == (tmp_path / "batch").resolve()


def test_floats_keep_their_digits(tmp_path: Path) -> None:
    """A manifest is JSON all the way."""
    manifest = compiled(tmp_path, job("a", temperature=0.1))
    assert json.loads(manifest.read_bytes()) == document_of(manifest)
    assert read_manifest(manifest).jobs[0][1].row["temperature"] == 0.1
