"""Metrics of a real watcher, scraped; and that manual, dashboard and alerts speak of nothing else."""

from __future__ import annotations

import json
import re
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml
from loguru import logger

from job_watcher.backends.registry import make_backends
from job_watcher.metrics.address import Address
from job_watcher.metrics.catalogue import FAMILIES, PREFIX, Family
from job_watcher.metrics.counts import Durations
from job_watcher.metrics.exposure import Exposure
from lib import wiring
from lib.clock import SystemClock
from lib.redisqueue import quota
from tests.job_watcher.metrics.asking import get, samples
from tests.job_watcher.watching import Gate
from tests.support.hand_clock import HandClock
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from job_watcher.backends.base import Backend
    from job_watcher.life import Life
    from lib.clock import Clock
    from lib.settings import Settings
    from tests.job_watcher.watching import Stand, Watcher

ROOT: Final = Path(__file__).parents[3]
OURS: Final = re.compile(rf"\b{PREFIX}\w+")
OF_THE_LIBRARY: Final = re.compile(r"\b(?:process|python)_\w+")


@asynccontextmanager
async def exposed(watcher: Watcher, *, life: Life | None = None, clock: Clock | None = None) -> AsyncIterator[str]:
    """The URL under which a watcher of this process is exposed, as the daemon does it."""
    said: list[str] = []
    sink = logger.add(lambda message: said.append(str(message)), format="{message}")
    exposure = Exposure(
        address=Address("127.0.0.1", 0),
        settings=watcher.settings,
        queue=watcher.queue,
        clock=clock or watcher.clock,
        counts=watcher.counts,
        watcher=watcher.name.name,
        version="1.2.3",
        life=lambda: life,
    )
    try:
        async with exposure.running():
            found = [match[1] for line in said if (match := re.search(r"metrics on (http://127\.0\.0\.1:\d+)/", line))]
            yield found[0]
    finally:
        logger.remove(sink)


async def scraped(url: str) -> dict[str, float]:
    """What a scrape brings now."""
    answer = await get(url, "/metrics")
    assert answer.status == 200
    return samples(answer.body)


async def test_a_watcher_at_work_is_seen(stand: Stand) -> None:
    """The queue, the lane, the slots and the renewals, while a job runs and one waits; then that both are done."""
    gate = Gate()
    watcher = await stand.watcher(execution=gate).start()
    await stand.debug("a", "b")
    await wait_until(lambda: gate.running)
    async with exposed(watcher, life=watcher.life) as url:

        async def both_seen() -> bool:
            seen = await scraped(url)
            lane = 'job_runner_lane_jobs{backend="metal",capability="any",state="%s"}'
            return (
                seen.get(lane % "running") == 1
                and seen.get(lane % "waiting") == 1
                and seen['job_runner_jobs{state="leased"}'] == 1
                and seen["job_runner_slots_busy"] == 1
                and seen["job_runner_watchers"] == seen["job_runner_leader_present"] == 1
            )

        await wait_until(both_seen)
        seen = await scraped(url)
        assert seen['job_runner_slots{backend="metal"}'] == 1
        assert seen["job_runner_jobs_submitted_total"] == 2
        assert seen['job_runner_session_renewals_total{result="ok"}'] >= 1
        assert seen['job_runner_build_info{version="1.2.3",watcher="w"}'] == 1
        gate.open.set()

        async def both_done() -> bool:
            after = await scraped(url)
            return after['job_runner_records_total{status="done"}'] == after['job_runner_jobs{state="done"}'] == 2

        await wait_until(both_done)


async def test_health_follows_the_round_trips(stand: Stand) -> None:
    """200 with JSON while it is alive, and ready until it stops; HEAD is enough for a probe."""
    watcher = await stand.watcher().start()
    async with exposed(watcher, life=watcher.life) as url:
        alive = await get(url, "/healthz")
        assert (alive.status, alive.headers["content-type"]) == (200, "application/json")
        assert json.loads(alive.body)["session"] == watcher.session
        assert (await get(url, "/readyz", method="HEAD")).status == 200
        await watcher.finish()
        assert (await get(url, "/readyz")).status == 503
        watcher.counts.last_round_trip = -1e9
        silent = await get(url, "/healthz")
        assert silent.status == 503
        assert "no round trip" in json.loads(silent.body)["reason"]


async def test_a_scrape_asks_the_server_nothing(own_stand: Stand) -> None:
    """However often it is scraped: the figures are those of the last look, and their age is shown."""
    watcher = own_stand.watcher()
    async with exposed(watcher, clock=HandClock()) as url:

        async def looked() -> bool:
            return "job_runner_watchers" in await scraped(url)

        await wait_until(looked)
        before = await own_stand.calls("time", "zrange", "hgetall")
        for _ in range(20):
            await scraped(url)
        assert await own_stand.calls("time", "zrange", "hgetall") == before
        assert (await scraped(url))["job_runner_queue_view_age_seconds"] == 0


async def test_figures_that_are_too_old_are_left_out(stand: Stand) -> None:
    """Old ones shown as new would have an operator believe that all is quiet; the watcher's own figures stay."""
    clock, watcher = HandClock(), stand.watcher()
    async with exposed(watcher, clock=clock) as url:

        async def looked() -> bool:
            return "job_runner_watchers" in await scraped(url)

        await wait_until(looked)
        settings = watcher.settings
        clock.at += settings.watcher_session_ttl + settings.watcher_poll_interval + 0.1
        seen = await scraped(url)
        assert not {name.partition("{")[0] for name in seen} & {each.full_name for each in FAMILIES if each.queue}
        assert seen["job_runner_queue_view_age_seconds"] > settings.watcher_session_ttl
        assert seen['job_runner_session_renewals_total{result="ok"}'] == 0


async def everything(stand: Stand) -> str:
    """A scrape in which every metric occurs: of a watcher that may rent."""

    def backends(settings: Settings) -> Sequence[Backend]:
        return make_backends(["metal", "vast"], wiring.tasks(settings), settings, stand.queue, SystemClock())

    watcher = stand.watcher(backends=backends, BUDGET_PER_DAY_USD="3")
    await watcher.life.open()
    await quota.close(stand.queue, quota.Pool("k", "flash"), 17_000, "429")
    watcher.counts.waits["debug", "metal"] = Durations()
    watcher.counts.runs["debug", "metal", "done"] = Durations()
    async with exposed(watcher, life=watcher.life) as url:

        async def body() -> str:
            found = (await get(url, "/metrics")).body
            return found if "job_runner_watchers " in found else ""

        return await wait_until(body)


async def test_every_metric_of_the_catalogue_is_exported_with_its_labels(stand: Stand) -> None:
    """And no other; each with its help and its kind. No label can hold a request_id."""
    text = await everything(stand)
    kinds = dict(re.findall(rf"^# TYPE {PREFIX}(\w+) (\w+)$", text, re.MULTILINE))
    assert kinds == {each.full_name.removeprefix(PREFIX): each.kind for each in FAMILIES}
    for family in FAMILIES:
        assert f"# HELP {family.full_name} {family.meaning}" in text
        lines = re.findall(rf"^{_sample(family)}(?:{{(.*?)}})? ", text, re.MULTILINE)
        assert lines, family.name
        assert {tuple(sorted(re.findall(r'(\w+)="', line))) for line in lines} == {tuple(sorted(family.labels))}
        assert not {"request_id", "stream_id", "run_id", "session"} & set(family.labels)


def _sample(family: Family) -> str:
    return family.full_name + ("_count" if family.kind == "histogram" else "")


async def test_openmetrics_is_spoken_to_who_asks_for_it(stand: Stand) -> None:
    """As newer scrapers do."""
    watcher = stand.watcher()
    async with exposed(watcher) as url:
        answer = await get(url, "/metrics", accept="application/openmetrics-text; version=1.0.0")
        assert answer.headers["content-type"].startswith("application/openmetrics-text")
        assert answer.body.endswith("# EOF\n")
        assert (await get(url, "/metrics")).headers["content-type"].startswith("text/plain")


def _expressions() -> list[str]:
    rules = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())
    alerts = [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    dashboard = json.loads((ROOT / "deploy/grafana/job-runner.json").read_text())
    return alerts + [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]


async def test_dashboard_and_alerts_use_only_what_is_exported(stand: Stand) -> None:
    """A metric that nobody exports is a panel without a line, and an alert that never fires."""
    text = await everything(stand)
    names = {name.partition("{")[0] for name in samples(text)}
    used = {name for each in _expressions() for name in (*OURS.findall(each), *OF_THE_LIBRARY.findall(each))}
    assert used
    assert used <= names


async def test_labels_in_expressions_exist(stand: Stand) -> None:
    """`state="leased"` and the like: a misspelt value would select nothing."""
    seen = samples(await everything(stand))
    values: dict[str, set[str]] = {}
    for name in seen:
        for label, value in re.findall(r'(\w+)="([^"]*)"', name):
            values.setdefault(label, set()).add(value)
    for expression in _expressions():
        for label, operator, wanted in re.findall(r'(\w+)(=~?)"([^"]*)"', expression):
            if label != "instance":
                assert operator in {"=", "=~"}
                assert set(wanted.split("|")) <= values[label], expression


def test_the_dashboard_can_be_imported() -> None:
    """A uid, a variable for the data source that every panel uses, ids that are used once, panels beside each other."""
    dashboard: dict[str, Any] = json.loads((ROOT / "deploy/grafana/job-runner.json").read_text())
    assert dashboard["uid"] == "job-runner"
    variables = {each["name"]: each for each in dashboard["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        if panel["type"] != "row":
            assert panel["description"]
            assert {each["datasource"]["uid"] for each in (panel, *panel["targets"])} == {"${datasource}"}
    cells = [
        (x, y)
        for each in panels
        for x in range(each["gridPos"]["x"], each["gridPos"]["x"] + each["gridPos"]["w"])
        for y in range(each["gridPos"]["y"], each["gridPos"]["y"] + each["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells)), "panels overlap"


def test_every_metric_of_ours_has_its_panel() -> None:
    """What is not on the dashboard is named here with its reason."""
    shown = " ".join(json.loads((ROOT / "deploy/grafana/job-runner.json").read_text())["panels"].__repr__().split())
    assert [each.full_name for each in FAMILIES if each.full_name not in shown] == []


def test_every_alert_says_what_to_do() -> None:
    """A summary for the pager, a description of the next step, and a section in the manual."""
    rules = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())
    manual = (ROOT / "docs/how-to/monitoring.md").read_text()
    for group in rules["groups"]:
        for rule in group["rules"]:
            assert rule["annotations"].keys() == {"summary", "description"}
            assert rule["labels"]["severity"] in {"critical", "warning"}
            assert f"`{rule['alert']}`" in manual


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_the_manual_has_every_metric(family: Family) -> None:
    """A row of its table: name, kind, labels, meaning, as the code has them."""
    labels = ", ".join(f"`{label}`" for label in family.labels) or "-"
    row = f"| `{family.full_name}` | {family.kind} | {labels} | {family.meaning} |"
    assert row in (ROOT / "docs/how-to/monitoring.md").read_text()


def test_the_manual_has_no_metric_that_there_is_not() -> None:
    """Whatever it names with the prefix exists."""
    manual = (ROOT / "docs/how-to/monitoring.md").read_text()
    known = {each.full_name for each in FAMILIES}
    named = {re.sub(r"_(?:bucket|sum|count)$", "", name) for name in OURS.findall(manual)}
    assert named - {PREFIX} <= known | {name.removesuffix("_total") for name in known}
