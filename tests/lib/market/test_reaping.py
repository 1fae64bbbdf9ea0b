"""Which machines the reaper may end: those of this namespace that nobody owns, and no other whatever is unknown."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.market.base import Seen
from lib.market.instance import STATES
from lib.market.labels import Label, parse_label
from lib.market.reaping import GRACE_SECONDS, KnownRows, Reapable, adoptable, reapable
from tests.lib.market.lives import NOW, in_state

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lib.market.instance import Instance

RUNTIME = 7200.0
OURS = "pab"
LATE = NOW + 3600
"""An hour after the intents of these tests."""


def listed(market_id: str = "c1", intent: str = "intent0001", *, namespace: str = OURS, asked: float = NOW) -> Seen:
    """A machine that was asked for at this moment, as a listing shows it."""
    label = Label(namespace, intent, "12", int(asked + RUNTIME))
    return Seen(market_id, str(label), "running", started_at=asked + 30)


def row(owner: str = "alive", *, market_id: str = "c1") -> Instance:
    """The row of that machine."""
    return replace(in_state("draining").instance, owner=owner, market_id=market_id)


def reaped(
    listing: Sequence[Seen] | None, known: KnownRows | None, now: float = LATE, namespace: str = OURS
) -> list[tuple[str, str]]:
    """Market ids and why."""
    return [(each.market_id, each.why) for each in reapable(listing, known, namespace, now, max_runtime=RUNTIME)]


def rows(*instances: Instance) -> KnownRows:
    """These, with one session alive."""
    return KnownRows(instances, frozenset({"alive"}))


NONE = rows()
OWNED = rows(row())
ORPHANED = rows(row("dead"))


def test_one_without_a_row_is_reaped() -> None:
    """Its row was ended, or lost: nobody will end it."""
    assert reapable([listed()], NONE, OURS, LATE, max_runtime=RUNTIME) == (Reapable("c1", "intent0001", "no_row"),)


def test_one_with_a_living_owner_is_never_reaped() -> None:
    """Whatever it does."""
    assert reaped([listed()], OWNED) == []


def test_one_whose_owner_is_gone_is_first_adopted() -> None:
    """Its adopter settles its bill too; only where that fails it is reaped."""
    assert adoptable(ORPHANED.instances, ORPHANED.living) == ("intent0001",)
    assert adoptable(OWNED.instances, OWNED.living) == ()
    assert reaped([listed()], ORPHANED) == []
    assert reaped([listed()], replace(ORPHANED, unadopted=frozenset({"intent0001"}))) == [("c1", "no_owner")]


def test_adoption_in_vain_takes_nothing_from_a_living_owner() -> None:
    """It was adopted by somebody else meanwhile."""
    assert reaped([listed()], replace(OWNED, unadopted=frozenset({"intent0001"}))) == []


@pytest.mark.parametrize("known", [NONE, OWNED, ORPHANED, replace(NONE, settled=False)])
def test_an_expired_one_is_always_reaped(known: KnownRows) -> None:
    """WATCHER_MAX_RUNTIME is hard, whoever owns it."""
    assert reaped([listed()], known, NOW + RUNTIME) == [("c1", "expired")]


@pytest.mark.parametrize("known", [NONE, OWNED, None])
def test_an_unknown_listing_reaps_nothing(known: KnownRows | None) -> None:
    """An odd answer is no empty one; and an empty one has nothing to reap."""
    assert reaped(None, known, NOW + RUNTIME) == []
    assert reaped([], known, NOW + RUNTIME) == []


def test_unknown_rows_reap_nothing() -> None:
    """Not even what is expired: perhaps another server is asked than the owners use."""
    assert reaped([listed()], None, NOW + RUNTIME) == []


def test_a_server_that_may_have_forgotten_rows_reaps_nothing_but_what_is_expired() -> None:
    """Their owners write them again."""
    assert reaped([listed()], replace(NONE, settled=False)) == []


@pytest.mark.parametrize(
    "label",
    ["", "somebody", "job-runner/other/intent0001/12/1", "job-runner/pab/intent0001/12", "JOB-RUNNER/pab/i/1/1"],
)
def test_foreign_labels_are_not_looked_at(label: str) -> None:
    """However old their machines are."""
    assert reaped([Seen("c1", label, "running")], NONE, NOW * 9) == []


@pytest.mark.parametrize(("age", "count"), [(0.0, 0), (GRACE_SECONDS - 1, 0), (GRACE_SECONDS, 1)])
def test_a_young_one_is_left_alone(age: float, count: int) -> None:
    """By its label where the market does not know when it began, by its start where that was later."""
    assert len(reaped([replace(listed(), started_at=None)], NONE, NOW + age)) == count
    assert len(reaped([replace(listed(), started_at=NOW + 1000)], NONE, NOW + 1000 + age)) == count


def test_a_reaper_with_a_shorter_time_of_rent_finds_what_was_rented_for_longer() -> None:
    """Its label seems to be of the future: then the start alone says how old it is, and nothing keeps it young."""
    label = str(Label(OURS, "intent0001", "12", int(NOW + 12 * RUNTIME)))
    seen = replace(listed(), label=label, started_at=NOW)
    assert [len(reaped([seen], NONE, NOW + age)) for age in (GRACE_SECONDS - 1, GRACE_SECONDS)] == [0, 1]
    assert len(reaped([replace(seen, started_at=None)], NONE, NOW)) == 1


@pytest.mark.parametrize("ahead", [600.0, 4e9])
def test_a_market_whose_clock_is_ahead_keeps_nothing_young(ahead: float) -> None:
    """A start that is yet to come says nothing; the label does."""
    seen = replace(listed(), started_at=NOW + ahead)
    assert [len(reaped([seen], NONE, NOW + age)) for age in (GRACE_SECONDS - 1, GRACE_SECONDS)] == [0, 1]


def test_a_second_machine_of_one_intent_is_reaped_and_the_first_is_not() -> None:
    """Whatever made the market rent it twice."""
    assert reaped([listed("c1"), listed("c2")], OWNED) == [("c2", "twin")]
    assert reaped([listed("c1"), listed("c2")], rows(row(market_id=""))) == []


def test_one_with_a_row_that_cannot_be_read_is_left_until_it_expires() -> None:
    """Its owner may be alive, and writes the row again."""
    known = replace(NONE, damaged=frozenset({"intent0001"}))
    assert reaped([listed()], known) == []
    assert reaped([listed()], known, NOW + RUNTIME) == [("c1", "expired")]


names = st.sampled_from(["intent0001", "intent0002", "intent0003"])
sessions = st.sampled_from(["alive", "dead", ""])
_seen = st.builds(
    Seen,
    st.sampled_from(["c1", "c2", "c3"]),
    st.one_of(
        st.builds(
            lambda space, intent, ends: str(Label(space, intent, "7", int(ends))),
            st.sampled_from([OURS, "other"]),
            names,
            st.floats(NOW - 100, NOW + 8000),
        ),
        st.text(max_size=20),
    ),
    st.sampled_from(["loading", "running", "stopped", "exited", "offline", "unknown"]),
    started_at=st.one_of(st.none(), st.floats(NOW - 9000, NOW + 500)),
)
_row = st.builds(
    lambda intent, owner, state, market_id: replace(
        in_state(state).instance, intent=intent, owner=owner, market_id=market_id
    ),
    names,
    sessions,
    st.sampled_from(STATES),
    st.sampled_from(["", "c1", "c2"]),
)
_rows = st.builds(
    KnownRows,
    st.lists(_row, max_size=3, unique_by=lambda each: each.intent).map(tuple),
    st.just(frozenset({"alive"})),
    st.frozensets(names, max_size=1),
    st.frozensets(names),
    st.booleans(),
)


@given(st.lists(_seen, max_size=6), _rows, st.floats(NOW, NOW + 9000))
def test_what_is_reaped_is_ours_and_owned_by_nobody_alive_or_over(
    listing: list[Seen], known: KnownRows, now: float
) -> None:
    """Whatever listing and rows say."""
    found = {row.intent: row for row in known.instances}
    ours = {(each.market_id, label.intent) for each in listing if (label := parse_label(each.label, OURS))}
    for each in reapable(listing, known, OURS, now, max_runtime=RUNTIME):
        assert (each.market_id, each.intent) in ours
        if each.why == "expired":
            continue
        assert known.settled
        assert each.intent not in known.damaged
        owner = found.get(each.intent)
        alive = owner is not None and owner.owner in known.living and owner.state != "gone"
        assert not (alive and owner is not None and owner.market_id in {"", each.market_id})


@given(st.lists(_seen, max_size=6), _rows, st.floats(NOW, NOW + 9000))
def test_what_is_expired_never_stays(listing: list[Seen], known: KnownRows, now: float) -> None:
    """Every machine of ours whose time is over is named."""
    over = {
        each.market_id
        for each in listing
        if (label := parse_label(each.label, OURS)) is not None and label.expires_at <= now
    }
    assert over <= {each.market_id for each in reapable(listing, known, OURS, now, max_runtime=RUNTIME)}
