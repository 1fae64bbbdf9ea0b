"""Promise 13: a watcher counts as alive by its last good round trip, whoever asks: the ping, or its health page."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import pytest

from tests.job_watcher.metrics.asking import get
from tests.support.wait import wait_until
from tests.support.watchers import WATCHER, environment_of, run_program

if TYPE_CHECKING:
    from tests.chaos.yard import Yard
    from tests.support.watchers import WatcherProcess

pytestmark = pytest.mark.chaos


async def ping(yard: Yard, watcher: WatcherProcess, *words: str) -> int:
    """The exit code of a ping, as a container's healthcheck does it: same state directory, same settings."""
    environ = environment_of(yard.server.url, yard.prefix, watcher.state_dir, {})
    code, out, err = await run_program(WATCHER, "ping", *words, environ=environ, cwd=watcher.state_dir)
    assert (watcher.name in out) == (code in {0, 1}), out + err
    return code


async def health(url: str) -> int:
    """The status of /healthz; 0 when nobody answers within a second."""
    try:
        async with asyncio.timeout(1):
            return (await get(url, "/healthz")).status
    except (TimeoutError, OSError):
        return 0


def url_of(watcher: WatcherProcess) -> str:
    """Where its metrics are, by its log."""
    found = re.search(r"metrics on (http://\S+)/metrics", watcher.log)
    assert found is not None
    return found[1]


async def test_a_loop_that_stands_still_is_not_alive_though_its_process_is(yard: Yard) -> None:
    """Stopped by a signal, a watcher keeps its pid and its port: both answers are no; going on, both are yes."""
    watcher = yard.watcher("desk")
    watcher.flags = ("--metrics-port", "0")
    watcher.start()
    await yard.opened(watcher)
    url = url_of(watcher)
    assert await ping(yard, watcher) == 0
    assert await health(url) == 200
    watcher.pause()
    await yard.pass_a_life()
    assert watcher.running
    assert await ping(yard, watcher) == 1
    assert await health(url) == 0
    watcher.resume()
    await yard.opened(watcher)
    await wait_until(lambda: health_is(url, 200), 30, what="health after the pause")


async def test_a_watcher_without_its_server_says_so_and_recovers(yard: Yard) -> None:
    """Its loop runs, so its page answers: 503 with the reason, once the last round trip is too old; then 200 again."""
    watcher = yard.watcher("desk")
    watcher.flags = ("--metrics-port", "0")
    watcher.start()
    await yard.opened(watcher)
    url = url_of(watcher)
    await asyncio.to_thread(yard.server.kill)
    await wait_until(lambda: health_is(url, 503), 30, what="an unhealthy page")
    assert await ping(yard, watcher) == 3
    await asyncio.to_thread(yard.server.start)
    await yard.answers()
    await wait_until(lambda: health_is(url, 200), 30, what="a healthy page")


async def health_is(url: str, status: int) -> bool:
    """Whether the page answers so now."""
    return await health(url) == status


async def test_another_watcher_of_the_directory_does_not_answer_for_one_that_is_named(yard: Yard) -> None:
    """Containers may share a state directory: each asks for its own name."""
    one, two = await yard.started("one"), await yard.started("two")
    one.term()
    assert await one.ended() == 0
    assert await ping(yard, one, "--consumer-name", "one") == 1
    assert await ping(yard, two, "--consumer-name", "two") == 0
    assert await ping(yard, two) == 0
