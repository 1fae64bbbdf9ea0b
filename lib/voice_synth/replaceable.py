"""Whether a path that a person names may be replaced by a new file: a file may, a device, pipe or directory may not.

A whole file appears by a rename over what stands there. Root who names `/dev/null` would so take the device away from
every program of the machine.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from lib.errors import InvalidInputError

if TYPE_CHECKING:
    from pathlib import Path


def require_replaceable(path: Path, option: str) -> None:
    """Raise `InvalidInputError` unless the path is free or a regular file; OSError when it cannot be looked at."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        kind = "a directory" if stat.S_ISDIR(mode) else "a device or pipe"
        raise InvalidInputError(f"{option} {path} is {kind}, not a file", hint="name a file, new or to be replaced")
