"""A watcher's name: one process of it on a host, and a memory of the session that a killed one left."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from job_watcher.naming import claim, sessions_here
from lib.errors import InvalidInputError, NameTakenError, SettingsError

if TYPE_CHECKING:
    from pathlib import Path

HOLD = """
import pathlib, sys, time
from job_watcher.naming import claim
name = claim(pathlib.Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None)
name.remember(name.name + ":from-the-child")
print(name.name, flush=True)
time.sleep(600)
"""


def _hold(directory: Path, *name: str) -> tuple[subprocess.Popen[str], str]:
    """Another process that holds a name, and which."""
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(directory), *name], stdout=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    assert child.stdout is not None
    return child, child.stdout.readline().strip()


def _end(child: subprocess.Popen[str]) -> None:
    child.kill()
    child.wait()
    assert child.stdout is not None
    child.stdout.close()


def test_a_second_process_of_a_name_is_refused_and_told_which_session_has_it(tmp_path: Path) -> None:
    """Two of one name would end each other's sessions for ever."""
    child, _ = _hold(tmp_path, "desk")
    try:
        with pytest.raises(NameTakenError, match="desk:from-the-child") as refused:
            claim(tmp_path, "desk")
        assert "--consumer-name" in (refused.value.hint or "")
    finally:
        _end(child)


def test_the_session_of_a_killed_process_is_remembered(tmp_path: Path) -> None:
    """SIGKILL takes the lock and leaves the memory: the successor knows what to end."""
    child, _ = _hold(tmp_path, "desk")
    _end(child)
    name = claim(tmp_path, "desk")
    assert name.previous_session == "desk:from-the-child"
    name.remember("desk:2")
    assert name.previous_session == "desk:2"
    name.release()
    again = claim(tmp_path, "desk")
    assert again.previous_session == "desk:2"
    again.release()


def test_a_shorter_session_leaves_nothing_of_a_longer_one(tmp_path: Path) -> None:
    """The file holds one session, the last."""
    name = claim(tmp_path, "desk")
    name.remember("desk:a-very-long-session")
    name.remember("desk:1")
    name.release()
    assert (tmp_path / "watchers" / "desk.session").read_text() == "desk:1"


def test_unnamed_watchers_of_a_host_are_numbered(tmp_path: Path) -> None:
    """Each takes the first free number, across processes, and a number that is let go is used again."""
    child, first = _hold(tmp_path)
    try:
        second = claim(tmp_path, None)
        third = claim(tmp_path, None)
        assert [each.rpartition("-")[2] for each in (first, second.name, third.name)] == ["1", "2", "3"]
        second.release()
        again = claim(tmp_path, None)
        assert again.name == second.name
        again.release()
        third.release()
    finally:
        _end(child)


def test_a_host_name_that_no_session_may_have_is_cleaned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session is `name:run`: a colon or a slash in the host's name must not get into it."""
    for host, expected in (("we:ird/hôst.", "we-ird-h-st-1"), ("...", "watcher-1"), ("x" * 300, "x" * 50 + "-1")):
        monkeypatch.setattr(socket, "gethostname", lambda host=host: host)
        name = claim(tmp_path, None)
        assert name.name == expected
        name.release()


def test_more_unnamed_watchers_than_a_host_may_run_are_refused(tmp_path: Path) -> None:
    """The search for a number ends."""
    held = [claim(tmp_path, None) for _ in range(64)]
    with pytest.raises(NameTakenError, match="64"):
        claim(tmp_path, None)
    for each in held:
        each.release()


@pytest.mark.parametrize("bad", ["", ".", "..", "-x", "a/b", "../x", "a b", "a:b", "a\n", "ä", "x" * 64, "a\0b", "*"])
def test_a_bad_name_is_refused_with_what_is_allowed(tmp_path: Path, bad: str) -> None:
    """It becomes a file name and a part of a key's member."""
    with pytest.raises(InvalidInputError, match="--consumer-name") as refused:
        claim(tmp_path, bad)
    assert "letters" in (refused.value.hint or "")
    assert list(tmp_path.rglob("*.session")) == []


@pytest.mark.parametrize("good", ["a", "desk", "Desk_2", "host.example.org-1", "x" * 63])
def test_a_good_name_is_taken(tmp_path: Path, good: str) -> None:
    """The longest and the plainest."""
    name = claim(tmp_path, good)
    assert name.name == good
    name.release()


def test_every_life_has_a_run_id_of_its_own(tmp_path: Path) -> None:
    """Two lives within one second are two."""
    name = claim(tmp_path, "desk")
    assert len({name.new_run_id() for _ in range(100)}) == 100
    name.release()


def test_the_sessions_of_this_state_directory_can_be_listed(tmp_path: Path) -> None:
    """`ping` asks about all that ever ran here; a dot in a name stays."""
    assert sessions_here(tmp_path) == {}
    for each in ("b.c", "a"):
        name = claim(tmp_path, each)
        name.remember(f"{each}:1")
        name.release()
    assert sessions_here(tmp_path) == {"a": "a:1", "b.c": "b.c:1"}


def test_a_state_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A person gets the setting to mend, not a traceback."""
    (tmp_path / "watchers").write_text("a file where the directory must be")
    with pytest.raises(SettingsError, match="JOBS_STATE_DIR") as refused:
        claim(tmp_path, "desk")
    assert refused.value.hint
