"""Every metric of ours: name, kind, labels and meaning, once, for the exposition and for the table of the manual.

Names follow Prometheus: a prefix, base units, `_total` for what only grows. No label ever holds a request_id, or
anything else that whoever writes jobs can make up at will; backlogs are named by the operator.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

PREFIX: Final = "job_runner_"

Kind = Literal["gauge", "counter", "histogram"]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric; `queue` says that it is about the whole queue and the same at every watcher."""

    name: str
    kind: Kind
    meaning: str
    labels: tuple[str, ...] = ()
    queue: bool = False

    @property
    def full_name(self) -> str:
        """As it is scraped and asked for; a histogram is asked for with `_bucket`, `_sum` or `_count` behind it."""
        return PREFIX + self.name + ("_total" if self.kind == "counter" else "")


_POOL: Final = ("key", "model")
"""What has a quota of its own: an API key, by its short hash, and a model of the settings."""

FAMILIES: Final = (
    Family("jobs", "gauge", "Jobs by state.", ("state",), queue=True),
    Family("jobs_submitted", "counter", "Jobs ever accepted.", queue=True),
    Family("lane_jobs", "gauge", "Jobs in a lane, waiting or running.", ("backend", "capability", "state"), queue=True),
    Family("backlog_jobs", "gauge", "Jobs waiting in a backlog.", ("backlog", "priority"), queue=True),
    Family("oldest_entry_age_seconds", "gauge", "Age of the oldest entry that waits or runs.", queue=True),
    Family("stale_entries", "gauge", "Leased entries whose owner is gone and that no sweep has put back.", queue=True),
    Family("outbox_entries", "gauge", "What commits left to do: publish, call back.", ("outbox",), queue=True),
    Family("watchers", "gauge", "Watchers whose session stands.", queue=True),
    Family("leader_present", "gauge", "1 while a watcher leads and jobs are moved to lanes.", queue=True),
    Family("spend_settled_usd", "gauge", "Dollars settled in this UTC day.", ("backend",), queue=True),
    Family("spend_reserved_usd", "gauge", "Dollars reserved for calls, jobs and machines under way.", queue=True),
    Family("spend_counted_usd", "gauge", "Both together, at one moment: what the cap is compared with.", queue=True),
    Family("quota_requests", "gauge", "Requests of the minute, and of the API's day.", (*_POOL, "window"), queue=True),
    Family("quota_tokens", "gauge", "Tokens of the minute; of open calls the most they may take.", _POOL, queue=True),
    Family("quota_closed_until_timestamp_seconds", "gauge", "Until when it is closed; 0: open.", _POOL, queue=True),
    Family("cloud_moves", "gauge", "Jobs handed to the cloud within the window of their limit.", queue=True),
    Family("rented_machines", "gauge", "Rented machines by state.", ("state",), queue=True),
    Family("rented_usd_per_hour", "gauge", "What an hour of the machines costs that may be billed now.", queue=True),
    Family("rented_usd", "gauge", "What those machines were charged so far.", queue=True),
    Family("rented_jobs", "gauge", "Jobs that they have ended.", queue=True),
    Family("rented_oldest_seconds", "gauge", "For how long the oldest of them may have been billed.", queue=True),
    Family("rented_overtime_seconds", "gauge", "For how long one is past the hard end of its rent.", queue=True),
    Family("rented_ending_seconds", "gauge", "For how long the end of one is asked for and not proven.", queue=True),
    Family("rented_ownerless", "gauge", "Those whose watcher is gone and that nobody has taken over.", queue=True),
    Family("rented_ended_machines", "gauge", "Machines that ended within 24 h.", ("how",), queue=True),
    Family("rented_ended_usd", "gauge", "What those came to, by their bills.", queue=True),
    Family("rented_ended_jobs", "gauge", "Jobs that they ended.", queue=True),
    Family("rented_ended_seconds", "gauge", "What their time went to.", ("doing",), queue=True),
    Family("queue_view_age_seconds", "gauge", "Age of the queue-wide figures; they are left out when too old."),
    Family("slots", "gauge", "Jobs that may run here at once; 0 while it stops.", ("backend",)),
    Family("capability_paused", "gauge", "1 while it is not offered here.", ("backend", "capability")),
    Family("spend_cap_usd", "gauge", "BUDGET_PER_DAY_USD of this watcher; left out without one."),
    Family("quota_requests_allowed", "gauge", "Requests that a key may make of a model; left out: any.", ("window",)),
    Family("quota_tokens_allowed", "gauge", "Tokens that a key may take of a model in a minute; left out: any."),
    Family("cloud_moves_allowed", "gauge", "Jobs that may be handed to the cloud within the window."),
    Family("renting_blocked", "gauge", "1 while nothing can be rented here however much waits."),
    Family("dead_man_silence_seconds", "gauge", "For how long a machine was not told that this watcher lives."),
    Family("dead_man_seconds", "gauge", "VAST_DEAD_MAN: a machine that hears nothing for so long ends itself."),
    Family("markets_unlisted", "gauge", "Markets that did not say for sure what is rented there."),
    Family("stray_machines_ended", "counter", "Machines without a row that this watcher ended."),
    Family("stray_machines_left", "gauge", "Such machines that are not proven gone."),
    Family("slots_busy", "gauge", "Bodies that run here now."),
    Family("leading", "gauge", "1 while this watcher leads."),
    Family("job_wait_seconds", "histogram", "From queued, or due, to the first start.", ("task", "backend")),
    Family("job_run_seconds", "histogram", "From start to outcome, uploads too.", ("task", "backend", "outcome")),
    Family("records", "counter", "Records that this watcher committed.", ("status",)),
    Family("retries", "counter", "Leases answered with another try.", ("kind",)),
    Family("fence_refusals", "counter", "Words about a job that were not this watcher's any more.", ("step",)),
    Family("session_renewals", "counter", "Renewals of the session.", ("result",)),
    Family("lost_sessions", "counter", "Sessions of this watcher that were ended while it lived."),
    Family("reaped_sessions", "counter", "Lapsed sessions that sweeps of this watcher ended."),
    Family("reclaimed_jobs", "counter", "Jobs of dead watchers that those sweeps put back."),
    Family("stuck_publications", "gauge", "Outputs that could not be published here; they are tried again."),
    Family("event_loop_tasks", "gauge", "Asyncio tasks of this process; under an even load they stay as many."),
    Family("last_round_trip_timestamp_seconds", "gauge", "Unix time of the last renewal that succeeded."),
    Family("session_life_seconds", "gauge", "L: a watcher that is not heard of for so long loses its jobs."),
    Family("build_info", "gauge", "Always 1.", ("version", "watcher")),
)

STATES: Final = ("queued", "leased", "delayed", "done", "failed", "cancelled")
RENEWALS: Final = ("ok", "failed")
REFUSALS: Final = ("commit", "retry", "progress", "renewal")
RETRIES: Final = ("attempt", "crash", "free")
STATUSES: Final = ("done", "failed", "cancelled")
