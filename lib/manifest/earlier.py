"""Whether a job's audio is there already: made from the same request by the same model, and whole.

So a run that was cut off goes on where it stopped, and a changed text is made anew. Every file is read and compared
with its digest: reading is a thousand times cheaper than speaking, and nobody wants half a WAV taken for a whole one.
Whatever is odd about the files means that they are not made; nothing here fails a job.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from typing import TYPE_CHECKING, Any, Final

from lib.manifest.folder import opened_plain, read_plain
from lib.voice_synth import documents

if TYPE_CHECKING:
    from pathlib import Path

    from lib.voice_synth.request import SpeechRequest

# The longest text that a manifest may name stands in it, escaped.
_MAX_BYTES: Final = 128 << 20


def result_of(directory: Path, request: SpeechRequest, model: dict[str, Any]) -> dict[str, Any] | None:
    """result.json of `directory` if it answers this request with this model and every file is as it says, else None."""
    try:
        result = json.loads(read_plain(directory / documents.RESULT, _MAX_BYTES))
        if result["request"] != request.as_json() or result["model"] != model:
            return None
        digests = {each["name"]: each["sha256"] for each in result["files"]}
        if sorted(digests) != sorted(_needed(request)) or result["selection"]["enabled"] is not request.select_best:
            return None
        if not all(_digest(directory / name) == digest for name, digest in digests.items()):
            return None
        return dict(result) if heard(directory, result)["takes"] == request.variants else None
    except (OSError, ValueError, ArithmeticError, LookupError, TypeError, RecursionError):
        return None


def heard(directory: Path, result: dict[str, Any]) -> dict[str, Any]:
    """What a person asks first: which file to open, how long it is, how many takes, which engine.

    Raises:
        OSError, ValueError, ArithmeticError, LookupError, TypeError: no documents of a request that was spoken.

    """
    selection = result["selection"]
    takes = json.loads(read_plain(directory / documents.META, _MAX_BYTES))["takes"]
    number = selection["selected_take"]
    if type(number) is not int or not 1 <= number <= len(takes):
        raise ValueError("selected_take is none of the takes")
    seconds = float(takes[number - 1]["seconds"])
    if not math.isfinite(seconds):
        raise ValueError("a take has no length")
    return {
        "audio": documents.BEST if selection["enabled"] else documents.take_name(number),
        "audio_sec": seconds,
        "takes": len(takes),
        "engine": result["model"]["engine"],
    }


def _needed(request: SpeechRequest) -> list[str]:
    takes = [documents.take_name(number) for number in range(1, request.variants + 1)]
    return [*takes, documents.META, documents.TEXT, *([documents.BEST] if request.select_best else [])]


def _digest(path: Path) -> str:
    with os.fdopen(opened_plain(path), "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
