"""Which version of an engine's package is installed. Asked for each take, and read once: it costs a millisecond."""

from __future__ import annotations

import functools
from importlib import metadata


@functools.cache
def version_of(distribution: str) -> str:
    """The installed version of a package, `missing` without one; it does not change while a process runs."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "missing"
