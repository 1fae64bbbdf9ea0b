"""What a simulated run says: makespan, cost, utilisation, deadlines, what no schedule could beat, and the picture."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any, Final

from job_watcher.simulation.running import drawn
from lib.money import MICRO
from lib.routing import bounds, deadline_bounds
from lib.routing.timeline import Bar, clock, draw
from lib.routing.view import FREE, RENTED

if TYPE_CHECKING:
    from job_watcher.simulation.running import Ended, Run
    from job_watcher.simulation.scenario import Scenario


_LATE_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Floors:
    """What no schedule can beat: of the makespan, of any schedule and of one that keeps Rules A and B; of deadlines."""

    makespan: float
    conducted: float
    meetable: int
    cheapest: float


def works(scenario: Scenario, seed: int) -> dict[str, bounds.Work]:
    """What each job really takes, as the seed draws it: of the attempts that may succeed the shortest.

    Jobs that nobody can run, or whose every attempt fails, are left out.
    """
    found: dict[str, bounds.Work] = {}
    for job in scenario.jobs:
        # Where nothing fails there is no second attempt.
        tries = range(1, job.max_attempts + 1) if any(job.fails.values()) else (1,)
        took = {
            backend: [each for each in (drawn(job, backend, seed, one) for one in tries) if not each.fails]
            for backend in job.backends()
            if scenario.runs(job, backend)
        }
        seconds = {backend: min((each.seconds for each in all_), default=inf) for backend, all_ in took.items()}
        price = min((each.micro for each in took.get("cloud", ())), default=0)
        # A rented machine counts as one more of the free ones that starts at once: no bound is too high by that.
        own = min(seconds.get(FREE, inf), seconds.get(RENTED, inf))
        work = bounds.Work(own, seconds.get("cloud", inf), job.arrival, job.deadline, price)
        if work.fastest < inf:
            found[job.id] = work
    return found


def machine(scenario: Scenario) -> bounds.Machine:
    """The slots and the limit of a scenario."""
    rate = scenario.limits.rate()
    rented = scenario.renting.max_instances if scenario.renting is not None else 0
    return bounds.Machine(scenario.slots(FREE) + rented, scenario.slots("cloud"), rate.jobs, rate.window_ms / 1000)


def floors(run: Run) -> Floors:
    """What no schedule can beat on this draw."""
    scenario, limits = run.scenario, run.scenario.limits
    there, jobs = machine(scenario), works(scenario, run.seed)
    dated = {ended.job.id: ended for ended in run.jobs if ended.job.deadline is not None}
    met = [work for job, work in jobs.items() if job in dated and not dated[job].missed]
    rules = bounds.Rules(limits.metal_queue_max, limits.cloud_queue_max)
    ended_ones = {ended.job.id for ended in run.jobs if ended.status == "done"}
    done = [work for job, work in jobs.items() if job in ended_ones]
    any_schedule = bounds.makespan(done, there)
    return Floors(
        any_schedule,
        # The rules say nothing of machines that come and go.
        any_schedule if scenario.renting is not None else bounds.conducted(done, there, rules),
        deadline_bounds.meetable(list(jobs.values()), there),
        deadline_bounds.cheapest(met, there),
    )


def picture(run: Run, title: str = "") -> str:
    """The timeline as SVG."""
    bars = [Bar(each.backend, each.slot, each.begin, each.end, each.job, each.status) for each in run.attempts]
    return draw(bars, title or f"{run.scenario.title}: {run.scenario.policy}")


def utilisation(run: Run) -> dict[str, float]:
    """Of each backend: which part of its slots' time until the end was used."""
    # Of rented machines `rented` says it: theirs is not the whole time.
    backends = sorted({name for watcher in run.scenario.watchers for name in watcher.slots})
    busy = {name: sum(each.end - each.begin for each in run.attempts if each.backend == name) for name in backends}
    room = {name: run.scenario.slots(name) * run.makespan for name in backends}
    return {name: busy[name] / room[name] if room[name] else 0.0 for name in backends}


def document(run: Run) -> dict[str, Any]:
    """The JSON of a run; seconds and dollars."""
    floor = floors(run)
    dated = [ended for ended in run.jobs if ended.job.deadline is not None]
    count = {status: sum(ended.status == status for ended in run.jobs) for status in ("done", "failed", "waiting")}
    return {
        "title": run.scenario.title,
        "policy": run.scenario.policy,
        "seed": run.seed,
        "jobs": len(run.jobs),
        **count,
        "makespan_seconds": round(run.makespan, 3),
        "makespan_floor_seconds": round(floor.makespan, 3),
        "makespan_floor_by_the_rules_seconds": round(floor.conducted, 3),
        "cost_usd": run.micro / MICRO,
        "rented": _rented(run),
        "utilisation": {name: round(share, 4) for name, share in utilisation(run).items()},
        "metal_idle_while_jobs_waited_seconds": round(run.idle_while_waiting, 3),
        "deadlines": {
            "jobs": len(dated),
            "missed": sum(ended.missed for ended in dated),
            "missed_jobs": [ended.job.id for ended in sorted(dated, key=_due) if ended.missed],
            "meetable_at_most": floor.meetable,
            "cheapest_usd": round(floor.cheapest / MICRO, 6),
        },
        "decisions": [
            {"at_seconds": each.at_seconds, "request_id": each.job, "backend": each.backend} for each in run.given
        ],
        "lines": [{"at_seconds": at, "text": text} for at, text in run.lines],
        "attempts": [
            {
                "request_id": each.job,
                "backend": each.backend,
                "slot": each.slot,
                "start_seconds": each.begin,
                "end_seconds": each.end,
                "status": each.status,
            }
            for each in run.attempts
        ],
    }


def _rented(run: Run) -> dict[str, Any]:
    """The machines: what they cost, and which part of that was no work."""
    paid = sum((each.ended or each.created) - each.created for each in run.machines)
    jobs = sum(each.jobs for each in run.machines)
    return {
        "usd": run.rent / MICRO,
        "idle_share": round(1 - sum(each.busy for each in run.machines) / paid, 4) if paid else 0.0,
        "usd_per_job": round(run.rent / MICRO / jobs, 6) if jobs else None,
        "machines": [
            {
                "name": each.name,
                "from_seconds": each.created,
                "ready_seconds": each.ready,
                "to_seconds": each.ended,
                "usd": each.micro / MICRO,
                "jobs": each.jobs,
                "taken_away": each.lost,
                "why": each.why,
            }
            for each in run.machines
        ],
    }


def _rented_lines(run: Run) -> list[str]:
    told = _rented(run)
    if not run.machines:
        return []
    each = f", ${told['usd_per_job']:.4f} a job" if told["usd_per_job"] is not None else ""
    count = len(run.machines)
    found = [f"rented      {count} machine{'s' * (count > 1)}: ${told['usd']:.4f}{each}; idle {told['idle_share']:.0%}"]
    for machine in run.machines[:_LATE_SHOWN]:
        until = clock(machine.ended or machine.created)
        found.append(f"            {machine.name}: {clock(machine.created)} to {until}, {machine.jobs} jobs")
    if count > _LATE_SHOWN:
        found.append(f"            and {count - _LATE_SHOWN} more; --json names all")
    return found


def _due(ended: Ended) -> tuple[float, str]:
    return (inf if ended.job.deadline is None else ended.job.deadline, ended.job.id)


def _late(run: Run) -> list[str]:
    """The first jobs that missed their deadlines, by what they missed, and how many more did."""
    missed = sorted((ended for ended in run.jobs if ended.missed), key=_due)
    told = []
    for ended in missed[:_LATE_SHOWN]:
        how = f"done at {clock(ended.ended)}" if ended.status == "done" and ended.ended is not None else ended.status
        told.append(f"{ended.job.id}: due at {clock(_due(ended)[0])}, {how}")
    if len(missed) > _LATE_SHOWN:
        told.append(f"and {len(missed) - _LATE_SHOWN} more; --json names all")
    return told


def lines(run: Run, *, verbose: bool = False) -> list[str]:
    """The same for a person."""
    told = document(run)
    done = f"{told['done']} done, {told['failed']} failed, {told['waiting']} left waiting"
    dates = told["deadlines"]
    floor, ruled = clock(told["makespan_floor_seconds"]), clock(told["makespan_floor_by_the_rules_seconds"])
    found = [
        f"policy      {told['policy']}, seed {told['seed']}",
        f"jobs        {told['jobs']}: {done}",
        f"makespan    {clock(told['makespan_seconds'])}; no schedule ends before {floor},",
        f"            none that keeps Rules A and B before {ruled}",
        f"cost        ${told['cost_usd']:.4f}",
        "used        " + ", ".join(f"{name} {share:.0%}" for name, share in told["utilisation"].items()),
        *_rented_lines(run),
    ]
    if dates["jobs"]:
        found.append(
            f"deadlines   {dates['jobs'] - dates['missed']} of {dates['jobs']} met;"
            f" at most {dates['meetable_at_most']} can be"
        )
        found.append(f"            the met ones cost ${dates['cheapest_usd']:.4f} at the least")
        found += [f"late        {each}" for each in _late(run)]
    if verbose:
        moved = [(each.at_seconds, f"{each.job} -> {each.backend}") for each in run.given]
        found += ["", *(f"{at:10.3f}  {text}" for at, text in sorted([*run.lines, *moved], key=lambda each: each[0]))]
    return found
