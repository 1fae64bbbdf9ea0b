"""The shapes of what `cache` prints."""

from __future__ import annotations

from typing import Any, Final

_VERSION: Final = "whole: 1"

CACHE: Final[dict[str, Any]] = {
    "job-runner cache explain": {
        "schema_version": _VERSION,
        "request_id": "text",
        "status": "text: as of result",
        "verdict": "text: taken, made, would_take, would_make, no_part or unknown",
        "says": "text: why",
        "key": "text | null",
        "from": "text | null: the job whose files it was given, or would be",
        "sentences": "object | null: {at_hand, of}, of a job that was made by the sentence, in all takes",
        "nearest": "object | null: {request_id, made_at, differs: [{part, this, other}]}",
    },
    "job-runner cache gc": {
        "schema_version": _VERSION,
        "entries": "whole: that were looked at",
        "dropped": "whole",
        "kept": "whole",
        "gone": "whole: dropped, their files are gone",
        "old": "whole: dropped, as --older-than has it",
        "unreadable": "whole: dropped, no entries",
        "sentences": {
            "dropped": "whole: beyond SENTENCE_CACHE_BYTES, or not used for as long as --older-than has it",
            "kept": "whole: on this machine",
            "bytes": "whole: of these",
        },
    },
}
