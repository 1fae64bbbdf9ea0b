"""Real watchers whose outputs go to a bucket: they die around an upload, the way there breaks, two race."""

from __future__ import annotations

import hashlib
import signal
from typing import TYPE_CHECKING, Any

import pytest

from tests.chaos.yard import RECOVERY_SECONDS
from tests.support.buckets import CREDENTIALS, BrokenRoad, BucketServer
from tests.support.wait import wait_until
from tests.support.watchers import RUNNER, environment_of, run_program

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.yard import Yard
    from tests.support.buckets import Fault
    from tests.support.watchers import WatcherProcess

pytestmark = pytest.mark.chaos

PREFIX = "voice-results"
TIMES = 2_000_000
SOUND = "sound" * TIMES
"""In two parts."""


@pytest.fixture(scope="module")
def server() -> Iterator[BucketServer]:
    """One S3 server for the tests of this module."""
    with_buckets = BucketServer()
    yield with_buckets
    with_buckets.close()


class Place:
    """A bucket of its own, and the environment of watchers that use it."""

    def __init__(self, server: BucketServer, road: BrokenRoad) -> None:
        self.server = server
        self.bucket = server.new_bucket()
        self.road = road

    def environ(self) -> dict[str, Any]:
        """Settings and credentials."""
        return {**CREDENTIALS, "S3_BUCKET": self.bucket, "S3_ENDPOINT_URL": self.road.url, "S3_PREFIX": PREFIX}

    async def published(self, yard: Yard, output_name: str) -> bytes:
        """Wait until nothing is left to publish; the bytes of the best take."""

        async def nothing_left() -> bool:
            return await yard.queue.client.xlen(yard.queue.keys.of("outbox")) == 0

        await wait_until(nothing_left, 60, what="an empty outbox")
        content: bytes = self.server.objects(self.bucket, f"{PREFIX}/{output_name}/best.wav")[
            f"{PREFIX}/{output_name}/best.wav"
        ]
        return content

    def check(self, record: dict[str, Any], content: str) -> None:
        """What the record points to has the bytes that it promises; nothing half sent is left."""
        best = record["outputs"]["best"]
        assert best["uri"].startswith(f"s3://{self.bucket}/{PREFIX}/.store/")
        assert best["published"] == f"s3://{self.bucket}/{PREFIX}/{record['output_name']}/best.wav"
        key = best["uri"].removeprefix(f"s3://{self.bucket}/")
        body = self.server.objects(self.bucket, key)[key]
        assert (best["bytes"], best["sha256"]) == (len(body), hashlib.sha256(body).hexdigest())
        assert body.decode() == content
        assert self.server.half_sent(self.bucket) == []


@pytest.fixture
def place(server: BucketServer) -> Iterator[Place]:
    """An empty bucket."""
    with BrokenRoad(server.port) as road:
        yield Place(server, road)


def job(yard: Yard, repeat: int = 1) -> dict[str, Any]:
    """One that makes one output."""
    return yard.gated("job", output_name="out/job", payload={"output": "sound", "repeat": repeat})


@pytest.mark.parametrize("at", ["store.part:2", "execution.outputs_stored"])
async def test_a_watcher_that_dies_around_its_upload(yard: Yard, place: Place, at: str) -> None:
    """Before the parts are completed, or before the commit: another makes one record, and no part is left."""
    victim = yard.watcher("victim", **place.environ())
    victim.start(failpoint=at)
    await yard.submit(job(yard, TIMES))
    assert await victim.ended() == -signal.SIGKILL
    assert len(place.server.half_sent(place.bucket)) == (0 if at == "execution.outputs_stored" else 1)
    await yard.started("survivor", host="elsewhere", **place.environ())
    record = (await yard.all_done("job", deadline_seconds=60 + RECOVERY_SECONDS))["job"]
    assert await place.published(yard, "out/job") == SOUND.encode()
    place.check(record, SOUND)
    assert await yard.history("done") == ["job"]


async def test_a_watcher_that_dies_after_its_commit_is_published_by_another(yard: Yard, place: Place) -> None:
    """From another host, which has nothing of it on its disk: the bucket is enough."""
    victim = yard.watcher("victim", **place.environ())
    victim.start(failpoint="commit.after")
    await yard.submit(job(yard))
    assert await victim.ended() == -signal.SIGKILL
    assert place.server.objects(place.bucket, f"{PREFIX}/out/") == {}
    await yard.started("survivor", host="elsewhere", **place.environ())
    assert await place.published(yard, "out/job") == b"sound"
    place.check(await yard.record("job"), "sound")
    assert yard.runs("job") == 1


async def test_cut_uploads_and_refusals_cost_no_attempt(yard: Yard, place: Place) -> None:
    """503s, dropped requests and lost replies for a while: the body runs once, its outputs arrive whole."""
    faults: tuple[Fault, ...] = ("slow_down", "drop_request", "corrupt")
    for fault in faults:
        place.road.breaks("PUT", "partNumber", fault, times=2, skip=1)
    place.road.breaks("POST", "uploadId", "drop_reply")
    place.road.breaks("PUT", "/out/job/", "503", times=2)
    await yard.started("watcher", **place.environ())
    await yard.submit(job(yard, TIMES))
    record = (await yard.all_done("job"))["job"]
    assert await place.published(yard, "out/job") == SOUND.encode()
    place.check(record, SOUND)
    assert (record["attempt"], yard.runs("job")) == (1, 1)


async def test_two_racing_attempts_end_in_one_record(yard: Yard, place: Place) -> None:
    """The first sleeps in mid-upload until its job was done by another; awake, it changes and leaves nothing."""
    rule = place.road.breaks("PUT", "partNumber=2", "hold")
    first = await yard.started("first", **place.environ())
    await yard.submit(job(yard, TIMES))
    await wait_until(rule.reached.is_set, 60, what="the second part")
    first.pause()
    await yard.started("second", host="elsewhere", **place.environ())
    before = (await yard.all_done("job", deadline_seconds=60 + RECOVERY_SECONDS))["job"]
    rule.release.set()
    first.resume()
    await _thrown_away(first)
    await wait_until(lambda: place.server.half_sent(place.bucket) == [], 60, what="no half-sent upload")
    assert await place.published(yard, "out/job") == SOUND.encode()
    record = await yard.record("job")
    assert record == before
    place.check(record, SOUND)
    assert yard.runs("job") == 2
    assert await yard.history("done") == ["job"]


async def _thrown_away(watcher: WatcherProcess) -> None:
    await wait_until(lambda: "beginning a new one" in watcher.log, 60, what="a new session")


async def test_from_enqueue_to_the_bytes(yard: Yard, place: Place) -> None:
    """As a person does it: enqueue a file, drain, report; the URIs that are shown hold the sound."""
    environ = environment_of(yard.server.url, yard.prefix, yard.home / "host", place.environ())
    (yard.home / "host").mkdir()
    file = yard.home / "beats.yaml"
    file.write_text("jobs:\n  - {request_id: beat-1, output_name: show/beat-1, voice: newsroom, text: Good evening.}\n")
    code, _, err = await run_program(RUNNER, "enqueue", str(file), environ=environ, cwd=yard.home)
    assert code == 0, err
    watcher = yard.watcher("watcher", **place.environ())
    watcher.flags = ("--drain",)
    watcher.start()
    assert await watcher.ended() == 0, watcher.log
    code, out, err = await run_program(RUNNER, "report", str(file), environ=environ, cwd=yard.home)
    assert code == 0, err
    uri = f"s3://{place.bucket}/{PREFIX}/show/beat-1/"
    shown = next(word for word in out.split() if word.startswith(uri))
    assert place.server.objects(place.bucket, shown.removeprefix(f"s3://{place.bucket}/"))
    code, out, _ = await run_program(RUNNER, "result", "beat-1", environ=environ, cwd=yard.home)
    assert code == 0
    assert uri in out
    assert CREDENTIALS["AWS_SECRET_ACCESS_KEY"] not in watcher.log + out


async def test_a_wrong_bucket_is_said_before_any_job_is_touched(yard: Yard, place: Place) -> None:
    """The watcher ends with what to mend, and the job waits as if nothing had been."""
    await yard.submit(job(yard))
    watcher = yard.watcher("watcher", **{**place.environ(), "S3_BUCKET": "no-such-bucket"})
    watcher.start()
    assert await watcher.ended() == 1
    assert "NoSuchBucket" in watcher.log
    assert "mend S3_BUCKET" in watcher.log
    assert yard.runs("job") == 0
