"""A worker that is fed: folders are named on stdin and spoken one after the other, with the models kept in between.

A line on stdin is the name of a compiled folder, or a JSON object:

    {"run": FOLDER}                       the same
    {"skip": REQUEST_ID}                  if it has not begun, it is `ended` as skipped at once
    {"upload": REQUEST_ID, "puts": {…}}   send files of a job that has ended, by presigned requests

At the end of stdin what was named is finished. What becomes of each job is said by `events`. When nobody reads those
any more the process ends at once. Called by `job_runner.service.offline`; on rented hosts a watcher holds both ends.
"""

from __future__ import annotations

import hashlib
import json
import queue
import threading
import time
from typing import IO, TYPE_CHECKING, Any, Final

from lib import failpoints
from lib.errors import InvalidInputError, JobRunnerError
from lib.manifest.folder import held
from lib.manifest.reading import read_manifest
from lib.manifest.uploading import Uploads
from lib.voice_synth import documents

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lib.manifest.documents import ManifestJob
    from lib.manifest.events import Events
    from lib.manifest.speech import Speech
    from lib.voice_synth.cli.speak import SpeakCall
    from lib.voice_synth.takes import Step

LINE_BYTES: Final = 4 << 20
"""More than the requests for a thousand files."""


class Following:
    """One worker; `root` is where the folders' names begin."""

    def __init__(self, root: Path, speech: Speech, events: Events) -> None:
        self._root = root
        self._speech = speech
        self._events = events
        self._folders: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._uploads = Uploads(self._uploaded)
        # Held while a job begins or is skipped, so that it is one of the two.
        self._turn = threading.Lock()
        self._begun: set[str] = set()
        self._skipped: set[str] = set()
        self._made: dict[str, Path] = {}

    def run(self, orders: IO[bytes]) -> int:
        """Work until the orders end; how many jobs failed or folders were refused."""
        self._events.say("ready")
        threading.Thread(target=self._listen, args=(orders,), name="orders", daemon=True).start()
        bad = 0
        while (name := self._folders.get()) is not None:
            bad += self._folder(name)
        self._uploads.finish()
        return bad

    def _listen(self, orders: IO[bytes]) -> None:
        while line := orders.readline(LINE_BYTES):
            said = line.decode(errors="replace").strip()
            if said.startswith("{"):
                self._obey(said)
            elif said:
                self._folders.put(said)
        self._folders.put(None)

    def _obey(self, said: str) -> None:
        try:
            order = json.loads(said)
        except (ValueError, RecursionError):
            order = {}
        match order:
            case {"run": str() as name}:
                self._folders.put(name)
            case {"skip": str() as request_id}:
                self._skip(request_id)
            case {"upload": str() as request_id, "puts": given} if request_id in self._made:
                self._uploads.begin(request_id, self._made[request_id], given)
            case _:
                self._events.say("refused", batch=said[:200], error="this is no order that is known here")

    def _folder(self, name: str) -> int:
        bad = 0
        try:
            manifest = read_manifest(self._root / name)
            with held(manifest.folder):
                for job, call in manifest.jobs:
                    bad += not self._one(manifest.folder, job, call)
        except JobRunnerError as exc:
            bad += 1
            message, hint = self._events.told(exc)
            self._events.say("refused", batch=name, error=message, hint=hint)
        self._events.say("batch_done", batch=name)
        return bad

    def _one(self, folder: Path, job: ManifestJob, call: SpeakCall) -> bool:
        """Speak it unless it was skipped; whether nothing went wrong."""
        if not self._begin(job.request_id):
            return True
        began = time.monotonic()
        try:
            failpoints.reach("follow.begun")
            entry = self._speech.entry_of(folder, job, call)
            result = self._speech.made(entry) or self._speech.speak(
                entry, lambda steps: self._watch(job.request_id, steps)
            )
            files = files_of(entry.directory, result)
        except Exception as exc:  # noqa: BLE001  a fault of one job is that job's, whatever it is
            self._events.failed(job.request_id, exc, time.monotonic() - began)
            return False
        self._made[job.request_id] = entry.directory
        self._events.say(
            "ended",
            request_id=job.request_id,
            status="ok",
            seconds=round(time.monotonic() - began, 3),
            files=files,
        )
        failpoints.reach("follow.ended")
        return True

    def _begin(self, request_id: str) -> bool:
        with self._turn:
            if request_id in self._skipped:
                return False
            self._begun.add(request_id)
            self._events.say("begun", request_id=request_id)
            return True

    def _skip(self, request_id: str) -> None:
        with self._turn:
            if request_id in self._begun or request_id in self._skipped:
                return
            self._skipped.add(request_id)
            self._events.say("ended", request_id=request_id, status="skipped")

    def _watch(self, request_id: str, steps: Iterator[Step]) -> None:
        for step in steps:
            self._events.progress(
                request_id, percent=step.percent, step=step.done, total=step.total, message=step.message
            )

    def _uploaded(self, request_id: str, error: Exception | None) -> None:
        message = None if error is None else self._events.told(error)[0]
        self._events.say("uploaded", request_id=request_id, error=message)


def files_of(directory: Path, result: dict[str, Any]) -> list[dict[str, Any]]:
    """Every file of a job that was spoken, as `result` has them and result.json itself.

    Raises:
        InvalidInputError: result.json cannot be read.

    """
    path = directory / documents.RESULT
    try:
        content = path.read_bytes()
    except OSError as exc:
        raise InvalidInputError(f"{path}: {exc.strerror}", hint="run it again") from exc
    own = {"name": path.name, "kind": "result", "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    return [*result["files"], own]
