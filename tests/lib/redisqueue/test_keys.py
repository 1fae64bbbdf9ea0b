"""Names of keys, intakes and lanes: made and read in one place, and the same both ways."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.errors import SettingsError
from lib.redisqueue.keys import (
    DEFAULT_BACKLOG,
    PINS,
    PRIORITIES,
    IntakeName,
    Keys,
    LaneName,
    backlog_of,
    parse_backlog,
    parse_intake,
    parse_lane,
)
from lib.redisqueue.queue import BATCH_MAX_BYTES, BATCH_MAX_JOBS, batches

BACKLOGS = st.from_regex(r"[a-z0-9]([a-z0-9_-]{0,20}[a-z0-9])?", fullmatch=True)
CAPABILITIES = st.sampled_from(["speech", "text_model", "any"])
INTAKES = st.builds(
    IntakeName,
    st.one_of(st.just("default"), BACKLOGS),
    st.sampled_from(PRIORITIES),
    CAPABILITIES,
    st.sampled_from(PINS),
)


@given(INTAKES)
def test_an_intake_reads_back_as_it_was_made(intake: IntakeName) -> None:
    """A name is the whole truth about a class."""
    assert parse_intake(str(intake)) == intake


@given(INTAKES, INTAKES)
def test_two_classes_have_two_names(one: IntakeName, two: IntakeName) -> None:
    """No name stands for two classes."""
    assert (str(one) == str(two)) == (one == two)


@given(INTAKES)
def test_what_comes_back_goes_to_the_high_intake_of_the_same_class(intake: IntakeName) -> None:
    """Only the priority changes, and doing it again changes nothing."""
    high = intake.high()
    assert (high.backlog, high.priority, high.capability, high.pin) == (
        intake.backlog,
        "high",
        intake.capability,
        intake.pin,
    )
    assert high.high() == high


@given(st.sampled_from(["metal", "cloud", "vast"]), CAPABILITIES)
def test_a_lane_reads_back_as_it_was_made(backend: str, capability: str) -> None:
    """And is never taken for an intake."""
    lane = LaneName(backend, capability)
    assert parse_lane(str(lane)) == lane
    with pytest.raises(ValueError, match="intake"):
        parse_intake(str(lane))


@given(st.text(max_size=30))
def test_any_text_is_a_name_that_was_made_here_or_refused(text: str) -> None:
    """A name read from the server never crashes otherwise, and is never read loosely."""
    for parse in (parse_intake, parse_lane):
        try:
            found = parse(text)
        except ValueError:
            continue
        assert str(found) == text


@pytest.mark.parametrize(
    "name", ["stream:high", "stream:high:any:moon", "backlog", "backlog:x", "lane:a", "lane:a:b:c", ""]
)
def test_what_is_no_name_is_refused(name: str) -> None:
    """Neither intake nor lane."""
    for parse in (parse_intake, parse_lane):
        with pytest.raises(ValueError, match="not a"):
            parse(name)


def test_the_commonest_class_has_the_name_that_the_world_knows() -> None:
    """Other programs XADD to `pab:jobs:stream`."""
    assert Keys().stream(IntakeName("default", "normal", "speech")) == "pab:jobs:stream"
    assert Keys().stream(LaneName("metal", "speech")) == "pab:jobs:lane:metal:speech"


def test_every_fixed_key_has_a_name_of_its_own_under_the_prefix() -> None:
    """No two names share a key, none collides with the inlet, and all begin with the prefix."""
    keys = Keys("x").all_fixed()
    assert [key for key, count in Counter(keys.values()).items() if count > 1] == []
    assert all(key.startswith("x:") for key in keys.values())
    assert Keys("x").stream("stream") not in keys.values()


@pytest.mark.parametrize("target", ["backlog:a", "backlog:night-shift_2", "a1"])
def test_a_backlog_is_named_by_its_target(target: str) -> None:
    """With or without the word."""
    assert parse_backlog(target) == target.removeprefix("backlog:")


@pytest.mark.parametrize("target", ["backlog:", "backlog:A", "backlog:-a", "backlog:a:b", "backlog:" + "a" * 65, "ä"])
def test_a_bad_backlog_is_refused_with_what_is_allowed(target: str) -> None:
    """A name with a colon would be read as another class."""
    with pytest.raises(SettingsError, match="not a backlog") as caught:
        parse_backlog(target)
    assert "lower-case" in (caught.value.hint or "")


@pytest.mark.parametrize(("prefix", "one_slot"), [("pab", False), ("{pab}", True), ("x{}", False), ("a.{b}-c", True)])
def test_a_prefix_with_a_hash_tag_keeps_the_queue_in_one_slot(prefix: str, one_slot: bool) -> None:  # noqa: FBT001 - parametrised
    """An empty tag is none, as Redis Cluster reads it."""
    assert Keys(prefix).in_one_slot is one_slot


@pytest.mark.parametrize("prefix", ["", "a b", "a:b", "a*", "x" * 65])
def test_a_bad_prefix_is_refused(prefix: str) -> None:
    """It names the variable."""
    with pytest.raises(SettingsError, match="JOBS_PREFIX"):
        Keys(prefix)


@given(st.lists(st.integers(0, 2 * BATCH_MAX_BYTES), max_size=60), st.booleans())
def test_batches_keep_order_and_limits(sizes: list[int], many: bool) -> None:  # noqa: FBT001 - drawn
    """Nothing is lost or reordered; each batch is within both limits, or is one item that no batch could hold."""
    sizes = sizes * 40 if many else sizes
    items = list(range(len(sizes)))
    cut = list(batches(items, sizes))
    assert [item for batch in cut for item in batch] == items
    for batch in cut:
        assert 0 < len(batch) <= BATCH_MAX_JOBS
        assert len(batch) == 1 or sum(sizes[item] for item in batch) <= BATCH_MAX_BYTES


def test_small_items_fill_a_batch() -> None:
    """1001 of them are three calls."""
    assert [len(batch) for batch in batches(range(1001), [0] * 1001)] == [500, 500, 1]


def test_the_backlog_of_an_intake() -> None:
    """Of any intake's name; what this module did not make counts as the default one."""
    assert backlog_of("stream") == backlog_of("stream:high:any") == DEFAULT_BACKLOG
    assert backlog_of("backlog:night:low:speech:metal") == "night"
    assert backlog_of("") == backlog_of("lane:metal:any") == DEFAULT_BACKLOG
