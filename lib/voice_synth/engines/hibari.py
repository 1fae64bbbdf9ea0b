"""The default voice: hibari, one US English woman's voice that is bundled with its package.

The only module that imports hibari. The package knows other voices and would download them at first use;
this adapter offers the bundled one alone, so that speech never depends on a network.
"""

from __future__ import annotations

from importlib import util
from typing import TYPE_CHECKING, Any

from lib.errors import PermanentError, TemporaryError
from lib.voice_synth.engines.long_words import cut_letters, cut_numbers, cut_parts
from lib.voice_synth.engines.packages import version_of
from lib.voice_synth.engines.scripts import unread_words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lib.voice_synth.engines.base import EngineVoice, Samples, SynthesisSettings, VoicePart

_DISTRIBUTION = "hibari-tts"
_VOICE = "heart"
_SAMPLE_RATE = 24_000
# A model run needs memory that grows faster than its input (a 3000-phoneme sentence took 1 GB); the package
# itself splits at clauses beyond this length, and this adapter splits at words what has no clause.
_LONGEST_RUN_PHONEMES = 400


class HibariEngine:
    """hibari's voice `heart`."""

    name = "hibari"
    voices: tuple[str, ...] = (_VOICE,)
    speakers: tuple[str, ...] = ()
    languages: tuple[str, ...] = ("English",)
    voice_parts: tuple[VoicePart, ...] = ()
    deterministic = True

    def __init__(self) -> None:
        self._model: Any = None
        self._generator: Any = None

    @property
    def model_version(self) -> str:
        """The package's version: model and pronunciation rules come inside it."""
        return f"{_DISTRIBUTION}-{version_of(_DISTRIBUTION)}"

    def missing(self, voice: EngineVoice | None = None) -> str | None:  # noqa: ARG002 - one voice, in the package
        """Its package, when it is not there."""
        return None if util.find_spec("hibari") else f"the package {_DISTRIBUTION}"

    def remedy(self, voice: EngineVoice | None = None) -> str:  # noqa: ARG002 - one voice, in the package
        """Install it."""
        return f"pip install {_DISTRIBUTION}"

    def languages_of(self, voice: EngineVoice) -> tuple[str, ...]:  # noqa: ARG002 - one voice
        """US English."""
        return self.languages

    def controls_of(self, voice: EngineVoice) -> frozenset[str]:  # noqa: ARG002 - one voice
        """It can be told a seed and a pace, nothing of the kind that sampling engines obey."""
        return frozenset({"seed", "speed"})

    def sample_rate_of(self, voice: EngineVoice) -> int:  # noqa: ARG002 - one voice
        """Fixed by the model."""
        return _SAMPLE_RATE

    def load_voice(self, voice: EngineVoice) -> None:
        """Nothing: `load` brought the only voice."""

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

    def check_text(self, text: str, voice: EngineVoice, language: str) -> None:  # noqa: ARG002 - one voice
        """Refuse scripts whose letters hibari would leave out without a word."""
        unread = unread_words(text)
        if unread:
            raise PermanentError(
                f"hibari reads Latin letters only and would skip {unread!r} in the text",
                hint="write the words in English, or use an engine that speaks their language",
            )

    def synthesise(self, text: str, settings: SynthesisSettings) -> Iterator[Samples]:
        """One piece a sentence, so that memory stays flat and progress can be shown."""
        if self._model is None:
            raise RuntimeError("synthesise before load")
        # In hibari `[word](/phonemes/)` sets a pronunciation; a job's text is plain, and Markdown links look the same.
        # Its rules take minutes for an address of some hundred parts, and cannot name a number of forty digits.
        plain = cut_parts(cut_numbers(cut_letters(text))).replace("](", "] (")
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
