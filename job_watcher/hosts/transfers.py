"""Files to and from a host by sftp, as with somebody who may lie about names, kinds and sizes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Extent:
    """The most that is fetched at once."""

    files: int = 1_000
    file_bytes: int = 512 * 1024 * 1024
    all_bytes: int = 4 * 1024 * 1024 * 1024
