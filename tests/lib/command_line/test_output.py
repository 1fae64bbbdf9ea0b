"""How commands speak: streams, escapes, questions."""

from __future__ import annotations

import io
import sys

import pytest

from lib.command_line.output import ROWS, Output
from lib.errors import InvalidInputError, NotFoundError


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_streams_are_kept_apart(capsys: pytest.CaptureFixture[str]) -> None:
    """Data on stdout, everything else on stderr."""
    output = Output()
    output.data("data")
    output.say("said")
    output.warn("careful")
    output.fail(NotFoundError("no such thing", hint="look elsewhere"))
    captured = capsys.readouterr()
    assert captured.out == "data\n"
    assert captured.err == "said\nwarning: careful\nerror: no such thing\nhint: look elsewhere\n"


def test_quiet_keeps_warnings_and_errors(capsys: pytest.CaptureFixture[str]) -> None:
    """Only messages that nobody must see are silenced."""
    output = Output(quiet=True)
    output.say("said")
    output.warn("careful")
    output.fail(NotFoundError("gone"))
    assert capsys.readouterr().err == "warning: careful\nerror: gone\n"


@pytest.mark.parametrize(
    ("no_color", "environment", "colored"),
    [
        (False, {}, True),
        (True, {}, False),
        (False, {"NO_COLOR": "1"}, False),
        (False, {"NO_COLOR": ""}, True),
        (False, {"TERM": "dumb"}, False),
    ],
)
def test_colour_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], *, no_color: bool, colored: bool
) -> None:
    """--no-color, NO_COLOR (when not empty) and a dumb terminal each switch it off."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stdout", _Terminal())
    output = Output(no_color=no_color)
    assert output.colored is colored
    assert output.paint("failed", "x") == ("\x1b[31mx\x1b[0m" if colored else "x")


def test_no_question_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dangerous command in a script is refused, not hung, unless it brings its yes."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    with pytest.raises(InvalidInputError, match="not done: really"):
        Output().confirm("really?", yes=False)
    Output().confirm("really?", yes=True)


def test_the_document_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    """With the version of its shape in front."""
    Output().document({"a": 1})
    assert capsys.readouterr().out == '{\n  "schema_version": 1,\n  "a": 1\n}\n'


def test_hints_are_broken_at_blanks_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the width of the terminal, and a command in backquotes stays on one line, ready to be copied."""
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "50")
    command = "`job-runner enqueue a.yaml b.yaml c.yaml --replace`"
    Output().say(f"conflict: some words that fill the line; {command}, then wait until it is done")
    lines = terminal.getvalue().splitlines()
    assert any(command in line for line in lines)
    assert max(len(line) for line in lines if command not in line) <= 50
    assert " ".join(line.strip() for line in lines).startswith("conflict: some words that fill the line; `job")


def test_a_long_listing_is_written_whole_and_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    """A write for every line of a hundred thousand would be most of the time of a command."""
    Output().listing(f"line {number}" for number in range(12_345))
    assert capsys.readouterr().out.splitlines() == [f"line {number}" for number in range(12_345)]


def test_a_listing_of_nothing_is_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """No empty line either."""
    Output().listing([])
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("count", [0, 1, 2, 2_500])
def test_a_document_of_many_rows_is_the_same_document(count: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Written row by row, byte for byte as from one piece."""
    rows = [{"id": f"r{number}\n", "in": {"list": [number], "none": []}} for number in range(count)]
    Output().document({"count": count, "rows": ROWS, "rest": ROWS}, rows=iter(rows))
    by_row = capsys.readouterr().out
    Output().document({"count": count, "rows": rows, "rest": ROWS})
    assert by_row == capsys.readouterr().out
