"""`--metrics-port` of the real program."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.job_watcher.metrics.asking import get, samples
from tests.job_watcher.test_cli import begin, run
from tests.support.servers import free_port
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from asyncio.subprocess import Process

    from tests.job_watcher.watching import Stand

LOADED = """
import sys
from job_watcher.cli import main
code = main(sys.argv[1:])
print("prometheus_client" in sys.modules, "job_watcher.metrics.exposition" in sys.modules)
sys.exit(code)
"""


async def _url(process: Process) -> str:
    """Where a watcher says that its metrics are."""
    assert process.stderr is not None
    async with asyncio.timeout(30):
        while line := await process.stderr.readline():
            found = re.search(rb"metrics on (http://\S+)/metrics", line)
            if found:
                return found[1].decode()
    raise AssertionError("it ended without a word of its metrics")


async def test_a_watcher_serves_while_it_works_and_until_it_has_ended(stand: Stand) -> None:
    """On loopback by default; healthy, then stopping, then gone."""
    process = await begin(stand, "--metrics-port", "0", "--consumer-name", "desk")
    try:
        url = await _url(process)
        assert url.startswith("http://127.0.0.1:")

        async def ready() -> bool:
            return (await get(url, "/readyz")).status == 200

        await wait_until(ready, 20)
        await stand.debug("a")

        async def counted() -> bool:
            seen = samples((await get(url, "/metrics")).body)
            return seen.get('job_runner_job_run_seconds_count{backend="metal",outcome="done",task="debug"}') == 1

        await wait_until(counted, 20)
        await stand.sleep("b", 1)
        await stand.leased("b")
        process.terminate()

        async def stopping() -> bool:
            return (await get(url, "/readyz")).status == 503

        await wait_until(stopping, 20)
        assert (await get(url, "/healthz")).status == 200
    finally:
        if process.returncode is None:
            await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0
    with pytest.raises(ConnectionError):
        await get(url, "/healthz")


async def test_without_a_server_it_is_not_healthy_and_says_why(stand: Stand) -> None:
    """A watcher that waits for its server answers all the same."""
    process = await begin(stand, "--metrics-port", "0", REDIS_URL=f"redis://127.0.0.1:{free_port()}/0")
    try:
        url = await _url(process)
        answer = await get(url, "/healthz")
        assert answer.status == 503
        assert "no round trip" in json.loads(answer.body)["reason"]
        assert samples((await get(url, "/metrics")).body)["job_runner_queue_view_age_seconds"] == float("inf")
    finally:
        process.terminate()
        await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0


async def test_a_port_that_is_taken_ends_the_start(stand: Stand) -> None:
    """Exit 2, one message and a hint; the name is free again for the next try."""
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    code, out, err = await run(stand, "--drain", "--consumer-name", "desk", "--metrics-port", str(port))
    assert (code, out) == (2, "")
    assert f"--metrics-port: 127.0.0.1:{port} cannot be listened on: another program has it" in err
    assert "hint: " in err
    assert "Traceback" not in err
    server.close()
    assert (await run(stand, "--drain", "--consumer-name", "desk", "--metrics-port", str(port)))[0] == 0


@pytest.mark.parametrize("port", ["-1", "65536", "http"])
async def test_a_port_that_is_none_is_bad_usage(stand: Stand, port: str) -> None:
    """Exit 2."""
    code, _, err = await run(stand, "--metrics-port", port)
    assert code == 2
    assert "--metrics-port" in err


@pytest.mark.parametrize(("words", "loaded"), [((), "False False"), (("--metrics-port", "0"), "True True")])
async def test_the_library_is_loaded_only_for_the_flag(stand: Stand, words: tuple[str, ...], loaded: str) -> None:
    """A watcher without metrics pays nothing for them."""
    environ = {
        "PATH": "",
        "HOME": str(stand.directory),
        "JOBS_STATE_DIR": str(stand.directory / "state"),
        "REDIS_URL": stand.queue.url,
        "JOBS_PREFIX": stand.queue.keys.prefix,
        "PYTHONPATH": str(Path(__file__).parents[3]),
    }
    command = [sys.executable, "-c", LOADED, "--drain", *words]
    shown = await asyncio.to_thread(
        subprocess.run, command, env=environ, capture_output=True, text=True, check=True, timeout=60
    )
    assert shown.stdout.strip() == loaded
