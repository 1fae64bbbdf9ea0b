"""Registering, renaming and deleting: each whole or not at all, one winner when two come at once."""

from __future__ import annotations

import fcntl
import os
import threading
from typing import TYPE_CHECKING

import pytest

from lib.errors import InvalidInputError, JobRunnerError, NotFoundError, RefusedError
from lib.voice_synth import library_files
from lib.voice_synth.library import VoiceLibrary, document_in
from lib.voice_synth.library_changes import Registration, delete, register, rename, suffix_of
from lib.voice_synth.library_document import BrokenVoiceError
from lib.voice_synth.library_parts import CheckedSound
from tests.lib.voice_synth.own_voices import MODEL, own_voice, placed, sources, tree

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def voices(tmp_path: Path) -> Path:
    """A directory that nobody has made yet."""
    return tmp_path / "s" / "voices"


def test_the_files_are_copied_and_described(voices: Path) -> None:
    """The owner may move his away; voice.json says size and digest of the copies."""
    made = own_voice(voices, description="Reads softly.", language="English")
    for path in (voices.parent.parent / "owned-anna").iterdir():
        path.unlink()
    assert document_in(voices, "anna") == made
    assert VoiceLibrary(voices, check_files=True).require("anna").description == "Reads softly."
    assert {name.split("-")[1] for name in made.stored_files} == {"model", "config"}
    assert {suffix_of(name) for name in made.stored_files} == {".onnx", ".onnx.json"}


def test_a_voice_may_sound_on_several_engines(voices: Path) -> None:
    """Another engine joins; what the registration does not say stays."""
    own_voice(voices, description="Reads softly.", language="English")
    joined = register(voices, Registration("anna", CheckedSound("hibari", name="heart", speed=0.9)))
    assert set(joined.engines) == {"piper", "hibari"}
    assert (joined.description, joined.language) == ("Reads softly.", "English")
    assert VoiceLibrary(voices, check_files=True).require("anna").on_engine["hibari"].speed == 0.9


def test_the_same_engine_twice_needs_replace(voices: Path) -> None:
    """Nothing is overwritten unasked; with `replace` the other engines and the day of making stay."""
    first = own_voice(voices)
    register(voices, Registration("anna", CheckedSound("hibari", name="heart")))
    before = tree(voices)
    with pytest.raises(RefusedError, match="already") as caught:
        own_voice(voices, content=b"other")
    assert "--replace" in (caught.value.hint or "")
    assert tree(voices) == before
    second = own_voice(voices, content=b"other", replace=True)
    assert (second.created_at, set(second.engines)) == (first.created_at, {"piper", "hibari"})


@pytest.mark.parametrize("slug", ["", "Anna", "-anna", "anna-", "a/b", "..", "a" * 65, "ann a", "anna\n"])
def test_names_that_are_no_slugs(slug: str, voices: Path) -> None:
    """The rule of a job's `voice`, and nothing is made."""
    with pytest.raises(InvalidInputError):
        register(voices, Registration(slug, CheckedSound("hibari", name="heart")))
    own_voice(voices)
    with pytest.raises(InvalidInputError):
        rename(voices, "anna", slug)
    assert [path.name for path in voices.iterdir() if path.name != ".lock"] == ["anna"]


@pytest.mark.parametrize(
    "change",
    [
        lambda voices: register(voices, Registration("newsroom", CheckedSound("hibari", name="heart"))),
        lambda voices: rename(voices, "newsroom", "x"),
        lambda voices: rename(voices, "anna", "newsroom"),
        lambda voices: delete(voices, "newsroom"),
    ],
)
def test_the_built_in_voice_is_nobodys_to_change(change: Callable[[Path], object], voices: Path) -> None:
    """It is the same on every machine."""
    own_voice(voices)
    before = tree(voices)
    with pytest.raises(RefusedError, match="built in"):
        change(voices)
    assert tree(voices) == before


def test_rename_keeps_everything_but_the_name(voices: Path) -> None:
    """The same files under the new name, none under the old."""
    old = own_voice(voices)
    new = rename(voices, "anna", "bert")
    assert new == old.model_copy(update={"slug": "bert"})
    library = VoiceLibrary(voices, check_files=True)
    assert library.slugs == ("newsroom", "bert")
    assert library.require("bert").on_engine["piper"].files["model"].read_bytes() == MODEL


def test_rename_to_a_name_that_is_taken(voices: Path) -> None:
    """Neither voice is touched."""
    own_voice(voices)
    own_voice(voices, "bert")
    before = tree(voices)
    with pytest.raises(RefusedError, match="bert"):
        rename(voices, "anna", "bert")
    assert tree(voices) == before


def test_what_is_not_there_cannot_be_changed(voices: Path) -> None:
    """Exit code 4, with the names that are."""
    own_voice(voices)
    for change in (lambda: delete(voices, "ann"), lambda: rename(voices, "ann", "x")):
        with pytest.raises(NotFoundError) as caught:
            change()
        assert "anna" in (caught.value.hint or "")


def test_a_broken_voice_can_be_deleted_or_replaced(voices: Path) -> None:
    """And is not taken for a free name, nor joined by mistake."""
    (placed(voices) / "voice.json").write_text("{")
    with pytest.raises(BrokenVoiceError):
        own_voice(voices)
    with pytest.raises(BrokenVoiceError):
        rename(voices, "anna", "bert")
    own_voice(voices, replace=True)
    assert VoiceLibrary(voices, check_files=True).require("anna").slug == "anna"
    (voices / "anna/voice.json").unlink()
    delete(voices, "anna")
    assert VoiceLibrary(voices).slugs == ("newsroom",)


def test_a_linked_folder_is_unlinked_not_emptied(voices: Path, tmp_path: Path) -> None:
    """Deleting a voice that an administrator has linked here leaves the original."""
    placed(tmp_path / "shared")
    voices.mkdir(parents=True)
    (voices / "anna").symlink_to(tmp_path / "shared/anna")
    delete(voices, "anna")
    assert (tmp_path / "shared/anna/m.onnx").exists()
    assert VoiceLibrary(voices).slugs == ("newsroom",)


def _at_once(*work: Callable[[], object]) -> list[JobRunnerError | None]:
    """Run all at the same moment; what each raised."""
    gate = threading.Barrier(len(work))
    ends: list[JobRunnerError | None] = [None] * len(work)

    def run(number: int) -> None:
        gate.wait()
        try:
            work[number]()
        except JobRunnerError as exc:
            ends[number] = exc

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(work))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return ends


@pytest.mark.parametrize("attempt", range(5))
def test_of_two_registrations_of_a_name_one_wins(voices: Path, tmp_path: Path, attempt: int) -> None:
    """The other gets a clear refusal, and the voice is one of the two, not a mixture."""
    contents = [f"{attempt} {who}".encode() * 50_000 for who in range(4)]
    sounds = [CheckedSound("piper", files=sources(tmp_path / str(n), each)) for n, each in enumerate(contents)]
    ends = _at_once(*(lambda sound=sound: register(voices, Registration("anna", sound)) for sound in sounds))
    assert [end is None for end in ends].count(True) == 1
    assert all(isinstance(end, RefusedError) and "already" in end.message for end in ends if end is not None)
    voice = VoiceLibrary(voices, check_files=True).require("anna")
    assert voice.on_engine["piper"].files["model"].read_bytes() == contents[ends.index(None)]
    assert {path.name for path in voices.iterdir()} == {"anna", ".lock"}


@pytest.mark.parametrize("attempt", range(5))
def test_rename_and_delete_at_once(voices: Path, attempt: int) -> None:
    """One after the other in some order: never half a voice, never two, and who came late is told."""
    own_voice(voices, content=b"%d" % attempt)
    ends = _at_once(
        lambda: rename(voices, "anna", "bert"), lambda: rename(voices, "anna", "carl"), lambda: delete(voices, "anna")
    )
    assert [end is None for end in ends].count(True) == 1
    assert all(end is None or isinstance(end, NotFoundError) for end in ends)
    left = VoiceLibrary(voices, check_files=True)
    assert len(left.listed()) == (0 if ends[2] is None else 1)
    assert all(each.broken is None for each in left.listed())


def test_a_reader_never_sees_a_half_replaced_voice(voices: Path) -> None:
    """While a voice is replaced over and over, every look finds it whole."""
    own_voice(voices)
    over = threading.Event()

    def replace() -> None:
        for number in range(30):
            own_voice(voices, content=b"%d" % number * 1000, replace=True)
        over.set()

    writer = threading.Thread(target=replace)
    writer.start()
    looks = 0
    while not over.is_set() or not looks:
        VoiceLibrary(voices, check_files=True).require("anna")
        looks += 1
    writer.join()
    assert looks


def test_a_file_that_cannot_be_read_leaves_nothing(voices: Path, tmp_path: Path) -> None:
    """The copies that were made before it are gone too."""
    files = {**sources(tmp_path / "o"), "more": tmp_path / "absent"}
    with pytest.raises(InvalidInputError, match="absent"):
        register(voices, Registration("anna", CheckedSound("piper", files=files)))
    assert tree(voices) == {}


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    """A file where the voices should be is told with the flag that names another place."""
    (tmp_path / "file").write_text("")
    with pytest.raises(RefusedError, match="file") as caught:
        register(tmp_path / "file" / "voices", Registration("anna", CheckedSound("hibari", name="heart")))
    assert "--voices-dir" in (caught.value.hint or "")


def test_what_dead_processes_left_goes_with_the_next_change(voices: Path) -> None:
    """Half-made voices of a day ago and taken-away ones; a fresh half-made one may still be worked on."""
    own_voice(voices)
    for name in (".new-old", ".new-fresh", ".gone-x"):
        (voices / name).mkdir()
        (voices / name / "big.onnx").write_bytes(MODEL)
    os.utime(voices / ".new-old", (1, 1))
    (voices / "anna" / "piper-model-0123456789ab.onnx").write_bytes(MODEL)
    (voices / "anna" / "README").write_text("from a person")
    own_voice(voices, replace=True)
    assert {path.name for path in voices.iterdir()} == {"anna", ".lock", ".new-fresh"}
    assert {path.name for path in (voices / "anna").iterdir()} > {"README", "voice.json"}
    assert not (voices / "anna" / "piper-model-0123456789ab.onnx").exists()


def test_a_change_that_does_not_end_is_told(voices: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody holds the lock for ever: refused, and no half voice stays."""
    voices.mkdir(parents=True)
    monkeypatch.setattr(library_files, "_LOCK_SECONDS", 0.05)
    with (voices / ".lock").open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(RefusedError, match="under way"):
            own_voice(voices)
    assert tree(voices) == {}


@pytest.mark.parametrize(
    ("name", "suffix"),
    [("a.onnx", ".onnx"), ("a.b.onnx.json", ".onnx.json"), ("A.WAV", ".wav"), ("a", ""), ("a.", ""), ("a.o-o", "")],
)
def test_suffixes(name: str, suffix: str) -> None:
    """Kept when plain, so that a library that looks at them finds what it expects."""
    assert suffix_of(name) == suffix


def test_a_disk_without_hard_links(voices: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Renaming copies there: slower, and the same voice in the end."""
    own_voice(voices)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    rename(voices, "anna", "bert")
    assert (
        VoiceLibrary(voices, check_files=True).require("bert").on_engine["piper"].files["model"].read_bytes() == MODEL
    )
