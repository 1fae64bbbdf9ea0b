"""The shapes of what is said about money, limits and time: quotes, ETAs, refusals of backends, simulations."""

from __future__ import annotations

from typing import Any, Final

_VERSION: Final = "whole: 1"

ETA: Final = "object | null: by what was measured: p50_sec and p90_sec, seconds from now"

POOL: Final = {
    "key": "text: a hash of the API key",
    "model": "text",
    "requests_last_min": "whole",
    "tokens_last_min": "whole",
    "requests_today": "whole: since midnight in Los Angeles",
    "closed_sec": "number: for how long nothing is granted",
    "why": "text: what closed it last",
    "closes_model": "boolean: nobody can call the model now, and this one opens first",
}

SPEND: Final = {
    "today_usd": "number: settled on this UTC day",
    "reserved_usd": "number: what may still be spent by jobs and calls under way",
    "budget_usd": "number | null: BUDGET_PER_DAY_USD of whoever asks",
}

INSTANCE: Final = {
    "intent": "text: its name for good",
    "market": "text | null",
    "market_id": "text | null: how the market names it; null: not known yet",
    "machine_id": "text | null",
    "gpu": "text | null",
    "state": "text | null: intended, creating, loading, connecting, probing, canary, draining, idle, destroying, gone",
    "since": "time | null: of the state",
    "deadline": "time | null: of the state",
    "expires_at": "time | null: the hard end of the rent",
    "created_at": "time | null: when the market was asked for it",
    "usd_per_hour": "number | null",
    "usd": "number | null: charged so far",
    "jobs": "whole | null: ended there",
    "reason": "text | null: why it is being destroyed",
    "told_to_end": "boolean: somebody has asked for its end",
    "owner": "text | null: the session that drives it",
    "owner_alive": "boolean: false: another watcher adopts it, and destroys it",
    "damaged": "boolean: its row cannot be read; all else is null",
}

BACKEND_VIEW: Final = {
    "backend": "text",
    "takes": "boolean",
    "says": "text: room it has, or the first reason why not",
    "able": "boolean: could it run the job at all",
    "limit": "text: what keeps it from taking it now; empty: nothing",
    "mend": "text",
    "usd": "number | null: what the job costs there, as expected",
    "usd_most": "number | null: at worst",
    "seconds": "list | null: p50 and p90",
}

_RANGE: Final = {"p50": "number | null", "p90": "number | null"}

QUOTE: Final = {
    "start_at": "time",
    "deadline": "time | null",
    "budget_usd": "number | null",
    "redis": "boolean: whether the queue was heard",
    "rows": [
        {
            "way": "text: local only, rented only, cloud only, or some of these with a plus between them",
            "policy": "text | null",
            "jobs": {"<backend>": "whole"},
            "impossible": "whole: jobs that have no place in this way",
            "seconds": _RANGE,
            "finish_at": {"p50": "time | null", "p90": "time | null"},
            "usd": _RANGE,
            "late": "whole: jobs that miss their deadline at p90",
            "risk": "number | null",
            "deadline_risk": "number | null",
            "budget_risk": "number | null",
            "fits": "boolean: all of it within deadline and budget at p90",
            "recommended": "boolean",
        }
    ],
    "recommended": "text | null: a way",
    "reason": "text",
    "aside": [
        {
            "why": "text: nowhere, past, not_before, near or wish",
            "says": "text: why no way helps these jobs; they count neither as late nor in a risk",
            "jobs": "whole",
            "first": "list: the ids of some",
        }
    ],
    "notes": ["text: why a row is not there that somebody may look for"],
    "risk_is": "text: how risks are reckoned",
}

MONEY: Final[dict[str, Any]] = {
    "job-runner workflow gap-fill plan": {
        "schema_version": _VERSION,
        "corpus": "text: as the jobs name it",
        "table": "text | null",
        "version": "text",
        "records": "whole: all that there are",
        "annotated": "whole: those that have an annotation of this version",
        "failed_before": "whole: left out without --retry-failed",
        "unusable": "whole: records that no job can hold",
        "unusable_first": "list: some of these",
        "planned": "whole",
        "beyond_limit": "whole: left for later by --limit",
        "manifest": "text | null: the file",
        "plan": "text",
        "entries": "whole: batches",
        "written": "boolean: false when the same plan was there already",
    },
    "job-watcher simulate": {
        "schema_version": _VERSION,
        "title": "text",
        "policy": "text",
        "seed": "whole",
        "jobs": "whole",
        "done": "whole",
        "failed": "whole",
        "waiting": "whole: left when nothing could happen any more",
        "makespan_seconds": "number",
        "makespan_floor_seconds": "number: no schedule ends before",
        "makespan_floor_by_the_rules_seconds": "number: none that keeps Rules A and B",
        "cost_usd": "number",
        "rented": {
            "usd": "number: part of cost_usd",
            "idle_share": "number: which part of what was paid for was no work, starts included",
            "usd_per_job": "number | null",
            "machines": [
                {
                    "name": "text",
                    "from_seconds": "number",
                    "ready_seconds": "number | null",
                    "to_seconds": "number",
                    "usd": "number",
                    "jobs": "whole",
                    "taken_away": "boolean",
                    "why": "text",
                }
            ],
        },
        "utilisation": {"<backend>": "number: 0 to 1"},
        "metal_idle_while_jobs_waited_seconds": "number",
        "deadlines": {
            "jobs": "whole",
            "missed": "whole",
            "missed_jobs": ["text: their request_ids, by deadline"],
            "meetable_at_most": "whole",
            "cheapest_usd": "number: at the least, for those that were met",
        },
        "decisions": [{"at_seconds": "number", "request_id": "text", "backend": "text"}],
        "lines": [{"at_seconds": "number", "text": "text: what the conductor said"}],
        "attempts": [
            {
                "request_id": "text",
                "backend": "text",
                "slot": "text: the watcher and its slot",
                "start_seconds": "number",
                "end_seconds": "number",
                "status": "text",
            }
        ],
    },
}
