"""Whether the queue adds up: every accepted job is somewhere, and nothing is stranded; mended on request.

The looking and the mending are `lib.redisqueue.fsck`'s; this gives them the form that `doctor` shows.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from job_runner.service.doctor import Check
from lib.redisqueue import fsck
from lib.wiring import opened_queue

if TYPE_CHECKING:
    from lib.settings import Settings

_MEND: Final = "run `job-runner doctor --fsck --repair`"
_BY_HAND: Final[dict[str, str]] = {
    "imbalance": "a key was removed by hand or an old file restored; `job-runner report` says which jobs are missing",
    "record_and_row": "cancel the job, then `job-runner enqueue --replace`",
    "key_held_by_two": "cancel one of the two jobs",
    "unreadable_row": "somebody changed the index by hand; enqueue the job again with --replace",
}
_BY_HAND_OTHERWISE: Final = "look again when the queue is quiet"


@dataclass(frozen=True, slots=True)
class Consistency:
    """The sum and what was found; `repaired` says whether it was to be mended."""

    census: fsck.Census
    findings: tuple[fsck.Finding, ...]
    repaired: bool

    @property
    def checks(self) -> tuple[Check, ...]:
        """As lines of the doctor."""
        return (_sum_check(self.census), *(self._check(finding) for finding in self.findings))

    def _check(self, finding: fsck.Finding) -> Check:
        found = f"{finding.subject}: {finding.detail}"
        if finding.repaired:
            return Check(finding.kind, "mended", found)
        by_hand = self.repaired or finding.kind == "imbalance"
        mend = _BY_HAND.get(finding.kind, _BY_HAND_OTHERWISE) if by_hand else _MEND
        return Check(finding.kind, "wrong", found, mend)

    def document(self) -> dict[str, Any]:
        """What `doctor --fsck` adds to the JSON."""
        return {
            "census": {**asdict(self.census), "balance": self.census.balance},
            "findings": [asdict(finding) for finding in self.findings],
        }


async def look_through(settings: Settings, *, repair: bool) -> Consistency:
    """Walk through the whole queue; with `repair`, mend what can be mended. Safe on a busy queue."""
    async with opened_queue(settings) as queue:
        findings = await fsck.fsck(queue, repair=repair)
        return Consistency(await fsck.census(queue), tuple(findings), repair)


def _sum_check(census: fsck.Census) -> Check:
    places = ("intake", "lanes", "leased", "delayed", "done", "failed", "cancelled", "expired", "flushed")
    terms = " + ".join(f"{name} {getattr(census, name)}" for name in places if getattr(census, name))
    return Check("sum", "ok" if census.balance == 0 else "note", f"accepted {census.accepted} = {terms or '0'}")
