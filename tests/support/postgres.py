"""A real PostgreSQL for tests: a cluster of its own on a private port of 127.0.0.1, with a password, gone at the end.

Its programs refuse to run as root; for root they run as the user that the package made, else as nobody.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Self

from tests.support.servers import ServerFailedError, ServerMissingError, free_port

USER = "tester"
PASSWORD = "correct-horse-7"  # noqa: S105 - of a server that lives for a test
DEADLINE_SECONDS = 30.0
_PAUSE_SECONDS = 0.02


class Postgres:
    """One server; it can be stopped, paused and started again on the same data and port."""

    def __init__(self) -> None:
        self._bin = _programs()
        self.port = free_port()
        self._home = Path(tempfile.mkdtemp(prefix="pg-"))
        self._data = self._home / "data"
        self._process: subprocess.Popen[bytes] | None = None
        self._as_user: dict[str, Any] = {}
        if os.geteuid() == 0:
            other = _other_user()
            os.chown(self._home, other.pw_uid, other.pw_gid)
            self._as_user = {"user": other.pw_uid, "group": other.pw_gid, "extra_groups": []}

    @property
    def url(self) -> str:
        """As DATABASE_URL has it."""
        return self.url_with(PASSWORD)

    def url_with(self, password: str, database: str = "postgres") -> str:
        """The same with another password or database."""
        return f"postgresql+pg8000://{USER}:{password}@127.0.0.1:{self.port}/{database}"

    def start(self) -> Self:
        """Make the cluster if there is none yet, start, and wait until it takes connections."""
        if not self._data.exists():
            self._make()
        log = self._home / "server.log"
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                [
                    *(str(self._bin / "postgres"), "-D", str(self._data), "-p", str(self.port)),
                    *("-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="),
                    *("-c", "fsync=off", "-c", "max_connections=30", "-c", "shared_buffers=16MB"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
                cwd=self._home,
                **self._as_user,
            )
        ready = [str(self._bin / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        end = time.monotonic() + DEADLINE_SECONDS
        while subprocess.run(ready, check=False).returncode != 0:
            if self._process.poll() is not None or time.monotonic() > end:
                raise ServerFailedError(log.read_text(errors="replace")[-800:])
            time.sleep(_PAUSE_SECONDS)
        return self

    def stop(self) -> None:
        """An end that breaks every connection off; nothing to do when it is down."""
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(DEADLINE_SECONDS)

    def close(self) -> None:
        """Stop it and remove everything."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.stop()
        shutil.rmtree(self._home, ignore_errors=True)

    def _make(self) -> None:
        secret = self._home / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        command = [
            *(str(self._bin / "initdb"), "-D", str(self._data), "-U", USER, "--no-sync", "--no-instructions"),
            *("--auth=scram-sha-256", f"--pwfile={secret}", "--encoding=UTF8", "--locale=C"),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=self._home, **self._as_user)
        if done.returncode != 0:
            raise ServerFailedError(done.stdout[-400:] + done.stderr[-400:])


def _programs() -> Path:
    """Where initdb and postgres are: the newest of Debian's versions, or wherever PATH has them."""
    versions = [path for path in Path("/usr/lib/postgresql").glob("*/bin") if (path / "initdb").exists()]
    if versions:
        return max(versions, key=lambda path: float(path.parent.name))
    found = shutil.which("initdb")
    if found is None:
        raise ServerMissingError("PostgreSQL is not installed; on Debian: apt-get install postgresql")
    return Path(found).resolve().parent


def _other_user() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise ServerMissingError("PostgreSQL does not run as root, and there is neither a user postgres nor nobody")
