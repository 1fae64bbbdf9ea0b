"""The figures in the form that Prometheus reads; the one module that knows its library.

Everything is made anew at each scrape from plain numbers, so that a lane or watcher that is gone leaves no line
behind, and nothing has to be kept in step. Imported only when `--metrics-port` is given.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder

from job_watcher.metrics.catalogue import FAMILIES, PREFIX, REFUSALS, RENEWALS, RETRIES, STATES, STATUSES
from job_watcher.metrics.counts import BOUNDS_SECONDS
from job_watcher.metrics.paid_figures import allowed, used
from job_watcher.metrics.rented_figures import ended, here, machines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from prometheus_client.core import Metric

    from job_watcher.metrics.counts import Counts, Durations
    from job_watcher.metrics.health import Watching
    from job_watcher.metrics.queue_view import QueueView
    from lib.settings import Settings

_Row = tuple[tuple[str, ...], float]
_BY_NAME: Final = {family.name: family for family in FAMILIES}


class Exposition:
    """All metrics of one watcher process."""

    def __init__(
        self,
        *,
        counts: Counts,
        view: QueueView,
        watching: Callable[[], Watching | None],
        settings: Settings,
        watcher: str,
        version: str,
    ) -> None:
        self._counts = counts
        self._view = view
        self._watching = watching
        self._settings = settings
        self._info = (version, watcher)
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)

    def render(self, accept: str) -> tuple[bytes, str]:
        """(body, content type) for a scraper that accepts this; called in the event loop whose tasks it counts."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type

    def collect(self) -> Iterator[Metric]:
        """Called by the registry."""
        document = self._view.document
        figures = {**self._own(), **allowed(self._settings)}
        if document is not None:
            now = datetime.fromisoformat(document["timestamp"]).timestamp()
            figures |= _queue_wide(document) | used(document, self._view.day)
            figures |= machines(document) | ended(self._view.bills, now)
        for name, rows in figures.items():
            yield _metric(name, rows)
        yield _histogram("job_wait_seconds", self._counts.waits.items())
        yield _histogram("job_run_seconds", self._counts.runs.items())

    def _own(self) -> dict[str, Iterable[_Row]]:
        counts, watching = self._counts, self._watching()
        figures: dict[str, Iterable[_Row]] = {
            "queue_view_age_seconds": [((), self._view.age_seconds)],
            "slots": [((backend,), slots) for backend, slots in watching.slots.items()] if watching else [],
            "capability_paused": [(which, float(so)) for which, so in watching.paused.items()] if watching else [],
            "slots_busy": [((), watching.running if watching else 0)],
            "leading": [((), float(watching is not None and watching.leads))],
            "stuck_publications": [((), watching.stuck_publications if watching else 0)],
            "records": _counted(counts.records, STATUSES),
            "retries": _counted(counts.retries, RETRIES),
            "fence_refusals": _counted(counts.refusals, REFUSALS),
            "session_renewals": _counted(counts.renewals, RENEWALS),
            "lost_sessions": [((), counts.sessions_lost)],
            "reaped_sessions": [((), counts.sessions_reaped)],
            "reclaimed_jobs": [((), counts.jobs_reclaimed)],
            "event_loop_tasks": [((), len(asyncio.all_tasks()))],
            "last_round_trip_timestamp_seconds": [((), counts.last_round_trip_at)],
            "session_life_seconds": [((), self._settings.watcher_session_ttl)],
            "build_info": [(self._info, 1)],
        }
        return figures | here(watching.renting if watching else None, self._settings.vast_dead_man)


def _counted(counter: Mapping[str, int], known: Iterable[str]) -> list[_Row]:
    """The known labels first, at 0 too: a rate needs a point to rise from."""
    return [((label,), counter.get(label, 0)) for label in dict.fromkeys((*known, *counter))]


def _queue_wide(document: dict[str, Any]) -> dict[str, Iterable[_Row]]:
    totals = document["totals"]
    return {
        "jobs": [((state,), totals[state]) for state in STATES],
        "jobs_submitted": [((), totals["submitted"])],
        "lane_jobs": [
            ((lane["backend"], lane["capability"], state), lane[state])
            for lane in document["lanes"].values()
            for state in ("waiting", "running")
        ],
        "backlog_jobs": [
            ((name, priority), backlog[priority])
            for name, backlog in document["backlogs"].items()
            for priority in ("high", "normal", "low")
        ],
        "oldest_entry_age_seconds": [((), document["stream"]["oldest_age_sec"] or 0)],
        "stale_entries": [((), document["stream"]["stale_pel"])],
        "outbox_entries": [((name,), waiting) for name, waiting in document["outbox"].items()],
        "watchers": [((), sum(bool(watcher["alive"]) for watcher in document["watchers"]))],
        "leader_present": [((), float(document["lock"]["owner"] is not None))],
    }


def _metric(name: str, rows: Iterable[_Row]) -> Metric:
    family = _BY_NAME[name]
    full_name = PREFIX + name
    kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    metric: CounterMetricFamily | GaugeMetricFamily = kind(full_name, family.meaning, labels=family.labels)
    for labels, value in rows:
        metric.add_metric(labels, value)
    return metric


def _histogram(name: str, rows: Iterable[tuple[tuple[str, ...], Durations]]) -> Metric:
    family = _BY_NAME[name]
    metric = HistogramMetricFamily(PREFIX + name, family.meaning, labels=family.labels)
    for labels, durations in rows:
        metric.add_metric(labels, _buckets(durations), durations.total_seconds)
    return metric


def _buckets(durations: Durations) -> list[tuple[str, float]]:
    names = [*(str(float(bound)) for bound in BOUNDS_SECONDS), "+Inf"]
    return list(zip(names, accumulate(durations.counts), strict=True))
