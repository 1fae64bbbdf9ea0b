"""What a host may put into the store with a presigned request, and what is believed of it afterwards."""

from __future__ import annotations

import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from lib.errors import PermanentError, TemporaryError
from lib.manifest.uploading import Put, upload
from lib.stores.artifacts import LocalArtifacts, StoredOutput
from lib.stores.handover import Claim, ClaimBrokenError
from tests.lib.stores.s3_bench import PREFIX, S3Bench, sha256
from tests.support.buckets import CREDENTIALS, SECRET_KEY, SigningServer, client_of
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from lib.stores.artifacts import ArtifactStore
    from lib.stores.handover import PresignedPut

JOB_DIR = "0123abcd/1-7"
SOUND = b"RIFF and so on"


def claim(name: str = "take_01.wav", content: bytes = SOUND) -> Claim:
    """What an honest host says of these bytes."""
    return Claim(name, "take", len(content), sha256(content))


def sent(put: PresignedPut, content: bytes) -> int:
    """The store's answer to one request with these bytes, as a host would send it."""
    headers = {**put.headers, "Content-Length": str(len(content))}
    request = urllib.request.Request(put.url, data=content, headers=headers, method="PUT")  # noqa: S310 - a server of this test
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310 - as above
            return int(answer.status)
    except urllib.error.HTTPError as exc:
        exc.close()
        return exc.code


def unheard(_claim: Claim, _path: Path) -> None:
    """No further check."""


async def test_what_is_put_by_a_grant_is_accepted_with_its_bytes(s3: S3Bench, tmp_path: Path) -> None:
    """Grant, upload, accept: the object stands under the attempt's own name, and a copy of it is here."""
    handover = s3.store.handover()
    grants = await handover.grants(JOB_DIR, [claim()], 60)
    (tmp_path / "made.wav").write_bytes(SOUND)
    put = grants["take_01.wav"]
    upload(tmp_path / "made.wav", Put("take_01.wav", put.url, put.headers))
    heard: list[tuple[str, bytes]] = []
    stored = await handover.accept(
        JOB_DIR, [claim()], tmp_path, lambda each, path: heard.append((each.name, path.read_bytes()))
    )
    uri = f"s3://{s3.name}/{PREFIX}/.store/{JOB_DIR}/take_01.wav"
    assert stored == [StoredOutput("take_01.wav", "take", uri, len(SOUND), sha256(SOUND))]
    assert heard == [("take_01.wav", SOUND)]
    assert s3.stored() == {f"{JOB_DIR}/take_01.wav": SOUND}


async def test_what_was_handed_over_is_published_as_any_output(s3: S3Bench, tmp_path: Path) -> None:
    """The object bears the mark by which a publisher knows a file of ours."""
    handover = s3.store.handover()
    grants = await handover.grants(JOB_DIR, [claim()], 60)
    assert sent(grants["take_01.wav"], SOUND) == 200
    stored = await handover.accept(JOB_DIR, [claim()], tmp_path, unheard)
    assert await s3.store.publish("night/one", stored, order=(1,))
    assert s3.published("night/one") == {"take_01.wav": SOUND}


async def test_the_watcher_may_put_the_same_file_after_a_host_has(s3: S3Bench) -> None:
    """A host whose word was lost has stored it already: storing it again is no conflict."""
    grants = await s3.store.handover().grants(JOB_DIR, [claim()], 60)
    assert sent(grants["take_01.wav"], SOUND) == 200
    assert [item.sha256 for item in await s3.put(JOB_DIR, {"take_01.wav": SOUND})] == [sha256(SOUND)]


async def test_a_repeated_upload_is_taken_for_there_already(s3: S3Bench, tmp_path: Path) -> None:
    """The reply to the first was lost; the second meets 412 and is no error. The first bytes stay."""
    grants = await s3.store.handover().grants(JOB_DIR, [claim()], 60)
    put = grants["take_01.wav"]
    assert sent(put, SOUND) == 200
    assert sent(put, SOUND) == 412
    (tmp_path / "made.wav").write_bytes(SOUND)
    upload(tmp_path / "made.wav", Put("take_01.wav", put.url, put.headers))
    assert s3.stored() == {f"{JOB_DIR}/take_01.wav": SOUND}


@pytest.mark.parametrize("found", [b"riff and so on", b"RIFF", SOUND + b" and more"])
async def test_other_bytes_than_claimed_are_refused(s3: S3Bench, tmp_path: Path, found: bytes) -> None:
    """Tampered, cut or longer: whatever a lenient store has taken is compared byte by byte before it is believed."""
    s3.bucket.put_new(f"{PREFIX}/.store/{JOB_DIR}/take_01.wav", found, sha256(SOUND))
    with pytest.raises(ClaimBrokenError, match="is not what was claimed"):
        await s3.store.handover().accept(JOB_DIR, [claim()], tmp_path, unheard)


async def test_what_is_not_there_is_no_lie_yet(s3: S3Bench, tmp_path: Path) -> None:
    """A missing object is tried again; nothing is said of who claimed it."""
    with pytest.raises(TemporaryError, match="is not there") as caught:
        await s3.store.handover().accept(JOB_DIR, [claim()], tmp_path, unheard)
    assert not isinstance(caught.value, ClaimBrokenError)


async def test_a_file_that_the_check_refuses_is_not_accepted(s3: S3Bench, tmp_path: Path) -> None:
    """Its bytes are as claimed and nobody can listen to them."""

    def silent(each: Claim, _path: Path) -> None:
        raise TemporaryError(f"{each.name} is silent")

    await s3.put(JOB_DIR, {"take_01.wav": SOUND})
    with pytest.raises(TemporaryError, match=r"take_01\.wav is silent"):
        await s3.store.handover().accept(JOB_DIR, [claim()], tmp_path, silent)


@pytest.mark.parametrize("name", ["../take.wav", ".hidden", "a/b.wav", ""])
async def test_no_grant_leads_out_of_the_attempt(s3: S3Bench, name: str) -> None:
    """A name that is no plain one gets no signature."""
    with pytest.raises(PermanentError):
        await s3.store.handover().grants(JOB_DIR, [claim(name)], 60)


async def test_a_grant_shows_no_secret(s3: S3Bench) -> None:
    """What a host is lent holds no key."""
    grants = await s3.store.handover().grants(JOB_DIR, [claim()], 60)
    assert SECRET_KEY not in repr(grants)


def test_a_local_store_hands_nothing_over(tmp_path: Path) -> None:
    """Only who has the disk writes to it."""
    store: ArtifactStore = LocalArtifacts(tmp_path)
    assert store.handover() is None


@pytest_asyncio.fixture
async def signing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[S3Bench]:
    """A store at a server that looks at signatures."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "data").mkdir()
    server = SigningServer(tmp_path / "data")
    await wait_until(lambda: server.answers, 30, what="nanio")
    client_of(server.url).create_bucket(Bucket="night")
    yield S3Bench(tmp_path, server, "night")  # type: ignore[arg-type]  # it is asked for its url alone
    server.close()


async def test_a_signature_covers_name_size_digest_and_condition(signing: S3Bench) -> None:
    """With another name, other bytes, another digest or without the condition the request is refused."""
    put = (await signing.store.handover().grants(JOB_DIR, [claim()], 60))["take_01.wav"]
    assert sent(type(put)(put.url.replace("take_01", "take_02"), put.headers), SOUND) == 403
    for name, value in {
        "If-None-Match": "",
        "x-amz-checksum-sha256": "A" * 43 + "=",
        "x-amz-meta-sha256": "0" * 64,
    }.items():
        assert sent(type(put)(put.url, {**put.headers, name: value}), SOUND) == 403, name
    assert sent(put, SOUND + b" and more") == 403
    assert signing.bucket.head(f"{PREFIX}/.store/{JOB_DIR}/take_01.wav") is None
    assert sent(put, SOUND) == 200
    assert signing.bucket.read(f"{PREFIX}/.store/{JOB_DIR}/take_01.wav") is not None
