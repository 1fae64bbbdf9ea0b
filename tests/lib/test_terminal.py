"""Words on their way to a terminal."""

from __future__ import annotations

import io
import os

import pytest

from lib.terminal import WIDTH_UNKNOWN, clean, width_of, wrapped, write


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        """It does."""
        return True


def test_a_long_line_is_broken_for_a_terminal_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set in below its first word, a command in one piece; a program reads one line."""
    monkeypatch.setenv("COLUMNS", "40")
    line = "  why        one two three four five six; then type `make the next line long`"
    assert wrapped(line, io.StringIO(), indent=13) == line
    assert wrapped(line, Terminal(), indent=13).splitlines() == [
        "  why        one two three four five",
        "             six; then type",
        "             `make the next line long`",
    ]
    assert (width_of(Terminal()), width_of(io.StringIO())) == (40, WIDTH_UNKNOWN)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Füße 日本語 🙂", "Füße 日本語 🙂"),
        ("a\x1b[2J", "a\\x1b[2J"),
        ("a\nb", "a\\nb"),
        ("\u202eabc", "\\u202eabc"),
        ("a\x1b[31mb\nc\u202ed", "a\\x1b[31mb\\nc\\u202ed"),
    ],
)
def test_text_of_others_drives_no_terminal(text: str, shown: str) -> None:
    """Control characters, newlines and direction marks are seen, not obeyed; letters of any script stay."""
    assert clean(text) == shown


def test_what_may_stay_stays() -> None:
    """A message of several lines keeps its lines, and nothing else."""
    assert clean("a\nb\tc", keep="\n") == "a\nb\\tc"


def test_a_reader_that_has_gone_is_no_error() -> None:
    """As after `| head`: what is written then, and later, goes nowhere."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stream:
        write(stream, "one\n")
        write(stream, "two\n")
