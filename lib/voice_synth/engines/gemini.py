"""Gemini's speech models: the listed speakers on the cloud, by voices of the service that are like them.

It asks whoever it was given for the sound and never a network: a watcher makes the call, within quota and budget. So it
is not among the engines that a machine has; a job gets it when it runs on the cloud. Sound that nobody could listen to
is found where every engine's is.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Protocol

from lib.capabilities.speech_model import usual_seconds
from lib.errors import AnswerError, PermanentError
from lib.voice_synth.chunking import chunks_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lib.capabilities.speech_model import Spoken
    from lib.voice_synth.engines.base import EngineVoice, Samples, SynthesisSettings, VoicePart

SAMPLE_RATE: Final = 24_000

# What the speakers are known for, and what the service says of its voices.
LIKE_SPEAKERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "Vivian": "Zephyr",  # bright, young
        "Serena": "Vindemiatrix",  # gentle
        "Uncle_Fu": "Algenib",  # gravelly, of some age
        "Dylan": "Iapetus",  # clear, young
        "Eric": "Sadachbia",  # lively
        "Ryan": "Fenrir",  # full of drive
        "Aiden": "Achird",  # friendly
        "Ono_Anna": "Leda",  # youthful
        "Sohee": "Sulafat",  # warm
    }
)
"""By speaker: the service's own voice that speaks in its place."""

# What the service lists for the first generation of its models, where it hears from the text which it is; later ones
# speak more.
_LANGUAGES: Final = (
    *("English", "Afrikaans", "Albanian", "Amharic", "Arabic", "Armenian", "Azerbaijani", "Basque", "Belarusian"),
    *("Bengali", "Bulgarian", "Catalan", "Cebuano", "Chinese", "Croatian", "Czech", "Danish", "Dutch", "Estonian"),
    *("Filipino", "Finnish", "French", "Galician", "Georgian", "German", "Greek", "Gujarati", "Haitian Creole"),
    *("Hebrew", "Hindi", "Hungarian", "Icelandic", "Indonesian", "Italian", "Japanese", "Javanese", "Kannada"),
    *("Konkani", "Korean", "Lao", "Latin", "Latvian", "Lithuanian", "Luxembourgish", "Macedonian", "Maithili"),
    *("Malagasy", "Malay", "Malayalam", "Marathi", "Mongolian", "Myanmar (Burmese)", "Nepali", "Norwegian", "Oriya"),
    *("Pashto", "Persian", "Polish", "Portuguese", "Punjabi", "Romanian", "Russian", "Serbian", "Sindhi", "Sinhala"),
    *("Slovak", "Slovenian", "Spanish", "Swahili", "Swedish", "Tamil", "Telugu", "Thai", "Turkish", "Ukrainian"),
    *("Urdu", "Vietnamese"),
)
# The text does not say these, so they go with the words about how to speak.
_VARIETIES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "English (Great Britain)": "Speak British English.",
        "Portuguese (Brazil)": "Speak Brazilian Portuguese.",
        "Spanish (Latin America)": "Speak Latin American Spanish.",
    }
)
_OBEYED: Final = frozenset({"tone", "instruct", "instruct_style"})
# Two minutes of speech are made in little more than one, while nothing is heard. The first models stop without a word
# at five and a half; long before that a voice drifts, and a failed call is paid for.
_LONGEST_CALL_SECONDS: Final = 120.0
# Where sentences end that have no white space between them.
_CLOSED: Final = re.compile(r"(?<=[\u3002\uff01\uff1f])(?=.)")
_FULL_SCALE: Final = 32_767


class Speech(Protocol):
    """Whoever has the sound made; blocks."""

    @property
    def model(self) -> str:
        """The name of the model."""

    def speak(self, text: str, voice_name: str, style: str) -> Spoken:
        """The sound of `text`; raises as `lib.capabilities.speech_model.SpeechModel`."""


class GeminiEngine:
    """Speech by a model of Gemini; without `speech` it can only be asked what it would do."""

    name = "gemini"
    voices: tuple[str, ...] = tuple(LIKE_SPEAKERS.values())
    speakers: tuple[str, ...] = ()
    languages = (*_LANGUAGES, *_VARIETIES)
    voice_parts: tuple[VoicePart, ...] = ()
    # It samples, and takes no seed.
    deterministic = False

    def __init__(self, speech: Speech | None = None) -> None:
        self._speech = speech

    @property
    def model_version(self) -> str:
        """The model's name; behind it the service may change what it likes."""
        return self._speech.model if self._speech is not None else "gemini"

    def missing(self, voice: EngineVoice | None = None) -> str | None:  # noqa: ARG002 - the same for all
        """Somebody who makes the call."""
        return None if self._speech is not None else "a watcher of the cloud"

    def remedy(self, voice: EngineVoice | None = None) -> str:  # noqa: ARG002 - the same for all
        """Let a watcher do it."""
        return "enqueue the job for a watcher with GEMINI_API_KEY; backend: cloud makes it run there and nowhere else"

    def languages_of(self, voice: EngineVoice) -> tuple[str, ...]:  # noqa: ARG002 - the same for all
        """All, with every voice."""
        return self.languages

    def controls_of(self, voice: EngineVoice) -> frozenset[str]:  # noqa: ARG002 - the same for all
        """Words about how to speak; the service refuses or ignores every number."""
        return _OBEYED

    def sample_rate_of(self, voice: EngineVoice) -> int:  # noqa: ARG002 - the same for all
        """Fixed by the service."""
        return SAMPLE_RATE

    def check_text(self, text: str, voice: EngineVoice, language: str) -> None:
        """Nothing is known that it would skip."""

    def load(self) -> None:
        """Nothing.

        Raises:
            PermanentError: nobody makes the calls.
        """
        self._required()

    def load_voice(self, voice: EngineVoice) -> None:
        """Nothing: the voices are the service's."""

    def synthesise(self, text: str, settings: SynthesisSettings) -> Iterator[Samples]:
        """A call and a piece for every few minutes of speech, cut between sentences.

        Raises:
            TaskError: as the call has it, typed: a quota, a budget, content that is refused.
        """
        speech, style = self._required(), _style_of(settings)
        for part in _parts_of(text):
            yield _samples_of(speech.speak(part, settings.voice.name, style))

    def _required(self) -> Speech:
        if self._speech is None:
            raise PermanentError(f"the speech engine gemini needs {self.missing()}", hint=self.remedy())
        return self._speech


def _samples_of(spoken: Spoken) -> Samples:
    import numpy as np  # noqa: PLC0415 - only the process that speaks pays for it

    if spoken.rate != SAMPLE_RATE:
        raise PermanentError(
            f"{spoken.model} gave {spoken.rate} samples a second and not {SAMPLE_RATE}",
            hint="set GEMINI_SPEECH_MODEL to another model",
        )
    if len(spoken.pcm) % 2:
        raise AnswerError(f"{spoken.model} gave half a sample: {len(spoken.pcm)} bytes of 16-bit sound")
    return np.frombuffer(spoken.pcm, dtype="<i2").astype(np.float32) / np.float32(_FULL_SCALE)


def _parts_of(text: str) -> list[str]:
    """The text whole if it is short enough for one call, else as few parts as whole sentences allow."""
    if usual_seconds(text) <= _LONGEST_CALL_SECONDS:
        return [text]
    parts: list[str] = []
    for chunk in chunks_of(text):
        for sentence in _CLOSED.split(chunk):
            joined = f"{parts[-1]} {sentence}" if parts else sentence
            if parts and usual_seconds(joined) <= _LONGEST_CALL_SECONDS:
                parts[-1] = joined
            else:
                parts.append(sentence)
    return parts


def _style_of(settings: SynthesisSettings) -> str:
    """What a job says about how to speak, as sentences."""
    said = [
        _VARIETIES.get(settings.language, ""),
        settings.instruct.strip() if settings.instruct else "",
        f"Speak in the style of {settings.instruct_style.strip()}." if settings.instruct_style else "",
        f"Speak in a tone that is {settings.tone.strip()}." if settings.tone else "",
    ]
    return " ".join(filter(None, said))
