"""The page of records: a job's fields, its index row, its terminal record, and every Redis key."""

from __future__ import annotations

import re
from importlib import resources
from typing import Final

from docs.generate.fields import job_fields
from docs.generate.markdown import block, code, codes, flowed, joined, opening, table
from docs.generate.scripts import keys_used
from docs.generate.shapes import written
from docs.generate.shapes_offline import EXECUTION, MANIFEST
from docs.generate.shapes_voices import VOICE
from lib.redisqueue.keys import IntakeName, Keys, LaneName

_PREFIX: Final = "pab"

HEAD: Final = {
    "schema_version": "1",
    "generation": "which accepted request for this id this is the end of; it only rises",
    "fence": "the number of the last lease; a job that never started has one of its own",
    "attempt": "how many tries were used",
    "identity": "a digest of content hash and output name: what makes two requests the same",
    "history": "the entry of this record in the history",
    "status": "`done`, `failed` or `cancelled`",
}

DONE: Final = {
    "request_id": "the job's name",
    "content_hash": "of the content that was made",
    "task": "what it was",
    "backend": "where it ran",
    "run_id": "the run of the watcher that did it",
    "queued_at": "when it was accepted",
    "started_at": "when the last try began",
    "completed_at": "when it was over",
    "duration_sec": "between these two",
    "output_name?": "if the job has one",
    "outputs?": "`{best?, takes[], meta?, files?[]}`, each `{name, uri, bytes, sha256, published}`: `uri` is where the "
    "bytes stand for good, `published` where a person opens them",
    "result?": "what the task gave back; of `speak`: model, selected take, timings, substituted voice, ignored fields; "
    "`sentences: {at_hand, of}` where it was spoken by the sentence, in all takes; "
    "`cached: {request_id, key}` when it was taken from an earlier job, as all else there",
    "cost?": "`{usd, …}` where something was paid; of a rented machine its share of the bill, by its seconds of work "
    "there: `{usd, share_of, seconds, usd_per_hour, traffic_usd?}`, start-up and idle time not counted",
    "backlog?": "where it was enqueued, unless that is the default one",
    "callback_data": "as it was given",
}

FAILED: Final = {
    "request_id": "the job's name",
    "error_type": "`permanent`, `transient_exhausted`, `poison`, `timeout` or `payload_lost`",
    "stage": "`validate`, `route`, `provision`, `execute`, `upload` or `commit`",
    "error": "what went wrong, in words; at most 8192 characters",
    "failed_at": "when",
    "run_id": "the run of the watcher that had it; empty when none had",
    "content_hash?": "of the job",
    "task?": "of the job",
    "job": "the whole job, so that `retry` can begin it anew; null when it cannot be read",
    "job_bytes?": "base64 of what cannot be read",
    "backlog?": "where it was enqueued, unless that is the default one",
    "callback_data": "as it was given",
}

KEYS: Final = {
    "fence": "the one counter of fences, generations and epochs: max(last + 1, server time in µs); kept by every flush",
    "index": "request_id → row of an active job (above)",
    "result": "request_id → record, done",
    "failed": "request_id → record, failed or cancelled",
    "due": "request_id by due time in ms: retries and `run_after`",
    "delayed": "request_id → job, while it is delayed",
    "key": "conflict key → who holds it",
    "key_wait": "who waits for a conflict key, in order",
    "history_done": "ended jobs, newest last",
    "history_failed": "the same for failed ones",
    "history_cancelled": "the same for cancelled ones",
    "expiry": "request_id by the time at which its record goes",
    "progress": "request_id → how far it is, while it runs",
    "events": "what changed, for `watch`; one entry a batch, capped",
    "control": "what hastens watchers (cancel); capped",
    "wake": "what wakes the leader: new work, freed room, due times; capped",
    "outbox": "outputs that are to be published",
    "outbox_callback": "callbacks that are to be sent",
    "callback_due": "callbacks that wait for their next try, by due time",
    "rejected": "entries of others that were turned away, with their bytes; capped",
    "intakes": "names of the intakes",
    "lanes": "names of the lanes",
    "backlogs": "names of the backlogs",
    "sessions": "session → expiry by server time; while it is a member, all its leases hold",
    "sweep": "the last sweep, and how far it got",
    "lock": "the leader's session, its epoch, and whether it only conducts",
    "heartbeat": "watcher → what it says of itself",
    "instances": "intent → a rented machine: version, fence, state, what is reserved, cost, owner, the rest as JSON",
    "namespace": "what the labels of rented machines begin with: drawn once, so that two queues never meet at a market",
    "bills": "what instances came to, newest last; capped",
    "excluded": "machine that failed → until when nobody rents it, in ms, and why",
    "counters": "accepted, expired, flushed",
    "quota": "API key (a hash) and model → requests and tokens of the last window, of its day, closed until when",
    "quota_grants": "calls by the server time of their grant, as long as they stand in a window",
    "quota_calls": "call → its pool and tokens, while it stands in a window",
    "spend": "UTC day (days since 1970), alone or with a backend → what was settled, in millionths of a dollar",
    "spend_open": "job or call → what is reserved for it; `sum` is all of it",
    "measures": "task, backend and size → what jobs took and cost, per unit of size",
    "moves": "jobs that were moved to what is paid for, by server time: the window of the limit a minute",
    "deadlines": "request_id of an active job by its deadline in ms",
}


def page() -> str:
    """All that is kept."""
    return joined(
        opening(
            "Records",
            "lib/jobqueue/ and lib/redisqueue/",
            "What a job is, what is known of it while it is active, what is kept when it is over, and where all that "
            "stands in Redis.",
        ),
        "## A job",
        flowed(
            "Unknown fields are refused with the nearest known name. A field marked as content defines the output: "
            "the content hash is made of those that differ from their default."
        ),
        job_fields(),
        "## While it is active",
        flowed("One row of the index, fields joined by `|`; every transition changes it in the same step:"),
        block("|".join(index_row())),
        flowed(
            "`reason` says why a delayed job waits (`run_after`, `retry`, `key`, `key:<due ms>`), and of a leased one "
            "why the death of its watcher would count nothing: `drain`, since the watcher stops, or `ahead`, since its "
            "body has not begun."
        ),
        "## When it is over",
        flowed("One JSON object for each generation, which never changes. A head, written by the script, comes first:"),
        table(("field", "meaning"), [(code(name), said) for name, said in HEAD.items()]),
        "Of a done job then follow:",
        table(("field", "meaning"), [(code(name), said) for name, said in DONE.items()]),
        "Of a failed or cancelled one:",
        table(("field", "meaning"), [(code(name), said) for name, said in FAILED.items()]),
        "A field with `?` may be missing.",
        "## Without a queue",
        "`manifest.json`, which `compile` writes:",
        block(written(MANIFEST), "json"),
        "`execution.json`, written anew after each job; a dry run writes `execution.dry-run.json`:",
        block(written(EXECUTION), "json"),
        "## Voices",
        "`<WATCHER_VOICES_DIR>/<slug>/voice.json`, with the files that it names beside it:",
        block(written(VOICE), "json"),
        "## Redis keys",
        flowed(
            f"With the default `JOBS_PREFIX`, `{_PREFIX}`. One prefix is one queue. There is no key for a single job; "
            "every script is given all keys that it touches."
        ),
        _keys(),
    )


def index_row() -> tuple[str, ...]:
    """The fields of an index row, in the order in which the scripts write them."""
    text = (resources.files("lib.redisqueue") / "lua" / "include" / "rows.lua").read_text(encoding="utf-8")
    written = text.partition("local function row_text(row)")[2].partition("end\n")[0]
    return tuple(re.findall(r"row\.(\w+)", written))


def meaning(table_of: dict[str, str], name: str, title: str) -> str:
    """What a name means; ValueError says where to write it when nobody has yet."""
    if name not in table_of:
        raise ValueError(f"docs/generate/records.py: {title} does not say what {name!r} means; add it, then: make docs")
    return table_of[name]


def _keys() -> str:
    used = keys_used()
    keys = Keys(_PREFIX)
    rows = [
        (code(full), keys.type_of(name), meaning(KEYS, name, "KEYS"), code(name), codes(used.get(name, ())))
        for name, full in keys.all_fixed().items()
    ]
    commonest = IntakeName("default", "normal", "speech")
    streams = [
        (
            code(keys.stream(commonest)),
            "the default backlog's intake of unpinned speech, normal priority; the inlet",
        ),
        (code(keys.stream("stream:<priority>:<capability>[:<pin>]")), "the other intakes of the default backlog"),
        (code(keys.stream("backlog:<name>:<priority>:<capability>[:<pin>]")), "the intakes of a named backlog"),
        (code(keys.stream(LaneName("<backend>", "<capability>"))), "a lane; alone of all it has a group, `watchers`"),
    ]
    rows[:0] = [(key, "stream", said, "", "") for key, said in streams]
    return table(("key", "type", "holds", "short name", "scripts"), rows)
