"""The models that an API key pays for, as the cloud gives them to one attempt: metered, and adding up what they cost.

One key, one model for text and one for speech; each model has an allowance of its own at the API, so each is a pool of
its own. The key itself stays in the clients: everywhere else it is known by a short hash.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from job_watcher.backends.metered import MeteredModel
from job_watcher.backends.metered_speech import MeteredSpeech
from job_watcher.backends.metering import PATIENCE_SECONDS, Meter, Payer, seconds_for_waits
from job_watcher.backends.settling import Settlements
from job_watcher.child.questions import ModelAnswers
from lib.capabilities.gemini import GeminiModel
from lib.capabilities.gemini_speech import GeminiSpeech
from lib.money import MICRO
from lib.redisqueue.quota import Allowance, Pool
from lib.routing.prices import load_prices
from lib.setting_fields.compute import NO_SPEECH

if TYPE_CHECKING:
    from job_watcher.session import Session
    from lib.capabilities.speech_model import ServedSpeech
    from lib.capabilities.text_model import ServedModel
    from lib.clock import Clock
    from lib.jobqueue import Capability, JobSpec
    from lib.jobqueue.protocol import Lease
    from lib.redisqueue.queue import Queue
    from lib.routing.prices import PriceTable
    from lib.settings import Settings

_HASH_DIGITS: Final = 12


@dataclass(frozen=True, slots=True)
class PaidCalls:
    """What one attempt may call. Text and speech share one meter, so that the record says what all of it cost."""

    text_model: MeteredModel
    speech: MeteredSpeech | None
    meter: Meter

    @property
    def answers(self) -> ModelAnswers:
        """The same for a body in a child."""
        return ModelAnswers(text=self.text_model, speech=self.speech)

    def cost(self) -> dict[str, Any] | None:
        """What the calls so far were charged; None when there was none."""
        return self.meter.cost()


@dataclass(frozen=True, slots=True)
class PaidModels:
    """The models of this process; `key` is the hash that pools are named by, `budget` the cap of the day."""

    text: ServedModel
    speech: ServedSpeech | None
    key: str
    allowance: Allowance
    prices: PriceTable
    budget: int | None
    queue: Queue
    clock: Clock
    settlements: Settlements

    @classmethod
    def of(cls, settings: Settings, queue: Queue, clock: Clock) -> PaidModels:
        """As the settings say.

        Raises:
            SettingsError: PRICES_FILE is not what it must be.

        """
        key, base_url = settings.gemini_api_key, settings.gemini_base_url
        speaks = settings.gemini_speech_model != NO_SPEECH
        return cls(
            text=GeminiModel(key, settings.gemini_model, base_url=base_url, clock=clock),
            speech=GeminiSpeech(key, settings.gemini_speech_model, base_url=base_url, clock=clock) if speaks else None,
            key=hashlib.sha256(key.encode()).hexdigest()[:_HASH_DIGITS],
            allowance=Allowance(
                settings.gemini_rpm, settings.gemini_tpm, settings.gemini_rpd, settings.gemini_high_share
            ),
            prices=load_prices(settings.prices_file),
            budget=None if settings.budget_per_day_usd is None else round(settings.budget_per_day_usd * MICRO),
            queue=queue,
            clock=clock,
            settlements=Settlements(queue, clock),
        )

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Text, and speech by listed speakers: a voice of somebody's own lies on the owner's machines."""
        return frozenset({"text_model"} if self.speech is None else {"text_model", "speaker"})

    async def prepare(self) -> None:
        """Load the clients of the API."""
        await self.text.prepare()
        if self.speech is not None:
            await self.speech.prepare()

    async def lacks(self, capability: Capability) -> str | None:
        """Why the API cannot serve this now."""
        match capability:
            case "text_model":
                return await self.text.available()
            case "speaker" if self.speech is not None:
                return await self.speech.available()
        return None

    def calls_of(self, job: JobSpec, lease: Lease, session: Session, *, keeps: bool) -> PaidCalls:
        """The models as this attempt may call them; `keeps` as its kind says."""
        # Waits in place are part of the attempt: each, and all of them, must end before its deadline uses one up.
        patience = min(PATIENCE_SECONDS, job.timeout_seconds / 2)
        payer = Payer(
            lease,
            session,
            self.budget,
            high=job.priority == "high",
            patience=patience,
            until=self.clock.elapsed() + seconds_for_waits(job.timeout_seconds),
            keeps=keeps,
        )
        meter = Meter(self.queue, self.settlements, self.prices, payer, self.clock)
        text = MeteredModel(self.text, meter, Pool(self.key, self.text.model), self.allowance)
        speech = None
        if self.speech is not None:
            speech = MeteredSpeech(self.speech, meter, Pool(self.key, self.speech.model), self.allowance)
        return PaidCalls(text, speech, meter)

    async def aclose(self) -> None:
        """Close the connections to the API."""
        await self.text.aclose()
        if self.speech is not None:
            await self.speech.aclose()
