"""What a store's refusals mean: whose fault it is, and what is said to do."""

from __future__ import annotations

import pytest

from lib.errors import PermanentError, TemporaryError
from lib.stores.s3_errors import STALE_CREDENTIALS, BucketRefusedError, BytesChangedError, named, typed_error


@pytest.mark.parametrize(
    ("code", "status", "kind", "mend"),
    [
        ("SlowDown", 503, TemporaryError, "tried again"),
        ("InternalError", 500, TemporaryError, "tried again"),
        ("RequestTimeout", 400, TemporaryError, "tried again"),
        ("ReadTimeoutError", 0, TemporaryError, "tried again"),
        ("EndpointConnectionError", 0, TemporaryError, "tried again"),
        ("SomethingNew", 418, TemporaryError, "tried again"),
        ("BadDigest", 400, BytesChangedError, "the way to the store"),
        ("NoSuchBucket", 404, BucketRefusedError, "S3_BUCKET"),
        ("AccessDenied", 403, BucketRefusedError, "s3:ListBucket "),
        ("403", 403, BucketRefusedError, "s3:PutObject"),
        ("400", 400, BucketRefusedError, "AWS_DEFAULT_REGION"),
        ("301", 301, BucketRefusedError, "another region"),
        ("SignatureDoesNotMatch", 403, BucketRefusedError, "AWS_SECRET_ACCESS_KEY"),
        ("ExpiredToken", 400, BucketRefusedError, "without a restart"),
        ("NoCredentialsError", 0, BucketRefusedError, "AWS_ACCESS_KEY_ID"),
        ("RequestTimeTooSkewed", 403, BucketRefusedError, "NTP"),
        ("KeyTooLongError", 400, PermanentError, "shorter output_name"),
    ],
)
def test_every_refusal_is_typed(code: str, status: int, kind: type[Exception], mend: str) -> None:
    """Only a name that cannot be is the job's fault; what settings can mend says which."""
    error = typed_error("writing s3://b/k", named(code, status), "as it said")
    assert type(error) is kind
    assert error.message.startswith("writing s3://b/k: as it said (")
    assert mend in str(error.hint)


@pytest.mark.parametrize("code", ["ExpiredToken", "SignatureDoesNotMatch", "Forbidden", "BadRequest"])
def test_after_which_refusals_credentials_are_read_again(code: str) -> None:
    """Also after those of HEAD, which do not say why."""
    assert code in STALE_CREDENTIALS


def test_an_outage_or_a_missing_right_is_no_reason_to_read_them_again() -> None:
    """It would only add requests."""
    assert not STALE_CREDENTIALS & {"SlowDown", "AccessDenied", "NoSuchBucket"}


def test_a_code_alone_is_not_said_twice() -> None:
    """Some exceptions have no words."""
    assert typed_error("reading", "SSLError", "").message == "reading: SSLError"
