"""How commands speak."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from lib.calling import RUN_VARIABLE
from lib.errors import InvalidInputError, JobRunnerError, NotFoundError
from lib.voice_synth.cli.output import Output

if TYPE_CHECKING:
    from tests.lib.voice_synth.cli.conftest import VoiceSynth


def test_a_table_has_straight_columns(capsys: pytest.CaptureFixture[str]) -> None:
    """As wide as the widest cell; no blanks at the end of a line."""
    Output().table(("A", "LONG"), [("xxx", ""), ("y", "z")])
    assert capsys.readouterr().out == "A    LONG\nxxx\ny    z\n"


def test_an_error_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    """Message and hint on stderr; as a document too when one is asked for."""
    error = NotFoundError("no voice 'x'", hint="see `voice-synth list-voices`")
    Output().fail(error)
    assert capsys.readouterr() == ("", "error: no voice 'x'\nhint: see `voice-synth list-voices`\n")
    Output(as_json=True).fail(error)
    captured = capsys.readouterr()
    assert json.loads(captured.out)["error"] == {
        "code": "not_found",
        "message": "no voice 'x'",
        "hint": "see `voice-synth list-voices`",
    }
    assert captured.err.startswith("error: ")


def test_commands_in_messages_can_be_typed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """In a checkout they begin with `./run`."""
    monkeypatch.setenv(RUN_VARIABLE, "./run")
    Output().fail(JobRunnerError("x", hint="see `voice-synth list-voices`"))
    assert "`./run voice-synth list-voices`" in capsys.readouterr().err


def test_examples_in_help_can_be_typed(synth: VoiceSynth, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for the examples of each help and the usage line."""
    monkeypatch.setenv(RUN_VARIABLE, "./run")
    out = synth("export", "--help").out
    assert "    ./run voice-synth export anna\n" in out
    assert "Usage: ./run voice-synth export" in out


def test_nobody_is_asked_where_nobody_can_answer(synth: VoiceSynth) -> None:
    """`yes` answers for the person; without it and without a terminal nothing is done."""
    Output().confirm("really?", yes=True)
    assert synth("delete", "newsroom").code == 1  # sets a stdin that is no terminal
    with pytest.raises(InvalidInputError, match="not done: really"):
        Output().confirm("really?", yes=False)
