"""Row 49: canary secrets in everything that holds secrets, errors of every kind, and then no sink that shows one.

The sinks: what the programs print and log, what stands in Redis (all that was ever written, by its append-only
file), the state directory, the command line and environment of every child. A job's own words, its payload
and `callback_data`, are kept as they were sent and so hold no canary here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from lib.jobqueue import BUILT_IN, normalize_job_spec
from lib.redisqueue import producing
from lib.redisqueue.connection import connect
from lib.redisqueue.queue import Queue
from lib.redisqueue.submissions import submission_of
from tests.chaos.leaking import TASKS
from tests.support.servers import free_port
from tests.support.wait import wait_until
from tests.support.watchers import RUNNER, WATCHER, WatcherProcess, environment_of, run_program

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.servers import RealServer

pytestmark = pytest.mark.chaos

MARK = "cnry"
"""In every canary, near its beginning and its end, so that a part of one is found too."""

PASSWORD = f"{MARK}/r@dis pass:word {MARK}"
VARIABLES = {
    "CALLBACK_SECRET": f'{MARK} "callback" \\ secret {MARK}',
    "AWS_SECRET_ACCESS_KEY": f"{MARK}+aws/secret/key+{MARK}",
    "AWS_SESSION_TOKEN": f"{MARK}AwsSessionToken=={MARK}",
    "VAST_API_KEY": f"{MARK}vastvastvast{MARK}",
    "GEMINI_API_KEY": f"{MARK}-gémini-{MARK}",
    "MY_OWN_TOKEN": f"{MARK}ownown{MARK}",
}
IN_AWS_FILE = f"{MARK}/of/the/file/{MARK}"
IN_DATABASE_URL = f"{MARK}database{MARK}"
SECRETS = [PASSWORD, *VARIABLES.values(), IN_AWS_FILE, IN_DATABASE_URL]
CATALOGUE = BUILT_IN.with_kinds(*(task.kind for task in TASKS))
HOWS = ("permanent", "temporary", "odd", "long", "crash", "say", "return")


@dataclass
class Vault:
    """A server with a password, and an environment full of canaries."""

    server: RealServer
    queue: Queue
    home: Path
    environ: dict[str, str]
    printed: str = ""

    def watcher(self, *flags: str) -> WatcherProcess:
        """A watcher in that environment."""
        name = f"w{len(flags)}"
        state = self.home / "state"
        return WatcherProcess(name, self.queue.url, self.queue.keys.prefix, state, self.environ, flags)

    async def run(self, program: tuple[str, str], *words: str, **more: str) -> int:
        """Run a program to its end and keep what it printed."""
        state = self.home / "state"
        environ = environment_of(self.queue.url, self.queue.keys.prefix, state, {**self.environ, **more})
        code, out, err = await run_program(program, *words, environ=environ, cwd=self.home)
        self.printed += f"$ {program[1]}\n{out}{err}"
        return code

    def leaks(self, *hows: str, task: str = "leak_child", **payload: str) -> list[dict[str, Any]]:
        """Jobs that leak in these ways."""
        file = {"file": str(self.home / "secrets"), **payload}
        row = {"task": task, "max_attempts": 1}
        return [{**row, "request_id": f"{task}-{how}", "payload": {**file, "how": how}} for how in hows]

    async def submit(self, rows: list[dict[str, Any]]) -> None:
        """Queue them."""
        jobs = [submission_of(normalize_job_spec(row, catalogue=CATALOGUE), CATALOGUE) for row in rows]
        assert {reply.code for reply in await producing.submit(self.queue, jobs)} == {"queued"}

    def written(self) -> dict[str, str]:
        """Every sink by name: what was printed, every file of the state directory, everything that Redis wrote."""
        found = {"printed": self.printed}
        for path in (*(self.home / "state").rglob("*"), *self.server.directory.rglob("*")):
            if path.is_file():
                found[str(path)] = path.read_bytes().decode("utf-8", "replace")
        return found

    def assert_clean(self) -> None:
        """No sink holds a canary, nor a part of one."""
        for name, text in self.written().items():
            at = text.find(MARK)
            assert at < 0, f"{name}: {text[max(0, at - 200) : at + 200]}"


@pytest.fixture
async def vault(own_valkey: RealServer, tmp_path: Path, prefix: str) -> AsyncIterator[Vault]:
    """Canaries everywhere."""
    plain = connect(own_valkey.url)
    await plain.config_set("requirepass", PASSWORD)
    await plain.aclose()
    url = own_valkey.url.replace("redis://", f"redis://:{quote(PASSWORD, safe='')}@")
    credentials = tmp_path / "aws-credentials"
    credentials.write_text(f"[default]\naws_access_key_id = AKID\naws_secret_access_key = {IN_AWS_FILE}\n")
    (tmp_path / "secrets").write_text("\n".join(SECRETS))
    environ = {
        **VARIABLES,
        "AWS_SHARED_CREDENTIALS_FILE": str(credentials),
        "DATABASE_URL": f"postgresql://me:{IN_DATABASE_URL}@127.0.0.1/x",
        "CALLBACK_ALLOWED_HOSTS": "hooks.example.org",
        "HARMLESS": f"a copy of {VARIABLES['VAST_API_KEY']}",
        "JOBS_TASK_MODULES": "tests.chaos.leaking",
        "METAL_CONCURRENCY": "2",
    }
    queue = Queue.over(connect(url), url, prefix)
    await queue.refresh_streams()
    made = Vault(own_valkey, queue, tmp_path, environ)
    yield made
    await queue.client.aclose()


@pytest.mark.parametrize("flags", [("--drain",), ("--drain", "--log-json")], ids=["plain", "json"])
async def test_what_bodies_say_reaches_no_sink(vault: Vault, flags: tuple[str, ...]) -> None:
    """Raised, returned, printed, logged, reported, as last words of a crash; inline, where the environment is whole."""
    inline = [how for how in HOWS if how != "crash"]
    await vault.submit([*vault.leaks(*HOWS), *vault.leaks(*inline, task="leak")])
    watcher = vault.watcher(*flags)
    watcher.environ["WATCHER_MAX_CRASHES"] = "1"
    watcher.start()
    progress = vault.queue.keys.of("progress")

    async def reported() -> bool:
        seen: Any = await vault.queue.client.hgetall(progress)
        return any(b'"percent":60' in said.replace(b" ", b"") for said in seen.values())

    await wait_until(reported, 60, what="a progress that quotes a secret")
    (vault.home / "secrets.reported").touch()
    assert await watcher.ended() == 1
    # What is kept does not depend on how the watcher logs: shown once.
    shown = (("status", "--json"), ("status",), ("history", "--json"), ("history",), ("result", "leak-odd"))
    for words in () if "--log-json" in flags else shown:
        assert await vault.run(RUNNER, *words) == 0
    records: Any = await vault.queue.client.hgetall(vault.queue.keys.of("failed"))
    done: Any = await vault.queue.client.hgetall(vault.queue.keys.of("result"))
    assert len(records) + len(done) == len(HOWS) + len(inline)
    hidden = ["***"] * len(SECRETS)
    told = " and ".join(hidden)
    assert json.loads(records[b"leak_child-permanent"])["error"] == f"no entry with {told} (hint: use {told})"
    assert json.loads(done[b"leak_child-return"])["result"]["deep"] == [{"in": hidden}]
    assert "***" in watcher.log
    vault.assert_clean()


async def test_children_are_given_no_secret(vault: Vault) -> None:
    """Neither on a command line, the watcher's included, nor in the environment of a child."""
    gate = vault.home / "gate"
    await vault.submit(vault.leaks("return", gate=str(gate)))
    watcher = vault.watcher("--drain")
    watcher.start()
    try:
        # Not as soon as there is a child: until it executes its own program it shows the memory of its parent.
        await wait_until(Path(f"{gate}.begun").exists, 60, what="a body in its child")
        below = descendants(watcher.pid)
        assert below
        assert MARK.encode() in Path(f"/proc/{watcher.pid}/environ").read_bytes(), "the watcher itself has them"
        for pid in (watcher.pid, *below):
            assert MARK.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
        for pid in below:
            assert MARK.encode() not in Path(f"/proc/{pid}/environ").read_bytes()
    finally:
        gate.touch()
        await watcher.ended()


def descendants(pid: int) -> list[int]:
    """Every process below one."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += [int(child), *descendants(int(child))]
    return found


WRONG_URLS = (
    f"redis://:{quote(PASSWORD, safe='')}@127.0.0.1:99999/0",
    f"redis://:{PASSWORD}@127.0.0.1/0",
    f"http://me:{quote(PASSWORD, safe='')}@127.0.0.1/0",
    f"redis+sentinel://:{quote(PASSWORD, safe='')}@127.0.0.1:1?sentinel_password={quote(PASSWORD, safe='')}",
)


@pytest.mark.parametrize("url", WRONG_URLS, ids=["port", "unquoted", "scheme", "no-service"])
async def test_a_wrong_url_is_told_without_its_password(vault: Vault, url: str) -> None:
    """In the message, and with a traceback."""
    assert await vault.run(RUNNER, "status", REDIS_URL=url) in {2, 3}
    assert await vault.run(RUNNER, "status", REDIS_URL=url, JOB_RUNNER_DEBUG="1") == 1
    assert "Traceback" in vault.printed
    vault.assert_clean()


@pytest.mark.parametrize("program", [(RUNNER, "status"), (WATCHER, "ping")], ids=["runner", "watcher"])
async def test_a_wrong_url_is_told_without_its_password_wherever_it_stands(
    vault: Vault, program: tuple[tuple[str, str], str]
) -> None:
    """In the environment, as a flag, and as a stray word, which bad usage quotes."""
    who, command = program
    _, url, *_ = WRONG_URLS
    assert await vault.run(who, command, REDIS_URL=url) in {2, 3}
    assert await vault.run(who, command, "--redis-url", url) in {2, 3}
    assert await vault.run(who, command, url) == 2
    vault.assert_clean()


async def test_a_server_that_refuses_or_is_away_is_told_without_the_password(vault: Vault) -> None:
    """Another password, a closed port, a socket that is not there; a watcher that waits for its server."""
    password = quote(PASSWORD, safe="")
    urls = (
        vault.queue.url.replace(password, f"{password}x"),
        f"redis://:{password}@127.0.0.1:{free_port()}/0",
        f"unix://{vault.home}/none.sock?password={password}",
    )
    for url in urls:
        for program, words in ((RUNNER, ("status", "--json")), (WATCHER, ("--drain",))):
            assert await vault.run(program, *words, REDIS_URL=url) in {2, 3}
    assert await vault.run(RUNNER, "doctor", REDIS_URL=urls[0]) == 1
    vault.assert_clean()


async def test_a_bad_secret_is_not_shown_by_the_error_about_it(vault: Vault) -> None:
    """A setting whose value is wrong is named; a secret one is not quoted."""
    assert await vault.run(WATCHER, "--drain", CALLBACK_SECRET=f"{MARK}\n{MARK}", METAL_CONCURRENCY="many") == 2
    assert "METAL_CONCURRENCY" in vault.printed
    vault.assert_clean()


def test_the_canaries_are_found_where_they_are(tmp_path: Path) -> None:
    """The test of the test: one that is written anywhere is seen."""
    (tmp_path / "state").mkdir()
    (tmp_path / "server").mkdir()

    class Server:
        directory = tmp_path / "server"

    found = Vault(Server(), None, tmp_path, {})  # type: ignore[arg-type]  # only its directory is asked for
    found.assert_clean()
    (tmp_path / "server" / "aof").write_bytes(b"\xff" + SECRETS[0].encode()[:5])
    with pytest.raises(AssertionError, match=MARK):
        found.assert_clean()
