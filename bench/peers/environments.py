"""Makes an environment for each peer, with pinned versions, on first use; nothing of ours is in it."""

from __future__ import annotations

import hashlib
import sys
from typing import TYPE_CHECKING, Final

from bench.stand import HOUSE, said_by

if TYPE_CHECKING:
    from pathlib import Path

    from bench.peers.roster import Peer

ROOM: Final = HOUSE / ".state/bench"


async def python_of(peer: Peer) -> Path:
    """The peer's own interpreter; its environment is made when it is not there, or was for other versions.

    Raises:
        StandError: a package cannot be had.

    """
    pins = hashlib.sha256("\n".join((sys.version, *peer.pins)).encode()).hexdigest()[:12]
    home = ROOM / f"{peer.name}-{pins}"
    python = home / "bin/python"
    stamp = home / "made"
    if not stamp.exists():
        await said_by(sys.executable, "-m", "venv", "--clear", str(home))
        quiet = ("--disable-pip-version-check", "--quiet", "--no-input")
        await said_by(str(python), "-m", "pip", "install", *quiet, *peer.pins)
        stamp.touch()
    return python
