"""A worker that is fed: what it says of each folder and job, what it skips, and when it ends."""

from __future__ import annotations

import io
import json
import os
import threading
from typing import IO, TYPE_CHECKING, Any

import pytest

from lib.errors import InvalidInputError, PermanentError, TemporaryError, UnreachableError
from lib.manifest.events import MOST_ERROR_CHARACTERS, Events, is_permanent
from lib.manifest.following import Following
from lib.voice_synth.voices import UnknownVoiceError
from tests.lib.manifest.folders import compiled, job, scripted
from tests.lib.voice_synth.scripted_engine import ScriptedEngine, spoken

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Line:
    """A worker below `root`, and what it has said."""

    def __init__(self, root: Path, engine: ScriptedEngine | None = None) -> None:
        read, write = os.pipe()
        self.heard = os.fdopen(read, "rb")
        self.events = Events(write, lambda text: text.replace("hunter2", "***"))
        self.following = Following(root, scripted(engine), self.events)
        self._write = write

    def fed(self, *orders: str | dict[str, Any]) -> list[dict[str, Any]]:
        """Run with these orders; every event but the progress."""
        lines = [order if isinstance(order, str) else json.dumps(order) for order in orders]
        self.run(io.BytesIO("".join(f"{line}\n" for line in lines).encode()))
        return [event for event in self.said() if event["event"] != "progress"]

    def run(self, orders: IO[bytes]) -> int:
        """Until the orders end."""
        bad = self.following.run(orders)
        os.close(self._write)
        return bad

    def said(self) -> list[dict[str, Any]]:
        """Every event."""
        with self.heard:
            return [json.loads(line) for line in self.heard]


def kinds(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """The event and whom it is about."""
    return [(each["event"], str(each.get("request_id", each.get("batch", "")))) for each in events]


def test_each_folder_is_spoken_in_turn_and_the_model_is_loaded_once(tmp_path: Path) -> None:
    """Begun and ended for each job, done for each folder; it ends with its orders."""
    compiled(tmp_path / "one", job("a"), job("b"))
    compiled(tmp_path / "two", job("c"))
    engine = ScriptedEngine(name="hibari")
    events = Line(tmp_path, engine).fed("one", {"run": "two"})
    assert kinds(events) == [
        ("ready", ""),
        ("begun", "a"),
        ("ended", "a"),
        ("begun", "b"),
        ("ended", "b"),
        ("batch_done", "one"),
        ("begun", "c"),
        ("ended", "c"),
        ("batch_done", "two"),
    ]
    assert engine.loads == 1


def test_a_job_that_has_ended_names_its_files(tmp_path: Path) -> None:
    """Each with kind, size and digest, result.json too, as they lie in the job's directory."""
    compiled(tmp_path / "one", job("a", variants=2))
    ended = Line(tmp_path).fed("one")[2]
    assert (ended["status"], ended["seconds"] >= 0) == ("ok", True)
    assert {each["name"]: each["kind"] for each in ended["files"]} == {
        "take_01.wav": "take",
        "take_02.wav": "take",
        "takes.meta.json": "meta",
        "text.txt": "text",
        "result.json": "result",
    }
    assert {each["name"]: each["bytes"] for each in ended["files"]} == {
        each["name"]: (tmp_path / "one" / "a" / each["name"]).stat().st_size for each in ended["files"]
    }


def test_what_is_made_already_is_not_made_again(tmp_path: Path) -> None:
    """Another worker goes on where one was cut off; its word is the same."""
    compiled(tmp_path / "one", job("a"))
    first = Line(tmp_path).fed("one")[2]
    engine = ScriptedEngine(name="hibari")
    again = Line(tmp_path, engine).fed("one")[2]
    assert not engine.asked
    assert again["files"] == first["files"]


def test_a_job_that_fails_says_whether_it_would_fail_again(tmp_path: Path) -> None:
    """With its message and hint; the next ones are spoken."""
    compiled(tmp_path / "one", job("a", "..."), job("b"))
    _, _, failed, *_, done = Line(tmp_path).fed("one")
    assert failed["status"] == "failed"
    assert failed["error"] == "the text has nothing that can be spoken"
    assert failed["hint"] == "write words, not only punctuation"
    assert failed["permanent"] is True
    assert done["event"] == "batch_done"


def test_a_text_that_was_damaged_on_the_way_is_worth_another_try(tmp_path: Path) -> None:
    """It is not the job that was compiled; elsewhere, or sent anew, it would be."""
    compiled(tmp_path / "one", job("a"))
    (tmp_path / "one" / "a" / "text.txt").write_text("Another line.")
    failed = Line(tmp_path).fed("one")[2]
    assert "content_hash differs" in failed["error"]
    assert failed["permanent"] is False


def test_an_error_shows_no_secret_and_has_an_end(tmp_path: Path) -> None:
    """What an engine says may quote anything that this process knows."""

    def broken(_text: str, _settings: object) -> Iterator[Any]:
        yield from ()
        raise ValueError(f"hunter2 {'x' * 10_000}")

    compiled(tmp_path / "one", job("a"))
    failed = Line(tmp_path, ScriptedEngine(broken, name="hibari")).fed("one")[2]
    assert failed["error"].startswith("ValueError: *** x")
    assert len(failed["error"]) == MOST_ERROR_CHARACTERS


def test_a_folder_that_is_no_manifest_is_refused_and_the_next_is_spoken(tmp_path: Path) -> None:
    """With the reason; nothing of it was begun."""
    compiled(tmp_path / "two", job("a"))
    events = Line(tmp_path).fed("one", "two")
    assert kinds(events[1:3]) == [("refused", "one"), ("batch_done", "one")]
    assert "No such file" in events[1]["error"]
    assert ("ended", "a") in kinds(events)


@pytest.mark.parametrize("order", ["{", '{"pay": 1}', '{"run": 7}', '{"upload": "nobody", "puts": {}}', '{"skip": []}'])
def test_an_order_that_nobody_knows_is_refused(tmp_path: Path, order: str) -> None:
    """And the worker goes on."""
    compiled(tmp_path / "one", job("a"))
    events = Line(tmp_path).fed(order, "one")
    assert sum(each["event"] == "refused" for each in events) == 1
    assert ("ended", "a") in kinds(events)


def test_a_job_is_skipped_before_it_begins_and_not_after(tmp_path: Path) -> None:
    """One that is skipped is said to be at once, and is never begun; one that has begun is spoken to its end."""
    begun, skipped = threading.Event(), threading.Event()

    def slow(text: str, settings: Any) -> Iterator[Any]:
        begun.set()
        skipped.wait(10)
        yield from spoken(text, settings)

    compiled(tmp_path / "one", job("a"), job("b"), job("c"))
    line = Line(tmp_path, ScriptedEngine(slow, name="hibari"))
    read, write = os.pipe()
    with os.fdopen(read, "rb") as orders:
        running = threading.Thread(target=line.run, args=(orders,), daemon=True)
        running.start()
        os.write(write, b"one\n")
        assert begun.wait(10)
        os.write(write, b'{"skip": "a"}\n{"skip": "b"}\n{"skip": "b"}\n')
        os.close(write)
        events = [json.loads(line.heard.readline()) for _ in range(4)]
        skipped.set()
        running.join(10)
    events += line.said()
    assert kinds([each for each in events if each["event"] != "progress"]) == [
        ("ready", ""),
        ("begun", "a"),
        ("ended", "b"),
        ("ended", "a"),
        ("begun", "c"),
        ("ended", "c"),
        ("batch_done", "one"),
    ]
    assert [each["status"] for each in events if each["event"] == "ended"] == ["skipped", "ok", "ok"]


def test_progress_is_said_as_a_watcher_tells_it(tmp_path: Path) -> None:
    """Percent, take, takes and words; not more often than somebody could read it."""
    compiled(tmp_path / "one", job("a", variants=50))
    line = Line(tmp_path)
    line.run(io.BytesIO(b"one\n"))
    progress = [each for each in line.said() if each["event"] == "progress"]
    assert progress[0] == {
        "event": "progress",
        "request_id": "a",
        "percent": 0.0,
        "step": 0,
        "total": 50,
        "message": "loading the voice",
    }
    assert len(progress) < 50


def test_nobody_who_listens_ends_it() -> None:
    """A worker whose watcher is gone speaks for nobody."""
    read, write = os.pipe()
    os.close(read)
    gone: list[bool] = []

    def leave() -> None:
        gone.append(True)
        raise SystemExit

    with pytest.raises(SystemExit):
        Events(write, str, leave).say("ready")
    os.close(write)
    assert gone == [True]


@pytest.mark.parametrize(
    ("error", "permanent"),
    [
        (PermanentError("a"), True),
        (UnknownVoiceError("a"), True),
        (TemporaryError("a"), False),
        (InvalidInputError("a"), False),
        (UnreachableError("a"), False),
        (OSError(28, "no space"), False),
        (MemoryError(), False),
        (ValueError("a"), True),
    ],
)
def test_an_error_is_judged_as_on_any_machine(error: Exception, *, permanent: bool) -> None:
    """By its type."""
    assert is_permanent(error) is permanent
