"""A speech model behind a service, as its callers see it: a text in, raw sound out, with what it took.

It knows a service's own voices; which of them speaks for whom, and whether the sound can be listened to, is decided in
`lib.voice_synth`. Who runs the call keeps it to quotas and budget.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

_LETTERS_A_SECOND: Final = 12.5
# A sign of Chinese or Japanese is a syllable or more, a letter seldom is.
_SIGNS_A_SECOND: Final = 4.0
_LAST_OF_LETTERS: Final = "\u2e7f"


def usual_seconds(text: str) -> float:
    """How long a reader takes for it, about."""
    letters = sum(char <= _LAST_OF_LETTERS for char in text)
    return letters / _LETTERS_A_SECOND + (len(text) - letters) / _SIGNS_A_SECOND


@dataclass(frozen=True, slots=True)
class Spoken:
    """All of one answer: `pcm` is mono, 16-bit, little-endian, `rate` samples a second.

    Tokens are as the service counts them, `seconds` the whole call (not of the sound), `usd` what it cost.
    """

    pcm: bytes
    rate: int
    model: str
    input_tokens: int
    output_tokens: int
    seconds: float
    usd: float = 0.0


class SpeechModel(Protocol):
    """One model behind one service."""

    @property
    def model(self) -> str:
        """Its name, as the service and the price table spell it."""

    async def speak(self, text: str, voice_name: str, style: str = "") -> Spoken:
        """The sound of `text`, whole; `style` says in words how it is to be spoken.

        Raises:
            QuotaError: the service says that a quota is used up, and until when.
            PausedError: no call can succeed for the time being: the key is refused, the model is missing.
            OverloadedError: it cannot now, or a deadline of the call passed.
            BlockedError, TruncatedError: as they say.
            AnswerError: there is no sound in the answer.

        """

    def tokens_in(self, text: str, style: str = "") -> int:
        """The most tokens that the prompt may have, where it is paid for, else an estimate; without asking anybody."""

    def tokens_out(self, text: str) -> int:
        """The same of the sound."""

    async def aclose(self) -> None:
        """Close its connections. Repeatable."""


class ServedSpeech(SpeechModel, Protocol):
    """A model that says whether its service can serve it now."""

    async def prepare(self) -> None:
        """Load the vendor's library, seconds on a busy machine; asks nobody. Repeatable."""

    async def available(self) -> str | None:
        """Why it cannot, None when it can. Asks the service; costs nothing there."""
