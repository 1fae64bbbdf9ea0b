"""One bucket: every request that the store makes, in plain types, with errors of ours.

The only module that knows boto3, which is loaded at the first request. Everything blocks; `lib.stores.s3` calls it in
threads. A client is shared by all of them.

A stalled endpoint holds nobody for ever: a request that hears nothing gives up after `READ_SECONDS` and is tried
`TRIES` times, so it ends within some two minutes; what is tried again after that is the caller's affair.
Checksums are those that we name, SHA-256; the library's own extra ones are off, because some stores refuse them.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import logging
import mimetypes
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from lib.calling import install_extra
from lib.errors import PermanentError, SettingsError, TaskError, TemporaryError
from lib.stores.directories import Digest
from lib.stores.s3_errors import STALE_CREDENTIALS, named, typed_error

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

CONNECT_SECONDS: Final = 5.0
READ_SECONDS: Final = 20.0
TRIES: Final = 3
"""Of one request, by the library: 503, timeouts and broken connections, with pauses that grow."""

CONNECTIONS: Final = 32
"""Kept open at once; more threads than that wait for each other."""

MOST_READ_BYTES: Final = 8 << 20
"""Of an object that is read whole, as a manifest is; ours have some 300 bytes a file."""

_BLOCK_BYTES: Final = 1 << 20
_MARK: Final = "sha256"
_GONE: Final = 404
_OTHER: Final = 412
_NOT_OFFERED: Final = 501


@dataclass(frozen=True, slots=True)
class Held:
    """What stands under a key: its size, the store's tag for these bytes, and what we wrote beside them.

    `sha256` is ours, empty for an object of somebody else's; `checksum` is the store's, empty when it keeps none.
    """

    bytes: int
    etag: str
    sha256: str
    checksum: str


@dataclass(frozen=True, slots=True)
class Upload:
    """A multipart upload that is not complete, and its age by the store's clock."""

    key: str
    upload_id: str
    age_seconds: float


@dataclass(frozen=True, slots=True)
class Part:
    """A part that the store has."""

    number: int
    etag: str
    checksum: str


def checksum_of(content: bytes) -> str:
    """SHA-256 as the store writes it."""
    return base64.b64encode(hashlib.sha256(content).digest()).decode()


class Bucket:
    """A bucket at an endpoint; an empty one means Amazon's. Threads may share it."""

    def __init__(
        self, name: str, endpoint_url: str = "", *, on_secrets: Callable[[Collection[str]], None] = lambda _: None
    ) -> None:
        """`on_secrets` is told what no log may show, before anything is said with it."""
        self._on_secrets = on_secrets
        self.name = name
        self.endpoint_url = endpoint_url
        self._guard = threading.Lock()
        self._made: Any = None
        self._session: Any = None

    def head(self, key: str) -> Held | None:
        """What stands under the key, without its bytes."""
        return self._held(self._call("head_object", f"looking at {self.uri(key)}", key, ChecksumMode="ENABLED"))

    def put_new(self, key: str, content: bytes, sha256: str, checksum: str | None = None) -> bool:
        """Make an object, unless one stands there already: then False. `checksum` only to try a wrong one."""
        given = checksum_of(content) if checksum is None else checksum
        return self._put(key, content, {"IfNoneMatch": "*"}, ChecksumSHA256=given, **about(key, sha256)) is not None

    def replace(self, key: str, content: bytes, etag: str | None) -> str | None:
        """Write an object if what stands there has this tag, or nothing stands there; its tag, or None."""
        condition = {"IfNoneMatch": "*"} if etag is None else {"IfMatch": etag}
        answer = self._put(key, content, condition, ContentType="application/json")
        return None if answer is None else str(answer["ETag"])

    def read(self, key: str) -> tuple[bytes, str] | None:
        """A small object and its tag."""
        doing = f"reading {self.uri(key)}"
        answer = self._call("get_object", doing, key)
        if answer is None:
            return None
        with self._reading(doing), contextlib.closing(answer["Body"]) as body:
            return body.read(MOST_READ_BYTES), str(answer["ETag"])

    def digest(self, key: str, into: Callable[[bytes], object] | None = None, most: int | None = None) -> Digest | None:
        """What an object holds, by reading all of it, but little more than `most` bytes; `into` gets them too."""
        doing = f"reading {self.uri(key)} back"
        answer = self._call("get_object", doing, key)
        if answer is None:
            return None
        size, found = 0, hashlib.sha256()
        with self._reading(doing), contextlib.closing(answer["Body"]) as body:
            while (most is None or size <= most) and (block := body.read(_BLOCK_BYTES)):
                size += len(block)
                found.update(block)
                if into is not None:
                    into(block)
        return Digest(size, found.hexdigest())

    def signed(self, operation: str, key: str, seconds: int, **given: Any) -> str:
        """A URL with which anybody can make this one request for so long, with exactly these parts."""
        client = self._client()
        try:
            return str(client.generate_presigned_url(operation, {"Bucket": self.name, "Key": key, **given}, seconds))
        except Exception as exc:
            code, _, said = _taken_apart(exc)
            raise typed_error(f"signing for {self.uri(key)}", code, said) from exc

    def copy(self, source: str, held: Held, key: str, onto: str | None) -> bool:
        """Copy on the store's side; False when what stands under `key` is not any more what has the tag `onto`.

        Only some stores honour that condition; the others copy in any case.
        """
        condition = {"IfNoneMatch": "*"} if onto is None else {"IfMatch": onto}
        answer = self._call(
            "copy_object",
            f"copying {self.uri(source)} to {self.uri(key)}",
            key,
            condition,
            CopySource={"Bucket": self.name, "Key": source},
            CopySourceIfMatch=held.etag,
        )
        if answer is None:
            raise PermanentError(
                f"{self.uri(source)} is gone", hint="somebody removed it; run the job again with enqueue --replace"
            )
        return bool(answer)

    def delete(self, key: str, etag: str | None = None) -> None:
        """Remove an object, of this tag where the store honours that. Repeatable."""
        self._call("delete_object", f"removing {self.uri(key)}", key, {} if etag is None else {"IfMatch": etag})

    def begin(self, key: str, sha256: str) -> str:
        """Begin a multipart upload; its id."""
        answer = self._sure("create_multipart_upload", key, ChecksumAlgorithm="SHA256", **about(key, sha256))
        return str(answer["UploadId"])

    def put_part(self, key: str, upload_id: str, number: int, content: bytes) -> Part:
        """Send a part; numbers begin at 1."""
        checksum = checksum_of(content)
        given = {"UploadId": upload_id, "PartNumber": number, "Body": content, "ChecksumSHA256": checksum}
        return Part(number, str(self._sure("upload_part", key, **given)["ETag"]), checksum)

    def copy_part(self, source: str, held: Held, key: str, upload_id: str, number: int, first: int, last: int) -> Part:
        """Make a part of the bytes `first` to `last` of another object."""
        given = {"UploadId": upload_id, "PartNumber": number, "CopySourceRange": f"bytes={first}-{last}"}
        place = {"Bucket": self.name, "Key": source}
        answer = self._sure("upload_part_copy", key, CopySource=place, CopySourceIfMatch=held.etag, **given)
        result = answer["CopyPartResult"]
        return Part(number, str(result["ETag"]), str(result.get("ChecksumSHA256", "")))

    def complete(self, key: str, upload_id: str, parts: list[Part], *, new: bool = True) -> bool:
        """Make an object of the parts; False when it must be `new` and one stands there already."""
        listed = [
            {"PartNumber": part.number, "ETag": part.etag}
            | ({"ChecksumSHA256": part.checksum} if part.checksum else {})
            for part in parts
        ]
        answer = self._call(
            "complete_multipart_upload",
            f"completing {self.uri(key)}",
            key,
            {"IfNoneMatch": "*"} if new else {},
            UploadId=upload_id,
            MultipartUpload={"Parts": listed},
        )
        if answer is None:
            raise TemporaryError(f"the upload of {self.uri(key)} was aborted by somebody", hint="this is tried again")
        return bool(answer)

    def abort(self, key: str, upload_id: str) -> None:
        """Throw a multipart upload away with its parts. Repeatable."""
        self._call("abort_multipart_upload", f"aborting the upload of {self.uri(key)}", key, UploadId=upload_id)

    def uploads(self, prefix: str) -> list[Upload]:
        """Every multipart upload below a prefix that is not complete."""
        found: list[Upload] = []
        after: dict[str, Any] = {}
        while True:
            answer = self._call("list_multipart_uploads", f"listing uploads in {self.name}", Prefix=prefix, **after)
            if answer is None:
                return found
            now = _told_time(answer)
            for each in answer.get("Uploads", ()):
                age = (now - each["Initiated"]).total_seconds()
                found.append(Upload(str(each["Key"]), str(each["UploadId"]), age))
            if not answer.get("IsTruncated"):
                return found
            after = {"KeyMarker": answer["NextKeyMarker"], "UploadIdMarker": answer["NextUploadIdMarker"]}

    def uri(self, key: str) -> str:
        """The name of an object as people and their tools write it."""
        return f"s3://{self.name}/{key}"

    def close(self) -> None:
        """End its connections; a later request makes new ones."""
        with self._guard:
            made, self._made = self._made, None
        if made is not None:
            made.close()

    def _put(self, key: str, content: bytes, condition: dict[str, Any], **given: Any) -> dict[str, Any] | None:
        answer = self._call("put_object", f"writing {self.uri(key)}", key, condition, Body=content, **given)
        return answer or None

    def _sure(self, operation: str, key: str, **given: Any) -> dict[str, Any]:
        """A request whose upload must exist."""
        answer = self._call(operation, f"uploading {self.uri(key)}", key, **given)
        if answer is None:
            raise TemporaryError(f"the upload of {self.uri(key)} was aborted by somebody", hint="this is tried again")
        return answer

    def _call(
        self, operation: str, doing: str, key: str | None = None, condition: dict[str, Any] | None = None, **given: Any
    ) -> dict[str, Any] | None:
        """One request: its answer, None when what it names is not there, {} when the condition does not hold.

        Credentials that are refused are read afresh once: they may have been renewed.
        """
        named = given if key is None else {"Key": key, **given}
        for last in (False, True):
            client = self._client()
            try:
                return self._ask(client, operation, {"Bucket": self.name, **named}, condition or {})
            except Exception as exc:
                code, status, said = _taken_apart(exc)
                if status == _GONE and code != "NoSuchBucket":
                    return None
                if status == _OTHER:
                    return {}
                if code in STALE_CREDENTIALS and not last:
                    self._forget(client)
                    continue
                raise typed_error(doing, code, said) from exc
        raise AssertionError(operation)

    def _ask(self, client: Any, operation: str, given: dict[str, Any], condition: dict[str, Any]) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = getattr(client, operation)(**given, **condition)
        except Exception as exc:
            if not condition or _taken_apart(exc)[1] != _NOT_OFFERED:
                raise
            # A store that knows no conditions; `doctor` names what is lost by it.
            answer = getattr(client, operation)(**given)
        return answer

    @staticmethod
    def _held(answer: dict[str, Any] | None) -> Held | None:
        if not answer:
            return None
        mark = answer.get("Metadata", {}).get(_MARK, "")
        return Held(int(answer["ContentLength"]), str(answer["ETag"]), mark, str(answer.get("ChecksumSHA256", "")))

    @contextlib.contextmanager
    def _reading(self, doing: str) -> Iterator[None]:
        try:
            yield
        except Exception as exc:
            self._tell_secrets()
            code, _, said = _taken_apart(exc)
            raise typed_error(doing, code, said) from exc

    def _client(self) -> Any:
        with self._guard:
            if self._made is None:
                self._session, self._made = _connected(self.endpoint_url)
                self._tell_secrets()
            return self._made

    def _tell_secrets(self) -> None:
        """Those of an instance's role are in no file, and change while they are used."""
        # What cannot be had now is told by the request that needs it.
        with contextlib.suppress(Exception):
            given = self._session.get_credentials()
            frozen = None if given is None else given.get_frozen_credentials()
            self._on_secrets([value for value in (frozen.secret_key, frozen.token) if value] if frozen else ())

    def _forget(self, client: Any) -> None:
        # Not closed: another thread may be in the middle of a request with it.
        with self._guard:
            if self._made is client:
                self._made = None


def _connected(endpoint_url: str) -> tuple[Any, Any]:
    """A session, which reads the credentials, and its client.

    Raises:
        SettingsError: boto3 is not installed.
    """
    try:
        import boto3  # noqa: PLC0415 - an extra, and 0.3 s that only a watcher with a bucket needs
        from botocore.config import Config  # noqa: PLC0415 - ditto
    except ImportError as exc:
        raise SettingsError(
            "S3_BUCKET is set and boto3 is not installed", hint=f"{install_extra('s3')}, or unset S3_BUCKET"
        ) from exc
    # It says at every session where it found the credentials.
    logging.getLogger("botocore.credentials").setLevel(logging.WARNING)
    amazon = not endpoint_url or (urlsplit(endpoint_url).hostname or "").endswith(".amazonaws.com")
    config = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": TRIES},
        max_pool_connections=CONNECTIONS,
        tcp_keepalive=True,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        # Else a presigned request covers no headers.
        signature_version="s3v4",
        # Few other stores have a host name for every bucket.
        s3={"addressing_style": "auto" if amazon else "path"},
    )
    try:
        session = boto3.session.Session()
        return session, session.client("s3", endpoint_url=endpoint_url or None, config=config)
    except Exception as exc:
        code, _, said = _taken_apart(exc)
        raise typed_error("reading the settings of S3", code, said) from exc


def _taken_apart(error: Exception) -> tuple[str, int, str]:
    """The code, the status (0: there was no answer) and the words of an error of the library's."""
    if isinstance(error, TaskError | SettingsError):
        raise error
    response = getattr(error, "response", None)
    if isinstance(response, dict) and "Error" in response:
        status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        return named(str(response["Error"].get("Code", "")), status), status, str(response["Error"].get("Message", ""))
    return type(error).__name__, 0, str(error)


def about(key: str, sha256: str) -> dict[str, Any]:
    """What is written beside an object: our mark, and what kind of file it is."""
    kind = mimetypes.guess_type(key)[0]
    return {"Metadata": {_MARK: sha256}} | ({"ContentType": kind} if kind else {})


def _told_time(answer: dict[str, Any]) -> datetime:
    """The store's clock, by which it dates uploads; ours where it tells none."""
    told = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    try:
        return parsedate_to_datetime(told) if told else datetime.now(UTC)
    except ValueError:
        return datetime.now(UTC)
