"""The entries of a manifest as planners make them, and the file that they become.

A plan made again from the same inputs gives the same bytes and so the same names, so that dispatching it again queues
nothing twice. It is written beside its place and renamed into it: nobody reads half a plan. Reading manifests is the
business of `lib.jobfile`.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lib.errors import InvalidInputError, RefusedError
from lib.jobfile.manifest_lines import BadLineError, parsed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

FOLDER: Final = Path("manifests")
"""Where plans go unless they are told otherwise, below the working directory."""

_DIGEST_DIGITS: Final = 8
_COMPARED_BYTES: Final = 1 << 16
_LONGEST_LINE: Final = 1 << 26


@dataclass(frozen=True, slots=True)
class Entry:
    """One task of a plan; `entry_id` names it within the plan, `more` is kept beside that in `meta`."""

    task: str
    entry_id: str
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    description: str | None = None
    priority: str | None = None
    more: Mapping[str, Any] = field(default_factory=dict)

    def line(self, plan: str) -> bytes:
        """The entry as one line of a manifest."""
        document: dict[str, Any] = {
            "task": self.task,
            "args": list(self.args),
            "kwargs": dict(self.kwargs),
            "meta": {"id": self.entry_id, "plan": plan, **self.more},
        }
        if self.description is not None:
            document["description"] = self.description
        if self.priority is not None:
            document["priority"] = self.priority
        return json.dumps(document, ensure_ascii=False, allow_nan=False).encode() + b"\n"


@dataclass(frozen=True, slots=True)
class Written:
    """A manifest that is there now; `fresh` unless the same one was there before."""

    path: Path
    plan: str
    entries: int
    fresh: bool


def plan_id(name: str, inputs: Mapping[str, Any]) -> str:
    """The name of a plan: readable, and another one when any of its inputs (numbers, texts, lists) is another."""
    canonical = json.dumps(inputs, sort_keys=True, separators=(",", ":"))
    return f"{name}-{hashlib.sha256(canonical.encode()).hexdigest()[:_DIGEST_DIGITS]}"


def write_manifest(path: Path, plan: str, entries: Iterable[Entry], *, force: bool = False) -> Written:
    """Write the entries as they come; blocks on disk. A plan without entries is an empty file.

    Raises:
        RefusedError: another file stands there and `force` is not given, or it is no manifest.
        InvalidInputError: the place cannot be written to.

    """
    if path.is_dir():
        raise _unwritable(path, "it is a directory")
    if path.exists() and not _is_manifest(path):
        raise RefusedError(
            f"{path} is there already and is no manifest; nothing was written",
            hint="name another file with --out; --force replaces manifests and nothing else",
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as exc:
        raise _unwritable(path, exc.strerror or str(exc)) from exc
    draft = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            count = 0
            for entry in entries:
                file.write(entry.line(plan))
                count += 1
            file.flush()
            os.fsync(file.fileno())
        fresh = not _same(draft, path)
        if fresh:
            if path.exists() and not force:
                raise RefusedError(
                    f"{path} is there already and holds another plan; nothing was written",
                    hint="name another file with --out, or replace it with --force",
                )
            draft.chmod(0o666 & ~_umask())
            draft.replace(path)
    except OSError as exc:
        raise _unwritable(path, exc.strerror or str(exc)) from exc
    finally:
        with suppress(FileNotFoundError):
            draft.unlink()
    return Written(path, plan, count, fresh)


def refuse_input(out: Path, inputs: Mapping[str, Path]) -> None:
    """Keep what a plan is made from, by its flag, from being where the plan goes; links are followed.

    Raises:
        RefusedError: it is.

    """
    for flag, path in inputs.items():
        with suppress(OSError):
            if out.samefile(path):
                raise RefusedError(
                    f"--out {out} is the file of {flag}; nothing was written", hint="name another file with --out"
                )


def _is_manifest(path: Path) -> bool:
    """Whether a file is empty, as a plan without entries is, or begins with an entry."""
    if not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            line = file.readline(_LONGEST_LINE)
        entry = parsed(line) if line else None
    except OSError as exc:
        raise _unwritable(path, exc.strerror or str(exc)) from exc
    except BadLineError:
        return False
    # A record of a corpus may well have a task, but hardly all that an entry has.
    return not line or (
        isinstance(entry, dict) and {"task", "meta"} <= entry.keys() and isinstance(entry["meta"], dict)
    )


def _same(draft: Path, path: Path) -> bool:
    if not path.is_file() or path.stat().st_size != draft.stat().st_size:
        return False
    with draft.open("rb") as left, path.open("rb") as right:
        while block := left.read(_COMPARED_BYTES):
            if block != right.read(_COMPARED_BYTES):
                return False
    return True


def _umask() -> int:
    # There is no way to ask for it but to set it.
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _unwritable(path: Path, why: str) -> InvalidInputError:
    return InvalidInputError(f"{path} cannot be written: {why}", hint="name a file in a folder of yours with --out")
