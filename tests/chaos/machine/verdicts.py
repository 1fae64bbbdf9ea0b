"""What the checker says when a promise was broken: which one, whose job, what happened, and the lines that show it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

PROMISES: Final = {
    1: "accepted is kept",
    2: "once by name",
    3: "one record",
    4: "fence",
    5: "self-stop",
    6: "recovery",
    7: "poison, and only the guilty",
    8: "conservation",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """One broken promise; `job` may also be a session or a key, where that is what was wronged."""

    promise: int
    job: str
    said: str
    at: float = 0.0
    evidence: tuple[str, ...] = ()

    def text(self, begun: float = 0.0) -> str:
        """For people; times count from `begun`."""
        head = f"promise {self.promise} ({PROMISES[self.promise]}): {self.job}: {self.said}"
        when = f" (at {self.at - begun:.3f} s)" if self.at else ""
        return "\n    ".join((head + when, *self.evidence))
