"""What `doctor` says about the places that outputs go to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from job_runner.service.doctor.storage import FEW_FREE_BYTES, LEAST_FREE_BYTES, _risks, room_check, storage_checks
from lib.settings import Settings
from lib.stores.s3_probe import Findings
from tests.support.buckets import CREDENTIALS, BrokenRoad, BucketServer

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def server() -> Iterator[BucketServer]:
    """One S3 server for the tests of this module."""
    with_buckets = BucketServer()
    yield with_buckets
    with_buckets.close()


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)


def settings_of(tmp_path: Path, **more: str) -> Settings:
    """Everything below one directory."""
    return Settings.load({"JOBS_STATE_DIR": str(tmp_path), "HOME": str(tmp_path), **more})


async def test_a_bucket_that_works(server: BucketServer, tmp_path: Path) -> None:
    """Tried with objects of its own, of which nothing stays; that this server checks no bytes is a note."""
    bucket = server.new_bucket()
    server.client.create_multipart_upload(Bucket=bucket, Key="voice-results/.store/j/1-1/a.wav")
    checks = await storage_checks(settings_of(tmp_path, S3_BUCKET=bucket, S3_ENDPOINT_URL=server.url))
    assert [(check.name, check.state) for check in checks] == [
        ("bucket", "ok"),
        ("bucket", "note"),
        ("bucket", "note"),
        ("room", "ok"),
        ("sentences", "ok"),
    ]
    assert f"s3://{bucket}/voice-results at {server.url}" in checks[0].found
    assert "read back" in checks[1].found
    assert checks[2].found == "1 upload is not complete"
    assert server.objects(bucket) == {}


async def test_a_bucket_that_is_not_there(server: BucketServer, tmp_path: Path) -> None:
    """Wrong, with the mend."""
    checks = await storage_checks(settings_of(tmp_path, S3_BUCKET="no-such-bucket", S3_ENDPOINT_URL=server.url))
    assert (checks[0].name, checks[0].state) == ("bucket", "wrong")
    assert "NoSuchBucket" in checks[0].found
    assert "mend S3_BUCKET" in checks[0].mend


async def test_rights_that_lack_one_thing(server: BucketServer, tmp_path: Path) -> None:
    """May write and not remove: a watcher could not settle what it publishes, so it is wrong."""
    bucket = server.new_bucket()
    with BrokenRoad(server.port) as road:
        road.breaks("DELETE", ".probe", "denied", times=100)
        checks = await storage_checks(settings_of(tmp_path, S3_BUCKET=bucket, S3_ENDPOINT_URL=road.url))
    assert checks[0].state == "wrong"
    assert "AccessDenied" in checks[0].found
    assert "s3:DeleteObject" in checks[0].mend


def test_what_a_store_ignores_is_named() -> None:
    """Each condition by its name; a store that honours all has no line."""
    assert _risks(Findings(creates_once=True, replaces_known=True, checks_bytes=True, abandoned=0)) == []
    (risk,) = _risks(Findings(creates_once=False, replaces_known=False, checks_bytes=True, abandoned=0))
    assert risk.state == "note"
    assert "ignores If-None-Match and If-Match" in risk.found


@pytest.mark.parametrize(
    ("free", "state"),
    [(LEAST_FREE_BYTES - 1, "wrong"), (FEW_FREE_BYTES - 1, "note"), (FEW_FREE_BYTES, "ok")],
)
def test_room(free: int, state: str) -> None:
    """Little is a note, almost none is wrong, and the setting is named."""
    check = room_check(Path("/srv/out"), free, "WATCHER_OUTPUT_ROOT")
    assert check.state == state
    assert "GiB free for /srv/out" in check.found
    assert state == "ok" or "WATCHER_OUTPUT_ROOT" in check.mend


async def test_a_directory_that_is_not_there_yet(tmp_path: Path) -> None:
    """Measured where it will be; one line when work and output share a disk."""
    checks = await storage_checks(settings_of(tmp_path / "new"))
    assert [check.name for check in checks] == ["room", "sentences"]


async def test_what_spoken_sentences_take(tmp_path: Path) -> None:
    """How many, how much of how much, and where; with 0 that none is kept, whatever lies there."""
    empty = (await storage_checks(settings_of(tmp_path)))[-1]
    assert (empty.state, empty.found) == ("ok", f"0 kept in {tmp_path}/clips, 0.00 of 1.00 GiB")
    shelf = tmp_path / "clips" / "ab"
    shelf.mkdir(parents=True)
    with (shelf / ("ab" * 32)).open("wb") as opened:
        opened.truncate(1 << 28)
    some = (await storage_checks(settings_of(tmp_path, SENTENCE_CACHE_BYTES=str(1 << 31))))[-1]
    assert some.found == f"1 kept in {tmp_path}/clips, 0.25 of 2.00 GiB"
    none = (await storage_checks(settings_of(tmp_path, SENTENCE_CACHE_BYTES="0")))[-1]
    assert (none.state, none.found) == ("ok", "none is kept (SENTENCE_CACHE_BYTES=0)")


async def test_a_folder_of_sentences_that_is_closed_is_a_note(tmp_path: Path) -> None:
    """Jobs run all the same, so it is not wrong; here a file stands in its place."""
    (tmp_path / "clips").write_text("")
    found = (await storage_checks(settings_of(tmp_path)))[-1]
    assert (found.name, found.state) == ("sentences", "note")
    assert "SENTENCE_CACHE_BYTES=0" in found.mend
