"""Which machine to rent for a batch: each offer with the dollars that the batch would probably cost there. Pure.

Expected dollars are the hours of one rent, priced with its storage, and the traffic. The hours are the start-up, as
often as a machine of this reliability has to be started for one to stay, and the work at the speed that was measured
on such a GPU. A machine that cannot be taken is kept, with the reason. Called by those who rent and by the table of
offers; it asks no market and rents nothing.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from lib.money import MICRO

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lib.market.base import MarketOffer

HOUR: Final = 3600.0

USUAL_START_SECONDS: Final = 240.0
"""Loading an image, starting sshd and a model: what is assumed of a machine before any of its kind was seen."""

USUAL_CHARACTERS_PER_SECOND: Final = 250.0
"""What is assumed of a GPU that was never measured: some sixteen seconds of speech in each second."""

UNSEEN_SPEED_SHARE: Final = 0.8
"""A GPU that was never measured counts as this much of the usual one: a known machine wins over an equal guess."""

LEAST_RELIABILITY: Final = 0.5
"""Below it a machine is refused: it would be started more than twice for one that stays."""

SLOWEST_MBPS: Final = 0.01
"""What a speed is at least: a figure that is nearly none would make an endless price."""

INTERRUPTED_SHARE: Final = 0.25
"""So many of the machines that are bid for are assumed to be taken away once in a batch."""


@dataclass(frozen=True, slots=True)
class BatchNeeds:
    """What is to be done on one machine, and what it must have; sizes in GB, `max_dph` in millionths an hour.

    `characters` is the work of all jobs of the batch. `image_gb` is what a machine loads before it starts, and
    `down_gb` and `up_gb` are the inputs and the outputs. `cuda` is the least version that the worker runs on.
    """

    characters: int
    disk_gb: float
    max_dph: int
    jobs: int = 1
    image_gb: float = 0.0
    down_gb: float = 0.0
    up_gb: float = 0.0
    gpu_memory_gb: float = 0.0
    cuda: str = ""


@dataclass(frozen=True, slots=True)
class RentHistory:
    """What earlier rents taught. Speeds are characters a second by the name of the GPU, starts are seconds.

    `machine_starts` is by machine, `gpu_starts` by GPU, the median of each; `excluded` is why a machine is left out.
    """

    speeds: Mapping[str, float] = field(default_factory=dict)
    machine_starts: Mapping[str, float] = field(default_factory=dict)
    gpu_starts: Mapping[str, float] = field(default_factory=dict)
    excluded: Mapping[str, str] = field(default_factory=dict)
    usual_start: float = USUAL_START_SECONDS
    usual_speed: float = USUAL_CHARACTERS_PER_SECOND


@dataclass(frozen=True, slots=True)
class Ranked:
    """An offer and what the batch would cost there, in millionths of a dollar; `refused` says why it is not taken.

    `start_seconds` is one start-up, `work_seconds` the batch itself, `starts` how often a start-up is to be expected.
    `traffic` is the share of `cost` that is paid for bytes. `why` says in one line how `cost` came to be.
    """

    offer: MarketOffer
    cost: int
    hourly: int
    start_seconds: float
    work_seconds: float
    starts: float
    traffic: int
    measured: bool
    why: str
    refused: str = ""


def rank(offers: Iterable[MarketOffer], batch: BatchNeeds, history: RentHistory) -> list[Ranked]:
    """All offers, the cheapest for this batch first; those that are refused come last, with their reason."""
    ranked = [_ranked(offer, batch, history) for offer in offers]
    return sorted(ranked, key=lambda each: (bool(each.refused), each.cost, -each.offer.reliability, each.offer.id))


def best(ranked: Iterable[Ranked]) -> Ranked | None:
    """The first one that may be taken."""
    return next((each for each in ranked if not each.refused), None)


def bid(offer: MarketOffer, most: int, disk_gb: float) -> int:
    """What to bid an hour for an interruptible one: a quarter above the least bid, and never past what is allowed.

    At the least bid it would be the first to be taken away. `most` is for everything, so storage is left of it.
    """
    storage = offer.hourly(disk_gb) - offer.dph
    return max(offer.min_bid, min(math.ceil(offer.min_bid * 1.25), most - storage))


def _ranked(offer: MarketOffer, batch: BatchNeeds, history: RentHistory) -> Ranked:
    hourly = offer.hourly(batch.disk_gb)
    start = _start_seconds(offer, batch, history)
    speed, measured = _speed(offer, history)
    work = batch.characters / speed + _carrying_seconds(offer, batch)
    starts = _starts(offer)
    down = batch.image_gb * starts + batch.down_gb
    traffic = math.ceil(offer.download_gb * down + offer.upload_gb * batch.up_gb)
    cost = math.ceil(hourly * (start * starts + work) / HOUR) + traffic
    how = f"{speed:.0f} characters a second, {'measured' if measured else 'assumed'}"
    why = (
        f"{_dollars(cost)}: {_minutes(start * starts)} to start ({starts:.2f} times), {_minutes(work)} of work "
        f"at {how}, at {_dollars(hourly)} an hour" + (f", and {_dollars(traffic)} of traffic" if traffic else "")
    )
    refused = _refused(offer, hourly, batch, history)
    return Ranked(offer, cost, hourly, start, work, starts, traffic, measured, why, refused)


def _refused(offer: MarketOffer, hourly: int, batch: BatchNeeds, history: RentHistory) -> str:
    """The first thing that speaks against it. Zero is a size that is not known: one's own host says none."""
    too_old = bool(batch.cuda and offer.cuda) and _version(offer.cuda) < _version(batch.cuda)
    against = (
        (offer.machine_id in history.excluded, f"left out for a while: {history.excluded.get(offer.machine_id, '')}"),
        (
            hourly > batch.max_dph,
            f"{_dollars(hourly)} an hour is more than VAST_MAX_DPH, {_dollars(batch.max_dph)}",
        ),
        (
            0 < offer.gpu_memory_gb < batch.gpu_memory_gb,
            f"{offer.gpu_memory_gb:g} GB of GPU memory, {batch.gpu_memory_gb:g} are needed",
        ),
        (
            0 < offer.disk_gb < batch.disk_gb,
            f"{offer.disk_gb:g} GB of disk, VAST_DISK asks for {batch.disk_gb:g}",
        ),
        (
            offer.reliability < LEAST_RELIABILITY,
            f"reliability {offer.reliability:.2f} is below {LEAST_RELIABILITY:g}",
        ),
        (too_old, f"its driver knows CUDA {offer.cuda}, {batch.cuda} is needed"),
    )
    return next((reason for holds, reason in against if holds), "")


def _start_seconds(offer: MarketOffer, batch: BatchNeeds, history: RentHistory) -> float:
    """What was measured holds the loading of the image; what is assumed does not."""
    measured = history.machine_starts.get(offer.machine_id, history.gpu_starts.get(offer.gpu))
    return measured if measured is not None else history.usual_start + _seconds(batch.image_gb, offer.down_mbps)


def _carrying_seconds(offer: MarketOffer, batch: BatchNeeds) -> float:
    return _seconds(batch.down_gb, offer.down_mbps) + _seconds(batch.up_gb, offer.up_mbps)


def _seconds(gigabytes: float, mbps: float) -> float:
    # A speed that is not known costs nothing here: those who tell theirs must not look worse for it.
    return gigabytes * 8000 / max(mbps, SLOWEST_MBPS) if mbps > 0 else 0.0


def _speed(offer: MarketOffer, history: RentHistory) -> tuple[float, bool]:
    measured = history.speeds.get(offer.gpu, 0.0)
    return (max(measured, 0.01), True) if measured > 0 else (history.usual_speed * UNSEEN_SPEED_SHARE, False)


def _starts(offer: MarketOffer) -> float:
    stays = min(max(offer.reliability, 0.01), 1.0)
    return 1 / (stays * (1 - INTERRUPTED_SHARE if offer.interruptible else 1.0))


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])


def _dollars(micro: int) -> str:
    return f"${micro / MICRO:.4f}"


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"  # noqa: PLR2004 - two minutes
