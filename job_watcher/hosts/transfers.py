"""Files to and from a host by sftp, as with somebody who may lie about names, kinds and sizes.

What is fetched is written to a folder beside and moved to its names when all of it is there. Called by `Host`.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO, Final

import asyncssh

from job_watcher.hosts.errors import HostAnswerError, HostRefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_PIECE_BYTES: Final = 1024 * 1024
_NAME_BYTES: Final = 1_000
_PART_BYTES: Final = 200
_DEEPEST: Final = 8


@dataclass(frozen=True, slots=True)
class Extent:
    """The most that is fetched at once."""

    files: int = 1_000
    file_bytes: int = 512 * 1024 * 1024
    all_bytes: int = 4 * 1024 * 1024 * 1024


def safe_name(name: str, host: str) -> str:
    """The same name, which stays below the directory that it is joined to, on this machine too.

    Raises:
        HostAnswerError: it does not, or could not be a file's name here.
    """
    parts = name.split("/")
    odd = (
        any(part in {"", ".", ".."} or len(part.encode(errors="replace")) > _PART_BYTES for part in parts)
        or len(name.encode(errors="replace")) > _NAME_BYTES
        or "\\" in name
        or not name.isprintable()
    )
    if odd:
        raise HostAnswerError(f"{host} names a file {name[:120]!r}, which is refused")
    return name


async def put(sftp: asyncssh.SFTPClient, directory: str, files: Mapping[str, Path | bytes]) -> None:
    """Write each under another name first, so that nobody there sees half of it."""
    made: set[str] = set()
    for name, source in files.items():
        target = str(PurePosixPath(directory) / name)
        folder = str(PurePosixPath(target).parent)
        if folder not in made:
            await sftp.makedirs(folder, exist_ok=True)
            made.add(folder)
        try:
            await _put_one(sftp, f"{target}.part", source)
            await sftp.posix_rename(f"{target}.part", target)
        except asyncssh.SFTPFailure as exc:
            raise HostRefusedError(f"the host cannot write {target}: {exc.reason}; is its disk full?") from exc


async def _put_one(sftp: asyncssh.SFTPClient, target: str, source: Path | bytes) -> None:
    async with sftp.open(target, "wb") as there:
        if isinstance(source, bytes):
            await there.write(source)
            return
        with closing(await asyncio.to_thread(source.open, "rb")) as here:
            while piece := await asyncio.to_thread(here.read, _PIECE_BYTES):
                await there.write(piece)


async def get(
    sftp: asyncssh.SFTPClient, directory: str, local: Path, *, names: Sequence[str] | None, extent: Extent, host: str
) -> Mapping[str, int]:
    """As `Host.get` says."""
    wanted = await _listed(sftp, directory, extent, host) if names is None else list(names)
    _check(wanted, extent, host)
    await asyncio.to_thread(local.mkdir, parents=True, exist_ok=True)
    staging = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix=".fetching-", dir=local))
    try:
        sizes: dict[str, int] = {}
        for name in wanted:
            most = min(extent.file_bytes, extent.all_bytes - sum(sizes.values()))
            remote = str(PurePosixPath(directory) / name)
            sizes[name] = await _get_one(sftp, remote, staging / name, most, host)
        for name in wanted:
            await asyncio.to_thread(_move, staging / name, local, name)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return sizes


def _check(names: Sequence[str], extent: Extent, host: str) -> None:
    if len(names) > extent.files:
        raise HostAnswerError(f"{host} names {len(names)} files; {extent.files} are allowed")
    known = {safe_name(name, host) for name in names}
    folders = {str(folder) for name in known for folder in PurePosixPath(name).parents}
    if len(known) < len(names) or known & folders:
        raise HostAnswerError(f"{host} names a file twice, or a file as a folder too")


async def _listed(sftp: asyncssh.SFTPClient, directory: str, extent: Extent, host: str) -> list[str]:
    """The plain files below a directory; folders count too, lest they be without end."""
    found: list[str] = []
    seen = 0
    folders = [""]
    while folders:
        folder = folders.pop()
        async for entry in sftp.scandir(str(PurePosixPath(directory) / folder)):
            said = os.fsdecode(entry.filename)
            if said in {".", ".."}:
                continue
            seen += 1
            # The name of an entry is one part, whatever else could be joined to a path.
            if "/" in said:
                raise HostAnswerError(f"{host} lists an entry {said[:120]!r}, which is refused")
            name = safe_name(f"{folder}/{said}" if folder else said, host)
            if seen > extent.files or name.count("/") >= _DEEPEST:
                raise HostAnswerError(f"{host} lists more than is allowed below {directory}: {name[:120]}")
            if entry.attrs.type == asyncssh.FILEXFER_TYPE_DIRECTORY:
                folders.append(name)
            elif entry.attrs.type == asyncssh.FILEXFER_TYPE_REGULAR:
                found.append(name)
            else:
                raise HostAnswerError(f"{host} has {name}, which is neither a file nor a folder")
    return sorted(found)


async def _get_one(sftp: asyncssh.SFTPClient, remote: str, part: Path, most: int, host: str) -> int:
    """Copy one file, at most so many bytes; its size."""
    try:
        attrs = await sftp.lstat(remote)
        if attrs.type != asyncssh.FILEXFER_TYPE_REGULAR:
            raise HostAnswerError(f"{host} has no plain file at {remote}")
        if (attrs.size or 0) > most:
            raise HostAnswerError(f"{host} has a file of {attrs.size} bytes at {remote}; {most} are allowed")
        size = 0
        with closing(await asyncio.to_thread(_create, part)) as here:
            async with sftp.open(remote, "rb") as there:
                # It says its size, and may send more.
                while piece := await there.read(_PIECE_BYTES):
                    size += len(piece)
                    if size > most:
                        raise HostAnswerError(f"{host} sends more than {most} bytes for {remote}")
                    await asyncio.to_thread(_write, here, piece)
    except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath) as exc:
        raise HostAnswerError(f"{host} has no file {remote}") from exc
    return size


def _create(part: Path) -> BinaryIO:
    part.parent.mkdir(parents=True, exist_ok=True)
    return os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb")


def _write(here: BinaryIO, piece: bytes | str) -> None:
    here.write(piece if isinstance(piece, bytes) else piece.encode())


def _move(part: Path, local: Path, name: str) -> None:
    """To its name; no folder on the way may be a symlink."""
    for folder in reversed(PurePosixPath(name).parents[:-1]):
        if (local / folder).is_symlink():
            raise HostAnswerError(f"{local / folder} is a symlink: nothing is written through it")
        (local / folder).mkdir(exist_ok=True)
    part.replace(local / name)
