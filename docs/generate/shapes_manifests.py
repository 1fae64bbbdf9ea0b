"""The shapes of the documents about task manifests: what was planned, and whether it was done."""

from __future__ import annotations

from typing import Any, Final

_VERSION: Final = "whole: 1"
_PLANNED: Final = {
    "schema_version": _VERSION,
    "manifest": "text: the file",
    "plan": "text: the part of the names of its jobs between backlog and id",
    "entries": "whole",
    "written": "boolean: false when the same plan was there already",
}

MANIFESTS: Final[dict[str, Any]] = {
    "job-runner verify": {
        "schema_version": _VERSION,
        "manifest": "text: the file",
        "backlog": "text: where its jobs were found, or looked for",
        "job_count": "whole",
        "sound": "whole: entries that are done with a sound receipt",
        "summary": {"<status>": "whole"},
        "rows": [
            {
                "line": "whole: of the manifest",
                "request_id": "text",
                "task": "text",
                "status": "text: queued, delayed, leased, done, failed, cancelled, not_found",
                "problem": "text | null: why it is not sound",
                "error_type": "text: of a failed one, else empty",
                "sound": "boolean",
            }
        ],
    },
    "job-runner workflow system-test plan": _PLANNED,
    "job-runner workflow stress plan": _PLANNED,
}
