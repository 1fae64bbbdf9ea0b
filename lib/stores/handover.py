"""Outputs that go into the store from a machine which has no key to it: leave for one file each, then a look at all.

A host of somebody else's is lent a presigned request for each file that it says it has made: for this name, size and
digest, once, and not for long. What then stands in the store is believed only when every byte was read back here.
A local store has no such thing; there the files come through the watcher. Called by `job_watcher.hosts`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from lib.errors import TemporaryError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from lib.stores.artifacts import StoredOutput
    from lib.tasks.base import OutputKind


class ClaimBrokenError(TemporaryError):
    """What stands in the store is not what was claimed: whoever put it there is not to be believed."""

    code = "claim_broken"


@dataclass(frozen=True, slots=True)
class Claim:
    """One file as a host says that it has made it: `bytes` is its size, `sha256` 64 hex digits."""

    name: str
    kind: OutputKind
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class PresignedPut:
    """One request that stores one file; it holds only with exactly these headers."""

    url: str
    headers: Mapping[str, str]


class Handover(Protocol):
    """The side of a store that lets others put files into it."""

    async def grants(self, job_dir: str, claims: Sequence[Claim], seconds: float) -> Mapping[str, PresignedPut]:
        """A request for each claim, by name, good for `seconds`; it makes the attempt's own object and changes none.

        Raises:
            PermanentError: a name that no object can have.
            TemporaryError: the credentials cannot be had now.

        """

    async def accept(
        self, job_dir: str, claims: Sequence[Claim], into: Path, check: Callable[[Claim, Path], None]
    ) -> list[StoredOutput]:
        """Read every file back into the directory `into`, compare it with its claim, and give it to `check`.

        `check` runs in a thread and raises what is wrong with a file. The copies stay, for the caller to look at.

        Raises:
            ClaimBrokenError: an object is not what was claimed.
            TemporaryError: an object is not there, or the store is away.

        """
