"""`fast_crud` and `sleep_crud` go round a real database, and say in our words when it will not have them."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy

from lib.errors import PermanentError, TemporaryError
from lib.jobqueue import JobSpec, normalize_job_spec
from lib.jobqueue.receipts import LIFECYCLE, slept_and_went_round, went_round
from lib.tasks.crud import Databases, FastCrud, SleepCrud
from lib.tasks.database import TABLE, Database
from tests.lib.tasks.contexts import RecordingContext
from tests.lib.tasks.test_diagnostics import VirtualClock
from tests.support.watchers import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.postgres import Postgres


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Both kinds of database; the folder of the one is not there yet."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/new/folder/rounds.sqlite3"
    server: Postgres = request.getfixturevalue("postgres")
    return server.url


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    """An open one."""
    opened = Database(url)
    yield opened
    opened.close()


def job(task: str, payload: dict[str, Any], request_id: str = "round 1") -> JobSpec:
    """A normalised job."""
    return normalize_job_spec({"request_id": request_id, "task": task, "payload": payload})


def record(result: dict[str, Any] | None) -> dict[str, Any]:
    """What of a done record a check looks at."""
    return {"result": json.loads(json.dumps(result))}


def rows_of(database: Database, request_id: str) -> int:
    """How many rows of a job are there; none unless a round is under way or was cut off."""
    with database.connection() as connection:
        return len(connection.execute(TABLE.select().where(TABLE.c.request_id == request_id)).all())


def left_behind(database: Database, request_id: str, attempt: int) -> None:
    """A row as a crash in the middle of a round leaves it."""
    with database.connection() as connection, connection.begin():
        row = {"round_id": f"{request_id}-{attempt}", "request_id": request_id, "attempt": attempt}
        connection.execute(TABLE.insert().values({**row, "revision": 1, "data": "{}"}))


@pytest.mark.parametrize("data", [None, {"a": [1, 2.5, None], "ü": "☃\u0000"}, "text", [[]], 2**53 - 1])
async def test_a_round_does_every_step(url: str, tmp_path: Path, data: object) -> None:
    """Whatever JSON the data is; the receipt holds, and nothing is left in the table."""
    databases = Databases(url)
    asked = job("tasks.fast_crud_task", {"data": data})
    done = await FastCrud(databases).run(asked, RecordingContext(tmp_path))
    assert done.result is not None
    assert tuple(done.result["lifecycle"]) == LIFECYCLE
    assert done.result["database"] == url.partition(":")[0].partition("+")[0]
    assert done.result["left_over"] == 0
    assert went_round(asked, record(done.result)) is None
    opened = databases.opened()
    assert rows_of(opened, "round 1") == 0
    opened.close()


async def test_it_sleeps_with_a_connection_before_it_writes(url: str, tmp_path: Path) -> None:
    """As long as it is told to, by its clock; a clock that wakes it late makes it longer, never shorter."""
    clock = VirtualClock(late=0.25)
    databases = Databases(url)
    asked = job("sleep_crud", {"seconds": 2.5, "data": {"n": 1}})
    context = RecordingContext(tmp_path)
    done = await SleepCrud(databases, clock).run(asked, context)
    assert clock.sleeps == [2.5]
    assert done.result is not None
    assert (done.result["slept_seconds"], tuple(done.result["lifecycle"])) == (2.75, LIFECYCLE)
    assert slept_and_went_round(asked, record(done.result)) is None
    assert [report[3] for report in context.reports] == ["connected, sleeping 2.5 s"]
    databases.opened().close()


async def test_what_a_crash_left_is_taken_away(url: str, database: Database, tmp_path: Path) -> None:
    """By the next attempt of the same job; rows of other jobs and of a later attempt stay."""
    left_behind(database, "crashed", 1)
    left_behind(database, "crashed", 3)
    left_behind(database, "other", 1)
    context = RecordingContext(tmp_path, attempt=2)
    databases = Databases(url)
    done = await FastCrud(databases).run(job("fast_crud", {}, "crashed"), context)
    assert done.result is not None
    assert (done.result["left_over"], tuple(done.result["lifecycle"])) == (1, LIFECYCLE)
    assert (rows_of(database, "crashed"), rows_of(database, "other")) == (1, 1)
    databases.opened().close()
    with database.connection() as connection, connection.begin():
        connection.execute(TABLE.delete())


@pytest.mark.parametrize(
    ("statement", "step"),
    [("DELETE FROM job_runner_rounds", "read"), ("UPDATE job_runner_rounds SET data = '1'", "read")],
)
def test_every_step_is_checked(tmp_path: Path, statement: str, step: str) -> None:
    """Somebody else changes the row between two steps: no step is believed that did not find what it should."""
    file = tmp_path / "rounds.sqlite3"
    database = Database(f"sqlite:///{file}")
    with database.connection() as connection:
        meddled = _Meddling(connection, file, statement)
        with pytest.raises(TemporaryError) as caught:
            database.round(meddled, "meddled", 1, {})  # type: ignore[arg-type]  # it is one in all that is asked of it
    database.close()
    assert f"step {step!r} found something else than 'created' left" in caught.value.message


class _Meddling:
    """A connection; after its first insert another program changes the table."""

    def __init__(self, connection: sqlalchemy.Connection, file: Path, statement: str) -> None:
        self._connection, self._file, self._statement = connection, file, statement

    def begin(self) -> Any:
        """As the connection does."""
        return self._connection.begin()

    def execute(self, statement: Any) -> Any:
        """The same; the meddling comes before the first look."""
        if statement.is_select and self._statement:
            with sqlite3.connect(self._file) as other:
                other.execute(self._statement)
            other.close()
            self._statement = ""
        return self._connection.execute(statement)


ROUNDS = """
import sys
from lib.tasks.database import TABLE, Database
database = Database(sys.argv[1])
for at in range(4):
    with database.connection() as connection:
        database.round(connection, sys.argv[2], 1, {"at": at})
with database.connection() as connection:
    rows = connection.execute(TABLE.select().where(TABLE.c.request_id == sys.argv[2])).all()
sys.exit(len(rows))
"""


def test_many_processes_write_at_once(url: str) -> None:
    """A table that none of them has found, and as many writers as children: everybody gets through."""
    database = Database(url)
    with database.connection() as connection, connection.begin():
        TABLE.drop(connection)
    database.close()
    # Waits for nothing but each other, with one connection and one write at a time in each.
    writers = [
        subprocess.Popen([sys.executable, "-c", ROUNDS, url, f"job {number}"], cwd=ROOT, stderr=subprocess.PIPE)
        for number in range(2)
    ]
    assert [(writer.communicate(timeout=60)[1], writer.returncode) for writer in writers] == [(b"", 0)] * 2


def test_somebody_else_makes_the_table_first(tmp_path: Path) -> None:
    """Between the look for it and the making: it is there, and that is all that was wanted."""
    file = tmp_path / "rounds.sqlite3"
    columns = ", ".join(f"{column.name} TEXT" for column in TABLE.columns)

    def make(*_: Any, **__: Any) -> None:
        with sqlite3.connect(file) as other:
            other.execute(f"CREATE TABLE {TABLE.name} ({columns})")
        other.close()

    sqlalchemy.event.listen(TABLE, "before_create", make, once=True)
    database = Database(f"sqlite:///{file}")
    assert rows_of(database, "anybody") == 0
    database.close()


@pytest.mark.parametrize(
    ("url", "said", "hint"),
    [
        ("", "no database is known here", "set DATABASE_URL"),
        ("nonsense", "DATABASE_URL is no URL of a database", "postgresql+pg8000://USER:PASSWORD@HOST:PORT/NAME"),
        ("mysql://a:secret-7@h/x", "DATABASE_URL names mysql, which is not known here", "sqlite:///FILE"),
        ("sqlite+none:///x", "DATABASE_URL names sqlite+none, which is not known here", "sqlite:///FILE"),
        ("postgresql+asyncpg://a:secret-7@h/x", "the driver of postgresql+asyncpg is not", "'.[postgres]'"),
        ("postgresql://a:secret-7@h:port/x", "DATABASE_URL is no URL of a database", "sqlite:///FILE"),
        ("sqlite:////proc/none/x.sqlite3", "the folder /proc/none of the database cannot be made", "name another"),
        ("sqlite:////tmp", "the database /tmp: unable to open database file", "is DATABASE_URL right"),
    ],
)
async def test_a_wrong_url_is_for_good(tmp_path: Path, url: str, said: str, hint: str) -> None:
    """No other attempt is made; the mend is named, and no password."""
    with pytest.raises(PermanentError) as caught:
        await FastCrud(Databases(url)).run(job("fast_crud", {}), RecordingContext(tmp_path))
    assert said in caught.value.message
    assert hint in (caught.value.hint or "")
    assert "secret-7" not in f"{caught.value.message}{caught.value.hint}"


async def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    """It is not touched."""
    file = tmp_path / "notes.txt"
    file.write_text("these are notes, and of some length too\n" * 50)
    with pytest.raises(PermanentError, match="file is not a database"):
        await FastCrud(Databases(f"sqlite:///{file}")).run(job("fast_crud", {}), RecordingContext(tmp_path))
    assert file.read_text().startswith("these are notes")


async def test_a_locked_file_is_for_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another program holds the file for longer than a step waits."""
    monkeypatch.setattr("lib.tasks.database._BUSY_SECONDS", 0)
    url = f"sqlite:///{tmp_path}/rounds.sqlite3"
    databases = Databases(url)
    await FastCrud(databases).run(job("fast_crud", {}), RecordingContext(tmp_path))
    other = sqlite3.connect(tmp_path / "rounds.sqlite3", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(TemporaryError, match="database is locked") as caught:
        await FastCrud(databases).run(job("fast_crud", {}), RecordingContext(tmp_path))
    assert "another program holding it" in (caught.value.hint or "")
    other.close()
    await FastCrud(databases).run(job("fast_crud", {}), RecordingContext(tmp_path))
    databases.opened().close()


async def test_postgres_refuses_and_goes_away(postgres: Postgres, tmp_path: Path) -> None:
    """A wrong password or name is for good; a server that is down is for now, and found again by the same pool."""
    for url, said in (
        (postgres.url_with("wrong-horse-8"), 'password authentication failed for user "tester"'),
        (postgres.url_with("correct-horse-7", "nowhere"), 'database "nowhere" does not exist'),
    ):
        with pytest.raises(PermanentError) as caught:
            await FastCrud(Databases(url)).run(job("fast_crud", {}), RecordingContext(tmp_path))
        assert said in caught.value.message
        assert "horse" not in f"{caught.value.message}{caught.value.hint}"
    databases = Databases(postgres.url.replace("+pg8000", ""))
    await FastCrud(databases).run(job("fast_crud", {}), RecordingContext(tmp_path))
    postgres.stop()
    try:
        with pytest.raises(TemporaryError) as gone:
            await FastCrud(databases).run(job("fast_crud", {}), RecordingContext(tmp_path))
    finally:
        postgres.start()
    assert gone.value.message.startswith(f"PostgreSQL at 127.0.0.1:{postgres.port}/postgres does not answer: ")
    assert "horse" not in f"{gone.value.message}{gone.value.hint}"
    for _ in range(2):
        done = await FastCrud(databases).run(job("fast_crud", {}), RecordingContext(tmp_path))
        assert done.result is not None
        # A connection that was kept is dead by then, and found to be before anything is asked of it.
        postgres.stop()
        postgres.start()
    databases.opened().close()


async def test_postgres_goes_away_in_the_middle(postgres: Postgres, tmp_path: Path) -> None:
    """While a job sleeps with its connection: for now, and the next attempt goes round."""

    class Breaking(VirtualClock):
        async def sleep(self, seconds: float) -> None:
            postgres.stop()
            postgres.start()
            await super().sleep(seconds)

    databases = Databases(postgres.url)
    asked = job("sleep_crud", {"seconds": 5})
    with pytest.raises(TemporaryError, match="does not answer"):
        await SleepCrud(databases, Breaking()).run(asked, RecordingContext(tmp_path))
    done = await SleepCrud(databases, VirtualClock()).run(asked, RecordingContext(tmp_path, attempt=2))
    assert done.result is not None
    databases.opened().close()
