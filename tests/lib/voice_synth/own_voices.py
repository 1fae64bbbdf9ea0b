"""Voices of one's own for tests: small files in the roles that engines ask for, and archives made by hand."""

from __future__ import annotations

import hashlib
import json
import wave
import zipfile
from typing import TYPE_CHECKING, Any

from lib.voice_synth.engines.onnx_noise import _bytes_field, _input, _node
from lib.voice_synth.library_changes import Registration, register
from lib.voice_synth.library_parts import CheckedSound

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lib.voice_synth.library_document import VoiceDocument


def onnx_model(inputs: Sequence[str]) -> bytes:
    """A model that the runtime loads: it takes these inputs and gives back the last one."""
    graph = (
        _node("Identity", [inputs[-1]], "output")
        + _bytes_field(2, b"main")
        + b"".join(_input(name, 1, [f"{name}_0"]) for name in inputs)
        # An output is described as an input is, in the field behind.
        + b"\x62"
        + _input("output", 1, ["output_0"])[1:]
    )
    return b"\x08\x08" + _bytes_field(7, graph) + _bytes_field(8, b"\x10\x0d")


MODEL = b"a model " * 100

LOADABLE = onnx_model(["input", "input_lengths", "scales"])
"""As a piper model to whoever loads it; nobody could speak with it."""

CONFIG: dict[str, Any] = {
    "audio": {"sample_rate": 22050},
    "espeak": {"voice": "en-us"},
    "num_symbols": 4,
    "num_speakers": 1,
    "phoneme_id_map": {"_": [0], "^": [1], "$": [2], "a": [3]},
}


def sources(place: Path, content: bytes = LOADABLE) -> dict[str, Path]:
    """The files of a piper voice as its owner has them; nobody could speak with them."""
    place.mkdir(parents=True, exist_ok=True)
    model, config = place / "anna.onnx", place / "anna.onnx.json"
    model.write_bytes(content)
    config.write_text(json.dumps(CONFIG))
    return {"model": model, "config": config}


def own_voice(
    directory: Path, slug: str = "anna", *, content: bytes = MODEL, engine: str = "piper", **given: Any
) -> VoiceDocument:
    """Register one; `given` goes to the registration."""
    files = sources(directory.parent.parent / f"owned-{slug}", content)
    return register(directory, Registration(slug, CheckedSound(engine, files=files), **given))


def wav_file(path: Path, seconds: float, *, rate: int = 8_000) -> Path:
    """A silent recording."""
    with wave.open(str(path), "wb") as made:
        made.setnchannels(1)
        made.setsampwidth(2)
        made.setframerate(rate)
        made.writeframes(bytes(2 * round(seconds * rate)))
    return path


def described(name: str, content: bytes) -> dict[str, Any]:
    """What voice.json says of a file."""
    return {"file": name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def document(slug: str = "anna", **changed: Any) -> dict[str, Any]:
    """A sound voice.json of one file `m.onnx`, with changes."""
    sound = {"name": "", "speed": 1.0, "files": {"model": described("m.onnx", MODEL)}, "texts": {}}
    return {
        "schema_version": 1,
        "slug": slug,
        "description": "",
        "language": "English",
        "created_at": "2026-01-01T00:00:00.000Z",
        "engines": {"elsewhere": sound},
        **changed,
    }


def placed(directory: Path, slug: str = "anna", *, files: dict[str, bytes] | None = None, **changed: Any) -> Path:
    """A voice put into a directory by hand; its folder."""
    folder = directory / slug
    folder.mkdir(parents=True)
    (folder / "voice.json").write_text(json.dumps(document(**{"slug": slug, **changed})))
    for name, content in (files if files is not None else {"m.onnx": MODEL}).items():
        (folder / name).write_bytes(content)
    return folder


def archive(path: Path, entries: Sequence[tuple[str | zipfile.ZipInfo, bytes]], *, packed: bool = False) -> Path:
    """A zip of these entries, in this order, names as they are."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as made:
        for name, content in entries:
            made.writestr(name, content)
    return path


def sound_entries(slug: str = "anna", **changed: Any) -> list[tuple[str | zipfile.ZipInfo, bytes]]:
    """What a sound archive holds."""
    return [("voice.json", json.dumps(document(slug, **changed)).encode()), ("m.onnx", MODEL)]


def tree(directory: Path) -> dict[str, bytes]:
    """Everything below a directory but the lock."""
    return {
        str(path.relative_to(directory)): path.read_bytes() if path.is_file() else b""
        for path in sorted(directory.rglob("*"))
        if path.name != ".lock"
    }
