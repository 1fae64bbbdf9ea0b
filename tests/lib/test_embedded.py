"""The bundled server belongs to one state directory, and nobody else's program is ever touched."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lib import embedded
from lib.errors import QueueError, RefusedError, UnreachableError
from lib.settings import Settings
from tests.support.servers import RealServer, free_port
from tests.support.wait import wait_until

pytestmark = pytest.mark.usefixtures("_stopped_afterwards")


@pytest.fixture
async def _stopped_afterwards(tmp_path: Path) -> object:
    """Whatever a test leaves running of its own state directory is killed."""
    yield
    now = await embedded.status(tmp_path)
    if now.server is not None:
        os.kill(now.server.pid, signal.SIGKILL)


def read_address(state_dir: Path) -> dict[str, object]:
    """What clients find."""
    found: dict[str, object] = json.loads((state_dir / "server.json").read_bytes())
    return found


def command(port: int, *words: str) -> bytes:
    """One raw command."""
    server = RealServer(Path(), port=port)
    return server.command(*words)


async def kill(state_dir: Path, server: embedded.EmbeddedServer) -> None:
    """SIGKILL, and wait until the kernel has taken back what the process held, its lock among it."""
    os.kill(server.pid, signal.SIGKILL)

    async def is_down() -> bool:
        return (await embedded.status(state_dir)).server is None

    await wait_until(is_down, what="the end of the server")


async def test_settings_find_a_started_server(tmp_path: Path) -> None:
    """With REDIS_URL unset, a program of the same state directory uses the bundled server."""
    server = await embedded.start(tmp_path, port=None)
    settings = Settings.load({"JOBS_STATE_DIR": str(tmp_path)})
    assert (settings.redis_url, settings.redis_url_source) == (server.url, "embedded")
    assert read_address(tmp_path)["pid"] == server.pid
    assert command(server.port, "PING") == b"+PONG\r\n"


async def test_start_is_idempotent(tmp_path: Path) -> None:
    """A second start returns the server that runs."""
    first = await embedded.start(tmp_path, port=None)
    assert await embedded.start(tmp_path, port=None) == first
    assert await embedded.start(tmp_path) == first


async def test_many_starters_get_one_server(tmp_path: Path) -> None:
    """Eight processes that start at the same moment all get the same server."""
    script = (
        "import asyncio, sys, pathlib; from lib import embedded; "
        "print(asyncio.run(embedded.start(pathlib.Path(sys.argv[1]), port=None)).pid)"
    )
    starters = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", script, str(tmp_path), stdout=subprocess.PIPE, cwd=Path.cwd()
        )
        for _ in range(8)
    ]
    said = [(await starter.communicate())[0] for starter in starters]
    assert len(set(said)) == 1
    assert int(said[0]) == read_address(tmp_path)["pid"]


async def test_stop_keeps_data_and_port(tmp_path: Path) -> None:
    """Stop and start again: the same data, and the same private port if it is still free."""
    first = await embedded.start(tmp_path, port=None)
    command(first.port, "SET", "kept", "yes")
    assert await embedded.stop(tmp_path)
    assert not (tmp_path / "server.json").exists()
    second = await embedded.start(tmp_path, port=None)
    assert second.port == first.port
    assert second.pid != first.pid
    assert command(second.port, "GET", "kept") == b"$3\r\nyes\r\n"


async def test_private_port_moves_when_it_is_taken(tmp_path: Path, own_valkey: RealServer) -> None:
    """Somebody took the port of last time: the next private start goes elsewhere and leaves them alone."""
    first = await embedded.start(tmp_path, port=None)
    await embedded.stop(tmp_path)
    launch = tmp_path / "valkey" / "launch.json"
    launch.write_text(launch.read_text().replace(str(first.port), str(own_valkey.port)))
    second = await embedded.start(tmp_path, port=None)
    assert second.port != own_valkey.port
    assert own_valkey.command("PING") == b"+PONG\r\n"


async def test_a_foreign_server_is_never_touched(tmp_path: Path, own_valkey: RealServer) -> None:
    """A port that answers already is refused by name, with what to do; that server runs on."""
    with pytest.raises(RefusedError, match=f"port {own_valkey.port} .* is taken by another program") as refusal:
        await embedded.start(tmp_path, port=own_valkey.port)
    assert refusal.value.hint is not None
    assert f"REDIS_URL=redis://127.0.0.1:{own_valkey.port}/0" in refusal.value.hint
    assert not await embedded.stop(tmp_path)
    assert own_valkey.command("PING") == b"+PONG\r\n"


async def test_a_stranger_on_the_port_is_not_taken_for_ours(tmp_path: Path, own_valkey: RealServer) -> None:
    """Whoever else answers with PONG where ours should be: its address is never handed out."""
    server = await embedded.start(tmp_path, port=None)
    launch = tmp_path / "valkey" / "launch.json"
    launch.write_text(launch.read_text().replace(str(server.port), str(own_valkey.port)))
    assert not (await embedded.status(tmp_path)).answers
    with pytest.raises(UnreachableError, match="does not answer"):
        await embedded.start(tmp_path, port=None, deadline_seconds=0.1)
    assert read_address(tmp_path)["port"] == server.port


async def test_killed_server_is_known_dead_and_comes_back(tmp_path: Path) -> None:
    """After SIGKILL the status says so, and a start brings the data back."""
    first = await embedded.start(tmp_path, port=None)
    command(first.port, "SET", "kept", "yes")
    await kill(tmp_path, first)
    second = await embedded.start(tmp_path, port=None)
    assert command(second.port, "GET", "kept") == b"$3\r\nyes\r\n"


async def test_a_reused_pid_is_not_ours(tmp_path: Path) -> None:
    """A pid file that names another program's process neither hides that the server is down nor kills it."""
    first = await embedded.start(tmp_path, port=None)
    await kill(tmp_path, first)
    bystander = await asyncio.create_subprocess_exec("sleep", "60")
    (tmp_path / "valkey" / "server.pid").write_text(str(bystander.pid))
    assert (await embedded.status(tmp_path)).server is None
    assert not await embedded.stop(tmp_path)
    assert bystander.returncode is None
    assert (await embedded.start(tmp_path, port=None)).pid != bystander.pid
    bystander.kill()
    await bystander.wait()


async def test_starter_that_died_half_way_leaves_a_server_that_is_found(tmp_path: Path) -> None:
    """A starter killed before it wrote the address: the next start adopts its server."""
    first = await embedded.start(tmp_path, port=None)
    (tmp_path / "server.json").unlink()
    assert await embedded.start(tmp_path, port=None) == first
    assert read_address(tmp_path)["pid"] == first.pid


async def test_paused_server_is_alive_but_does_not_answer(tmp_path: Path) -> None:
    """A stopped process is reported as running and silent, start says so by its deadline, stop ends it."""
    server = await embedded.start(tmp_path, port=None)
    os.kill(server.pid, signal.SIGSTOP)
    now = await embedded.status(tmp_path)
    assert now.server == server
    assert not now.answers
    with pytest.raises(UnreachableError, match="does not answer"):
        await embedded.start(tmp_path, port=None, deadline_seconds=0.1)
    assert await embedded.stop(tmp_path)


async def test_the_server_runs_in_a_session_of_its_own(tmp_path: Path) -> None:
    """Ctrl-C goes to the terminal's session; the server is in none of it, and carries no secret of ours."""
    server = await embedded.start(tmp_path, port=None)
    assert os.getsid(server.pid) != os.getsid(0)
    environment = Path(f"/proc/{server.pid}/environ").read_bytes()
    assert b"HOME=" not in environment


async def test_fsync_is_kept_and_can_be_raised(tmp_path: Path) -> None:
    """`fsync=always` reaches a running server and is remembered; a later start never lowers it silently."""
    assert (await embedded.start(tmp_path, port=None)).fsync == "everysec"
    raised = await embedded.start(tmp_path, port=None, fsync="always")
    assert raised.fsync == "always"
    assert b"always" in command(raised.port, "CONFIG", "GET", "appendfsync")
    await embedded.stop(tmp_path)
    again = await embedded.start(tmp_path, port=None)
    assert again.fsync == "always"
    assert b"always" in command(again.port, "CONFIG", "GET", "appendfsync")


async def test_evicts_nothing_and_appends(tmp_path: Path) -> None:
    """Jobs are never evicted, and every write goes to the append-only file."""
    server = await embedded.start(tmp_path, port=None)
    assert b"noeviction" in command(server.port, "CONFIG", "GET", "maxmemory-policy")
    assert b"yes" in command(server.port, "CONFIG", "GET", "appendonly")


async def test_a_broken_append_only_file_is_said(tmp_path: Path) -> None:
    """A server that cannot read its data says why, where the log is, and leaves no address behind."""
    server = await embedded.start(tmp_path, port=None)
    await embedded.stop(tmp_path)
    for part in (tmp_path / "valkey" / "appendonlydir").glob("*.manifest"):
        part.write_text("nonsense\n")
    with pytest.raises(QueueError, match="ended at once") as failure:
        await embedded.start(tmp_path, port=server.port)
    assert "server.log" in str(failure.value.hint)
    assert not (tmp_path / "server.json").exists()


async def test_a_client_is_refused_while_the_server_is_stopped(tmp_path: Path) -> None:
    """Stopped or killed: whoever answers on its port by now is not sent a client."""
    assert embedded.last_port(tmp_path) is None
    server = await embedded.start(tmp_path, port=None)
    embedded.require_running(tmp_path)
    await embedded.stop(tmp_path)
    assert embedded.last_port(tmp_path) == server.port
    with pytest.raises(UnreachableError, match=f"the bundled server of {tmp_path} is stopped") as stopped:
        embedded.require_running(tmp_path)
    assert "`job-runner server start`" in str(stopped.value.hint)
    await kill(tmp_path, await embedded.start(tmp_path, port=None))
    with pytest.raises(UnreachableError):
        embedded.require_running(tmp_path)


async def test_status_and_stop_of_nothing(tmp_path: Path) -> None:
    """Where no server ever ran, both say so and create nothing."""
    assert (await embedded.status(tmp_path)).server is None
    assert not await embedded.stop(tmp_path)
    assert list(tmp_path.iterdir()) == []


async def test_a_public_port_can_be_asked_for(tmp_path: Path) -> None:
    """A port by number is used as given."""
    port = free_port()
    assert (await embedded.start(tmp_path, port=port)).port == port
