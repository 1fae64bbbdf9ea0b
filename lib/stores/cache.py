"""Files that are made already, by artifact key: found, proven, and given to another job under a name of its own.

Beside the stored files lies a small entry for each key, which says where the files are that were made for it last:

    <root>/.store/.cache/<content hash>/<key>.json     on a disk; the same below the prefix of a bucket

It lies there, and not in the queue's Redis, because it is worth as much as the files: it outlives every flush and every
server, it goes where they go, and each watcher that can reach the files can reach it. Nothing is taken on its word:
what it names is read, or proven by the store's own checksum, before a record names it. So an entry may be lost, late,
written by two watchers at once or by somebody else: that costs a synthesis, and never gives a wrong byte.

An attempt's files are written once and under a name of its own, and who takes them gets names of its own too (a hard
link, a copy on the store's side): to remove the files of one job breaks no other. The watcher calls `find`, `take` and
`keep`, `job-runner cache` the rest. Here is what both kinds of store have in common; `cache_disk` and `cache_s3` are
the kinds.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, cast

from lib.clock import iso
from lib.errors import PermanentError
from lib.jobqueue.artifact_key import ArtifactKey, artifact_key, is_hex
from lib.stores.directories import plain_name, plain_parts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lib.jobqueue.records import StoredOutputLike
    from lib.stores.artifacts import StoredOutput
    from lib.tasks.base import OutputKind

CACHE_DIRECTORY: Final = ".cache"
"""In the store; no attempt's directory can be called so."""

MOST_BYTES: Final = 1 << 20
"""Of one entry: a thousand takes are named in a third of it."""

Why = Literal["new", "gone", "asked", "unknown"]
"""Why a job was made although it might have been taken: nothing had its key; what had it was gone or changed; the job
asked to be made anew; nobody could tell."""

_SCHEMA_VERSION: Final = 1
_KINDS: Final = frozenset({"best", "take", "meta"})
_WHYS: Final = frozenset({"new", "gone", "asked", "unknown"})


@dataclass(frozen=True, slots=True)
class CachedFile:
    """One stored file: `place` is where it stands below the store's own directory, `<job_dir>/<name>`."""

    name: str
    kind: OutputKind
    place: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Made:
    """What was made for a key: by which job, when, where, and why it was not taken from an earlier one.

    `content` are short digests of the job's fields (`lib.jobqueue.artifact_key.content_parts`), `result` is what its
    record keeps of it.
    """

    key: ArtifactKey
    content: Mapping[str, str]
    request_id: str
    backend: str
    made_at: datetime
    why: Why
    result: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Entry:
    """What was made, and its files."""

    made: Made
    files: tuple[CachedFile, ...]

    def to_json(self) -> bytes:
        """One line of JSON."""
        made = self.made
        document = {
            "schema_version": _SCHEMA_VERSION,
            "key": made.key.text,
            "content_hash": made.key.content_hash,
            "made_by": dict(made.key.made_by),
            "content": dict(made.content),
            "request_id": made.request_id,
            "backend": made.backend,
            "made_at": iso(made.made_at),
            "why": made.why,
            "result": dict(made.result),
            "files": [
                {"name": each.name, "kind": each.kind, "place": each.place, "bytes": each.bytes, "sha256": each.sha256}
                for each in self.files
            ],
        }
        return json.dumps(document, separators=(",", ":"), allow_nan=False).encode() + b"\n"


@dataclass(frozen=True, slots=True)
class Cleared:
    """What `clear` did.

    `entries` were looked at; of these were dropped those whose files are `gone` or have another size, those that are
    `old`, and those that are no entries.
    """

    entries: int
    gone: int
    old: int
    unreadable: int

    @property
    def dropped(self) -> int:
        """All of these."""
        return self.gone + self.old + self.unreadable


class ArtifactCache(Protocol):
    """The entries of one store. All of it may raise `TaskError` where the store has trouble."""

    async def find(self, key: ArtifactKey) -> Entry | None:
        """The entry of a key, unproven."""

    async def take(self, entry: Entry, job_dir: str) -> list[StoredOutput] | None:
        """The files of an entry under `job_dir`, as `ArtifactStore.put` would have stored them; each is proven.

        None when one of them is gone, or is not what the entry says.
        """

    async def keep(self, made: Made, stored: Sequence[StoredOutputLike]) -> None:
        """Write down what was made; the last to do so for a key is found from then on."""

    async def same_content(self, content_hash: str) -> list[Entry]:
        """Everything that was made of this content, in any way, newest first."""

    async def newest(self, most: int) -> list[Entry]:
        """The entries that were written last, newest first."""

    async def clear(self, before: datetime | None = None) -> Cleared:
        """Drop the entries whose files are not there any more, and those made before a time. Removes no other file."""


def read_entry(raw: bytes) -> Entry | None:
    """The entry that `to_json` wrote; None for anything else, which is then as good as no entry."""
    try:
        document = json.loads(raw)
        key = artifact_key(document["content_hash"], document["made_by"])
        result, content = document["result"], document["content"]
        files = tuple(_file(each) for each in document["files"])
        request_id, backend = document["request_id"], document["backend"]
        made_at = datetime.fromisoformat(document["made_at"])
        whole = (
            key.text == document["key"]
            and document["why"] in _WHYS
            and made_at.tzinfo is not None
            and files != ()
            and len({each.name for each in files}) == len(files)
            and isinstance(result, dict)
            and isinstance(content, dict)
            and all(isinstance(each, str) for each in (request_id, backend, *content.values()))
        )
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, PermanentError):
        return None
    if not whole:
        return None
    why = cast("Why", document["why"])
    made = Made(key, MappingProxyType(content), request_id, backend, made_at, why, MappingProxyType(result))
    return Entry(made, files)


def _file(given: Mapping[str, Any]) -> CachedFile:
    """One file; what could lead out of the store or is no digest is refused."""
    name, kind, place, size, sha256 = (given[part] for part in ("name", "kind", "place", "bytes", "sha256"))
    plain_parts(place)
    plain_name(place.rpartition("/")[2])
    if kind not in _KINDS or type(size) is not int or size < 0 or not is_hex(sha256):
        raise ValueError(f"no file of an entry: {name!r}")
    return CachedFile(plain_name(name), kind, place, size, sha256)


def entry_name(key: ArtifactKey) -> tuple[str, str]:
    """The directory and the file of a key's entry, below `CACHE_DIRECTORY`."""
    return key.content_hex, f"{key.hex}.json"


def is_entry_name(name: str) -> bool:
    """Whether a file can be an entry."""
    return name.endswith(".json") and is_hex(name.removesuffix(".json"))


def newest_first(entries: Sequence[Entry]) -> list[Entry]:
    """In the order in which they were made, the last one first."""
    return sorted(entries, key=lambda entry: entry.made.made_at, reverse=True)
