"""What a course of the stress test must have been like, as the requirement says it; pure."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

from job_watcher.herald import FED, SPILLS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.stress.course import Line, Nap, Seen

MINUTE: Final = 60.0
METAL_FIRST: Final = 2
"""METAL_QUEUE_MAX of one slot: one runs, one waits."""

SLACK_SECONDS: Final = 2.0
"""How late a step may be on a busy machine."""

NEAR: Final = "Gemini near rate limit"
PAUSED: Final = "Cloud Paused due to Rate Limit"
HOLDING: Final = "No compute available holding"
START: Final = "Start of script"


def problems(seen: Seen) -> list[str]:
    """Everything that was not as it must be; empty when all was."""
    return [*_ends(seen), *_beginning(seen), *_windows(seen), *_lines(seen), *_metal(seen)]


def most_in_a_window(times: Sequence[float], seconds: float = MINUTE) -> int:
    """The most of these that any window of so many seconds holds."""
    ordered = sorted(times)
    return max((sum(begin <= each < begin + seconds for each in ordered) for begin in ordered), default=0)


def _ends(seen: Seen) -> Iterator[str]:
    done = sum(nap.status == "done" for nap in seen.naps)
    if done != seen.plan.count:
        yield f"{done} of {seen.plan.count} naps are done"
    if seen.verified != 0:
        yield f"verify ended with {seen.verified}"
    if seen.sent != seen.plan.count:
        yield f"dispatch said Job Sent {seen.sent} times"


def _beginning(seen: Seen) -> Iterator[str]:
    first = [nap for nap in seen.naps if nap.moved < 1.0]
    by_backend = [nap.backend for nap in first]
    wanted = ["metal"] * METAL_FIRST + ["cloud"] * int(seen.plan.rate)
    if sorted(by_backend) != sorted(wanted[: seen.plan.count]):
        yield f"at once went {by_backend}, not {wanted}"


def _windows(seen: Seen) -> Iterator[str]:
    cloud = [nap for nap in seen.naps if nap.backend == "cloud"]
    for what, times in (("moved", [nap.moved for nap in cloud]), ("started", [nap.started for nap in cloud])):
        most = most_in_a_window(times)
        if most > seen.plan.rate:
            yield f"{most} naps were {what} on the cloud within a minute"


def _lines(seen: Seen) -> Iterator[str]:
    texts = [line.text for line in seen.lines]
    if texts[:1] != [START]:
        yield f"the first line is {texts[:1]}"
    said = [line for line in seen.lines if line.text in {*FED.values(), SPILLS, NEAR, PAUSED, HOLDING}]
    opening = [line.text for line in said[:6]]
    if seen.plan.count > METAL_FIRST + seen.plan.rate and opening != [
        FED["metal"],
        SPILLS,
        FED["cloud"],
        NEAR,
        PAUSED,
        HOLDING,
    ]:
        yield f"it began with {opening}"
    for backend, words in FED.items():
        yield from _fed(backend, [line for line in said if line.text == words], seen.naps)
    waiting = seen.plan.count
    for line, after in zip(said, [*said[1:], None], strict=True):
        if line.text in FED.values():
            waiting -= line.jobs
        if line.text == FED["cloud"] and waiting > 0 and (after is None or after.text != NEAR):
            yield f"at {line.at:.1f} s the cloud was fed with jobs left over, and {NEAR!r} did not follow"


def _fed(backend: str, lines: Sequence[Line], naps: Sequence[Nap]) -> Iterator[str]:
    """Each job that was moved was said, when it was."""
    moved = sorted(nap.moved for nap in naps if nap.backend == backend)
    told = sorted(line.at for line in lines for _ in range(line.jobs))
    if len(told) != len(moved):
        yield f"{len(moved)} naps went to {backend}, {len(told)} were said"
    for at, when in zip(moved, told, strict=False):
        if abs(at - when) > SLACK_SECONDS:
            yield f"a nap went to {backend} at {at:.1f} s and was said at {when:.1f} s"


def _metal(seen: Seen) -> Iterator[str]:
    """The free machine never idles while a nap waits."""
    last_moved = max((nap.moved for nap in seen.naps), default=0.0)
    runs = sorted((nap.started, nap.ended) for nap in seen.naps if nap.backend == "metal")
    for (_, ended), (started, _) in pairwise(runs):
        if ended < last_moved and started - ended > SLACK_SECONDS:
            yield f"metal was idle from {ended:.1f} to {started:.1f} s"
