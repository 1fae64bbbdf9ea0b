"""The text of a rented machine's row and bill: what is written is read back; anything else is damage, not a crash."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.market.instance import STATES, Instance
from lib.redisqueue.instances import Damaged, Rows
from lib.redisqueue.rent_rows import Row, adopted, bill_of, read_bill, read_row, rest_of
from lib.redisqueue.rent_views import bill_documents, documents

TEXTS = st.text(max_size=20)
MOMENTS = st.floats(0, 4e9)
WHOLE = st.integers(0, 10**12)
INSTANCES = st.builds(
    Instance,
    intent=st.from_regex(r"[A-Za-z0-9]{8,40}", fullmatch=True),
    fence=st.integers(1, 2**53).map(str),
    market=TEXTS,
    state=st.sampled_from(STATES),
    since=MOMENTS,
    deadline=MOMENTS,
    expires_at=MOMENTS,
    offer=TEXTS,
    machine_id=TEXTS,
    gpu=TEXTS,
    dph=WHOLE,
    market_id=TEXTS,
    created_at=st.none() | MOMENTS,
    cost=WHOLE,
    jobs_done=WHOLE,
    reason=TEXTS,
    failed=st.booleans(),
    asked=st.integers(0, 1000),
    absent_at=st.none() | MOMENTS,
    spent=st.dictionaries(st.sampled_from(STATES), MOMENTS, max_size=3),
    owner=st.from_regex(r"[a-z]{1,8}:[a-z0-9]{1,8}", fullmatch=True),
    version=st.integers(1, 10**6),
)
SOUND = Instance("aaaa0001", "17", "vast", "idle", 100.0, 175.0, 7300.0, owner="w:1", version=3, created_at=50.0)


def written(row: Instance, *, told: bool = False, rest: bytes | None = None) -> bytes:
    """As lua/include/rent.lua writes it."""
    head = f"{row.version}|{row.fence}|{row.state}|0|{row.cost}|{int(told)}|{row.owner}|"
    return head.encode() + (rest_of(row) if rest is None else rest)


def changed(**more: Any) -> bytes:
    """A row that says something else in its JSON; `...` leaves a field out."""
    said = {**json.loads(rest_of(SOUND)), **more}
    return written(SOUND, rest=json.dumps({name: value for name, value in said.items() if value is not ...}).encode())


@settings(max_examples=40)
@given(INSTANCES, st.booleans())
def test_a_row_reads_back_as_it_was_written(instance: Instance, told: bool) -> None:  # noqa: FBT001 - drawn
    """Every field, also one that is added to an instance tomorrow."""
    assert read_row(instance.intent, written(instance, told=told)) == Row(instance, told)


def test_every_field_of_an_instance_is_drawn() -> None:
    """Or the test above would prove less than it says."""
    drawn = {each.name for each in fields(Instance)}
    assert set(json.loads(rest_of(SOUND))) | {"intent", "fence", "state", "cost", "owner", "version"} == drawn


@given(st.binary(max_size=80) | st.text(max_size=80).map(str.encode), st.booleans())
def test_anything_is_a_row_or_damage(raw: bytes, headed: bool) -> None:  # noqa: FBT001 - drawn
    """Nothing that somebody put there stops whoever reads the others."""
    whole = b"1|2|idle|0|0|0|w:1|{" + raw if headed else raw
    assert read_row("aaaa0001", whole) is None or whole == written(SOUND)
    assert read_bill("aaaa0001", raw, 1.0) is None


@pytest.mark.parametrize(
    "more",
    [
        {"since": "soon"},
        {"since": True},
        {"since": float("nan")},
        {"deadline": None},
        {"expires_at": ...},
        {"market": 5},
        {"market": ...},
        {"dph": -1},
        {"dph": 0.5},
        {"jobs_done": True},
        {"failed": 1},
        {"created_at": "x"},
        {"spent": [1]},
    ],
)
def test_a_field_of_another_type_is_damage(more: dict[str, Any]) -> None:
    """As is one without which nobody knows when it ends."""
    assert read_row("aaaa0001", changed(**more)) is None


def test_rows_of_another_version_are_read() -> None:
    """A field that they lack has its default, one that is not known here is passed over, as are odd seconds."""
    older = read_row("aaaa0001", changed(asked=..., absent_at=..., spent=...))
    newer = read_row("aaaa0001", changed(colour="red", spent={"idle": 5, "dancing": 1, "loading": "x"}))
    assert older is not None
    assert older.instance == SOUND
    assert newer is not None
    assert newer.instance == replace(SOUND, spent={"idle": 5.0})


def test_what_is_adopted_is_to_be_destroyed() -> None:
    """Its seconds so far are kept; why it ends already is kept too, but its end is asked for from the beginning."""
    taken = adopted(replace(SOUND, spent={"idle": 1.0}), 130.0, 9.0)
    assert (taken.state, taken.reason, taken.since, taken.deadline) == ("destroying", "orphaned", 130.0, 139.0)
    assert taken.spent == {"idle": 31.0}
    ending = replace(SOUND, state="destroying", reason="lost: x", asked=7, absent_at=3.0)
    assert adopted(ending, 130.0, 0.0) == replace(ending, asked=0, absent_at=None, deadline=130.0)


def test_bills_as_people_read_them() -> None:
    """Dollars, dollars a job, and the share of its working time in which it had nothing to do."""
    gone = replace(
        SOUND, state="gone", gpu="RTX 4090", dph=500_000, jobs_done=40, reason="idle", market_id="i-1",
        spent={"loading": 60.04, "draining": 300.0, "idle": 100.0},
    )  # fmt: skip
    bill = read_bill("aaaa0001", bill_of(gone, 120_000), 7000.0)
    assert bill is not None
    free = read_bill("bbbb0002", bill_of(replace(SOUND, created_at=None), 0), 1e30)
    assert free is not None
    paid, unpaid = bill_documents([bill, free])
    assert (paid["usd"], paid["usd_per_hour"], paid["usd_per_job"], paid["idle_share"]) == (0.12, 0.5, 0.003, 0.25)
    assert paid["seconds"] == {"loading": 60.0, "draining": 300.0, "idle": 100.0}
    assert (paid["created_at"], paid["ended_at"]) == ("1970-01-01T00:00:50.000Z", "1970-01-01T01:56:40.000Z")
    assert (unpaid["usd_per_job"], unpaid["idle_share"], unpaid["market_id"], unpaid["reason"]) == (None,) * 4
    assert (unpaid["created_at"], unpaid["ended_at"]) == (None, None), "a moment that no calendar has"


def test_rows_as_people_read_them() -> None:
    """The oldest first, what is damaged last; a row without owner says so."""
    later = replace(SOUND, intent="later000", fence="100", owner="gone:1")
    rows = Rows(0.0, (later, SOUND), (Damaged("broken00", b"\xff"),), frozenset({"later000"}))
    shown = documents(rows, {"w:1"})
    assert [(each["intent"], each["owner_alive"], each["told_to_end"], each["damaged"]) for each in shown] == [
        ("aaaa0001", True, False, False),
        ("later000", False, True, False),
        ("broken00", False, False, True),
    ]
    assert len({frozenset(each) for each in shown}) == 1, "all of one shape"
    assert rows.damaged[0].text == "\\xff"
