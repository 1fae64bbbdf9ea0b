"""The shapes of what is said about rented machines by the commands that show, choose and end them."""

from __future__ import annotations

from typing import Any, Final

from docs.generate.shapes_money import INSTANCE

_VERSION: Final = "whole: 1"

BILL: Final = {
    "intent": "text: its name",
    "market": "text",
    "market_id": "text | null",
    "machine_id": "text | null",
    "gpu": "text | null",
    "usd_per_hour": "number",
    "usd": "number",
    "jobs": "whole",
    "usd_per_job": "number | null",
    "idle_share": "number | null: of the time in which it could have worked",
    "seconds": {"<state>": "number"},
    "reason": "text | null: of its end",
    "failed": "boolean: by its own fault",
    "created_at": "time | null",
    "ended_at": "time",
}

_ENDED: Final = {
    "schema_version": _VERSION,
    "ended": [BILL],
    "strays": [
        {
            "market_id": "text",
            "intent": "text",
            "why": "text: expired, no_row, twin or no_owner",
        }
    ],
    "left": ["text: what may still cost money, and why"],
}

RENTING: Final[dict[str, Any]] = {
    "job-runner instances list": {"schema_version": _VERSION, "instances": [INSTANCE], "bills": [BILL]},
    "job-runner instances destroy": {
        "schema_version": _VERSION,
        "rows": [
            {
                "intent": "text",
                "market": "text",
                "market_id": "text | null",
                "outcome": "text: asked, ended, gone or left",
                "why?": "text: of one that is left, what is in the way",
                "bill?": BILL,
            }
        ],
    },
    "job-runner instances reap": _ENDED,
    "job-watcher reap": _ENDED,
    "job-runner offers": {
        "schema_version": _VERSION,
        "jobs": "whole",
        "offers": [
            {
                "market": "text",
                "offer": "text",
                "machine_id": "text",
                "gpu": "text | null",
                "gpus": "whole",
                "gpu_memory_gb": "number",
                "place": "text | null",
                "reliability": "number",
                "usd_per_hour": "number: storage included",
                "usd": "number: what these jobs would cost there, start and traffic included",
                "start_seconds": "number",
                "work_seconds": "number",
                "measured": "boolean: whether such a card was measured here",
                "chosen": "boolean",
                "why": "text",
                "refused": "text | null",
            }
        ],
        "notes": ["text: why none is chosen, or why the chosen one would not be rented all the same"],
    },
}
