"""A process that dies in the midst of a change of voices: the voice is the old one or the new one, and work goes on."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from lib import failpoints
from lib.voice_synth.library import VoiceLibrary
from lib.voice_synth.library_changes import delete, rename
from lib.voice_synth.library_zip import import_voice
from tests.lib.voice_synth.own_voices import MODEL, archive, own_voice, sound_entries

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NEW = b"a newer model " * 100


def dying_at(place: str, change: Callable[[], object]) -> None:
    """Make the change in a process that dies there as if the power had gone."""
    pid = os.fork()
    if pid == 0:
        failpoints.arm(place)
        try:
            change()
        finally:
            os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status), f"nobody came to {place}"
    assert os.WTERMSIG(status) == signal.SIGKILL


def sounds(voices: Path) -> dict[str, bytes]:
    """Each voice with its model; none may be broken."""
    listed = VoiceLibrary(voices, check_files=True).listed()
    assert [each.broken for each in listed] == [None] * len(listed)
    library = VoiceLibrary(voices)
    models = {}
    for each in listed:
        [sound] = library.require(each.slug).on_engine.values()
        models[each.slug] = sound.files["model"].read_bytes()
    return models


@pytest.fixture
def voices(tmp_path: Path) -> Path:
    """A directory with one voice."""
    place = tmp_path / "s" / "voices"
    own_voice(place)
    return place


@pytest.mark.parametrize(
    ("place", "model"),
    [
        ("voices.staged", MODEL),
        ("voices.file_placed", MODEL),
        ("voices.file_placed:2", MODEL),
        ("voices.document_placed", NEW),
    ],
)
def test_a_voice_that_is_being_replaced(place: str, model: bytes, voices: Path) -> None:
    """It speaks with the old model until the document is in its place, and with the new one from then on."""
    dying_at(place, lambda: own_voice(voices, content=NEW, replace=True))
    assert sounds(voices) == {"anna": model}
    own_voice(voices, content=NEW, replace=True)
    assert sounds(voices) == {"anna": NEW}
    assert len(list((voices / "anna").iterdir())) == 3


def test_a_new_voice_or_none(voices: Path, tmp_path: Path) -> None:
    """Before its folder has its name there is nothing of it."""
    file = archive(tmp_path / "a.zip", sound_entries("bert"))
    dying_at("voices.staged", lambda: own_voice(voices, "bert"))
    dying_at("voices.staged", lambda: import_voice(voices, file))
    assert sounds(voices) == {"anna": MODEL}
    import_voice(voices, file)
    assert set(sounds(voices)) == {"anna", "bert"}


def test_a_voice_that_is_being_renamed(voices: Path) -> None:
    """Under both names for a moment, never under none; deleting the old one ends what was begun."""
    dying_at("voices.staged", lambda: own_voice(voices, "zoe"))
    dying_at("voices.renamed", lambda: rename(voices, "anna", "bert"))
    assert sounds(voices) == {"anna": MODEL, "bert": MODEL}
    delete(voices, "anna")
    assert sounds(voices) == {"bert": MODEL}


@pytest.mark.parametrize("change", [lambda v: delete(v, "anna"), lambda v: rename(v, "anna", "bert")])
def test_a_voice_that_is_being_taken_away(change: Callable[[Path], object], voices: Path) -> None:
    """Once it is put aside it is gone, and the next change clears its files away."""
    dying_at("voices.put_aside", lambda: change(voices))
    assert "anna" not in sounds(voices)
    assert any(path.name.startswith(".gone-") for path in voices.iterdir())
    own_voice(voices, "carl")
    assert not any(path.name.startswith(".gone-") for path in voices.iterdir())
