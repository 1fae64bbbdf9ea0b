"""The life of a rented machine as a story: what is done at each turn, and what each mishap leads to."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lib.market import events as ev
from lib.market.ending import ALARM_EVERY, APART_SECONDS, EXCLUDED_SECONDS, IN_FLIGHT_SECONDS, REASONS
from lib.market.instance import STATES, Instance, InstanceState, seconds_by_state
from lib.market.labels import parse_label
from lib.market.life import LifeLimits, accrued, begin, label_of, next_tick, step, worst_cost
from tests.lib.market.lives import ADDRESS, HAPPY, LIMITS, NOW, OFFER, Told, fresh, in_state

REACHED: tuple[InstanceState, ...] = ("connecting", "probing", "canary", "draining", "idle")
KNOWN: tuple[InstanceState, ...] = ("loading", *REACHED)


def test_a_life_without_mishaps() -> None:
    """Each event asks for the next thing, and nothing is asked for twice."""
    told = Told()
    asked = [told.hears(event) for event in HAPPY]
    assert asked == [
        [ev.Create()],
        [ev.Show()],
        [ev.Connect(ADDRESS)],
        [ev.Probe()],
        [ev.RunCanary()],
        [ev.Open()],
        [],
    ]
    assert told.states == ["creating", "loading", "connecting", "probing", "canary", "draining", "idle"]
    assert told.hears(ev.Work(), ev.NoWork()) == []
    assert told.hears(ev.Tick(), after=LIMITS.idle) == [ev.Close(), ev.Destroy(), ev.Show()]
    assert (told.instance.reason, told.instance.failed) == ("idle", False)
    assert told.hears(ev.Absent(plain=True)) == [ev.End()]
    assert told.instance.state == "gone"


def test_an_intent_knows_its_offer_its_end_and_its_label() -> None:
    """The label that travels in the create call says whose it is and until when."""
    instance = fresh()
    assert (instance.offer, instance.machine_id, instance.gpu, instance.dph) == ("17", "m4", "RTX 4090", 366_000)
    assert instance.expires_at == NOW + 7200
    label = parse_label(str(label_of(instance, "pab")), "pab")
    assert label is not None
    assert (label.intent, label.fence, label.expires_at) == ("intent0001", "12", NOW + 7200)


def test_the_worst_case_is_the_whole_rent_at_its_price() -> None:
    """What an intent reserves; part of a millionth is a whole one."""
    assert worst_cost(366_000, 7200.0) == 732_000
    assert worst_cost(1, 1.0) == 1
    assert worst_cost(0, 7200.0) == 0


def test_no_state_lasts_longer_than_the_whole() -> None:
    """WATCHER_MAX_RUNTIME is hard, however generous the limit of a state is."""
    short = LifeLimits(max_runtime=90.0)
    told = Told(begin("intent0001", "vast", OFFER, 60.0, NOW, short), limits=short)
    told.hears(ev.Recorded(), ev.Created("c1"))
    assert told.instance.deadline == NOW + 90
    assert told.hears(ev.Tick(), after=88.0) == [ev.Destroy(), ev.Show()]
    assert told.instance.reason == "max_runtime"


def test_one_that_works_is_ended_at_its_end_all_the_same() -> None:
    """Its jobs go back: `Close` comes first."""
    told = in_state("draining")
    told.hears(ev.Work(), after=7000.0)
    assert told.instance.state == "draining"
    assert told.hears(ev.Work(), after=200.0)[:2] == [ev.Close(), ev.Destroy()]
    assert told.instance.reason == "max_runtime"


@pytest.mark.parametrize(
    ("state", "seconds", "reason"),
    [
        ("intended", 60.0, "not_recorded"),
        ("creating", 60.0, "not_created"),
        ("loading", 600.0, "not_loaded"),
        ("connecting", 120.0, "not_connected"),
        ("probing", 720.0, "not_probed"),
        ("canary", 300.0, "no_canary"),
        ("idle", 75.0, "idle"),
    ],
)
def test_each_state_ends_at_its_deadline(state: InstanceState, seconds: float, reason: str) -> None:
    """The reason says which; what comes an instant before is in time, a tick or not."""
    told = in_state(state)
    assert told.instance.deadline == told.now + seconds
    told.hears(ev.Tick(), after=seconds - 0.5)
    assert told.instance.state == state
    told.hears(ev.Tick(), after=0.5)
    assert (told.instance.state, told.instance.reason) == ("destroying", reason)


def test_what_comes_too_late_changes_nothing_but_is_not_forgotten() -> None:
    """A create that is answered after its time is destroyed: its id is what matters now."""
    told = in_state("creating")
    assert told.hears(ev.Created("c9"), after=61.0) == [ev.LookForLabel(), ev.Destroy(), ev.Show()]
    assert (told.instance.state, told.instance.market_id) == ("destroying", "c9")
    told = in_state("connecting")
    told.hears(ev.Connected(), after=121.0)
    assert told.instance.reason == "not_connected"


def test_a_lost_reply_is_looked_for_by_its_label_and_never_asked_for_again() -> None:
    """Found, its life goes on."""
    told = in_state("creating")
    assert told.hears(ev.Uncertain()) == [ev.LookForLabel()]
    assert next_tick(told.instance, told.now) == told.now + 5
    assert told.hears(ev.Absent(plain=False), ev.Tick(), after=5.0) == [ev.LookForLabel()]
    assert told.hears(ev.Created("c1")) == [ev.Show()]
    assert told.instance.state == "loading"
    assert told.actions.count(ev.Create()) == 1


def test_a_lost_reply_that_leads_nowhere_ends_when_it_can_no_longer_be_on_its_way() -> None:
    """Listings without it prove nothing while the create may still arrive."""
    told = in_state("creating")
    asked_at = told.instance.created_at
    assert asked_at is not None
    told.hears(ev.Uncertain())
    told.hears(ev.Tick(), after=60.0)
    told.hears(ev.Absent(plain=False), ev.Absent(plain=False), after=10.0)
    assert told.instance.state == "destroying"
    told.hears(ev.Absent(plain=False), after=asked_at + IN_FLIGHT_SECONDS - told.now)
    assert next_tick(told.instance, told.now) <= told.now + APART_SECONDS
    assert told.hears(ev.Tick(), after=APART_SECONDS) == [ev.LookForLabel()]
    assert told.hears(ev.Absent(plain=False)) == [ev.End()]
    assert told.instance.cost == 0


def test_what_was_looked_for_in_vain_before_its_end_proves_nothing_after_it() -> None:
    """Two listings must be without it once its end was asked for."""
    told = Told(limits=replace(LIMITS, creating=3000.0))
    told.hears(ev.Recorded(), ev.Uncertain())
    told.hears(ev.ToldToEnd("drain"), after=1000.0)
    assert told.hears(ev.Absent(plain=False)) == []
    assert told.hears(ev.Absent(plain=False), after=5.0) == [ev.End()]


def test_no_plain_word_is_believed_about_a_machine_whose_id_nobody_knows() -> None:
    """It can only have been about another one."""
    told = in_state("creating")
    told.hears(ev.ToldToEnd("drain"), ev.Absent(plain=True))
    assert told.instance.state == "destroying"


def test_a_refused_create_is_over_at_once_and_costs_nothing() -> None:
    """The market said so of this very request: the next offer gets an intent of its own."""
    told = in_state("creating")
    assert told.hears(ev.Refused("offer 17 is gone")) == [ev.End()]
    assert (told.instance.state, told.instance.cost) == ("gone", 0)
    assert told.instance.reason == "refused: offer 17 is gone"
    assert not told.instance.failed


def test_a_refusal_that_comes_while_it_is_being_ended_is_proof_too() -> None:
    """Told to end while the create was on its way."""
    told = in_state("creating")
    assert told.hears(ev.ToldToEnd("drain")) == [ev.LookForLabel()]
    assert told.hears(ev.Refused("no credit")) == [ev.End()]


def test_running_without_an_address_is_not_yet_there() -> None:
    """Ports come later than the container."""
    told = in_state("loading")
    assert told.hears(ev.Shown("running"), ev.Shown("offline"), ev.Shown("unknown"), ev.Shown("loading")) == []
    assert told.instance.state == "loading"
    assert told.hears(ev.Tick()) == [ev.Show()]


@pytest.mark.parametrize("state", KNOWN)
def test_a_preempted_one_is_given_up_and_its_machine_is_not_blamed(state: InstanceState) -> None:
    """It was outbid: no fault of anybody."""
    told = in_state(state)
    actions = told.hears(ev.Shown("stopped", message="outbid"))
    assert actions == [*([ev.Close()] if state in REACHED else []), ev.Destroy(), ev.Show()]
    assert (told.instance.reason, told.instance.failed) == ("preempted: outbid", False)


@pytest.mark.parametrize("state", KNOWN)
def test_one_whose_container_ended_is_destroyed_and_avoided(state: InstanceState) -> None:
    """The next batch goes to another machine for a while."""
    told = in_state(state)
    actions = told.hears(ev.Shown("exited", message="out of memory"))
    assert actions[-1] == ev.Exclude("m4", EXCLUDED_SECONDS, "exited: out of memory")
    assert told.instance.failed


@pytest.mark.parametrize("state", REACHED)
def test_a_lost_host_is_destroyed_and_blamed_only_if_it_is_to_blame(state: InstanceState) -> None:
    """A changed host key is; a cut line of ours is not."""
    told = in_state(state)
    assert told.hears(ev.Lost("host key changed")) == [
        ev.Close(),
        ev.Destroy(),
        ev.Show(),
        ev.Exclude("m4", EXCLUDED_SECONDS, "lost: host key changed"),
    ]
    told = in_state(state)
    assert told.hears(ev.Lost("no route from here", blame=False)) == [ev.Close(), ev.Destroy(), ev.Show()]


@pytest.mark.parametrize(
    ("state", "event", "reason"),
    [
        ("probing", ev.Probed("disk: 3 GB free of 60"), "probe: disk: 3 GB free of 60"),
        ("canary", ev.CanaryEnded("silent audio"), "canary: silent audio"),
    ],
)
def test_a_bad_machine_gets_no_input(state: InstanceState, event: ev.Event, reason: str) -> None:
    """It was never opened."""
    told = in_state(state)
    told.hears(event)
    assert (told.instance.state, told.instance.reason, told.instance.failed) == ("destroying", reason, True)
    assert ev.Open() not in told.actions


def test_one_that_is_still_listed_is_asked_again_and_again_and_people_are_told() -> None:
    """The pauses grow to a minute; the alarm comes at every fifth request."""
    told = in_state("destroying")
    pauses = []
    for _ in range(9):
        told.hears(ev.Shown("running"), after=0.0)
        before = told.now
        told.hears(ev.Tick(), after=next_tick(told.instance, told.now) - told.now)
        pauses.append(told.now - before)
    assert pauses == [5, 10, 20, 40, 60, 60, 60, 60, 60]
    alarms = [action.asked for action in told.actions if isinstance(action, ev.Alarm)]
    assert alarms == [ALARM_EVERY, 2 * ALARM_EVERY]
    assert told.actions.count(ev.Destroy()) == 10


def test_a_tick_before_its_time_asks_nothing() -> None:
    """Several who watch the clock do not storm the market."""
    told = in_state("destroying")
    assert told.hears(*[ev.Tick()] * 10, after=0.1) == []


def test_two_listings_without_it_prove_its_end_if_they_are_apart_and_nobody_saw_it_between() -> None:
    """The same stale answer twice is one answer."""
    told = in_state("destroying")
    told.hears(ev.Absent(plain=False), ev.Absent(plain=False), after=1.0)
    assert told.instance.state == "destroying"
    told.hears(ev.Shown("running"), ev.Absent(plain=False), after=5.0)
    assert told.instance.state == "destroying"
    assert told.hears(ev.Absent(plain=False), after=5.0) == [ev.End()]


def test_one_that_vanishes_at_work_is_destroyed_before_it_is_believed() -> None:
    """A plain not-found takes its jobs from it; only the next proves its end."""
    told = in_state("draining")
    assert told.hears(ev.Absent(plain=True)) == [ev.Close(), ev.Destroy(), ev.Show()]
    assert told.instance.reason == "vanished"
    assert told.hears(ev.Absent(plain=True)) == [ev.End()]


def test_a_listing_without_it_takes_no_work_from_a_living_one() -> None:
    """A listing may be behind; its connection is what tells."""
    for state in KNOWN:
        assert in_state(state).hears(ev.Absent(plain=False)) == []


def test_a_market_may_rent_sooner_than_it_shows() -> None:
    """In its first moments a not-found is no loss; later it is."""
    told = in_state("loading")
    assert told.hears(ev.Absent(plain=True)) == []
    told.hears(ev.Absent(plain=True), after=IN_FLIGHT_SECONDS)
    assert told.instance.reason == "vanished"


def test_an_adopted_row_is_asked_to_end_at_once() -> None:
    """Whatever deadline its adopter gave it."""
    row = replace(in_state("canary").instance, state="destroying", since=NOW + 50, deadline=NOW + 110, owner="other")
    assert next_tick(row, NOW + 50) == NOW + 50
    assert step(row, ev.Tick(), NOW + 50, LIMITS).actions == (ev.Destroy(), ev.Show())


def test_an_adopted_row_without_an_id_is_looked_for_and_then_ended() -> None:
    """Its first owner died between create and record."""
    row = replace(in_state("creating").instance, state="destroying", since=NOW + 50, deadline=NOW + 110)
    told = Told(row, NOW + 50)
    assert told.hears(ev.Tick(), after=0.0) == [ev.LookForLabel()]
    assert told.hears(ev.Created("c7")) == [ev.Destroy(), ev.Show()]
    assert told.instance.cost == accrued(told.instance, told.now) > 0
    assert told.hears(ev.Absent(plain=True)) == [ev.End()]


def test_it_costs_from_the_moment_it_was_asked_for() -> None:
    """By the hour's price, storage included; a part of a millionth is a whole one; nothing is charged twice."""
    told = in_state("loading")
    assert told.instance.created_at == NOW + 1
    then = step(told.instance, ev.Tick(), NOW + 1 + 1000, LIMITS)
    assert then.instance.cost + then.charge == -(-366_000 * 1000 // 3600)
    assert step(then.charged, ev.Tick(), NOW + 1 + 1000, LIMITS).charge == 0


def test_its_seconds_add_up() -> None:
    """Each state's, and of those that alternate the sum."""
    told = in_state("idle")
    told.hears(ev.Work(), ev.NoWork(), after=10.0)
    told.hears(ev.ToldToEnd("by hand"), ev.Absent(plain=True), after=7.0)
    assert seconds_by_state(told.instance, told.now + 999) == {
        "intended": 1.0,
        "creating": 1.0,
        "loading": 1.0,
        "connecting": 1.0,
        "probing": 1.0,
        "canary": 1.0,
        "draining": 11.0,
        "idle": 17.0,
        "destroying": 7.0,
    }


def test_every_reason_is_explained() -> None:
    """In words for people; whoever is blamed has failed."""
    assert all(reason.words and (reason.failed or not reason.blame) for reason in REASONS.values())


@pytest.mark.parametrize("state", [state for state in STATES if state not in {"destroying", "gone"}])
def test_it_can_be_told_to_end_in_any_state(state: InstanceState) -> None:
    """Those that are ready stop taking jobs first; nobody is excluded."""
    told = in_state(state)
    actions = told.hears(ev.ToldToEnd("by hand"))
    assert told.instance.reason == "told: by hand"
    assert (actions[0] == ev.Close()) == (state in REACHED)
    assert not any(isinstance(action, ev.Exclude) for action in actions)


def test_what_is_gone_stays_as_it_is() -> None:
    """No event brings it back, and nothing more is paid for it."""
    gone: Instance = in_state("gone").instance
    assert step(gone, ev.Created("c8"), NOW + 9999, LIMITS).instance is gone
    assert step(gone, ev.Tick(), NOW + 9999, LIMITS).charge == 0
    assert next_tick(gone, NOW) == float("inf")
