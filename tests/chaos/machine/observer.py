"""Writes the queue's history to disk while a run goes on, and at its end what a last look found.

Two ways to look, both past every broken wire: the server's append-only file, which holds every step in order, and at
the end a connection of its own. Nothing is judged here.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

from redis.exceptions import RedisError

from lib.errors import JobRunnerError
from lib.redisqueue.fsck import fsck
from tests.chaos.machine.aof import AofReader, BrokenFileError, Vocabulary
from tests.chaos.machine.options import PREFIX
from tests.conformance import truth

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lib.redisqueue.queue import Queue

LOOK_SECONDS: Final = 0.03


class HistoryWriter:
    """Follows the append-only file of one server, and writes every step of the queue down."""

    def __init__(self, aof_dir: Path, history: Path) -> None:
        self._aof_dir = aof_dir
        self._reader: AofReader | None = None
        self._words = Vocabulary(PREFIX)
        self._history = os.open(history, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self.ended = 0
        """Records seen so far, for the progress line."""

    async def follow(self) -> None:
        """Until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_SECONDS)

    def look(self) -> None:
        """Write down what has happened since the last look."""
        if self._reader is None:
            found = next(self._aof_dir.glob("*.incr.aof"), None)
            if found is None:
                return
            self._reader = AofReader(found)
        at = round(time.monotonic(), 4)
        try:
            blocks = self._reader.read()
        except BrokenFileError as exc:
            self._write([{"at": at, "broken": str(exc)}])
            self._reader.position = self._reader.path.stat().st_size
            return
        steps = [ops for ops in map(self._words.operations, blocks) if ops]
        self.ended += sum(op[0] == "record" and op[3] is not None for ops in steps for op in ops)
        self._write([{"at": at, "ops": ops} for ops in steps])

    def _write(self, lines: list[dict[str, Any]]) -> None:
        if lines:
            text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines).encode()
            while text:
                text = text[os.write(self._history, text) :]


async def nudge(queue: Queue) -> int:
    """Let every delayed job be due now, so that a drain need not wait for pauses of minutes; how many."""
    due: Any = await queue.client.zrange(queue.keys.of("due"), 0, -1)
    for member in due:
        await queue.client.zadd(queue.keys.of("due"), {member: 1}, xx=True)
    if due:
        await queue.client.xadd(queue.keys.of("wake"), {"why": "due"}, maxlen=64)
    return len(due)


async def left(queue: Queue) -> int:
    """How many jobs, foreign entries and things to publish are left; -1 when the server does not answer."""
    client = queue.client
    try:
        await queue.refresh_streams()
        total = int(await client.hlen(queue.keys.of("index"))) + int(await client.xlen(queue.keys.of("outbox")))
        for name in (*queue.intakes, *queue.lanes):
            total += int(await client.xlen(queue.keys.stream(name)))
    except (RedisError, OSError, JobRunnerError):
        return -1
    return total


async def last_look(queue: Queue, root: Path) -> dict[str, Any]:
    """What the queue holds when all is quiet, by plain commands and by fsck; outputs are published below `root`."""
    await queue.refresh_streams()
    seen = await truth.read_truth(queue)
    findings = await fsck(queue, repair=False)
    return {
        "rows": sorted(seen.rows),
        "records": {request_id: truth.parse_head(raw).fence for request_id, raw in seen.all_records.items()},
        "accepted": seen.counters.get("accepted", 0),
        "contradictions": truth.contradictions(seen),
        "imbalance": truth.imbalance(seen),
        "unknown_keys": sorted(truth.unknown_keys(queue, seen)),
        "outputs": await asyncio.to_thread(_bad_outputs, list(seen.records.values())),
        "published": await asyncio.to_thread(unpublished, list(seen.records.values()), root),
        "fsck": [f"{each.kind} {each.subject}: {each.detail}" for each in findings],
    }


def _bad_outputs(records: list[str]) -> list[str]:
    """Outputs that are not what their record says."""
    bad = []
    for record, best in _outputs(records):
        place = Path(unquote(urlsplit(best["uri"]).path))
        if not _holds(place, best):
            bad.append(f"{record['request_id']}: {place} is not as its record says")
    return bad


def unpublished(records: list[str], root: Path) -> list[str]:
    """Published names that do not hold what the newest record has. All is drained: nothing waits to be published."""
    bad = []
    for record, best in _outputs(records):
        name = record.get("output_name")
        if name and not _holds(root / name / best["name"], best):
            bad.append(f"{record['request_id']}: {name}/{best['name']} does not hold what its record has")
    return bad


def _outputs(records: list[str]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each record that has an output, with that."""
    for record in map(json.loads, records):
        best = (record.get("outputs") or {}).get("best")
        if best is not None:
            yield record, best


def _holds(place: Path, best: dict[str, Any]) -> bool:
    content = place.read_bytes() if place.is_file() else b""
    return (len(content), hashlib.sha256(content).hexdigest()) == (best["bytes"], best["sha256"])
