"""The fixtures that the tests of the stores share."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import pytest
from botocore.loaders import JSONFileLoader

from tests.lib.stores.s3_bench import S3Bench
from tests.lib.stores.workbench import Bench
from tests.support.buckets import CREDENTIALS, BrokenRoad, BucketServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """An empty store on a real disk."""
    return Bench(tmp_path)


@pytest.fixture(scope="session")
def bucket_server() -> Iterator[BucketServer]:
    """One S3 server for all tests."""
    server = BucketServer()
    yield server
    server.close()


@pytest.fixture(scope="session", autouse=True)
def _models_are_read_once() -> Iterator[None]:
    """Every session of the library reads its description of S3 again, half of what a client costs; none changes it."""
    reader, read = JSONFileLoader(), JSONFileLoader.load_file

    @cache
    def known(path: str) -> Any:
        return read(reader, path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JSONFileLoader, "load_file", lambda _self, path: known(path))
        yield


@pytest.fixture
def s3(bucket_server: BucketServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> S3Bench:
    """An empty store in a bucket of its own."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    return S3Bench(tmp_path, bucket_server, bucket_server.new_bucket())


@pytest.fixture
def road(bucket_server: BucketServer) -> Iterator[BrokenRoad]:
    """A way to the S3 server that can be broken."""
    with BrokenRoad(bucket_server.port) as broken:
        yield broken
