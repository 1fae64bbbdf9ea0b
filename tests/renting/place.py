"""A queue, a market with hosts, and watchers that rent there: what every course with rented machines asks."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lib.redisqueue.keys import Keys
from tests.fakes.vast_server import FakeVast
from tests.support.servers import ValkeyServer
from tests.support.watchers import WatcherProcess, environment_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fakes.vast_offers import Offer

BIN: Final = Path(sys.executable).parent
DEAD_MAN_SECONDS: Final = 10.0
PREFIX: Final = "renting"


class CommandError(Exception):
    """A command of ours failed; the message is what it said."""


@dataclass
class Place:
    """All of it; `more` are settings of its watchers and commands."""

    folder: Path
    server: ValkeyServer
    market: FakeVast
    more: dict[str, str] = field(default_factory=dict)
    watchers: list[WatcherProcess] = field(default_factory=list)

    def settings(self) -> dict[str, str]:
        """Renting at this market, with little patience."""
        return {
            "VAST_API_KEY": "vast-of-a-test-0123456789",
            "VAST_URL": self.market.url,
            "VAST_IMAGE": "job-runner-worker",
            "VAST_DISK": "8",
            "VAST_DEAD_MAN": str(DEAD_MAN_SECONDS),
            "BUDGET_PER_DAY_USD": "20",
            "WATCHER_IDLE_GRACE": "1",
            "WATCHER_BATCH_MAX_WAIT": "0",
            **self.more,
        }

    def watcher(self, name: str, *flags: str, **more: str) -> WatcherProcess:
        """One that rents, not yet started; each has a state directory of its own, as on another machine.

        `more` are settings of its own.
        """
        made = WatcherProcess(
            name,
            self.server.url,
            PREFIX,
            self.folder / name,
            self.settings() | {"WATCHER_OUTPUT_ROOT": str(self.folder / "output")} | more,
            ("--backends", "vast", *flags),
        )
        self.watchers.append(made)
        return made

    def kill(self) -> None:
        """All watchers that still run."""
        for each in self.watchers:
            each.kill()

    def speak(self, count: int, name: str = "job") -> list[str]:
        """Queue so many short speech jobs that are pinned to rented machines; their ids."""
        ids = [f"{name}-{i:02}" for i in range(count)]
        rows = [
            f'- {{request_id: {each}, voice: newsroom, backend: vast, text: "This is {name} number {i}."}}\n'
            for i, each in enumerate(ids)
        ]
        path = self.folder / f"{name}.yaml"
        path.write_text("jobs:\n" + "".join(rows))
        self.told("enqueue", str(path))
        return ids

    def told(self, *words: str) -> dict[str, Any]:
        """What a command says as JSON.

        Raises:
            CommandError: it failed.
        """
        done = subprocess.run(
            [str(BIN / "job-runner"), *words, "--json"],
            cwd=self.folder,
            env=environment_of(self.server.url, PREFIX, self.folder / "caller", self.settings()),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        if done.returncode != 0:
            raise CommandError(f"job-runner {' '.join(words)} ended with {done.returncode}: {done.stderr}")
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    def active(self) -> int:
        """How many jobs have no record yet: one question to the server, which costs those who work nothing."""
        return length(self.server, PREFIX, "index")

    def sessions(self) -> int:
        """How many watchers have opened one."""
        said = self.server.command("ZCARD", Keys(PREFIX).of("sessions"))
        return int(said.strip().removeprefix(b":"))


def length(server: ValkeyServer, prefix: str, name: str) -> int:
    """How many fields the hash of this name has."""
    said = server.command("HLEN", Keys(prefix).of(name))
    return int(said.strip().removeprefix(b":"))


def say(text: str) -> None:
    """A line for a person, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


@contextmanager
def at_work_in(keep: Path | None, prefix: str) -> Iterator[Path]:
    """This process in a folder of its own, which goes afterwards; one that is to be kept is made and stays."""
    with tempfile.TemporaryDirectory(prefix=prefix) as gone:
        folder = (keep or Path(gone)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.chdir(folder):
            yield folder


@contextmanager
def placed(folder: Path, offers: list[Offer] | None = None, **more: str) -> Iterator[Place]:
    """A place of its own; everything that was started there has ended afterwards."""
    with ExitStack() as stack:
        server = stack.enter_context(ValkeyServer(folder / "valkey"))
        market = stack.enter_context(FakeVast(hosts=folder / "hosts", offers=offers))
        place = Place(folder, server, market, more)
        stack.callback(place.kill)
        yield place
