"""What `doctor` and `status` say of callbacks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from job_runner.cli.status import lines
from job_runner.service.doctor.callbacks import callback_checks
from lib.command_line.output import Output
from lib.redisqueue.connection import connect
from lib.redisqueue.overview import overview
from lib.redisqueue.queue import Queue
from tests.support.running import settings_in

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.servers import RealServer

BOTH = {"CALLBACK_SECRET": "long enough for a secret", "CALLBACK_ALLOWED_HOSTS": "a.example,b.example:80"}


@pytest.mark.parametrize(
    ("names", "waiting", "state", "words"),
    [
        ((), 0, "ok", "off: a job with callback_url is refused"),
        ((), 2, "note", "off here, and 2 wait to be delivered"),
        (("CALLBACK_SECRET",), 0, "wrong", "set up by half: CALLBACK_ALLOWED_HOSTS is not set"),
        (("CALLBACK_ALLOWED_HOSTS",), 2, "wrong", "set up by half: CALLBACK_SECRET is not set"),
        (tuple(BOTH), 2, "ok", "to a.example, b.example:80; 2 wait to be delivered"),
    ],
)
async def test_it_says_how_they_stand(
    valkey: RealServer, prefix: str, tmp_path: Path, names: tuple[str, ...], waiting: int, state: str, words: str
) -> None:
    """Off, by half or on; and how many wait, also where nobody here delivers them. The secret is not shown."""
    queue = Queue.over(connect(valkey.url), valkey.url, prefix)
    key = queue.keys.of("outbox_callback")
    for _ in range(waiting):
        await queue.client.xadd(key, {"id": "a"})
    given = {name: BOTH[name] for name in names}
    settings = settings_in(tmp_path, REDIS_URL=valkey.url, JOBS_PREFIX=prefix, **given)
    (check,) = await callback_checks(settings)
    assert (check.name, check.state, check.found) == ("callbacks", state, words)
    assert bool(check.mend) == (state != "ok")
    assert BOTH["CALLBACK_SECRET"] not in f"{check}"
    document = await overview(queue, lease_idle_ms=1000)
    assert document["outbox"] == {"publish": 0, "callback": waiting}
    shown = [line for line in lines(document, Output(as_json=False, quiet=False, no_color=True)) if "callbacks" in line]
    assert shown == ([f"  callbacks    {waiting} still to be delivered"] if waiting else [])
    await queue.client.delete(key)
    await queue.client.aclose()


async def test_a_server_that_is_away_is_told_elsewhere(tmp_path: Path) -> None:
    """The line about callbacks is there all the same, and names what is known here."""
    (check,) = await callback_checks(settings_in(tmp_path, REDIS_URL="redis://127.0.0.1:1/0", **BOTH))
    assert (check.state, check.found) == ("ok", "to a.example, b.example:80")
