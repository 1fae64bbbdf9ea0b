"""The README tells of every field, voice and speaker that a job may name, and of versions as `doctor` has them."""

from __future__ import annotations

import re
from pathlib import Path

from job_runner.service.doctor.server import LEAST_REDIS, LEAST_VALKEY
from lib.jobqueue.normalise import FIELD_NAMES
from lib.voice_synth.voices import SPEAKERS, VoiceRegistry

README = (Path(__file__).parents[1] / "README.md").read_text()

UNSAID = {"content_hash", "queued_at", "attempt", "callback_url"}
"""What people do not write: computed, set by `enqueue`, or refused until callbacks are set up."""


def _section(title: str) -> str:
    return README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_every_field_has_its_meaning() -> None:
    """The table names each field that a row may have, and no other."""
    rows = re.findall(r"^\| (.+?) \|", _section("Fields of a job"), re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert named == set(FIELD_NAMES) - UNSAID


def test_every_voice_and_speaker_is_listed() -> None:
    """As they are to be written."""
    section = _section("Voices")
    for voice in VoiceRegistry().slugs:
        assert f"`voice: {voice}`" in section
    listed = re.search(r"^\| `speaker: (.+?)` \|", section, re.MULTILINE)
    assert listed is not None
    assert tuple(re.split(r"`, `", listed[1])) == SPEAKERS


def test_versions_are_those_of_doctor() -> None:
    """Nobody installs by one list and is refused by another."""
    assert LEAST_VALKEY[1] == 0
    assert f"Redis {'.'.join(map(str, LEAST_REDIS))} or Valkey {LEAST_VALKEY[0]}, or newer" in README
