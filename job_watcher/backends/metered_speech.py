"""A paid speech model as speech engines see it: each call goes through the meter of its attempt.

The twin of `metered`, for sound. Made for each attempt by the cloud backend; it owns no connection.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from job_watcher.backends.metering import Tokens

if TYPE_CHECKING:
    from job_watcher.backends.metering import Meter
    from lib.capabilities.speech_model import SpeechModel, Spoken
    from lib.redisqueue.quota import Allowance, Pool


@dataclass(frozen=True, slots=True)
class MeteredSpeech:
    """A `SpeechModel` that keeps to quota and budget."""

    inner: SpeechModel
    meter: Meter
    pool: Pool
    allowance: Allowance

    @property
    def model(self) -> str:
        """Its name."""
        return self.inner.model

    async def speak(self, text: str, voice_name: str, style: str = "") -> Spoken:
        """See `SpeechModel`; raises also as `Meter.paid` does."""
        most = Tokens(self.inner.tokens_in(text, style), self.inner.tokens_out(text))
        spoken, usd = await self.meter.paid(
            self.pool, self.allowance, most, lambda: self.inner.speak(text, voice_name, style), _taken
        )
        return replace(spoken, usd=usd)

    def tokens_in(self, text: str, style: str = "") -> int:
        """See `SpeechModel`."""
        return self.inner.tokens_in(text, style)

    def tokens_out(self, text: str) -> int:
        """See `SpeechModel`."""
        return self.inner.tokens_out(text)

    async def aclose(self) -> None:
        """Nothing: the model behind it is the backend's."""


def _taken(spoken: Spoken) -> Tokens:
    return Tokens(spoken.input_tokens, spoken.output_tokens)
