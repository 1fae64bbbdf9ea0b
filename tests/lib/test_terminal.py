"""Words on their way to a terminal."""

from __future__ import annotations

import os

import pytest

from lib.terminal import clean, write


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
