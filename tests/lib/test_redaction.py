"""What counts as a secret of this process, and that no form of it is left."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.manifest.executing import ExecuteOptions, execute
from lib.redaction import (
    BLACKENED,
    LEAST_CHARACTERS,
    RedactedStream,
    Redactor,
    excepthook,
    process_secrets,
    redacted_streams,
    this_process,
)

if TYPE_CHECKING:
    from lib.manifest.documents import ManifestJob
    from lib.manifest.reading import CheckedManifest
    from lib.manifest.speech import Speech

CANARY = "s3cr3t value"


def found(environ: dict[str, str], *argv: str) -> frozenset[str]:
    """The secrets of a process whose home holds nothing."""
    return process_secrets({"HOME": "/nowhere", **environ}, argv)


@pytest.mark.parametrize(
    "name",
    [
        "CALLBACK_SECRET",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "VAST_API_KEY",
        "GEMINI_API_KEY",
        "GOOGLE_APIKEY",
        "PGPASSWORD",
        "my_passphrase",
    ],
)
def test_a_variable_is_secret_by_the_end_of_its_name(name: str) -> None:
    """Those of this program and of whatever else its tasks may use."""
    assert found({name: f" {CANARY}\n"}) == {CANARY}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CLOUD_TOKENS_PER_MIN", "2.00"),
        ("VAST_SSH_KEY", "/home/me/.ssh/id"),
        ("AWS_ACCESS_KEY_ID", "AKIA0000"),
        ("A", "b"),
    ],
)
def test_what_only_sounds_secret_is_not(name: str, value: str) -> None:
    """A number or a path that is blackened everywhere would make logs useless."""
    assert found({name: value}) == frozenset()


@pytest.mark.parametrize(
    ("url", "secrets"),
    [
        ("redis://:pass%20word@host:1/0", {"pass%20word", "pass word"}),
        ("rediss://me:p/w:1@host:1/0?ssl_password=other", {"p/w:1", "other"}),
        ("redis+sentinel://:pass@a:1,b:2/m?sentinel_password=sent%2Finel", {"pass", "sent%2Finel", "sent/inel"}),
        ("redis://host:1/0?password=query", {"query"}),
        ("postgresql://me:pass@host/db", {"pass"}),
        ("https://bucket.example/x?X-Amz-Signature=abcdef&a=b", {"abcdef"}),
        ("redis://host:6379/0", set()),
        ("http://host:8080/@scope", set()),
    ],
)
@pytest.mark.parametrize("place", ["variable", "word", "flag"])
def test_what_stands_in_a_url_is_found_wherever_the_url_stands(url: str, secrets: set[str], place: str) -> None:
    """As it is written and as it is meant."""
    match place:
        case "variable":
            assert found({"ANY": url}) == secrets
        case "word":
            assert found({}, "--redis-url", url) == secrets
        case _:
            assert found({}, f"--redis-url={url}") == secrets


def test_the_files_of_the_aws_tools_are_read(tmp_path: Path) -> None:
    """Where the variables say, else where they usually are; a file that is none is no error."""
    named, usual = tmp_path / "named", tmp_path / ".aws" / "config"
    named.write_bytes(
        b"[a]\naws_access_key_id=AKIA\naws_secret_access_key = one/1\n\xff\n[b]\nAWS_SESSION_TOKEN=two2=\n"
    )
    usual.parent.mkdir()
    usual.write_text("[profile x]\n  aws_secret_access_key=three\nregion = eu\n")
    environ = {"HOME": str(tmp_path), "AWS_SHARED_CREDENTIALS_FILE": str(named)}
    assert process_secrets(environ) == {"one/1", "two2=", "three"}
    assert process_secrets({**environ, "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path)}) == {"three"}


def test_a_value_that_is_too_short_is_left_alone() -> None:
    """Or half of every line would be black."""
    assert found({"API_TOKEN": "x" * (LEAST_CHARACTERS - 1)}) == frozenset()
    assert found({"API_TOKEN": ""}) == frozenset()
    assert this_process(dict, ["a", "ab1", "abcd"])("a ab1 abcd") == f"a ab1 {BLACKENED}"


@given(st.text(max_size=20), st.text(min_size=4, max_size=12), st.text(max_size=20))
def test_no_form_of_a_secret_is_left(before: str, secret: str, after: str) -> None:
    """Plain, in JSON of both kinds, in a repr, in a URL."""
    redact = Redactor([secret])
    forms = [secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1]]
    if secret.encode("utf-8", "replace").decode() == secret:
        forms.append(quote(secret, safe=""))
    for form in forms:
        assert form not in redact(f"{before}{form}{after}").replace(BLACKENED, "") or form in BLACKENED * 9


@given(st.integers(LEAST_CHARACTERS, len(CANARY)))
def test_a_beginning_that_was_left_by_a_cut_is_blackened(length: int) -> None:
    """At the end of each line, down to the least number of characters."""
    text = f"a {CANARY[:length]}\nb {CANARY} c\nd {CANARY[:length]}"
    assert Redactor([CANARY]).cut(text) == f"a {BLACKENED}\nb {BLACKENED} c\nd {BLACKENED}"


def test_a_json_value_is_redacted_in_depth() -> None:
    """Texts and names of fields; numbers and the rest stay what they are."""
    value: dict[str, Any] = {"a": [1, 2.5, None, True, {CANARY: f"x{CANARY}"}], "b": (CANARY,)}
    expected = {"a": [1, 2.5, None, True, {BLACKENED: f"x{BLACKENED}"}], "b": [BLACKENED]}
    assert Redactor([CANARY]).value(value) == expected
    assert Redactor().value(value) is value


def test_a_broken_environment_file_makes_no_second_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever tells of the first error needs a redactor all the same."""

    def broken() -> dict[str, str]:
        raise PermissionError(".env")

    monkeypatch.setenv("SOME_TOKEN", CANARY)
    monkeypatch.setattr(sys, "argv", ["x", "redis://:other@host"])
    assert this_process(broken, ["more"])(f"{CANARY} other more") == " ".join([BLACKENED] * 3)


def test_streams_show_no_secret_for_the_length_of_a_block(capsys: pytest.CaptureFixture[str]) -> None:
    """What is printed by code that is not ours; afterwards the streams are what they were."""
    before = sys.stdout, sys.stderr
    with redacted_streams(Redactor([CANARY])):
        print("out", CANARY)  # noqa: T201 - what a body prints is tested
        sys.stderr.writelines(["err ", CANARY])
    assert (sys.stdout, sys.stderr) == before
    assert capsys.readouterr() == (f"out {BLACKENED}\n", f"err {BLACKENED}")


def test_a_redacted_stream_is_in_all_else_the_one_below() -> None:
    """A terminal stays a terminal."""
    below = io.StringIO()
    stream = RedactedStream(below, Redactor([CANARY]))
    assert stream.write(CANARY) == len(CANARY)
    assert stream.isatty() is False
    assert stream.getvalue() == BLACKENED


def test_a_traceback_has_no_secret(capsys: pytest.CaptureFixture[str]) -> None:
    """Nor has that of its cause."""
    error = RuntimeError(f"because of {CANARY}")
    error.__cause__ = ValueError(CANARY)
    excepthook(Redactor([CANARY]))(RuntimeError, error, None)
    shown = capsys.readouterr().err
    assert f"ValueError: {BLACKENED}" in shown
    assert f"because of {BLACKENED}" in shown
    assert CANARY not in shown


class Careless:
    """Speech whose engine quotes the environment in its error."""

    def entry_of(self, *_: object) -> None:
        """Fail."""
        raise RuntimeError(f"401 for key {CANARY}")


class Nobody:
    """Is told of progress."""

    def __getattr__(self, _: str) -> Any:
        return lambda *_: None


def test_errors_in_an_execution_document_are_redacted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`execution.json` is passed around like a record."""
    monkeypatch.setenv("ENGINE_API_KEY", CANARY)
    job = cast("ManifestJob", type("Job", (), {"request_id": "a", "output_name": "a"})())
    manifest = type("Manifest", (), {"folder": tmp_path, "run_id": "r", "jobs": ((job, None),)})()
    done = execute(cast("CheckedManifest", manifest), ExecuteOptions(), Nobody(), cast("Speech", Careless()))
    assert done.jobs[0].error == f"RuntimeError: 401 for key {BLACKENED}"
    assert CANARY not in Path(done.path).read_text()


def test_what_is_handed_out_while_a_program_runs_is_learnt() -> None:
    """Credentials of an instance's role come late and change; what was known before stays hidden."""
    redact = Redactor(["first-secret"])
    assert redact("first-secret and second-secret") == "*** and second-secret"
    redact.learn(["second-secret", "abc"])
    assert redact("first-secret and second-secret abc") == "*** and *** abc"
