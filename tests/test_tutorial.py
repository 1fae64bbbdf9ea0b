"""The tutorial from its first command to its last, in a fresh checkout: exit codes, and what it shows of the output."""

from __future__ import annotations

import json
import wave
from typing import TYPE_CHECKING

import pytest

from tests.support.checkout import HOUSE, fresh_checkout
from tests.support.documents import fences, follow, missing_lines, plain

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.checkout import Checkout

PAGE = HOUSE / "docs/tutorial.md"
SHEET = "tests/data/beatsheet_60.json"


def made_short(checkout: Checkout) -> None:
    """The sheet of the repository, the first words of each beat in one take: all of it would last most of a minute."""
    sheet = json.loads((HOUSE / SHEET).read_text())
    for beat in sheet["beats"]:
        beat.pop("tts", None)
        beat["narration"] = " ".join(beat["narration"].split()[:4])
    checkout.write(SHEET, json.dumps(sheet))


@pytest.mark.timeout(400)  # thirty commands and sixty beats, on a machine that does other things too
async def test_a_newcomer_can_follow_it(tmp_path: Path) -> None:
    """Everything works as written, and at the end there are sixty beats to listen to."""
    async with fresh_checkout(tmp_path / "checkout") as checkout:
        made_short(checkout)
        done = await follow(PAGE, checkout, not_run={}, answers={})
        assert len(done) == sum(len(fence.commands) for fence in fences(PAGE) if fence.language == "sh")
        for number in range(1, 61):
            path = checkout.place / f".state/output/classics-60/beat-{number:03d}/take_01.wav"
            with wave.open(str(path)) as sound:
                assert sound.getnframes() > sound.getframerate(), path


def test_a_user_installs_nothing_that_is_for_development() -> None:
    """Its first command is the plain set-up; the other one brings piper, which is under the GPL, unasked."""
    first = next(fence for fence in fences(PAGE) if fence.language == "sh").commands[0]
    assert first == "make install"
    assert "make setup" not in PAGE.read_text()


def test_it_shows_what_commands_say() -> None:
    """Most commands are followed by a piece of their output; a page without any would be a leap of faith."""
    kinds = [fence.language for fence in fences(PAGE)]
    assert kinds.count("text") >= 10
    assert set(kinds) == {"sh", "text", "yaml"}


@pytest.mark.parametrize(
    ("shown", "said", "missing"),
    [
        ("2 done in 1.8 s", "2 done in 17.25 s", []),
        ("a   done", "a done", []),
        ("…/one.wav", "/home/me/one.wav", []),
        ("2 done", "two done", ["0 done"]),
        ("2 done", "2 done, 1 failed", ["0 done"]),
    ],
)
def test_output_is_compared_but_for_numbers(shown: str, said: str, missing: list[str]) -> None:
    """Times and widths differ from run to run; words do not."""
    assert missing_lines(shown, said) == missing


def test_digests_and_ids_are_numbers_too() -> None:
    """They differ as much as times do."""
    assert plain("run-c185c45995047008 at 07:56:12") == "run-0 at 0"
