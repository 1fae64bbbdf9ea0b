"""A host that lies about its files: an ssh server in this process, whose sftp says what a test wants it to say."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import asyncssh

from job_watcher.hosts.connection import Host, connect
from job_watcher.hosts.keys import HostKeys
from lib.market.base import Address

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable
    from pathlib import Path

REGULAR = asyncssh.FILEXFER_TYPE_REGULAR
DIRECTORY = asyncssh.FILEXFER_TYPE_DIRECTORY


class LyingFiles(asyncssh.SFTPServer):
    """Lists `names` in every folder, each of kind `kind`; says `size` of each file, and sends `content(offset, n)`."""

    names: Iterable[bytes] = ()
    kind = REGULAR
    size: int | None = 3
    content: Callable[[int, int], bytes] = staticmethod(lambda offset, size: b"abc"[offset : offset + size])

    def _attrs(self) -> asyncssh.SFTPAttrs:
        permissions = 0o40755 if self.kind == DIRECTORY else 0o100644
        return asyncssh.SFTPAttrs(type=self.kind, size=self.size, permissions=permissions)

    async def scandir(self, path: bytes) -> AsyncIterator[asyncssh.SFTPName]:  # noqa: ARG002
        """The same names in each folder."""
        for name in self.names:
            yield asyncssh.SFTPName(name, attrs=self._attrs())

    def lstat(self, path: bytes) -> asyncssh.SFTPAttrs:  # noqa: ARG002
        """The same of everything."""
        return self._attrs()

    def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> Any:  # noqa: ARG002
        """Anything."""
        return object()

    def read(self, file_obj: object, offset: int, size: int) -> bytes:  # noqa: ARG002
        """What the test wants."""
        return type(self).content(offset, size)

    def close(self, file_obj: object) -> None:
        """Nothing was opened."""


@asynccontextmanager
async def lying_host(tmp_path: Path, files: type[LyingFiles]) -> AsyncIterator[Host]:
    """A connection to such a host."""
    keys = HostKeys.make()
    (tmp_path / "let-in").write_text(keys.public + "\n")
    listening = await asyncssh.listen(
        "127.0.0.1",
        0,
        server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
        authorized_client_keys=str(tmp_path / "let-in"),
        sftp_factory=files,
    )
    host = await connect(Address("127.0.0.1", listening.get_port(), "somebody"), keys, None, 10)
    try:
        yield host
    finally:
        await host.aclose()
        listening.close()
        await listening.wait_closed()
