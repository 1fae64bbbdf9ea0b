"""Whether what a done job made is still on this machine: a stat for each local file, its bytes are not read.

A record says `done` for ever, also when somebody has deleted its files, and nothing makes them again by itself; so
whoever shows a record looks. It says nothing of files elsewhere: those with another scheme than `file`, and those whose
output directory does not exist here, because they were made on another machine. Called by `outcomes`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from lib.settings import Settings

FILES_MAX: Final = 100_000
"""So many are looked at for one command; a disk that is far away answers a hundred a second."""

_STORE: Final = "/.store/"
"""What `lib.stores` keeps a job's own files under; what stands before it is an output directory."""


class OutputsHere:
    """Looks at records one after the other; blocks on disk.

    `root` is the output directory of this machine's watchers. With `alone` no other machine can have made anything,
    so that its files are missing also when the directory itself is gone.
    """

    def __init__(self, root: Path, *, alone: bool = False) -> None:
        self._root = root
        self._left = FILES_MAX
        self._roots: dict[str, bool] = {str(root): True} if alone else {}

    @classmethod
    def of(cls, settings: Settings) -> OutputsHere:
        """For the queue and output directory of these settings; the bundled server is reached from here alone."""
        return cls(settings.watcher_output_root, alone=settings.redis_url_source == "embedded")

    def mark(self, records: Iterable[dict[str, Any] | None]) -> None:
        """Write `missing: true` into each output that is gone or has another size than its record says."""
        for record in records:
            if record is not None and record.get("outputs") and self._left > 0:
                for entry in _entries(record["outputs"]):
                    if self._is_missing(entry, record):
                        entry["missing"] = True

    def _is_missing(self, entry: dict[str, Any], record: dict[str, Any]) -> bool:
        stored = path_of(str(entry.get("uri", "")))
        if not stored.startswith("/") or not self._made_here(stored):
            return False
        self._left -= 1
        size = entry.get("bytes")
        return not any(_is_whole(place, size) for place in (stored, *self._published(entry, record)))

    def _made_here(self, stored: str) -> bool:
        root = stored.partition(_STORE)[0] if _STORE in stored else os.path.dirname(stored)  # noqa: PTH120 - a hot loop
        if root not in self._roots:
            self._roots[root] = os.path.isdir(root)  # noqa: PTH112 - ditto
        return self._roots[root]

    def _published(self, entry: dict[str, Any], record: dict[str, Any]) -> Iterator[str]:
        published, output_name = entry.get("published"), record.get("output_name")
        if isinstance(published, str):
            yield path_of(published)
        if isinstance(output_name, str):
            yield str(self._root / output_name / str(entry.get("name", "")))


def _entries(outputs: Any) -> Iterator[dict[str, Any]]:
    """Every output of a record; what somebody damaged by hand is passed over."""
    if not isinstance(outputs, dict):
        return
    for part in outputs.values():
        for entry in part if isinstance(part, list) else (part,):
            if isinstance(entry, dict):
                yield entry


def _is_whole(place: str, size: object) -> bool:
    try:
        return not isinstance(size, int) or os.stat(place).st_size == size  # noqa: PTH116 - a hot loop
    except (OSError, ValueError):
        return False


def lacks_a_file(record: dict[str, Any] | None) -> bool:
    """Whether `mark` found that an output of this record is missing."""
    return record is not None and any(entry.get("missing") is True for entry in _entries(record.get("outputs")))


def path_of(uri: str) -> str:
    """The path of a file URI; any other URI as it is."""
    return unquote(urlsplit(uri).path) if uri.startswith("file://") else uri
