"""What an object store's refusals mean for a job, and what to do about each.

A table, without the vendor's library: `lib.stores.s3_client` takes an exception apart and asks here. Nothing of this
is the job's fault but a name that cannot be, so all else is a `TemporaryError`; those that only a change of settings
or rights can mend are `BucketRefusedError`, and a watcher that meets one at its start does not start.
"""

from __future__ import annotations

from typing import Final

from lib.errors import PermanentError, TaskError, TemporaryError


class BucketRefusedError(TemporaryError):
    """The bucket cannot be used as it is set up: a wrong name, wrong credentials or missing rights."""

    code = "bucket_refused"


class BytesChangedError(TemporaryError):
    """The store received other bytes than were sent, and kept nothing."""

    code = "bytes_changed"


RIGHTS: Final = (
    "s3:PutObject, s3:GetObject, s3:DeleteObject and s3:AbortMultipartUpload on its objects, "
    "s3:ListBucket and s3:ListBucketMultipartUploads on the bucket"
)
"""What a watcher needs. Without ListBucket a missing object is answered as a forbidden one."""

_CREDENTIALS: Final = (
    "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, the shared credentials file or the instance's role; "
    "new ones in that file are taken up without a restart"
)

_SETUP: Final = {
    "NoSuchBucket": "create the bucket, or mend S3_BUCKET and S3_ENDPOINT_URL",
    "InvalidBucketName": "mend S3_BUCKET",
    "AccessDenied": f"give these credentials {RIGHTS}",
    "Forbidden": f"check the credentials; they need {RIGHTS}",
    "BadRequest": f"{_CREDENTIALS}; or set AWS_DEFAULT_REGION",
    "AllAccessDisabled": f"give these credentials {RIGHTS}",
    "AccountProblem": "ask the provider of the bucket",
    "InvalidAccessKeyId": _CREDENTIALS,
    "SignatureDoesNotMatch": _CREDENTIALS,
    "ExpiredToken": _CREDENTIALS,
    "InvalidToken": _CREDENTIALS,
    "TokenRefreshRequired": _CREDENTIALS,
    "NoCredentialsError": _CREDENTIALS,
    "PartialCredentialsError": _CREDENTIALS,
    "CredentialRetrievalError": _CREDENTIALS,
    "TokenRetrievalError": _CREDENTIALS,
    "ProfileNotFound": _CREDENTIALS,
    "RequestTimeTooSkewed": "set this machine's clock by NTP",
    "PermanentRedirect": "the bucket is in another region: set AWS_DEFAULT_REGION",
    "IllegalLocationConstraintException": "the bucket is in another region: set AWS_DEFAULT_REGION",
    "AuthorizationHeaderMalformed": "the bucket is in another region: set AWS_DEFAULT_REGION",
    "NoRegionError": "set AWS_DEFAULT_REGION",
    "SSLError": "check the certificate of S3_ENDPOINT_URL, or AWS_CA_BUNDLE",
}

_BY_STATUS: Final = {301: "PermanentRedirect", 400: "BadRequest", 403: "Forbidden"}
"""What a reply without a body, as that to HEAD, is called: behind it may be any error of that status."""

STALE_CREDENTIALS: Final = frozenset(
    code for code, mend in _SETUP.items() if mend is _CREDENTIALS or code in {"Forbidden", "BadRequest"}
)
"""Codes after which the credentials are read afresh: they may have been changed or renewed meanwhile."""

_BAD_NAMES: Final = frozenset({"KeyTooLongError", "EntityTooLarge", "InvalidURI"})

_CHANGED: Final = frozenset(
    {"BadDigest", "InvalidDigest", "IncompleteBody", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch"}
)

_OUTAGE: Final = "the store is busy, away or slow; this is tried again"


def named(code: str, status: int) -> str:
    """The code, or for a reply without a body a name for its status."""
    return _BY_STATUS.get(status, code) if code in {str(status), ""} else code


def typed_error(doing: str, code: str, said: str) -> TaskError:
    """The error for what a store answered while `doing`.

    `code` is the store's own word, or the name of the library's exception; `said` is for people.
    """
    text = f"{doing}: {code}" if not said or said == code else f"{doing}: {said} ({code})"
    if code in _BAD_NAMES:
        return PermanentError(text, hint="choose a shorter output_name, or smaller outputs")
    if code in _CHANGED:
        return BytesChangedError(text, hint="the way to the store is failing; this is tried again")
    mend = _SETUP.get(code)
    if mend is not None:
        return BucketRefusedError(text, hint=mend)
    return TemporaryError(text, hint=_OUTAGE)
