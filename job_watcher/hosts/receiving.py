"""From the word of a host that a job is done to files that are believed: in the store, or in the work directory.

Where the store hands over, the host sends its files there itself, and they are read back from there. Whatever goes
wrong on that way, the files are fetched over ssh instead: no attempt is lost for it. Called by `batches`.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from loguru import logger

from job_watcher.hosts.arrivals import check_bytes, check_sound, claims_of, result_in
from job_watcher.hosts.errors import HostAnswerError
from job_watcher.hosts.transfers import Extent
from lib.errors import TemporaryError
from lib.stores.handover import ClaimBrokenError
from lib.tasks.base import Output, TaskResult

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from job_watcher.hosts.batch_host import BatchHost
    from lib.jobqueue import JobSpec
    from lib.stores.artifacts import StoredOutput
    from lib.stores.handover import Claim, Handover

SECONDS: Final = 600.0
SLOWEST_BYTES_PER_SECOND: Final = 32 * 1024
"""The files of a job may take the first, and more if they are large."""


class Receiving:
    """The files of one host's jobs."""

    def __init__(
        self,
        host: BatchHost,
        handover: Handover | None,
        upload: Callable[[str, dict[str, Any], float], Awaitable[str | None]],
    ) -> None:
        """`upload(name, puts, seconds)` has the worker send a job's files; None when it has, else why not."""
        self._host = host
        self._handover = handover
        self._upload = upload

    async def received(
        self, name: str, job: JobSpec, files: Sequence[Any], *, place: str, directory: Path, job_dir: str | None
    ) -> TaskResult:
        """The result of a job; its files are in `place` on the host, and there are copies in `directory` afterwards.

        `name` is the job's on the host. Without a `job_dir` nothing is stored.

        Raises:
            HostAnswerError, ClaimBrokenError: what came is not what a host that can be believed would send.
            HostError: it is lost.

        """
        claims = claims_of(job, files)
        stored: list[StoredOutput] | None = None
        if self._handover is not None and job_dir is not None:
            stored = await self._stored(self._handover, name, job, claims, directory, job_dir)
        if stored is None:
            await self._fetch(job, claims, place, directory)
        result = await asyncio.to_thread(result_in, job, directory, claims)
        if stored is not None:
            return TaskResult(result, stored=tuple(stored))
        return TaskResult(result, tuple(Output(claim.name, directory / claim.name, claim.kind) for claim in claims))

    async def _stored(
        self, handover: Handover, name: str, job: JobSpec, claims: Sequence[Claim], directory: Path, job_dir: str
    ) -> list[StoredOutput] | None:
        """What the host has put into the store; None when it has not, or the store is away."""
        seconds = _seconds(claims)
        try:
            grants = await handover.grants(job_dir, claims, seconds)
            puts = {each: {"url": put.url, "headers": dict(put.headers)} for each, put in grants.items()}
            error = await self._upload(name, puts, seconds)
            if error is None:
                return await handover.accept(job_dir, claims, directory, partial(check_sound, job))
        except (ClaimBrokenError, HostAnswerError):
            raise
        except TemporaryError as exc:
            error = exc.message
        logger.info("{} did not store its files, so they are fetched: {}", self._host.name, error)
        return None

    async def _fetch(self, job: JobSpec, claims: Sequence[Claim], place: str, directory: Path) -> None:
        sizes = [claim.bytes for claim in claims]
        extent = Extent(files=len(sizes), file_bytes=max(sizes), all_bytes=sum(sizes))
        names = [claim.name for claim in claims]
        await self._host.get(place, directory, names=names, extent=extent, seconds=_seconds(claims))
        await asyncio.to_thread(_check, job, claims, directory)


def _check(job: JobSpec, claims: Sequence[Claim], directory: Path) -> None:
    for claim in claims:
        check_bytes(claim, directory / claim.name)
        check_sound(job, claim, directory / claim.name)


def _seconds(claims: Sequence[Claim]) -> float:
    return SECONDS + sum(claim.bytes for claim in claims) / SLOWEST_BYTES_PER_SECOND
