"""The ssh keys that let a watcher in: a new pair for each rented instance, or the user's own for hosts of theirs.

A pair is made before the instance is rented, its public half travels in the order, and the private half lives in this
process's memory alone: it is in no file, no row and no log. Whoever adopts an instance therefore cannot enter it.
Called by the driver of an instance and by `connection`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import asyncssh

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class HostKeys:
    """An ed25519 pair; `public` is the one line that goes into `authorized_keys`."""

    public: str
    private: bytes = field(repr=False)

    @classmethod
    def make(cls, comment: str = "job-runner") -> Self:
        """A new pair; takes a millisecond."""
        key = asyncssh.generate_private_key("ssh-ed25519", comment=comment)
        return cls(key.export_public_key("openssh").decode().strip(), key.export_private_key("openssh"))


@dataclass(frozen=True, slots=True)
class OwnKeys:
    """The user's keys: this file, or where None, those of the ssh agent and of ~/.ssh.

    With them a host key that ~/.ssh/known_hosts names is the only one that is accepted.
    """

    file: Path | None = None
