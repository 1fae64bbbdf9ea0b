"""Where outputs and callbacks go, and how much of what was spoken is kept on this machine."""

from __future__ import annotations

from dataclasses import dataclass

from lib import setting_values as parsers
from lib.setting_fields.compute import ComputeSettings
from lib.setting_fields.declaring import variable


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputSettings(ComputeSettings):
    """The same, and where outputs and callbacks go."""

    sentence_cache_bytes: int = variable(
        parsers.whole(0, 2**50),
        "1073741824",
        unit="bytes",
        why="How much of chunked speech is kept in $JOBS_STATE_DIR/clips, so that of a text that has changed only the "
        "new sentences are spoken. 1 GiB is some six hours; what was not used for longest goes first. 0: none is kept.",
    )
    s3_bucket: str = variable(
        parsers.matching_or_empty(parsers.BUCKET, "3 to 63 lower-case letters, digits, dots and dashes"),
        "",
        unit="bucket",
        why="Where outputs go, with the extra [s3]. Unset: WATCHER_OUTPUT_ROOT. Credentials come by the usual chain of "
        "the AWS libraries (environment, shared files, instance role).",
    )
    s3_prefix: str = variable(
        parsers.matching(parsers.OBJECT_PREFIX, "letters, digits and . _ - /, without a slash at either end"),
        "voice-results",
        unit="start of every object's name",
        why="Lets a bucket hold more than this queue's outputs.",
    )
    s3_endpoint_url: str = variable(
        parsers.matching_or_empty(parsers.HTTP_URL, "http://HOST:PORT or https://HOST"),
        "",
        unit="URL",
        why="An S3-compatible store that is not Amazon's, such as MinIO, R2 or Ceph. Unset: Amazon's.",
    )
    callback_secret: str = variable(
        parsers.secret,
        "",
        unit="secret",
        why="Signs callbacks (HMAC-SHA256). Unset: a job with callback_url is refused.",
        secret=True,
    )
    callback_allowed_hosts: tuple[str, ...] = variable(
        parsers.list_of(parsers.HOST, "host names separated by commas, such as hooks.example.org,10.0.0.5:8080"),
        "",
        unit="hosts",
        why="The only places that callbacks may go to. Unset: a job with callback_url is refused.",
    )
