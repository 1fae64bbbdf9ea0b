"""The shape of every JSON document that a command prints.

Written by hand, since no type describes a whole document; `tests/test_reference.py` runs the commands against a
real server and compares what they print with `misfits`, so a field that is new, gone or of another type is found.

A shape is an object of shapes, a list of one shape, or a text: the types that a value may have, `|` between them,
then perhaps a colon and what it means. A key that ends in `?` may be missing; `<word>` stands for any key.
"""

from __future__ import annotations

import json
from typing import Any, Final

from docs.generate.shapes_cache import CACHE
from docs.generate.shapes_manifests import MANIFESTS
from docs.generate.shapes_money import BACKEND_VIEW, ETA, INSTANCE, MONEY, POOL, QUOTE, SPEND
from docs.generate.shapes_offline import OFFLINE
from docs.generate.shapes_renting import RENTING
from docs.generate.shapes_voices import VOICES

_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "text": (str,),
    "time": (str,),
    "whole": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
    "object": (dict,),
    "list": (list,),
}

_LINE_MAX: Final = 100

_VERSION: Final = "whole: 1"
_RECORD: Final = "object | null: see records.md"
_LOOKED_AT: Final = f"{_RECORD}; an output that is not on this machine any more, or not whole, has `missing: true`"
_OUTPUT_ROW: Final = {
    "index": "whole: from 0",
    "request_id": "text",
    "output_name": "text | null",
    "status": "text: queued, duplicate_request, already_done, already_failed, already_cancelled, conflict, key_busy",
    "stream_id": "text | null",
    "attempt": "whole",
}
_ENQUEUED: Final = {
    "schema_version": _VERSION,
    "rows": [_OUTPUT_ROW],
    "summary": {"<status>": "whole"},
    "durability": "text: memory, fsynced or replicated(n)",
}
_SUMS: Final = {"jobs": "whole", "characters": "whole", "est_seconds": "number", "est_usd": "number"}

SHAPES: Final[dict[str, Any]] = {
    "job-runner plan": {
        "schema_version": _VERSION,
        "job_count": "whole",
        "estimates": "text: where the estimates come from",
        "jobs": [
            {
                "index": "whole: from 0",
                "file": "text",
                "source": "text: voice:NAME, speaker:NAME or the task",
                "request_id": "text",
                "output_name": "text | null",
                "characters": "whole",
                "content_hash": "text",
                "backends": ["text"],
                "est_seconds": "number",
                "est_usd": "number",
                "warnings": ["text"],
            }
        ],
        "totals": _SUMS,
        "voices": {"<source>": _SUMS},
        "quote": QUOTE,
        "errors": [{"source": "text: the file", "line": "whole", "where": "text", "message": "text"}],
    },
    "job-runner enqueue": _ENQUEUED,
    "job-runner enqueue-beatsheet": _ENQUEUED,
    "job-runner dispatch": _ENQUEUED,
    "job-runner status": {
        "schema_version": _VERSION,
        "timestamp": "time",
        "stream": {
            "key": "text",
            "length": "whole: entries of all intakes and lanes",
            "pending": "whole: of them, leased",
            "stale_pel": "whole: of them, held by nobody alive",
            "oldest_age_sec": "number | null",
        },
        "lanes": {
            "<lane>": {
                "backend": "text",
                "capability": "text",
                "length": "whole",
                "waiting": "whole",
                "running": "whole",
            }
        },
        "backlogs": {"<name>": {"waiting": "whole", "high": "whole", "normal": "whole", "low": "whole"}},
        "retry_queue_size": "whole: jobs with a due time",
        "outbox": {"<kind>": "whole"},
        "lock": {
            "owner": "text | null: the leader's session",
            "ttl_ms": "whole | null",
            "dedicated": "boolean: it only conducts",
            "backlogs": ["text: those that it serves; none named: all"],
        },
        "instances": [INSTANCE],
        "watchers": [
            {
                "name": "text",
                "alive": "boolean",
                "last_seen": "time | null",
                "capabilities?": ["text"],
                "slots?": "whole",
                "running?": "whole",
                "version?": "text",
                "<more>": "text | number | boolean | list | object | null",
            }
        ],
        "totals": {
            "submitted": "whole: accepted since the counter began",
            "queued": "whole",
            "leased": "whole",
            "delayed": "whole",
            "done": "whole",
            "failed": "whole",
            "cancelled": "whole",
            "outstanding": "whole: queued + leased + delayed",
        },
        "rate": {
            "jobs_per_min": "number",
            "cloud_moves_last_min": "whole: jobs that were handed to the cloud",
            "cloud_moves_in_window": "whole: the same, of the window of the limit",
            "cloud_window_sec": "number: how long that is, by CLOUD_TOKENS_PER_MIN of whoever asks",
            "cloud_per_min": "number: CLOUD_TOKENS_PER_MIN of whoever asks",
        },
        "by_capability": {"<capability>": "whole: what waits or runs"},
        "eta_sec": "whole | null: by the rate",
        "eta": ETA,
        "pools": [POOL],
        "spend": SPEND,
    },
    "job-runner report": {
        "schema_version": _VERSION,
        "job_count": "whole",
        "summary": {"<status>": "whole"},
        "outdated": "whole: jobs whose `current` is false",
        "missing": "whole: jobs that lack a file on this machine",
        "cost_usd": "number: what those that have ended cost",
        "eta": ETA,
        "rows": [
            {
                "request_id": "text",
                "output_name": "text | null",
                "status": "text: as in `result`",
                "current": "boolean | null: is it of the content that the file has now",
                "record": _LOOKED_AT,
                "position?": "whole: of a waiting job, in line",
                "eta?": ETA,
            }
        ],
    },
    "job-runner history": {
        "schema_version": _VERSION,
        "count": "whole",
        "records": [{"kind": "text: done, failed or cancelled", "request_id": "text", "record": _RECORD}],
    },
    "job-runner result": {
        "schema_version": _VERSION,
        "request_id": "text",
        "status": "text: queued, leased, delayed, done, failed, cancelled or not_found",
        "record": _LOOKED_AT,
        "progress?": {"<field>": "text | number | null"},
        "position?": "whole: of a waiting job, in line",
        "eta?": ETA,
    },
    "job-runner why": {
        "schema_version": _VERSION,
        "request_id": "text",
        "status": "text: as in `result`",
        "where": "text | null: the intake or lane",
        "blockers": [{"kind": "text", "says": "text", "mend": "text"}],
        "backends": [BACKEND_VIEW],
        "position": "whole | null: how many go first, and one",
        "eta": ETA,
        "eta_says": "text: what else holds of the ETA, or why there is none",
        "progress": "object | null",
    },
    "job-runner retry": {
        "schema_version": _VERSION,
        "rows": [{"request_id": "text", "status": "text: queued, or why not", "stream_id": "text | null"}],
    },
    "job-runner cancel": {
        "schema_version": _VERSION,
        "rows": [{"request_id": "text", "status": "text: cancelled, or why not", "was_running": "boolean"}],
        "summary": {"<status>": "whole"},
    },
    "job-runner flush": {
        "schema_version": _VERSION,
        "deleted": "whole: jobs and records together",
        "jobs": "whole",
        "records": "whole",
        "hard": "boolean",
        "instances_kept": "whole: rented machines; their bills run on",
        "keys": ["text"],
    },
    "job-runner server start": {
        "schema_version": _VERSION,
        "running": "boolean",
        "url": "text",
        "port": "whole",
        "pid": "whole",
        "started_at": "time",
        "dir": "text",
        "fsync": "text: everysec or always",
    },
    "job-runner server stop": {"schema_version": _VERSION, "stopped": "boolean: false when none was running"},
    "job-runner server status": {
        "schema_version": _VERSION,
        "running": "boolean",
        "died": "boolean: it is gone, and nobody stopped it",
        "answers": "boolean",
        "log_file": "text",
        "url?": "text",
        "port?": "whole",
        "pid?": "whole",
        "started_at?": "time",
        "dir?": "text",
        "fsync?": "text",
    },
    "job-runner doctor": {
        "schema_version": _VERSION,
        "ok": "boolean",
        "checks": [{"name": "text", "state": "text: ok, note or wrong", "found": "text", "mend": "text"}],
        "census?": {"<term>": "whole | boolean: of the sum that must hold; with --fsck"},
        "findings?": ["object: what was found, and whether it was mended; with --fsck"],
    },
    "job-watcher ping": {
        "schema_version": _VERSION,
        "alive": "boolean: one of them at least",
        "watchers": [
            {
                "name": "text",
                "alive": "boolean",
                "state": "text: alive, silent or no session",
                "last_round_trip_sec": "number | null",
            }
        ],
    },
    **OFFLINE,
    **MANIFESTS,
    **MONEY,
    **RENTING,
    **CACHE,
    **VOICES,
}


def written(shape: Any, indent: str = "") -> str:
    """The shape as JSON, what is short on one line."""
    line = json.dumps(shape, ensure_ascii=False)
    if len(indent) + len(line) <= _LINE_MAX or not isinstance(shape, dict | list):
        return line
    deeper = f"{indent}  "
    if isinstance(shape, list):
        return f"[\n{deeper}{written(shape[0], deeper)}\n{indent}]"
    lines = [f"{deeper}{json.dumps(key)}: {written(inner, deeper)}" for key, inner in shape.items()]
    return "{\n" + ",\n".join(lines) + f"\n{indent}}}"


def misfits(shape: Any, value: Any, place: str = "$") -> list[str]:
    """Where `value` is not of `shape`; empty when it fits."""
    if isinstance(shape, dict):
        return _object_misfits(shape, value, place) if isinstance(value, dict) else [f"{place}: {value!r} is no object"]
    if isinstance(shape, list):
        if not isinstance(value, list):
            return [f"{place}: {value!r} is no list"]
        return [each for i, item in enumerate(value) for each in misfits(shape[0], item, f"{place}[{i}]")]
    names = shape.partition(": ")[0].split(" | ")
    fits = any(isinstance(value, kind) and _is_no_odd_bool(value, name) for name in names for kind in _TYPES[name])
    return [] if fits else [f"{place}: {value!r} is not {' or '.join(names)}"]


def _is_no_odd_bool(value: Any, name: str) -> bool:
    """In Python a boolean is a number too; in JSON it is none."""
    return not isinstance(value, bool) or name == "boolean"


def _object_misfits(shape: dict[str, Any], value: dict[str, Any], place: str) -> list[str]:
    named = {key.rstrip("?"): inner for key, inner in shape.items() if not key.startswith("<")}
    others = [inner for key, inner in shape.items() if key.startswith("<")]
    found = [f"{place}.{key}: missing" for key in shape if key[-1] not in "?>" and key not in value]
    for key, inner in value.items():
        if key in named:
            found += misfits(named[key], inner, f"{place}.{key}")
        elif others:
            found += misfits(others[0], inner, f"{place}.{key}")
        else:
            found.append(f"{place}.{key}: not in the shape")
    return found
