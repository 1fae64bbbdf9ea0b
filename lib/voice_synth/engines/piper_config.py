"""What the description of a piper voice must say, so that a mistake in it is named when the voice is registered.

The package takes the values as they come and fails, or makes noise, when the voice first speaks.
`lib.voice_synth.engines.piper` calls it with the content of the voice's .onnx.json.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

LOWEST_RATE: Final = 8_000
HIGHEST_RATE: Final = 96_000

# What the package puts before, between and behind the phonemes of each sentence.
_FRAME: Final = ("^", "_", "$")
_MOST_SYMBOLS: Final = 1 << 16
_MOST_SPEAKERS: Final = 1 << 16
_HIGHEST_SCALE: Final = 10.0


def problem_in(content: Mapping[str, Any]) -> str | None:
    """The first value that is missing, of another type or out of range, with what is right; None if there is none.

    Whether its language and its kind of phonemes can be used is not looked at.
    """
    audio, inference, espeak = (content.get(name, {}) for name in ("audio", "inference", "espeak"))
    for name, part in (("audio", audio), ("inference", inference), ("espeak", espeak)):
        if not isinstance(part, dict):
            return f"{name} is {_shown(part)}, not an object"
    if not isinstance(espeak.get("voice"), str) or not espeak["voice"].strip():
        return f"espeak.voice is {_shown(espeak.get('voice'))}, not the name of a language"
    return (
        _whole("audio.sample_rate", audio.get("sample_rate"), LOWEST_RATE, HIGHEST_RATE)
        or _whole("num_symbols", content.get("num_symbols"), 1, _MOST_SYMBOLS)
        or _whole("num_speakers", content.get("num_speakers"), 1, _MOST_SPEAKERS)
        or _whole("hop_length", content.get("hop_length", 1), 1, HIGHEST_RATE)
        or _whole("default_speaker_id", content.get("default_speaker_id", 0), 0, content["num_speakers"] - 1)
        or _scale("inference.length_scale", inference.get("length_scale", 1.0), above=0.0)
        or _scale("inference.noise_scale", inference.get("noise_scale", 0.0))
        or _scale("inference.noise_w", inference.get("noise_w", 0.0))
        or _speakers(content.get("speaker_id_map"), content["num_speakers"])
        or _symbols(content.get("phoneme_id_map"), content["num_symbols"])
    )


def _whole(name: str, value: object, least: int, most: int) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
        return None
    return f"{name} is {_shown(value)}, not a whole number from {least} to {most}"


def _scale(name: str, value: object, *, above: float = -1.0) -> str | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        # A number of a thousand digits is no float.
        sound = math.isfinite(value) if isinstance(value, float) else True
        if sound and above < value <= _HIGHEST_SCALE and value >= 0:
            return None
    return f"{name} is {_shown(value)}, not a number {'above' if above == 0 else 'from'} 0 to {_HIGHEST_SCALE:g}"


def _speakers(known: object, speakers: int) -> str | None:
    if known is None:
        return None
    if not isinstance(known, dict):
        return f"speaker_id_map is {_shown(known)}, not an object"
    wrong = (_whole(f"speaker_id_map.{name}", number, 0, speakers - 1) for name, number in known.items())
    return next((problem for problem in wrong if problem), None)


def _symbols(known: object, symbols: int) -> str | None:
    if not isinstance(known, dict) or not known:
        return f"phoneme_id_map is {_shown(known)}, not an object with the number of each phoneme"
    lacking = [name for name in _FRAME if name not in known]
    if lacking:
        return f"phoneme_id_map lacks {', '.join(lacking)}"
    for phoneme, numbers in known.items():
        name = f"phoneme_id_map.{phoneme}"
        if not isinstance(numbers, list) or not numbers:
            return f"{name} is {_shown(numbers)}, not a list of numbers"
        for number in numbers:
            problem = _whole(name, number, 0, symbols - 1)
            if problem:
                return problem
    return None


def _shown(value: object) -> str:
    """The value, or as much of it as a message can hold."""
    if value is None:
        return "missing"
    try:
        text = repr(value)
    except ValueError:  # a whole number of thousands of digits
        text = "a number without end"
    return text if len(text) <= 40 else f"{text[:40]}…"  # noqa: PLR2004 - a line of a message
