"""What a child inherits."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from job_watcher.child.environment import child_environment, task_modules
from tests.support.running import MODULE, settings_in

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("VAST_API_KEY", "x"),
        ("VAST_SSH_KEY", "x"),
        ("AWS_SECRET_ACCESS_KEY", "x"),
        ("AWS_SESSION_TOKEN", "x"),
        ("CALLBACK_SECRET", "x"),
        ("db_password", "x"),
        ("GOOGLE_APPLICATION_CREDENTIALS", "x"),
        ("REDIS_URL", "redis://127.0.0.1"),
        ("OTHER_DATABASE", "postgres://someone:something@db/x"),
        ("ANY_NAME", "redis://:something@db/x"),
    ],
)
def test_secrets_stay_behind(tmp_path: Path, name: str, value: str) -> None:
    """By name, in any case, and by value where an address holds a password."""
    assert name not in child_environment(settings_in(tmp_path), {name: value})


@pytest.mark.parametrize(
    ("name", "value"), [("PATH", "/bin"), ("HOME", "/h"), ("LANG", "C.UTF-8"), ("PROXY", "http://proxy:3128")]
)
def test_the_rest_goes_along(tmp_path: Path, name: str, value: str) -> None:
    """Engines need their home, their language and their libraries."""
    assert child_environment(settings_in(tmp_path), {name: value})[name] == value


def test_a_short_password_takes_nothing_else_along(tmp_path: Path) -> None:
    """It stands in almost every value; a child without PATH would find no program."""
    for part in ("bin", "local"):
        settings = replace(settings_in(tmp_path), redis_url=f"redis://:{part}@127.0.0.1:6379/0")
        kept = child_environment(settings, {"PATH": "/usr/local/bin", "COPY": part})
        assert kept["PATH"] == "/usr/local/bin"
        assert "COPY" not in kept, "a copy under a harmless name is the secret all the same"


def test_settings_win_over_the_environment(tmp_path: Path) -> None:
    """The watcher may have them from a .env file or a flag, which the child never reads."""
    seen = child_environment(settings_in(tmp_path), {"JOBS_TASK_MODULES": "other", "JOBS_STATE_DIR": "/other"})
    assert task_modules(seen) == (MODULE,)
    assert seen["JOBS_STATE_DIR"] == str(tmp_path)
    assert seen["WATCHER_VOICES_DIR"] == str(tmp_path / "voices")


def test_the_database_is_that_of_the_settings(tmp_path: Path) -> None:
    """Its password goes along, because rounds through it are made in children; what was inherited does not."""
    url = "postgresql+pg8000://someone:something@127.0.0.1/x"
    settings = settings_in(tmp_path, DATABASE_URL=url)
    assert child_environment(settings, {"DATABASE_URL": "sqlite://"})["DATABASE_URL"] == url
    assert child_environment(settings_in(tmp_path), {})["DATABASE_URL"] == f"sqlite:///{tmp_path}/database.sqlite3"


def test_a_child_imports_from_where_its_parent_does(tmp_path: Path) -> None:
    """A task module that the watcher could check, its child can load."""
    path = child_environment(settings_in(tmp_path), {})["PYTHONPATH"]
    assert set(filter(None, sys.path)) <= set(path.split(":"))


def test_no_modules_are_none() -> None:
    """The empty default."""
    assert task_modules({}) == task_modules({"JOBS_TASK_MODULES": ""}) == ()
