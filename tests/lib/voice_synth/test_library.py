"""The registry on disk: what is there is found at once, what is broken hides nothing, nothing outside is read."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lib.errors import PermanentError, TemporaryError
from lib.voice_synth.library import VoiceLibrary
from lib.voice_synth.library_changes import delete
from lib.voice_synth.library_document import BrokenVoiceError
from lib.voice_synth.voices import NEWSROOM, UnknownVoiceError
from tests.lib.voice_synth.own_voices import MODEL, described, document, own_voice, placed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def test_a_registered_voice_is_a_voice_beside_the_built_in_one(tmp_path: Path) -> None:
    """It has its files as absolute paths inside its folder, by the role they play."""
    own_voice(tmp_path / "s" / "voices", language="English", description="Reads softly.")
    library = VoiceLibrary(tmp_path / "s" / "voices")
    voice = library.require("anna")
    sound = voice.on_engine["piper"]
    assert (voice.slug, voice.language, voice.description) == ("anna", "English", "Reads softly.")
    assert set(sound.files) == {"model", "config"}
    assert sound.files["model"].read_bytes() == MODEL
    assert all(path.is_absolute() and path.parent.name == "anna" for path in sound.files.values())
    assert library.require("newsroom") is NEWSROOM
    assert library.slugs == ("newsroom", "anna")


def test_no_directory_is_no_voices(tmp_path: Path) -> None:
    """Nobody has to make one before the built-in voice speaks."""
    library = VoiceLibrary(tmp_path / "nowhere")
    assert library.require("newsroom") is NEWSROOM
    assert (library.slugs, library.listed()) == (("newsroom",), ())


def test_what_is_registered_or_deleted_meanwhile_is_seen_at_once(tmp_path: Path) -> None:
    """A watcher keeps one library for its life; its next job sees what changed."""
    library = VoiceLibrary(tmp_path / "s" / "voices", check_files=True)
    with pytest.raises(UnknownVoiceError, match="anna"):
        library.require("anna")
    own_voice(tmp_path / "s" / "voices")
    assert library.require("anna").slug == "anna"
    own_voice(tmp_path / "s" / "voices", content=b"another", replace=True)
    assert library.require("anna").on_engine["piper"].files["model"].read_bytes() == b"another"
    delete(tmp_path / "s" / "voices", "anna")
    with pytest.raises(PermanentError, match="anna"):
        library.require("anna")


def test_an_unknown_voice_is_told_the_near_ones(tmp_path: Path) -> None:
    """Registered names are among the near ones; where none is near, how to add one is told."""
    own_voice(tmp_path / "s" / "voices")
    with pytest.raises(UnknownVoiceError) as caught:
        VoiceLibrary(tmp_path / "s" / "voices").require("ana")
    assert caught.value.hint == "near names: anna"
    with pytest.raises(UnknownVoiceError) as caught:
        VoiceLibrary(tmp_path / "s" / "voices").require("zaphod")
    assert caught.value.hint == "known voices: newsroom, anna; `voice-synth register` adds a voice"


def test_another_model_has_another_file_name(tmp_path: Path) -> None:
    """Whoever keeps a model warm by its path never speaks with the one that was replaced."""
    first = own_voice(tmp_path / "s" / "voices").stored_files
    second = own_voice(tmp_path / "s" / "voices", content=b"another", replace=True).stored_files
    assert len(first.keys() & second.keys()) == 1  # the config has not changed
    assert {path.name for path in (tmp_path / "s" / "voices" / "anna").iterdir()} == {*second, "voice.json"}


def _engines(**sound: Any) -> dict[str, Any]:
    return {"engines": {"elsewhere": {"files": {"model": described("m.onnx", MODEL)}, **sound}}}


BROKEN: list[tuple[dict[str, Any], str]] = [
    ({"schema_version": 2}, "reads 1"),
    ({"schema_version": "1"}, "schema_version"),
    ({"slug": "bert"}, "folder"),
    ({"slug": "../anna"}, "slug"),
    ({"colour": "red"}, "colour"),
    ({"engines": {}}, "engines"),
    ({"engines": []}, "engines"),
    ({"engines": {"../x": {}}}, "engines"),
    ({"created_at": 7}, "created_at"),
    ({"description": "a\nb"}, "description"),
    (_engines(speed=0), "speed"),
    (_engines(speed="fast"), "speed"),
    (_engines(pitch=1), "pitch"),
    (_engines(files={"model": described("../m.onnx", MODEL)}), "plain file name"),
    (_engines(files={"model": described("/etc/passwd", MODEL)}), "plain file name"),
    (_engines(files={"model": described("a\\b", MODEL)}), "plain file name"),
    (_engines(files={"model": described(".hidden", MODEL)}), "plain file name"),
    (_engines(files={"model": described("voice.json", MODEL)}), "plain file name"),
    (_engines(files={"model": described("", MODEL)}), "plain file name"),
    (_engines(files={"model": {**described("m.onnx", MODEL), "bytes": -1}}), "bytes"),
    (_engines(files={"model": {**described("m.onnx", MODEL), "bytes": True}}), "bytes"),
    (_engines(files={"model": {**described("m.onnx", MODEL), "sha256": "0"}}), "sha256"),
    (_engines(files={"model": described("absent.onnx", MODEL)}), "absent.onnx"),
    (_engines(files={"model": described("m.onnx", MODEL + b"!")}), "bytes"),
    (_engines(files={"a": described("m.onnx", MODEL), "b": described("m.onnx", b"x")}), "two ways"),
    (_engines(texts={"reference_text": 3}), "reference_text"),
]


@pytest.mark.parametrize(("changed", "said"), BROKEN, ids=lambda value: str(value)[:50])
def test_a_broken_voice_is_named_with_its_mend_and_hides_no_other(
    changed: dict[str, Any], said: str, tmp_path: Path
) -> None:
    """The message names the file; the voices beside it speak on."""
    folder = placed(tmp_path)
    (folder / "voice.json").write_text(json.dumps({**document(), **changed}))
    placed(tmp_path, "zoe")
    library = VoiceLibrary(tmp_path)
    with pytest.raises(BrokenVoiceError, match=said) as caught:
        library.require("anna")
    assert str(folder) in caught.value.message
    assert caught.value.hint
    assert library.require("zoe").slug == "zoe"
    assert [(each.slug, each.broken is None) for each in library.listed()] == [("anna", False), ("zoe", True)]


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"\xff", b"[" * 100_000, b"[]", b"null", b'{"slug": "a", "slug": "b"}', b" " * 300_000, b"NaN"],
    ids=["empty", "half", "no text", "nested", "list", "null", "twice", "huge", "nan"],
)
def test_a_voice_json_that_is_none(raw: bytes, tmp_path: Path) -> None:
    """Whatever stands in the file, the answer is one error that names it."""
    (placed(tmp_path) / "voice.json").write_bytes(raw)
    with pytest.raises(BrokenVoiceError, match=r"voice\.json"):
        VoiceLibrary(tmp_path).require("anna")


def _without_document(folder: Path) -> None:
    (folder / "voice.json").unlink()


def _file_is_a_link(folder: Path) -> None:
    (folder / "m.onnx").unlink()
    outside = folder.parent.parent / "outside"
    outside.write_bytes(MODEL)
    (folder / "m.onnx").symlink_to(outside)


def _document_is_a_link(folder: Path) -> None:
    outside = folder.parent.parent / "outside.json"
    (folder / "voice.json").rename(outside)
    (folder / "voice.json").symlink_to(outside)


def _document_is_a_pipe(folder: Path) -> None:
    _without_document(folder)
    os.mkfifo(folder / "voice.json")


def _file_is_a_folder(folder: Path) -> None:
    (folder / "m.onnx").unlink()
    (folder / "m.onnx").mkdir()


@pytest.mark.parametrize(
    "harm", [_without_document, _file_is_a_link, _document_is_a_link, _document_is_a_pipe, _file_is_a_folder]
)
def test_only_regular_files_of_the_own_folder_are_read(harm: Callable[[Path], None], tmp_path: Path) -> None:
    """A link leads out, a pipe would hang: both make the voice broken."""
    harm(placed(tmp_path / "s" / "voices"))
    with pytest.raises(BrokenVoiceError, match=r"No such file|symbolic links|not a regular file"):
        VoiceLibrary(tmp_path / "s" / "voices", check_files=True).require("anna")


def test_a_disk_that_does_not_let_it_read_is_no_broken_voice() -> None:
    """Rights that are wrong and a network disk that hangs are mended, and the job is tried again."""
    # Not below tmp_path, whose own parents nobody else may enter.
    with tempfile.TemporaryDirectory() as name:
        voices = Path(name)
        voices.chmod(0o755)
        folder = placed(voices)
        library = VoiceLibrary(voices, check_files=True)
        folder.chmod(0)
        with _as_nobody_special(), pytest.raises(TemporaryError, match=r"voice\.json") as caught:
            library.require("anna")
        assert "let this program's user read it" in (caught.value.hint or "")
        folder.chmod(0o755)
        voices.chmod(0)
        with _as_nobody_special(), pytest.raises(TemporaryError, match=voices.name):
            library.require("anna")
        with _as_nobody_special():
            assert library.require("newsroom") is NEWSROOM
        voices.chmod(0o755)
        assert library.require("anna").slug == "anna"


@contextlib.contextmanager
def _as_nobody_special() -> Iterator[None]:
    """Without the rights of root, which no mode can shut out."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_digests_are_checked_before_the_first_use_and_after_a_change(tmp_path: Path) -> None:
    """Who speaks finds a file that was changed by hand; who only plans reads no file."""
    model = placed(tmp_path) / "m.onnx"
    speaking, planning = VoiceLibrary(tmp_path, check_files=True), VoiceLibrary(tmp_path)
    assert speaking.require("anna") == speaking.require("anna")
    model.write_bytes(b"x" * len(MODEL))
    os.utime(model, ns=(1, 1))
    with pytest.raises(BrokenVoiceError, match="sha256"):
        speaking.require("anna")
    assert planning.require("anna").slug == "anna"


def test_a_digest_is_not_computed_for_every_job(tmp_path: Path) -> None:
    """A file that cannot be told from the one that was checked is not read again: a model has 60 MB."""
    model = placed(tmp_path) / "m.onnx"
    library = VoiceLibrary(tmp_path, check_files=True)
    library.require("anna")
    before = model.stat()
    with model.open("r+b") as opened:
        opened.write(b"x")
    os.utime(model, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert library.require("anna").slug == "anna"


def test_folders_that_are_no_voices(tmp_path: Path) -> None:
    """Hidden ones are half-made voices; files are nothing; odd names are broken voices, never a crash."""
    for name in (".new-1", ".gone-2", "My Voice"):
        (tmp_path / name).mkdir()
    (tmp_path / "notes.txt").write_text("")
    assert [each.slug for each in VoiceLibrary(tmp_path).listed()] == ["My Voice"]
    with pytest.raises(UnknownVoiceError):
        VoiceLibrary(tmp_path).require("../" + tmp_path.name)
