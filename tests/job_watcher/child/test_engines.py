"""What a child speaks with: engines that stay, voices that are looked up for each job."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from job_watcher.child.engines import clips_of, voices_of, warm_engines
from job_watcher.child.environment import child_environment
from job_watcher.child.process import Attempt, ChildProcess
from lib.jobqueue import normalize_job_spec
from lib.voice_synth.library_document import BrokenVoiceError
from lib.voice_synth.voices import UnknownVoiceError
from tests.lib.voice_synth.own_voices import placed
from tests.support.running import settings_in

if TYPE_CHECKING:
    from pathlib import Path


def test_the_voices_are_those_of_the_watchers_settings(tmp_path: Path) -> None:
    """The parent's setting reaches the child by its environment; a voice is found when it is asked for."""
    settings = settings_in(tmp_path, WATCHER_VOICES_DIR=str(tmp_path / "own"))
    voices = voices_of(child_environment(settings, {}))
    with pytest.raises(UnknownVoiceError):
        voices.require("anna")
    placed(tmp_path / "own")
    assert voices.require("anna").slug == "anna"


def test_files_are_checked_before_they_speak(tmp_path: Path) -> None:
    """A model that was cut off in a copy is an error of the job, not a crash of the engine."""
    settings = settings_in(tmp_path)
    folder = placed(settings.watcher_voices_dir)
    model = folder / "m.onnx"
    model.write_bytes(b"x" * model.stat().st_size)
    with pytest.raises(BrokenVoiceError, match="sha256"):
        voices_of(child_environment(settings, {})).require("anna")


def test_engines_are_loaded_when_they_are_asked_for() -> None:
    """A child that never speaks loads none."""
    assert warm_engines().loaded == ()


def test_clips_are_those_of_the_machine(tmp_path: Path) -> None:
    """The state directory and the bound of the watcher's settings reach the child by its environment."""
    settings = settings_in(tmp_path, SENTENCE_CACHE_BYTES="12345")
    clips = clips_of(child_environment(settings, {}))
    assert (clips.directory, clips.most_bytes) == (settings.jobs_state_dir / "clips", 12345)


async def test_a_childs_sentences_are_at_hand_for_its_next_job(tmp_path: Path) -> None:
    """Real speech, by the wire."""
    settings = settings_in(tmp_path)
    child = await ChildProcess.start(child_environment(settings, os.environ))
    said = []
    try:
        for number, text in enumerate(("One came. Two left.", "One came. Three left.")):
            job = normalize_job_spec({"request_id": "a", "voice": "newsroom", "chunk": True, "text": text})
            work = tmp_path / f"work-{number}"
            work.mkdir()
            result = await child.run(Attempt(job, 1, work, lambda _: None))
            said.append((result.result or {})["sentences"])
    finally:
        await child.kill()
    assert said == [{"at_hand": 0, "of": 2}, {"at_hand": 1, "of": 2}]
    assert clips_of(child_environment(settings, {})).kept().clips == 3
