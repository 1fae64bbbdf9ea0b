"""Decides whether to rent machines, how many, and which to give back. Pure; called by the fleet and the simulator.

`decide` plays out what waits on all there is (the free machine, the cloud, what is rented already), with no, one, two …
further machines, and compares (`lib.market.outlook`). A further machine is rented only if a deadline needs it, if
nobody else can do what waits, if it is cheaper than the cloud for what it takes from there, or if it saves those who
wait at least as many seconds as are paid for without work: start-up and idle grace; beside another one, three times as
many.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib.market.life import worst_cost
from lib.market.needs import Capacity, Code, Decision, Demand, Limits, Waiting
from lib.market.outlook import STARTING, Outlook, counted, dollars, machines

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lib.market.figures import Figures
    from lib.market.instance import Instance

__all__ = ["Capacity", "Code", "Decision", "Demand", "Limits", "Waiting", "decide"]


def decide(demand: Demand, fleet: Sequence[Instance], limits: Limits, figures: Figures) -> Decision:
    """Look at everything once; the same arguments lead to the same decision. `fleet` is all rows that are not gone."""
    jobs = sum(group.jobs for group in demand.waiting)
    if jobs == 0:
        return Decision(0, tuple(_unneeded(demand, fleet, limits)), "nothing waits for a rented machine")
    outlook = Outlook(demand, fleet, limits, figures)
    reason = outlook.best_reason(_most(fleet, limits, figures))
    if reason.count == 0:
        return Decision(0, (), reason.why, reason.code)
    refused = _refused(fleet, limits, figures)
    if refused is not None:
        return refused
    return Decision(reason.count, (), f"{machines(reason.count)} for {counted(jobs)}: {reason.why}", reason.code)


def _most(fleet: Sequence[Instance], limits: Limits, figures: Figures) -> int:
    """How many may be rented; one is looked at in any case, so that it is told if it would not even be worth it."""
    room = limits.max_instances - len(fleet)
    worst = worst_cost(figures.dph, limits.max_runtime)
    if worst > 0:
        room = min(room, (limits.budget_left or 0) // worst)
    return max(1, room)


def _refused(fleet: Sequence[Instance], limits: Limits, figures: Figures) -> Decision | None:
    """What forbids another machine that would be worth it."""
    if len(fleet) >= limits.max_instances:
        return Decision(0, (), f"{machines(len(fleet))}: as many as VAST_MAX_INSTANCES and SSH_HOSTS allow", "most")
    worst = worst_cost(figures.dph, limits.max_runtime)
    if worst == 0:
        return None
    if limits.budget_left is None:
        return Decision(0, (), "BUDGET_PER_DAY_USD is not set, so nothing that costs is rented", "no_budget")
    if worst > limits.budget_left:
        left = f"{dollars(max(0, limits.budget_left))} of BUDGET_PER_DAY_USD is left"
        return Decision(0, (), f"{left}, and a machine may cost {dollars(worst)}", "budget")
    return None


def _unneeded(demand: Demand, fleet: Sequence[Instance], limits: Limits) -> Iterator[str]:
    """Those to give back when nothing waits: idle for the grace, or still starting for nobody."""
    for instance in fleet:
        idle = instance.state == "idle" and demand.now - instance.since >= limits.idle_grace
        in_vain = instance.state in STARTING and demand.held == 0 and demand.quiet >= limits.idle_grace
        if idle or in_vain:
            yield instance.intent
