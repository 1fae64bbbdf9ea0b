"""The default voice: hibari, one US English woman's voice that is bundled with its package.

The only module that imports hibari. The package knows other voices and would download them at first use;
this adapter offers the bundled one alone, so that speech never depends on a network.
"""

from __future__ import annotations

import unicodedata
from importlib import metadata
from typing import TYPE_CHECKING, Any

from lib.errors import PermanentError, TemporaryError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lib.voice_synth.engines.base import Samples, SynthesisSettings, VoicePart

_DISTRIBUTION = "hibari-tts"
_VOICE = "heart"
_SAMPLE_RATE = 24_000
# A model run needs memory that grows faster than its input (a 3000-phoneme sentence took 1 GB); the package
# itself splits at clauses beyond this length, and this adapter splits at words what has no clause.
_LONGEST_RUN_PHONEMES = 400
# Latin text may hold a Greek letter as a symbol; two in a row are a word that would be skipped or garbled.
_LETTERS_OF_OTHER_SCRIPTS = ("CYRILLIC", "GREEK", "ARMENIAN", "GEORGIAN", "COPTIC", "CHEROKEE")


class HibariEngine:
    """hibari's voice `heart`."""

    name = "hibari"
    voices: tuple[str, ...] = (_VOICE,)
    speakers: tuple[str, ...] = ()
    languages: tuple[str, ...] = ("English",)
    controls = frozenset({"seed", "speed"})
    voice_parts: tuple[VoicePart, ...] = ()
    sample_rate = _SAMPLE_RATE
    deterministic = True

    def __init__(self) -> None:
        self._model: Any = None
        self._generator: Any = None

    @property
    def model_version(self) -> str:
        """The package's version: model and pronunciation rules come inside it."""
        try:
            return f"{_DISTRIBUTION}-{metadata.version(_DISTRIBUTION)}"
        except metadata.PackageNotFoundError:
            return f"{_DISTRIBUTION}-missing"

    def load(self) -> None:
        """Load model and pronunciation rules on one thread, about 0.7 s; slots, not threads, fill a machine."""
        if self._model is not None:
            return
        try:
            # onnxruntime and numpy take 0.2 s and 100 MB: only the process that speaks pays for them.
            from hibari import Hibari  # type: ignore[import-untyped]  # noqa: PLC0415  it ships no types
            from numpy.random import default_rng  # noqa: PLC0415
        except ImportError as exc:
            raise PermanentError(
                f"the speech engine hibari is not installed: {exc}", hint="pip install hibari-tts"
            ) from exc
        try:
            model = Hibari(voice=_VOICE, threads=1)
            model.phonemize("Ready.")
        except (MemoryError, OSError, RuntimeError) as exc:
            raise TemporaryError(f"hibari could not be loaded: {exc}", hint="it needs about 200 MB of memory") from exc
        self._generator = default_rng
        self._model = model

    def check_text(self, text: str) -> None:
        """Refuse scripts whose letters hibari would leave out without a word."""
        unread = sorted(set(_words_of_other_scripts(text)))
        if unread:
            shown = "".join(unread[:8])
            raise PermanentError(
                f"hibari reads Latin letters only and would skip {shown!r} in the text",
                hint="write the words in English, or use an engine that speaks their language",
            )

    def synthesise(self, text: str, settings: SynthesisSettings) -> Iterator[Samples]:
        """One piece a sentence, so that memory stays flat and progress can be shown."""
        if self._model is None:
            raise RuntimeError("synthesise before load")
        # In hibari `[word](/phonemes/)` sets a pronunciation; a job's text is plain, and Markdown links look the same.
        plain = text.replace("](", "] (")
        try:
            yield from self._pieces(plain, settings)
        except (ValueError, LookupError, TypeError, AttributeError) as exc:
            raise PermanentError(f"hibari cannot read the text: {exc}", hint="reword it") from exc
        except Exception as exc:
            raise TemporaryError(f"hibari failed: {type(exc).__name__}: {exc}") from exc

    def _pieces(self, text: str, settings: SynthesisSettings) -> Iterator[Samples]:
        generator = self._generator(settings.seed)
        for sentence in self._model.split_sentences(text):
            for phonemes in self._model.phonemize(sentence):
                for run in _runs(phonemes):
                    yield self._model.from_ids(self._model.ids(run), settings.speed, generator)


def _words_of_other_scripts(text: str) -> Iterator[str]:
    after_foreign = ""
    for char in text:
        foreign = _foreign(char)
        if foreign == "whole":
            yield char
        elif foreign and after_foreign:
            yield from (after_foreign, char)
        after_foreign = char if foreign == "letter" else ""


def _foreign(char: str) -> str:
    """`whole` for a letter that is a syllable or word by itself, `letter` for one of another alphabet, else empty."""
    if char.isascii() or not char.isalpha():
        return ""
    name = unicodedata.name(char, "")
    if unicodedata.category(char) == "Lo" and "ORDINAL" not in name and not name.startswith("LATIN"):
        return "whole"
    return "letter" if name.startswith(_LETTERS_OF_OTHER_SCRIPTS) else ""


def _runs(phonemes: str) -> Iterator[str]:
    """The phonemes in runs that one model call can take, cut at spaces where there are any."""
    rest = phonemes
    while len(rest) > _LONGEST_RUN_PHONEMES:
        cut = rest.rfind(" ", 1, _LONGEST_RUN_PHONEMES)
        cut = cut if cut > 0 else _LONGEST_RUN_PHONEMES
        yield rest[:cut]
        rest = rest[cut:].lstrip(" ")
    if rest:
        yield rest
