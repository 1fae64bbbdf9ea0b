"""Why nothing is rented just now, said once, and how long that lasts; kept for one watcher by its fleet.

What is worth renting is `lib.market.deciding`'s to say. Here is what comes between the wish and the deed: a market that
has nothing, or no money of ours; a queue that refuses; and machines that end one after the other before their first
job, of which the reason is most likely ours: an image without the worker costs a start-up each time, and so does a
store that is away, where the jobs that wait for it leave no place for others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from loguru import logger

from lib.errors import SettingsError
from lib.money import MICRO

if TYPE_CHECKING:
    from lib.clock import Clock
    from lib.errors import JobRunnerError
    from lib.market.deciding import Decision
    from lib.market.instance import Instance
    from lib.redisqueue.instances import RentRefused

AGAIN_SECONDS: Final = 15.0
"""Between two searches of which the first found nothing, and after a refusal of the queue: a market counts them."""

REFUSED_SECONDS: Final = 60.0
"""A market that has no money of ours left, or refuses the key, is asked again after so long."""

FAILURES: Final = 3
"""So many machines in a row that end before their first job are bad luck no more."""

BRAKE_SECONDS: Final = 60.0
LONGEST_BRAKE_SECONDS: Final = 1800.0
MOST_DOUBLED: Final = 10
"""The pause after so many, twice as long after each one more."""

NO_OFFER: Final = "no machine on the market fits VAST_MAX_DPH, VAST_DISK and VAST_QUERY, or all that do are left out"
NO_HOST: Final = (
    "every host of SSH_HOSTS is in use, or left out for a while since it failed; `job-runner offers` says which"
)


@dataclass(slots=True)
class Restraint:
    """`why` is what people are told; `blocked` the same where nobody need wait for a machine; empty: one may come."""

    clock: Clock
    why: str = "nothing has waited for one yet"
    blocked: str = ""
    _not_before: float = float("-inf")
    _code: str = ""
    _told: str = ""
    _failures: int = 0

    @property
    def pausing(self) -> bool:
        """Whether nothing is to be tried now, whatever the sums say."""
        return self.clock.elapsed() < self._not_before

    def decided(self, decision: Decision) -> None:
        """What the sums say; while it pauses, the reason of that is the one that counts."""
        if self.pausing:
            return
        if decision.rent or decision.code not in {self._code, "nothing_waits"}:
            logger.info("rented machines: {}", decision.why)
        self._code, self.why = decision.code, decision.why
        self.blocked = decision.why if decision.code in {"no_budget", "budget"} else ""

    def rented(self) -> None:
        """One is on its way."""
        self.blocked = self._told = ""

    def no_offer(self, *, markets: bool) -> None:
        """None may be had, at `markets` or of one's own hosts alone; whoever waits may wait for nothing."""
        self._pause(AGAIN_SECONDS, NO_OFFER if markets else NO_HOST, blocks=True)

    def search_failed(self, error: JobRunnerError) -> None:
        """The market did not answer; a setting that it refuses does not pass."""
        self._pause(AGAIN_SECONDS, error.message, blocks=isinstance(error, SettingsError))

    def market_refused(self, error: JobRunnerError) -> None:
        """It has no money of ours, or refuses the key."""
        self._pause(REFUSED_SECONDS, error.message, blocks=True)

    def queue_refused(self, answer: RentRefused) -> None:
        """No row was written; what another watcher was quicker at is no reason to wait."""
        said = {
            "no_budget": "BUDGET_PER_DAY_USD is not set, and nothing that costs is rented without it",
            "budget": f"the day's budget is reached: ${answer.spent / MICRO:.2f} is spent or reserved",
            "replicas": "no replica of the server took the intent",
        }
        if answer.why in said:
            self._pause(AGAIN_SECONDS, said[answer.why], blocks=True)

    def ended(self, instance: Instance, jobs_done: int) -> None:
        """One that was rented here is over, or is somebody else's to end."""
        if jobs_done:
            self._failures = 0
            return
        unused = instance.reason == "idle"
        if not (unused or instance.failed or instance.reason.startswith("dropped")):
            return
        self._failures += 1
        if self._failures >= FAILURES:
            # A power of thousands is no number of seconds.
            doubled = min(self._failures - FAILURES, MOST_DOUBLED)
            seconds = min(BRAKE_SECONDS * 2**doubled, LONGEST_BRAKE_SECONDS)
            what = "ended without one job" if unused else "failed before their first job"
            # What another one would have done is held up elsewhere, and may go on by itself.
            self._pause(seconds, f"{self._failures} machines in a row {what}: {instance.reason}", blocks=not unused)

    def _pause(self, seconds: float, said: str, *, blocks: bool) -> None:
        self._not_before = max(self._not_before, self.clock.elapsed() + seconds)
        if said != self._told:
            logger.warning("rented machines: {}", said)
        self._told = self.why = said
        self.blocked = said if blocks else ""
