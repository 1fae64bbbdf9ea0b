"""Whether a job's audio is there already: made from the same request by the same model, and whole.

So a run that was cut off goes on where it stopped, and a changed text is made anew. Every file is read and compared
with its digest: reading is a thousand times cheaper than speaking, and nobody wants half a WAV taken for a whole one.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from lib.voice_synth import documents

if TYPE_CHECKING:
    from pathlib import Path

    from lib.voice_synth.request import SpeechRequest


def result_of(directory: Path, request: SpeechRequest, model: dict[str, Any]) -> dict[str, Any] | None:
    """result.json of `directory` if it answers this request with this model and every file is as it says, else None."""
    try:
        result = json.loads((directory / documents.RESULT).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(result, dict) or result.get("request") != request.as_json() or result.get("model") != model:
        return None
    files = result.get("files")
    if not isinstance(files, list) or not set(_needed(request)) <= _names(files):
        return None
    return result if all(_is_whole(directory, each) for each in files) else None


def heard(directory: Path, result: dict[str, Any]) -> dict[str, Any]:
    """What a person asks first: which file to open, how long it is, how many takes, which engine."""
    selection = result["selection"]
    takes = json.loads((directory / documents.META).read_bytes())["takes"]
    number = selection["selected_take"]
    return {
        "audio": documents.BEST if selection["enabled"] else documents.take_name(number),
        "audio_sec": takes[number - 1]["seconds"],
        "takes": len(takes),
        "engine": result["model"]["engine"],
    }


def _needed(request: SpeechRequest) -> list[str]:
    takes = [documents.take_name(number) for number in range(1, request.variants + 1)]
    return [*takes, documents.META, documents.TEXT, *([documents.BEST] if request.select_best else [])]


def _names(files: list[Any]) -> set[object]:
    return {each.get("name") for each in files if isinstance(each, dict)}


def _is_whole(directory: Path, described: Any) -> bool:
    name, digest = described.get("name"), described.get("sha256")
    if not isinstance(name, str) or "/" in name:
        return False
    try:
        with (directory / name).open("rb") as opened:
            return bool(hashlib.file_digest(opened, "sha256").hexdigest() == digest)
    except OSError:
        return False
