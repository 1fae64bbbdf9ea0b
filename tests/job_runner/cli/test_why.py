"""`job-runner why`: what stands in a job's way, in each place where it can be."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from job_runner.service.why import why
from lib.jobqueue.protocol import Progress, Retry
from lib.redisqueue import leasing, measures, sessions
from lib.redisqueue.measures import Sample
from lib.redisqueue.place import AHEAD_MAX
from lib.settings import Settings
from tests.support.hand import LANES

if TYPE_CHECKING:
    from job_runner.service.why import Why
    from tests.job_runner.conftest import JobRunner
    from tests.support.hand import HandWatcher


def kinds(answer: Why) -> list[str]:
    """The blockers in their order."""
    return [blocker.kind for blocker in answer.blockers]


async def asked(watcher: HandWatcher, request_id: str) -> Why:
    """The answer while this watcher lives."""
    return await why(watcher.queue, Settings.load({}), request_id)


def test_not_found(runner: JobRunner) -> None:
    """Exit code 4, and the document says so too."""
    missing = runner("why", "nobody", "--json")
    assert (missing.code, missing.document["status"], missing.document["blockers"]) == (4, "not_found", [])
    assert "no job 'nobody'" in runner("why", "nobody").err


def test_without_a_watcher(runner: JobRunner, three: str) -> None:
    """The first thing that a beginner forgets is named first, with what to type; no backend takes the job."""
    runner("enqueue", three)
    assert runner("why", "story:two").out == (
        "story:two: queued\n"
        "  1. no watcher is alive; start one with `job-watcher`\n"
        "  2. 1 job before it in its backlog\n"
        "  3. it takes turns with 1 other kind of jobs\n"
        "  metal  refuses: no living watcher offers the backend metal\n"
        "  cloud  refuses: no living watcher offers the backend cloud\n"
        "  no ETA: nobody who is alive can run it\n"
    )
    document = runner("why", "story:one", "--json").document
    assert document["where"] == "stream"
    assert [blocker["kind"] for blocker in document["blockers"]] == ["no_watcher"]


def test_a_pin_that_nobody_serves(runner: JobRunner) -> None:
    """A job for a backend that no watcher has waits for ever, and is told so, however idle the others are."""
    runner("enqueue", runner.file("- {request_id: a, task: debug, backend: cloud}\n"))

    async def look(watcher: HandWatcher) -> None:
        answer = await asked(watcher, "a")
        assert kinds(answer)[0] == "nobody_offers"
        assert answer.blockers[0].says == "no living watcher offers any on cloud, where it is pinned to"
        assert "`job-watcher --backends metal,cloud`" in answer.blockers[0].mend
        says = {view.backend: (view.takes, view.says) for view in answer.backends}
        assert says == {
            "metal": (False, "the job is pinned to cloud"),
            "cloud": (False, "no living watcher offers the backend cloud"),
        }

    runner.by_hand(look)


def test_a_full_backend(runner: JobRunner) -> None:
    """With no room left on metal, why says how full it is, and who goes first."""
    runner("enqueue", runner.file("".join(f"- {{request_id: job-{i}, task: debug}}\n" for i in range(3))))

    async def look(watcher: HandWatcher) -> None:
        await watcher.move_all()

    runner.by_hand(look)
    runner("enqueue", runner.file("- {request_id: late, task: debug, priority: low}\n"))
    runner("enqueue", runner.file("- {request_id: urgent, task: debug, priority: high}\n"))
    runner("enqueue", runner.file("- {request_id: elsewhere, task: debug, backend: cloud}\n"))

    async def look_again(watcher: HandWatcher) -> None:
        answer = await asked(watcher, "late")
        # Nobody leads: the watcher of this test took the lead once and is another session by now.
        assert kinds(answer) == ["no_leader", "no_room", "higher_priority"]
        assert "metal is full: 3 jobs" in answer.blockers[1].says
        assert answer.blockers[2].says == "2 jobs of a higher priority before it"
        # Room on metal would bring this one no further.
        assert kinds(await asked(watcher, "elsewhere"))[:2] == ["nobody_offers", "no_leader"]
        assert "no_room" not in kinds(await asked(watcher, "elsewhere"))

    runner.by_hand(look_again)


def test_next_in_line(runner: JobRunner) -> None:
    """A job that nothing blocks is told to be the next, not left without an answer."""
    runner("enqueue", runner.file("- {request_id: a, task: debug}\n"))

    async def look(watcher: HandWatcher) -> None:
        await watcher.queue.refresh_streams()
        await watcher.move_all()
        answer = await asked(watcher, "a")
        assert kinds(answer) == ["next"]
        metal = next(view for view in answer.backends if view.backend == "metal")
        assert (metal.takes, metal.says) == (True, "1 slot for any")

    runner.by_hand(look)


def test_a_backlog_that_the_conductor_leaves_alone(runner: JobRunner) -> None:
    """One that was started for some backlogs moves nothing else: it is not the next one, and the mend is named."""
    runner("enqueue", runner.file("- {request_id: a, task: debug}\n"), "--target", "backlog:night")

    async def look(watcher: HandWatcher) -> None:
        await watcher.queue.refresh_streams()
        assert (await sessions.lead(watcher.queue, watcher.session, dedicated=True, backlogs=["stress", "day"])).mine
        (blocker,) = (await asked(watcher, "a")).blockers
        assert blocker.kind == "left_alone"
        assert blocker.says.endswith("serves only the backlogs day, stress; this job waits in night")
        assert "`--backlog backlog:night`" in blocker.mend
        await watcher.queue.client.hset(watcher.queue.keys.of("lock"), "backlogs", "night")
        assert kinds(await asked(watcher, "a")) == ["next"]

    runner.by_hand(look)


def test_behind_a_running_job_in_its_lane(runner: JobRunner) -> None:
    """In a lane it waits for the slot alone."""
    runner("enqueue", runner.file("- {request_id: a, task: debug}\n- {request_id: b, task: debug}\n"))

    async def look(watcher: HandWatcher) -> None:
        await watcher.move_all()
        started = await leasing.start(watcher.queue, watcher.session, LANES, read=1)
        answer = await asked(watcher, "b")
        assert kinds(answer) == ["slot_busy"]
        assert "1 job there must end first" in answer.blockers[0].says
        (lease,) = started.leases
        told = Progress(lease.request_id, lease.fence, b'{"percent":50}')
        await leasing.report_progress(watcher.queue, watcher.session, [told])
        running = await asked(watcher, lease.request_id)
        assert kinds(running) == ["running"]
        assert running.blockers[0].says == "it runs on watcher hand, attempt 1"
        assert running.document()["progress"]["percent"] == 50

    runner.by_hand(look)
    # The session of that watcher is closed by now: its job is nobody's until a sweep.
    assert "has ended; the next sweep of a living one takes it back" in runner("why", "a").out


def test_delayed_by_its_time(runner: JobRunner) -> None:
    """The time stands there as it was asked for."""
    runner("enqueue", runner.file("- {request_id: a, task: debug, run_after: '2099-01-01T00:00:00Z'}\n"))
    assert "1. it may not run before 2099-01-01T00:00:00" in runner("why", "a").out


def test_delayed_by_a_conflict_key(runner: JobRunner) -> None:
    """Who holds the key, how many wait longer, and the command that looks at the holder."""
    rows = "".join(
        f"- {{request_id: {name}, task: debug, conflict_key: source, on_conflict: queue}}\n" for name in ("a", "b", "c")
    )
    runner("enqueue", runner.file(rows))
    assert "its conflict_key source is held by a; `job-runner why a` says how that job stands" in runner("why", "b").out
    assert "is held by a, 1 waiting longer;" in runner("why", "c").out
    assert [blocker["kind"] for blocker in runner("why", "b", "--json").document["blockers"]] == ["conflict_key"]


def test_waiting_for_its_next_try(runner: JobRunner) -> None:
    """When it is tried again, and how often it was."""
    runner("enqueue", runner.file("- {request_id: a, task: debug}\n"))

    async def fail_once(watcher: HandWatcher) -> None:
        (lease,) = await watcher.lease()
        await leasing.retry(watcher.queue, watcher.session, [Retry(lease, "attempt", 60_000)])

    runner.by_hand(fail_once)
    assert "it is tried again at 20" in runner("why", "a").out
    assert "after 1 attempt" in runner("why", "a").out


@pytest.mark.parametrize(
    ("how", "said"), [("done", "finished at 20"), ("failed", "permanent at execute: no such voice")]
)
def test_ended(runner: JobRunner, how: str, said: str) -> None:
    """A job that has ended is where it is for good; why says how it came to that and what can be done."""
    runner("enqueue", runner.file("- {request_id: a, task: debug}\n"))

    async def end(watcher: HandWatcher) -> None:
        (lease,) = await watcher.lease()
        await (watcher.done(lease) if how == "done" else watcher.failed(lease))

    runner.by_hand(end)
    answer = runner("why", "a")
    assert answer.code == 0
    assert answer.out.startswith(f"a: {how}\n")
    assert said in answer.out
    assert "job-runner" in answer.err


def test_cancelled(runner: JobRunner) -> None:
    """A cancelled job says how it comes back."""
    runner("enqueue", runner.file("- {request_id: a, task: debug}\n"))
    runner("cancel", "a", "--yes")
    answer = runner("why", "a")
    assert answer.out.startswith("a: cancelled\n  cancelled at 20")
    assert "`job-runner retry a`" in answer.err


def test_a_long_line_is_not_counted_to_its_end(runner: JobRunner) -> None:
    """Behind a hundred thousand jobs the answer is as quick as behind a thousand."""
    rows = "".join(f"- {{request_id: job-{i}, task: debug}}\n" for i in range(AHEAD_MAX + 5))
    runner("enqueue", runner.file(rows), "--quiet")
    assert f"{AHEAD_MAX} jobs or more before it in its backlog" in runner("why", f"job-{AHEAD_MAX + 4}").out
    assert "3 jobs before it in its backlog" in runner("why", "job-3").out


def test_looking_writes_nothing(runner: JobRunner, three: str) -> None:
    """To ask changes no key: the same answer twice."""
    runner("enqueue", three)
    first = runner("why", "nap", "--json").document
    assert runner("why", "nap", "--json").document == first


def test_a_pin_to_what_never_runs_such_jobs_stands_before_the_missing_watcher(runner: JobRunner) -> None:
    """Starting a watcher would not help, so the pin and its mend come first."""
    runner("enqueue", runner.file("- {request_id: a, task: debug, backend: vast}\n"))
    document = runner("why", "a", "--json").document
    assert [blocker["kind"] for blocker in document["blockers"]] == ["nobody_offers", "no_watcher"]
    shown = runner("why", "a").out.splitlines()
    assert shown[1] == (
        "  1. it is pinned to vast, and rented machines run nothing but speech; "
        "cancel it, take its backend out of the file, and enqueue it again"
    )


def test_speech_pinned_to_rented_machines_waits_for_a_watcher_that_rents(runner: JobRunner) -> None:
    """The mend names the flag and the settings; of the backends the rented one is spoken of."""
    runner("enqueue", runner.file("- {request_id: a, text: One., voice: newsroom, backend: vast}\n"))
    document = runner("why", "a", "--json").document
    assert [blocker["kind"] for blocker in document["blockers"]] == ["no_watcher"]
    assert "--backends metal,vast" in document["blockers"][0]["mend"]
    assert "VAST_API_KEY" in document["blockers"][0]["mend"]
    assert [view["backend"] for view in document["backends"]] == ["metal", "vast", "cloud"]


def test_a_pin_to_metal_waits_for_a_watcher_alone(runner: JobRunner) -> None:
    """What exists is no obstacle."""
    runner("enqueue", runner.file("- {request_id: a, task: debug, backend: metal}\n"))
    document = runner("why", "a", "--json").document
    assert [blocker["kind"] for blocker in document["blockers"]] == ["no_watcher"]


def test_a_pin_to_the_cloud_names_the_watcher_that_serves_it(runner: JobRunner) -> None:
    """What is to be typed has the backend in it."""
    runner("enqueue", runner.file("- {request_id: a, task: debug, backend: cloud}\n"))
    assert "1. no watcher is alive; start one with `job-watcher --backends metal,cloud`\n" in runner("why", "a").out


def test_where_it_stands_and_when_it_will_be_done(runner: JobRunner) -> None:
    """By what such jobs took; the price of each backend stands in the document, none where nothing is paid."""
    runner("enqueue", runner.file("".join(f"- {{request_id: job-{i}, task: debug}}\n" for i in range(3))))

    async def look(watcher: HandWatcher) -> None:
        await watcher.queue.refresh_streams()
        unknown = await asked(watcher, "job-2")
        assert (unknown.document()["position"], unknown.eta) == (3, None), "nothing was measured yet"
        await measures.add(watcher.queue, [Sample("debug", "metal", 1.0, 10.0)] * 5)
        answer = await asked(watcher, "job-2")
        assert answer.eta is not None
        assert answer.eta.p50 == pytest.approx(30, rel=0.2)
        metal, cloud = answer.document()["backends"]
        assert (metal["takes"], metal["usd"], cloud["takes"]) == (True, 0.0, False)
        assert metal["seconds"][0] == pytest.approx(10, rel=0.1)
        shown = await asyncio.to_thread(runner, "why", "job-2")
        assert "\n  number 3 to go, done in about " in shown.out

    runner.by_hand(look)


def test_no_eta_is_promised_where_the_order_is_another(runner: JobRunner) -> None:
    """Under the policy deadline those with one go by it; a job that waits for its time or a key stands nowhere yet."""
    moments = (
        ("plain", ""),
        ("late", ", run_after: 2099-01-01T00:00:00Z"),
        ("dated", ", deadline: 2099-01-01T00:00:00Z"),
    )
    runner("enqueue", runner.file("".join(f"- {{request_id: {name}, task: debug{more}}}\n" for name, more in moments)))
    settings = Settings.load({"CONDUCTOR_POLICY": "deadline"})

    async def look(watcher: HandWatcher) -> None:
        await watcher.queue.refresh_streams()
        await measures.add(watcher.queue, [Sample("debug", "metal", 1.0, 10.0)] * 5)
        dated, plain, late = [await why(watcher.queue, settings, name) for name in ("dated", "plain", "late")]
        assert (dated.eta, dated.before) == (None, None)
        assert kinds(dated)[-1] == kinds(plain)[-1] == "by_deadline"
        assert dated.blockers[-1].says == "jobs with a nearer deadline go before it; 1 job beside it waiting"
        assert dated.eta_says.endswith("by their deadlines, not in their order; its own is 2099-01-01T00:00:00.000Z")
        assert plain.eta is not None
        assert plain.eta_says == "later where jobs with a deadline go before it (policy deadline)"
        assert (late.eta, late.document()["eta_says"]) == (
            None,
            "where it will stand then depends on what waits by that time",
        )
        assert (await asked(watcher, "dated")).eta is not None, "by another policy it has its turn"

    runner.by_hand(look)
    assert "\n  no ETA: where it will stand then" in runner("why", "late").out
