"""What is brought to make a voice is checked before anything is copied."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from lib.errors import InvalidInputError
from lib.voice_synth.library_parts import CheckedSound, check_file, check_roles, checked_sound, is_unloaded
from tests.lib.voice_synth.own_voices import CONFIG, LOADABLE, onnx_model, sources, wav_file

if TYPE_CHECKING:
    from pathlib import Path


def test_what_an_engine_can_make_a_voice_of_passes(tmp_path: Path) -> None:
    """A piper model with its description, and an own voice of an engine at another pace."""
    piper = CheckedSound("piper", files=sources(tmp_path))
    slow = CheckedSound("hibari", name="heart", speed=0.9)
    assert (checked_sound(piper), checked_sound(slow)) == (piper, slow)


@pytest.mark.parametrize(
    ("given", "said", "mend"),
    [
        ({"engine": "pipper"}, "pipper", "piper"),
        ({"engine": "hibari"}, "nothing says", "heart"),
        ({"engine": "qwen"}, "nothing says", "--file reference_audio=PATH"),
        ({"engine": "hibari", "name": "hart"}, "hart", "heart"),
        ({"engine": "hibari", "name": "heart", "files": {"model": "anna.onnx"}}, "takes no file", "--name"),
        ({"engine": "piper"}, "lacks model", "--file model=PATH"),
        ({"engine": "piper", "files": {"model": "anna.onnx"}}, "lacks config", "--file config=PATH"),
        ({"engine": "piper", "files": {"modle": "anna.onnx"}}, "modle", "--file model=PATH"),
        ({"engine": "piper", "texts": {"model": "anna.onnx"}}, "takes no text", "--file model=PATH"),
        ({"engine": "piper", "files": {"model": "absent", "config": "anna.onnx.json"}}, "absent", "model"),
        ({"engine": "piper", "files": {"model": ".", "config": "anna.onnx.json"}}, "not a file", "model"),
        ({"engine": "piper", "files": {"model": "empty", "config": "anna.onnx.json"}}, "0 bytes", "1 to"),
        ({"engine": "piper", "files": {"model": "anna.onnx", "config": "bad.json"}}, "no JSON", "came with"),
        ({"engine": "piper", "files": {"model": "anna.onnx", "config": "list.json"}}, "no JSON object", "came with"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_mistakes_are_named_with_their_mend(given: dict[str, Any], said: str, mend: str, tmp_path: Path) -> None:
    """The engine, part, file or name that is wrong, and what would be right."""
    sources(tmp_path)
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "list.json").write_text("[]")
    files = {role: tmp_path / name for role, name in given.pop("files", {}).items()}
    with pytest.raises(InvalidInputError, match=said) as caught:
        checked_sound(CheckedSound(**given, files=files))
    assert mend in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (bytes(range(256)) * 8, "no model that piper can use"),
        (LOADABLE[:-40], "no model that piper can use"),
        (onnx_model(["image"]), "it takes image where a piper voice takes input, input_lengths, scales"),
        (onnx_model(["input", "input_lengths", "scales", "sid"]), "takes input, input_lengths, scales, sid where"),
    ],
    ids=["random", "cut off", "of something else", "of several speakers"],
)
def test_a_model_that_cannot_speak_is_found_now(content: bytes, said: str, tmp_path: Path) -> None:
    """Loaded once, where piper is: the owner of the file hears of it, not the first job of the night."""
    pytest.importorskip("piper", reason="needs the extra piper")
    with pytest.raises(InvalidInputError, match=said) as caught:
        checked_sound(CheckedSound("piper", files=sources(tmp_path, content)))
    assert "anna.onnx is no model" in caught.value.message
    assert caught.value.hint == "bring the .onnx file that piper names"


def test_where_its_engine_is_not_a_model_is_taken_unseen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its description is checked all the same, and whoever registers it can be told."""
    monkeypatch.setattr("lib.voice_synth.engines.piper.util.find_spec", lambda _: None)
    sound = CheckedSound("piper", files=sources(tmp_path, b"random"))
    assert checked_sound(sound) == sound
    assert is_unloaded(sound)
    assert not is_unloaded(CheckedSound("hibari", name="heart"))
    (tmp_path / "anna.onnx.json").write_text(json.dumps({**CONFIG, "audio": {"sample_rate": -1}}))
    with pytest.raises(InvalidInputError, match=r"audio\.sample_rate is -1, not a whole number from 8000 to 96000"):
        checked_sound(sound)


def test_blank_words_are_no_words(tmp_path: Path) -> None:
    """A text that says nothing was forgotten."""
    with pytest.raises(InvalidInputError, match="blank"):
        checked_sound(CheckedSound("piper", files=sources(tmp_path), texts={"speaker": " "}))


@pytest.mark.parametrize(("seconds", "sound"), [(0.5, False), (1.0, True), (60.0, True), (61.0, False), (0.0, False)])
def test_a_recording_to_clone_has_a_length(seconds: float, sound: bool, tmp_path: Path) -> None:  # noqa: FBT001
    """From 1 to 60 seconds: a word is too little to clone, a chapter too much to hold."""
    file = wav_file(tmp_path / "a.wav", seconds)
    if sound:
        check_file("reference_audio", file)
        return
    with pytest.raises(InvalidInputError, match=r"lasts \d"):
        check_file("reference_audio", file)


@pytest.mark.parametrize("harm", ["cut", "mp3", "half a header"])
def test_a_recording_is_a_wav_that_can_be_read(harm: str, tmp_path: Path) -> None:
    """Not one that was cut off in a download, nor another format with the name of one."""
    file = wav_file(tmp_path / "a.wav", 2.0)
    raw = file.read_bytes()
    file.write_bytes({"cut": raw[:-2000], "mp3": b"ID3\x04" + bytes(5000), "half a header": raw[:20]}[harm])
    with pytest.raises(InvalidInputError, match=r"a\.wav") as caught:
        check_file("reference_audio", file)
    assert "PCM" in (caught.value.hint or "")


def test_an_engine_that_is_unknown_here_may_know_better() -> None:
    """An archive from a newer program is taken: the voice cannot speak here, and list-voices says so."""
    check_roles(CheckedSound("of-tomorrow", texts={"anything": "x"}))
