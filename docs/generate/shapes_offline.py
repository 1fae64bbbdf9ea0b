"""The shapes of what works without a queue: manifests and executions."""

from __future__ import annotations

from typing import Any, Final

_VERSION: Final = "whole: 1"

MANIFEST: Final[dict[str, Any]] = {
    "schema_version": _VERSION,
    "run_id": "text: a hash of the jobs, or what --run-id said",
    "jobs": [
        {
            "request_id": "text",
            "content_hash": "text",
            "attempt": "whole",
            "source_key": "text: voice:NAME or speaker:NAME; jobs of one stand together",
            "output_name": "text",
            "out_exact": "text: a folder; every path is relative to the manifest",
            "text_file": "text",
            "json_result": "text",
            "argv": ["text: of voice-synth speak; parsed, never started as a program"],
        }
    ],
}

EXECUTION: Final[dict[str, Any]] = {
    "schema_version": _VERSION,
    "run_id": "text",
    "started_at": "time",
    "completed_at": "time | null: null while it runs, or when it was cut off",
    "duration_sec": "number",
    "job_count": "whole",
    "executed_count": "whole",
    "failed_count": "whole",
    "skipped_count": "whole",
    "success": "boolean",
    "aborted": "boolean",
    "dry_run": "boolean",
    "current": "text | null: the request_id that is at work",
    "jobs": [
        {
            "request_id": "text",
            "output_name": "text",
            "status": "text: ok, failed or skipped",
            "return_code": "whole | null: as voice-synth speak would have ended",
            "duration_sec": "number",
            "error?": "text",
            "hint?": "text",
            "reason?": "text: already_made, dry_run, fail_fast or interrupted",
            "audio?": "text: the file to listen to",
            "audio_sec?": "number",
            "takes?": "whole",
            "engine?": "text",
        }
    ],
}

_EXECUTED: Final = {**EXECUTION, "execution_path": "text"}

OFFLINE: Final[dict[str, Any]] = {
    "job-runner compile": {
        "schema_version": _VERSION,
        "run_id": "text",
        "job_count": "whole",
        "manifest": "text: its path",
    },
    "job-runner run": _EXECUTED,
    "job-runner execute-manifest": _EXECUTED,
    "job-runner logs": EXECUTION,
}
