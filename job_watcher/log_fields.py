"""Which job a log line is about, in the fields that all lines share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lib.redisqueue.keys import parse_lane

if TYPE_CHECKING:
    from lib.jobqueue.protocol import Lease


def log_fields(lease: Lease) -> dict[str, Any]:
    """For `logger.bind` or `lib.logs.about`; the run_id comes from the daemon, around everything."""
    return {
        "request_id": lease.request_id,
        "stream_id": lease.entry,
        "attempt": lease.attempts_used + 1,
        "backend": parse_lane(lease.lane).backend,
    }
