"""The README: its commands work as they stand there, its tables are whole, its versions are those of `doctor`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from docs.generate.commands import commands_of
from job_runner.service.doctor.server import LEAST_REDIS, LEAST_VALKEY
from lib.jobqueue.normalise import FIELD_NAMES
from lib.voice_synth.engines.registry import ENGINES
from lib.voice_synth.voices import SPEAKERS, VoiceRegistry
from tests.support.checkout import HOUSE, fresh_checkout
from tests.support.documents import fences, follow

if TYPE_CHECKING:
    from pathlib import Path

PAGE = HOUSE / "README.md"
README = PAGE.read_text()

UNSAID = {"content_hash", "queued_at", "attempt"}
"""What people do not write: computed, or set by `enqueue`."""

NOT_RUN = {
    "make demo": "shown to work by tests/test_makefile.py and .ci/run; the tour below it is the same commands",
    "make test": "these are the tests",
}
"""Commands that are not typed here, and why."""


def _section(title: str) -> str:
    return README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


@pytest.mark.timeout(240)  # a dozen commands with a watcher among them, on a machine that does other things too
async def test_every_command_works_as_it_stands_there(tmp_path: Path) -> None:
    """In their order, in a fresh checkout, with the file that it shows."""
    async with fresh_checkout(tmp_path / "checkout") as checkout:
        done = await follow(PAGE, checkout, not_run=NOT_RUN, answers={})
        shown = [line for fence in fences(PAGE) if fence.language == "sh" for line in fence.commands]
        assert [said.line for said in done] == [line for line in shown if line not in NOT_RUN]
        assert (checkout.place / ".state/output/topic/beat-002/take_01.wav").is_file()


def test_what_is_left_out_is_still_shown() -> None:
    """No reason outlives its command."""
    shown = {line for fence in fences(PAGE) for line in fence.commands if fence.language == "sh"}
    assert set(NOT_RUN) <= shown


def test_every_command_is_in_the_tables() -> None:
    """Whoever looks for one finds it."""
    section = _section("Commands")
    for name in commands_of("job-runner"):
        assert re.search(rf"`{name.removeprefix('job-runner ')}[ `]", section), name


def test_every_field_has_its_meaning() -> None:
    """The table names each field that a row may have, and no other."""
    rows = re.findall(r"^\| (.+?) \|", _section("Fields of a job"), re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert named == set(FIELD_NAMES) - UNSAID


def test_every_voice_speaker_and_engine_is_listed() -> None:
    """As they are to be written."""
    section = _section("Voices and engines")
    for voice in VoiceRegistry().slugs:
        assert f"`voice: {voice}`" in section
    listed = re.search(r"^\| `speaker: (.+?)` \|", section, re.MULTILINE)
    assert listed is not None
    assert tuple(re.split(r"`, `", listed[1])) == SPEAKERS
    assert re.findall(r"^\| (\w+) \|", section.partition("| engine |")[2], re.MULTILINE) == list(ENGINES)


def test_versions_are_those_of_doctor() -> None:
    """Nobody installs by one list and is refused by another."""
    assert LEAST_VALKEY[1] == 0
    assert f"Redis {'.'.join(map(str, LEAST_REDIS))} or Valkey {LEAST_VALKEY[0]}, or newer" in README


def test_it_is_short_enough_to_be_read() -> None:
    """What does not fit has a page of its own."""
    assert len(README.splitlines()) <= 250


def test_its_picture_is_one_for_light_and_dark_pages() -> None:
    """Own background, no font or style from elsewhere, nothing of the machine on which it was made."""
    picture = (HOUSE / "docs/pictures/tour.svg").read_text()
    assert "<rect" in picture
    assert "@font-face" not in picture
    assert "/tmp" not in picture  # noqa: S108 - a text to look for
    for line in ("enqueue", "job-watcher", "report"):
        assert line in picture
