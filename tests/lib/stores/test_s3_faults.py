"""Faults row 26: whatever breaks on the way to a bucket, what is called stored is there, whole, once."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest

from lib.errors import PermanentError, RefusedError, TemporaryError, UnreachableError
from lib.stores import s3 as s3_module
from lib.stores import s3_threads
from lib.stores.s3 import S3Artifacts
from lib.stores.s3_client import Bucket
from lib.stores.s3_errors import BucketRefusedError
from tests.lib.stores.s3_bench import PART_BYTES, PREFIX, S3Bench, sha256
from tests.support.buckets import ACCESS_KEY, SECRET_KEY, SigningServer, client_of
from tests.support.servers import free_port
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.buckets import BrokenRoad, Fault

BIG = PART_BYTES + 1000


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_module, "PAUSES_SECONDS", (0.05,))
    # The library's own pauses grow to seconds; that they are there is its affair.
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.01)


@pytest.mark.parametrize(
    ("method", "text", "fault", "times"),
    [
        ("PUT", "small.wav", "503", 2),
        ("PUT", "small.wav", "slow_down", 4),
        ("PUT", "small.wav", "drop_request", 4),
        ("PUT", "small.wav", "drop_reply", 1),
        ("PUT", "small.wav", "corrupt", 1),
        ("PUT", "small.wav", "expired", 1),
        ("GET", "small.wav", "cut_reply", 2),
        ("HEAD", "small.wav", "503", 4),
        ("POST", "big.wav?uploads", "503", 4),
        ("PUT", "partNumber=2", "drop_request", 4),
        ("PUT", "partNumber=2", "drop_reply", 1),
        ("PUT", "partNumber=1", "corrupt", 1),
        ("POST", "big.wav?uploadId", "503", 4),
        ("POST", "big.wav?uploadId", "drop_reply", 1),
        ("GET", "big.wav", "cut_reply", 1),
    ],
)
async def test_a_fault_that_passes_costs_no_attempt(
    s3: S3Bench, road: BrokenRoad, method: str, text: str, fault: Fault, times: int
) -> None:
    """Refused, dropped, cut, changed on the way or applied without a reply: sent again until it is right."""
    rule = road.breaks(method, text, fault, times=times)
    files = {"small.wav": os.urandom(70_000), "big.wav": os.urandom(BIG)}
    stored = await s3.beside(road.url).put("j/1-1", files)
    assert rule.reached.is_set()
    assert {each.name: each.sha256 for each in stored} == {name: sha256(content) for name, content in files.items()}
    assert s3.stored() == {f"j/1-1/{name}": content for name, content in files.items()}
    assert s3.half_sent() == []


@pytest.mark.parametrize("fault", ["503", "drop_reply", "cut_reply"])
@pytest.mark.parametrize("request_", ["GET .published", "HEAD a.wav", "PUT .published", "PUT t/a.wav"])
async def test_publishing_may_break_anywhere_and_be_repeated(
    s3: S3Bench, road: BrokenRoad, request_: str, fault: Fault
) -> None:
    """The library repeats what it can; in the end, with another call, the name is right."""
    method, text = request_.split()
    bench = s3.beside(road.url)
    stored = await s3.put("j/1-1", {"a.wav": b"new"})
    road.breaks(method, text, fault, times=3)
    try:
        assert await bench.store.publish("t", stored, order=(1, 0))
    except TemporaryError:
        assert await bench.store.publish("t", stored, order=(1, 0))
    assert s3.published("t") == {"a.wav": b"new"}
    assert await s3.store.publish("t", stored, order=(1, 0))


@pytest.mark.parametrize("name", ["small.wav", "big.wav"])
async def test_an_outage_that_lasts_ends_the_attempt_and_leaves_nothing(
    s3: S3Bench, road: BrokenRoad, name: str
) -> None:
    """After our patience it is temporary, says what answered, and no byte stands under the key."""
    road.breaks("PUT", name, "503", times=10_000)
    bench = s3.beside(road.url, patience_seconds=0.3)
    with pytest.raises(TemporaryError, match="ServiceUnavailable"):
        await bench.put("j/1-1", {name: b"x" * (BIG if name == "big.wav" else 10)})
    assert s3.stored() == {}
    assert s3.half_sent() == []


async def test_credentials_that_are_refused_are_typed_and_never_shown(s3: S3Bench, road: BrokenRoad) -> None:
    """Refused again with fresh ones: what to mend is said, and no secret with it."""
    road.breaks("PUT", "a.wav", "expired", times=10_000)
    beside = s3.beside(road.url, patience_seconds=0.1)
    with pytest.raises(BucketRefusedError, match="ExpiredToken") as caught:
        await beside.put("j/1-1", {"a.wav": b"1"})
    assert "AWS_ACCESS_KEY_ID" in str(caught.value.hint)
    assert SECRET_KEY not in repr(caught.value) + str(caught.value.hint)
    assert beside.secrets == {SECRET_KEY}, "the logs were told what to hide"


async def test_a_forged_signature_is_refused_and_new_credentials_are_taken_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a server that checks: typed and named; when the file has the right secret, the same store goes on."""
    server = SigningServer(tmp_path)
    try:
        await wait_until(lambda: server.answers, 30, what="nanio")
        owner = client_of(server.url)
        owner.create_bucket(Bucket="a-bucket")
        file = tmp_path / "credentials"
        monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY", raising=False)
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
        _write_credentials(file, "forged")
        store = S3Artifacts(Bucket("a-bucket", server.url), "p", patience_seconds=0.1)
        path = tmp_path / "take.wav"
        path.write_bytes(b"sound")
        output = S3Bench.output(path)
        with pytest.raises(BucketRefusedError, match="SignatureDoesNotMatch"):
            await store.put("j/1-1", [output])
        with pytest.raises(RefusedError, match="outputs cannot be stored") as caught:
            await store.check()
        assert "credentials" in str(caught.value.hint)
        _write_credentials(file, SECRET_KEY)
        (stored,) = await store.put("j/1-1", [output])
        assert await store.publish("t", [stored], order=(1, 0))
        assert owner.get_object(Bucket="a-bucket", Key="p/t/take.wav")["Body"].read() == b"sound"
        owner.close()
    finally:
        server.close()


def _write_credentials(file: Path, secret: str) -> None:
    file.write_text(f"[default]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {secret}\n")


async def test_a_bucket_that_is_not_there_is_said_at_the_start(s3: S3Bench) -> None:
    """A watcher refuses to start on it; one whose endpoint does not answer may wait; a sound one starts."""
    await s3.store.check()
    assert s3.server.objects(s3.name) == {}
    with pytest.raises(RefusedError, match="NoSuchBucket") as refused:
        await S3Artifacts(Bucket("no-such-bucket", s3.server.url), PREFIX).check()
    assert "S3_BUCKET" in str(refused.value.hint)
    with pytest.raises(UnreachableError, match="outputs cannot be stored"):
        await S3Artifacts(Bucket(s3.name, f"http://127.0.0.1:{free_port()}"), PREFIX).check()


async def test_a_missing_bucket_costs_a_job_only_time(s3: S3Bench) -> None:
    """Not the job's fault: temporary."""
    store = S3Artifacts(Bucket("no-such-bucket", s3.server.url), PREFIX, patience_seconds=0.1)
    with pytest.raises(BucketRefusedError, match="NoSuchBucket"):
        await store.put("j/1-1", s3.made({"a.wav": b"1"}))


async def test_a_stalled_store_holds_nobody_for_ever(
    s3: S3Bench, road: BrokenRoad, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each call has a deadline of its own; after our patience the attempt ends, while the endpoint still hangs."""
    monkeypatch.setattr(s3_module, "CALL_SECONDS", 0.2)
    monkeypatch.setattr(s3_threads, "LAST_WORD_SECONDS", 0.0)
    road.breaks("PUT", "a.wav", "hold", times=100)
    with pytest.raises(TemporaryError, match="did not end within"):
        await s3.beside(road.url, patience_seconds=0.1).put("j/1-1", {"a.wav": b"1"})


async def test_a_cancelled_upload_throws_its_parts_away(s3: S3Bench, road: BrokenRoad) -> None:
    """Cancelled in the middle of its second part: it ends at once, and nothing of it stays."""
    rule = road.breaks("PUT", "partNumber=2", "hold")
    putting = asyncio.create_task(s3.beside(road.url).put("j/1-1", {"a.wav": b"x" * (2 * BIG)}))
    assert await asyncio.to_thread(rule.reached.wait, 20)
    putting.cancel()
    rule.release.set()
    with pytest.raises(asyncio.CancelledError):
        await putting
    await wait_until(lambda: s3.half_sent() == [], 20, what="no half-sent upload")
    assert s3.stored() == {}


@pytest.mark.parametrize(
    ("method", "text", "size"),
    [("PUT", "take.wav", 1000), ("POST", "take.wav?uploadId", BIG)],
    ids=["whole", "parts"],
)
async def test_a_writer_who_slept_before_his_last_request_changes_nothing(
    s3: S3Bench, road: BrokenRoad, method: str, text: str, size: int
) -> None:
    """Two writers of one key: the one that comes late is refused, and what the other was told is stored stays."""
    rule = road.breaks(method, text, "hold")
    late = s3.beside(road.url)
    late.work = s3.work / "late"
    late.work.mkdir()
    putting = asyncio.create_task(late.put("j/1-1", {"take.wav": b"late" * size}))
    assert await asyncio.to_thread(rule.reached.wait, 20)
    standing = b"soon" * size
    key = f"{PREFIX}/.store/j/1-1/take.wav"
    s3.server.client.put_object(Bucket=s3.name, Key=key, Body=standing, Metadata={"sha256": sha256(standing)})
    rule.release.set()
    with pytest.raises(PermanentError, match="stored already with other bytes"):
        await putting
    assert s3.stored() == {"j/1-1/take.wav": standing}
    assert s3.half_sent() == []


async def test_the_next_attempt_clears_up_after_a_dead_one(s3: S3Bench) -> None:
    """Its lease proves that earlier attempts of the request are dead; later ones and other requests are left alone."""
    for place in ("j/1-8", "j/1-9", "j/1-10", "j/2-11", "other/1-1", "j/odd"):
        s3.bucket.begin(f"{PREFIX}/.store/{place}/a.wav", "")
    await s3.put("j/1-10", {"a.wav": b"x" * BIG})
    left = {key.removeprefix(f"{PREFIX}/.store/") for key in s3.half_sent()}
    assert left == {"j/2-11/a.wav", "other/1-1/a.wav", "j/odd/a.wav"}


async def test_what_is_too_old_for_any_upload_is_thrown_away(s3: S3Bench) -> None:
    """By the store's clock; the young are left alone, and so is what lies outside our prefix."""
    s3.bucket.begin(f"{PREFIX}/.store/j/1-1/a.wav", "")
    s3.bucket.begin("elsewhere/a.wav", "")
    assert await s3.beside(abandoned_seconds=1e9).store.tidy() == 0
    assert await s3.store.tidy() == 1, "this server says that every upload began in 2010"
    assert s3.half_sent() == ["elsewhere/a.wav"]


async def test_who_was_wrongly_taken_for_dead_begins_again(s3: S3Bench, road: BrokenRoad) -> None:
    """Its upload was thrown away while it slept: the file is sent anew and is whole."""
    rule = road.breaks("PUT", "partNumber=2", "hold")
    content = os.urandom(BIG)
    putting = asyncio.create_task(s3.beside(road.url).put("j/1-1", {"a.wav": content}))
    assert await asyncio.to_thread(rule.reached.wait, 20)
    assert await s3.store.tidy() == 1
    rule.release.set()
    await putting
    assert s3.stored() == {"j/1-1/a.wav": content}
    assert s3.half_sent() == []


@pytest.mark.parametrize("at", ["PUT t/.published", "HEAD t/a.wav", "PUT t/a.wav"])
async def test_of_two_racing_publishers_the_later_commit_stays(s3: S3Bench, road: BrokenRoad, at: str) -> None:
    """The older one sleeps before one of its requests until the newer has ended: what it then writes is put right."""
    old = await s3.put("j/1-1", {"a.wav": b"old", "b.wav": b"old two"})
    new = await s3.put("j/2-2", {"a.wav": b"new"})
    method, text = at.split()
    rule = road.breaks(method, text, "hold")
    late = asyncio.create_task(s3.beside(road.url).store.publish("t", old, order=(1, 0)))
    assert await asyncio.to_thread(rule.reached.wait, 20)
    assert await s3.store.publish("t", new, order=(2, 0))
    rule.release.set()
    assert not await late
    assert s3.published("t") == {"a.wav": b"new"}


async def test_a_late_publisher_that_dies_after_its_copy_is_made_good_by_its_successor(s3: S3Bench) -> None:
    """Its entry is still in the outbox: who takes it over finds the newer manifest and an older file, and mends it."""
    old = await s3.put("j/1-1", {"a.wav": b"old"})
    new = await s3.put("j/2-2", {"a.wav": b"new"})
    assert await s3.store.publish("t", new, order=(2, 0))
    source = {"Bucket": s3.name, "Key": f"{PREFIX}/.store/j/1-1/a.wav"}
    s3.server.client.copy_object(Bucket=s3.name, Key=f"{PREFIX}/t/a.wav", CopySource=source)
    assert s3.published("t") == {"a.wav": b"old"}
    assert not await s3.beside().store.publish("t", old, order=(1, 0))
    assert s3.published("t") == {"a.wav": b"new"}


async def test_eight_publishers_of_four_commits_at_once_end_with_the_last(s3: S3Bench) -> None:
    """In any order, each twice."""
    generations = [await s3.put(f"j/{n}-{n}", {"a.wav": bytes([n]) * 1000, f"{n}.wav": b"1"}) for n in range(4)]
    racing = [s3.beside().store.publish("t", generations[n % 4], order=(n % 4, 0)) for n in (1, 3, 0, 2, 3, 1, 2, 0)]
    answers = await asyncio.gather(*racing, return_exceptions=True)
    assert all(isinstance(each, bool | TemporaryError) for each in answers), answers
    if any(isinstance(each, TemporaryError) for each in answers):  # its entry stays in the outbox and is tried again
        await s3.store.publish("t", generations[3], order=(3, 0))
    assert s3.published("t") == {"a.wav": bytes([3]) * 1000, "3.wav": b"1"}
