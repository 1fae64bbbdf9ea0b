"""Files into a store by presigned requests, from a machine that has no key to it: standard library alone.

One request a file, with exactly the headers that it was signed with. What may pass is tried again until a deadline;
an object that is there already (412) is ours, because the request names a place that only this attempt has. The watcher
reads it back and compares in any case. Called by `following`, in a thread beside the one that speaks.
"""

from __future__ import annotations

import http.client
import queue
import re
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from lib.errors import TemporaryError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

SILENCE_SECONDS: Final = 30.0
"""So long a store may say nothing."""

PATIENCE_SECONDS: Final = 120.0
"""For one file; then the watcher fetches it itself."""

FIRST_PATIENCE_SECONDS: Final = 15.0
"""The same for a store to which nothing has gone yet: it may not be reached from here at all."""

AWAY_SECONDS: Final = 60.0
"""So long a store that took nothing in that time is not asked again: a machine is paid for, and others wait."""

PAUSES_SECONDS: Final = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0)

_THERE_ALREADY: Final = 412
_MAY_PASS: Final = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
_CODE: Final = re.compile(rb"<Code>([A-Za-z0-9_.-]{1,60})</Code>")
_MOST_SAID_BYTES: Final = 2_000


class StoreAwayError(TemporaryError):
    """Nothing that may pass has passed in time: the store is not reached, or takes nothing just now."""


@dataclass(frozen=True, slots=True)
class Put:
    """One presigned request: it stores the file of this name."""

    name: str
    url: str
    headers: Mapping[str, str]


def puts_of(given: object) -> tuple[Put, ...]:
    """`{name: {"url": …, "headers": {…}}}` as requests.

    Raises:
        ValueError: it is something else.

    """
    if not isinstance(given, dict) or not all(_is_put(name, each) for name, each in given.items()):
        raise ValueError("uploads must be an object of {name: {url, headers}}")
    return tuple(Put(name, each["url"], each["headers"]) for name, each in given.items())


def _is_put(name: object, given: object) -> bool:
    if not isinstance(name, str) or "/" in name or not isinstance(given, dict):
        return False
    url, headers = given.get("url"), given.get("headers")
    if not isinstance(url, str) or not url.startswith(("http://", "https://")) or not isinstance(headers, dict):
        return False
    return all(isinstance(key, str) and isinstance(value, str) for key, value in headers.items())


def upload(
    path: Path,
    put: Put,
    *,
    patience_seconds: float = PATIENCE_SECONDS,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Send the file. Blocks.

    Raises:
        TemporaryError: the store does not take it; the URL is not in the message.
        StoreAwayError: it did not in time.
        OSError: the file cannot be read.

    """
    until = clock() + patience_seconds
    tries = 0
    while True:
        said = _sent(path, put)
        if said is None:
            return
        pause = PAUSES_SECONDS[min(tries, len(PAUSES_SECONDS) - 1)]
        tries += 1
        if clock() + pause > until:
            raise StoreAwayError(f"{put.name} was not stored in {tries} tries: {said}")
        sleep(pause)


def _sent(path: Path, put: Put) -> str | None:
    """None when it is stored, else what went wrong and may pass.

    Raises:
        TemporaryError: it will not pass.

    """
    with path.open("rb") as opened:
        headers = {"Content-Length": str(path.stat().st_size), **put.headers}
        request = urllib.request.Request(put.url, data=opened, headers=headers, method="PUT")  # noqa: S310 - http(s)
        try:
            with urllib.request.urlopen(request, timeout=SILENCE_SECONDS):  # noqa: S310 - checked by `puts_of`
                return None
        except urllib.error.HTTPError as exc:
            with exc:
                found = _CODE.search(exc.read(_MOST_SAID_BYTES))
            said = f"{exc.code} {found[1].decode() if found else exc.reason}"
            if exc.code == _THERE_ALREADY:
                return None
            if exc.code in _MAY_PASS:
                return said
            raise TemporaryError(f"the store does not take {put.name}: {said}") from exc
        except urllib.error.URLError as exc:
            return str(exc.reason)
        except (OSError, http.client.HTTPException) as exc:
            return f"{type(exc).__name__}: {exc}"


class Uploads:
    """A thread that sends the files of one job after the other; `done` hears of each job once, with its error.

    A store that is away is waited for by one job; those that come next are told at once, and after a while one tries.
    """

    def __init__(
        self,
        done: Callable[[str, Exception | None], None],
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._done = done
        self._clock = clock
        self._sleep = sleep
        self._reached = False
        self._away_until = clock()
        self._orders: queue.SimpleQueue[tuple[str, Path, tuple[Put, ...]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="uploads", daemon=True)
        self._thread.start()

    def begin(self, request_id: str, directory: Path, given: Any) -> None:
        """Send files of the directory when those before are through; `given` as `puts_of` takes it."""
        try:
            self._orders.put((request_id, directory, puts_of(given)))
        except ValueError as exc:
            self._done(request_id, exc)

    def finish(self) -> None:
        """Return when all is through that was begun."""
        self._orders.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (order := self._orders.get()) is not None:
            request_id, directory, puts = order
            error: Exception | None = None
            try:
                self._send(directory, puts)
            except Exception as exc:  # noqa: BLE001 - whatever it is, the watcher can fetch the files itself
                error = exc
            self._done(request_id, error)

    def _send(self, directory: Path, puts: tuple[Put, ...]) -> None:
        if self._clock() < self._away_until:
            raise StoreAwayError("the store did not answer a moment ago")
        for put in puts:
            patience = PATIENCE_SECONDS if self._reached else FIRST_PATIENCE_SECONDS
            try:
                upload(directory / put.name, put, patience_seconds=patience, clock=self._clock, sleep=self._sleep)
            except StoreAwayError:
                self._reached, self._away_until = False, self._clock() + AWAY_SECONDS
                raise
            self._reached = True
