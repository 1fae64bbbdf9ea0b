"""Files by presigned requests: what is tried again, what is given up, and what is never said."""

from __future__ import annotations

import http.server
import queue
import threading
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pytest

from lib.errors import TemporaryError
from lib.manifest.uploading import AWAY_SECONDS, FIRST_PATIENCE_SECONDS, Put, Uploads, puts_of, upload
from tests.support.servers import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


class Store(http.server.ThreadingHTTPServer):
    """Answers each PUT with the next of `answers` (0: hangs up), the last for all later ones; keeps what it took."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answering)
        self.answers = [200]
        self.seen: list[tuple[str, dict[str, str], bytes]] = []
        self.url = f"http://127.0.0.1:{self.server_port}/a.wav?X-Amz-Signature=hunter2"


class _Answering(http.server.BaseHTTPRequestHandler):
    server: Store

    def do_PUT(self) -> None:
        """Answer."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append((self.path, dict(self.headers), body))
        answers = self.server.answers
        status = answers.pop(0) if len(answers) > 1 else answers[0]
        if not status:
            self.close_connection = True
            return
        self.send_response(status)
        self.end_headers()
        self.wfile.write(b"" if status == 200 else b"<Error><Code>SlowDown</Code></Error>")

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def store() -> Iterator[Store]:
    """A store on loopback."""
    with Store() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A file."""
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    return tmp_path / "a.wav"


class Patience:
    """A clock that moves only by pauses."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def sleep(self, seconds: float) -> None:
        """Pause."""
        self.pauses.append(seconds)
        self.now += seconds


def send(
    made: Path, url: str, patience: Patience | None = None, headers: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Upload it."""
    clock = patience or Patience()
    upload(made, Put("a.wav", url, headers), clock=lambda: clock.now, sleep=clock.sleep, patience_seconds=60)


def test_a_file_is_sent_with_exactly_the_signed_headers(store: Store, made: Path) -> None:
    """Whole, in one request."""
    send(made, store.url, headers={"If-None-Match": "*", "x-amz-meta-sha256": "abc"})
    ((path, headers, body),) = store.seen
    assert path == "/a.wav?X-Amz-Signature=hunter2"
    assert (headers["If-None-Match"], headers["x-amz-meta-sha256".title()], body) == ("*", "abc", b"RIFF")
    assert headers["Content-Length"] == "4"


def test_what_is_there_already_is_stored(store: Store, made: Path) -> None:
    """The reply to an earlier try was lost."""
    store.answers = [412]
    send(made, store.url)
    assert len(store.seen) == 1


@pytest.mark.parametrize("status", [0, 409, 429, 500, 503])
def test_what_may_pass_is_tried_again(store: Store, made: Path, status: int) -> None:
    """After pauses that grow, with the whole file each time."""
    store.answers = [status, status, 200]
    patience = Patience()
    send(made, store.url, patience)
    assert [body for _, _, body in store.seen] == [b"RIFF"] * 3
    assert patience.pauses == [0.25, 0.5]


def test_a_store_that_is_away_is_given_up_in_time(made: Path) -> None:
    """Then the watcher fetches the file."""
    patience = Patience()
    with pytest.raises(TemporaryError, match=r"a\.wav was not stored in \d+ tries: .*refused"):
        send(made, f"http://127.0.0.1:{free_port()}/a.wav?X-Amz-Signature=hunter2", patience)
    assert 40 < patience.now <= 60


@pytest.mark.parametrize("status", [400, 403, 404, 501])
def test_a_refusal_is_not_tried_again_and_shows_no_signature(store: Store, made: Path, status: int) -> None:
    """An expired or wrong request will not become a right one; its URL is a secret."""
    store.answers = [status]
    with pytest.raises(TemporaryError, match=f"{status} SlowDown") as caught:
        send(made, store.url)
    assert len(store.seen) == 1
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "given",
    [
        None,
        [],
        {"a.wav": "http://x"},
        {"a.wav": {"url": "file:///etc/passwd", "headers": {}}},
        {"a.wav": {"url": "http://x", "headers": {"a": 1}}},
        {"../a.wav": {"url": "http://x", "headers": {}}},
        {"a.wav": {"url": 7, "headers": {}}},
    ],
)
def test_an_order_of_another_shape_is_refused(given: object) -> None:
    """Before anything is opened."""
    with pytest.raises(ValueError, match="uploads must be"):
        puts_of(given)


def test_the_jobs_of_a_worker_are_sent_one_after_the_other(store: Store, made: Path) -> None:
    """Each is told once, with its error, and the next goes on; `finish` waits for all."""
    told: list[tuple[str, str | None]] = []
    uploads = Uploads(lambda name, error: told.append((name, type(error).__name__ if error else None)))
    put = {"url": store.url, "headers": {}}
    uploads.begin("one", made.parent, {"a.wav": put})
    uploads.begin("two", made.parent, {"gone.wav": put})
    uploads.begin("three", made.parent, {"a.wav": put})
    uploads.finish()
    uploads.begin("four", made.parent, 7)
    assert told == [("one", None), ("two", "FileNotFoundError"), ("three", None), ("four", "ValueError")]


def test_a_store_that_is_away_is_waited_for_once_and_not_by_each_job(store: Store, made: Path) -> None:
    """A machine is paid for meanwhile, and the watcher can fetch the files; a while later it is tried again."""
    told: queue.Queue[tuple[str, str | None]] = queue.Queue()
    clock = Patience()
    uploads = Uploads(
        lambda name, error: told.put((name, str(error) if error else None)),
        clock=lambda: clock.now,
        sleep=clock.sleep,
    )

    def sent(name: str) -> str | None:
        uploads.begin(name, made.parent, {"a.wav": {"url": store.url, "headers": {}}})
        said, error = told.get(timeout=30)
        assert said == name
        return error

    store.answers = [503]
    assert "was not stored" in (sent("one") or "")
    assert clock.now <= FIRST_PATIENCE_SECONDS
    asked = len(store.seen)
    assert [sent(name) for name in ("two", "three")] == ["the store did not answer a moment ago"] * 2
    assert len(store.seen) == asked
    clock.now += AWAY_SECONDS
    store.answers = [200]
    assert sent("four") is None
    store.answers, before = [503] * 12 + [200], clock.now
    assert sent("five") is None
    assert clock.now - before > FIRST_PATIENCE_SECONDS
    uploads.finish()


def test_a_store_that_refuses_one_job_is_asked_for_the_next(store: Store, made: Path) -> None:
    """An expired request says nothing of others."""
    told: list[str | None] = []
    uploads = Uploads(lambda _, error: told.append(type(error).__name__ if error else None))
    store.answers = [403, 200]
    for name in ("one", "two"):
        uploads.begin(name, made.parent, {"a.wav": {"url": store.url, "headers": {}}})
    uploads.finish()
    assert told == ["TemporaryError", None]
