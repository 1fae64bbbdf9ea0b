"""Where outputs go: whether the bucket takes and keeps them, how much room the disks have, and what sentences take."""

from __future__ import annotations

import asyncio
import os
import shutil
from typing import TYPE_CHECKING, Final

from job_runner.service.doctor.checks import Check
from lib.errors import JobRunnerError
from lib.wiring import artifacts, clips

if TYPE_CHECKING:
    from pathlib import Path

    from lib.settings import Settings
    from lib.stores.s3_probe import Findings

LEAST_FREE_BYTES: Final = 256 << 20
"""Less is full before the night is over: an hour of speech has some 170 MB."""

FEW_FREE_BYTES: Final = 2 << 30

_GIB: Final = 1 << 30


async def storage_checks(settings: Settings) -> list[Check]:
    """The bucket if one is set, and the room of each disk that is written to."""
    checks = await _bucket(settings) if settings.s3_bucket else []
    places = {"WATCHER_WORK_DIR": settings.watcher_work_dir}
    if not settings.s3_bucket:
        places["WATCHER_OUTPUT_ROOT"] = settings.watcher_output_root
    return [*checks, *await asyncio.to_thread(_rooms, places), await asyncio.to_thread(_sentences, settings)]


async def _bucket(settings: Settings) -> list[Check]:
    from lib.stores.s3 import S3Artifacts  # noqa: PLC0415 - for those with a bucket alone

    store = artifacts(settings)
    assert isinstance(store, S3Artifacts)  # noqa: S101 - S3_BUCKET is set
    where = f"s3://{settings.s3_bucket}/{settings.s3_prefix}" + (
        f" at {settings.s3_endpoint_url}" if settings.s3_endpoint_url else ""
    )
    try:
        found = await store.examine()
    except JobRunnerError as exc:
        return [Check("bucket", "wrong", f"{where}: {exc.message}", exc.hint or "")]
    finally:
        store.close()
    return [Check("bucket", "ok", f"{where} takes, gives and removes objects"), *_risks(found)]


def _risks(found: Findings) -> list[Check]:
    """What this store does not honour, and what it leaves behind."""
    risks: list[Check] = []
    if not found.creates_once or not found.replaces_known:
        ignored = " and ".join(
            name
            for name, honoured in (("If-None-Match", found.creates_once), ("If-Match", found.replaces_known))
            if not honoured
        )
        risks.append(
            Check(
                "bucket",
                "note",
                f"it ignores {ignored}: two watchers that publish one output_name at the same moment may mix files",
                "use a newer version of the store, or an output_name for each job",
            )
        )
    if not found.checks_bytes:
        risks.append(
            Check("bucket", "note", "it does not check SHA-256: every output is read back", "it costs time, no more")
        )
    if found.abandoned:
        noun = "upload is" if found.abandoned == 1 else "uploads are"
        risks.append(
            Check(
                "bucket",
                "note",
                f"{found.abandoned} {noun} not complete",
                "watchers remove them after a day; a lifecycle rule does so without one (docs/how-to/outputs-in-s3.md)",
            )
        )
    return risks


def _sentences(settings: Settings) -> Check:
    """How much is kept, and whether more can be."""
    folder = clips(settings)
    if not folder.most_bytes:
        return Check("sentences", "ok", "none is kept (SENTENCE_CACHE_BYTES=0)")
    kept = folder.kept()
    found = f"{kept.clips} kept in {folder.directory}, {kept.bytes / _GIB:.2f} of {folder.most_bytes / _GIB:.2f} GiB"
    usable = folder.directory.is_dir() and os.access(folder.directory, os.R_OK | os.W_OK | os.X_OK)
    if folder.directory.exists() and not usable:
        mend = f"make {folder.directory} yours, or set SENTENCE_CACHE_BYTES=0; jobs run all the same"
        return Check("sentences", "note", f"{found}, and no more can be kept: it is no directory of ours", mend)
    return Check("sentences", "ok", found)


def _rooms(places: dict[str, Path]) -> list[Check]:
    """One line a disk, named by the first setting that points to it."""
    checks: list[Check] = []
    seen: set[int] = set()
    for variable, path in places.items():
        nearest = next((each for each in (path, *path.parents) if each.exists()), path)
        try:
            device, free = nearest.stat().st_dev, shutil.disk_usage(nearest).free
        except OSError as exc:
            checks.append(Check("room", "wrong", f"{path}: {exc.strerror}", f"mend the disk, or set {variable}"))
            continue
        if device not in seen:
            seen.add(device)
            checks.append(room_check(path, free, variable))
    return checks


def room_check(path: Path, free_bytes: int, variable: str) -> Check:
    """Whether so much is enough."""
    found = f"{free_bytes / _GIB:.1f} GiB free for {path}"
    mend = f"free some space, or set {variable} to another disk; jobs wait and are tried again when it is full"
    if free_bytes < LEAST_FREE_BYTES:
        return Check("room", "wrong", found, mend)
    return Check("room", "note", found, mend) if free_bytes < FEW_FREE_BYTES else Check("room", "ok", found)
