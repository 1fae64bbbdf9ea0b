"""A tiny model in place of Qwen3-TTS: the package's own names and parameters, its refusals, and a sine for speech.

It writes down every call. The kind of a model is read from its directory, as the real one reads it from its weights.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

CALLS: list[tuple[str, dict[str, Any]]] = []
FAILURES: list[Exception] = []
"""What the next calls raise, first first."""

LANGUAGES = ("auto", "chinese", "english", "french", "german", "italian", "japanese", "korean", "portuguese")
SPEAKERS = ("vivian", "serena", "uncle_fu", "dylan", "eric", "ryan", "aiden", "ono_anna", "sohee")
RATE = 24_000


class Qwen3TTSModel:
    """As the package's wrapper; `generate_*` give one sound a text and the rate."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str, **kwargs: Any) -> Qwen3TTSModel:
        """Look at the directory's name."""
        _note("from_pretrained", {"path": pretrained_model_name_or_path, **kwargs})
        name = str(pretrained_model_name_or_path)
        kinds = {"CustomVoice": "custom_voice", "VoiceDesign": "voice_design", "Base": "base"}
        return cls(next(kind for part, kind in kinds.items() if part in name))

    def create_voice_clone_prompt(
        self,
        ref_audio: str,
        ref_text: str | None = None,
        x_vector_only_mode: bool = False,  # noqa: FBT001, FBT002 - the package's own
    ) -> list[str]:
        """Refuse a recording without its words unless only the timbre is wanted."""
        self._must_be("base")
        _note("create_voice_clone_prompt", {"audio": ref_audio, "text": ref_text, "timbre_alone": x_vector_only_mode})
        if not x_vector_only_mode and not ref_text:
            raise ValueError("ref_text is required when x_vector_only_mode=False (ICL mode). Bad index=0")
        return [f"prompt of {Path(ref_audio).name}"]

    def generate_voice_clone(
        self, text: str, language: str, *, voice_clone_prompt: list[str], **kwargs: Any
    ) -> tuple[list[Any], int]:
        """Speak like a recording."""
        self._must_be("base")
        return _speech("generate_voice_clone", text, language, prompt=voice_clone_prompt, **kwargs)

    def generate_voice_design(self, text: str, instruct: str, language: str, **kwargs: Any) -> tuple[list[Any], int]:
        """Speak like a description."""
        self._must_be("voice_design")
        return _speech("generate_voice_design", text, language, instruct=instruct, **kwargs)

    def generate_custom_voice(
        self, text: str, speaker: str, language: str, instruct: str | None = None, **kwargs: Any
    ) -> tuple[list[Any], int]:
        """Speak like a listed speaker."""
        self._must_be("custom_voice")
        if speaker.lower() not in SPEAKERS:
            raise ValueError(f"Unsupported speakers: {[speaker]}. Supported: {sorted(SPEAKERS)}")
        return _speech("generate_custom_voice", text, language, speaker=speaker, instruct=instruct, **kwargs)

    def _must_be(self, kind: str) -> None:
        if self.kind != kind:
            raise ValueError(f"model with tts_model_type: {self.kind} does not support this")


def _speech(call: str, text: str, language: str, **told: Any) -> tuple[list[Any], int]:
    _note(call, {"text": text, "language": language, **told})
    if language.lower() not in LANGUAGES:
        raise ValueError(f"Unsupported languages: {[language]}. Supported: {sorted(LANGUAGES)}")
    if told.get("do_sample") and not told.get("temperature", 0.9) > 0:
        raise ValueError("`temperature` (=0) has to be a strictly positive float")
    seconds = max(0.5, len(text) / 15)
    pitch = 200 + torch.SEEDS[-1] % 100
    return [np.sin(2 * np.pi * pitch * np.arange(int(seconds * RATE)) / RATE) * 0.3], RATE


def _note(call: str, told: dict[str, Any]) -> None:
    CALLS.append((call, told))
    if FAILURES:
        raise FAILURES.pop(0)
