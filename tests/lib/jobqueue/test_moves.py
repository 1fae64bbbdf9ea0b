"""The values that the conductor and the queue say to each other, as far as they reckon."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.job_rate import TRANSIT_MS
from lib.jobqueue.moves import LiveWatcher, RateLimits


@pytest.mark.parametrize(
    ("rate", "jobs", "window_ms"),
    [
        (2.0, 2, 60_000),
        (1.0, 1, 60_000),
        (0.5, 1, 120_000),
        (0.1, 1, 600_000),
        (0.001, 1, 60_000_000),
        (0.999, 1, 60_060),
        (1.5, 1, 60_000),
        (2.9, 2, 60_000),
        (60.0, 60, 60_000),
        (100_000.0, 100_000, 60_000),
    ],
)
def test_a_rate_as_whole_jobs_in_a_window(rate: float, jobs: int, window_ms: int) -> None:
    """Never more than asked for; below one a minute the window is longer, and its job one."""
    assert RateLimits.per_minute(rate) == RateLimits(jobs, window_ms + TRANSIT_MS, None)
    assert RateLimits.per_minute(rate, 7).budget == 7


@given(st.floats(0.001, 100_000))
def test_no_minute_has_more_than_the_rate(rate: float) -> None:
    """Whatever may be set: the jobs of a window, by its length, are at most the rate; and there is one at least."""
    limits = RateLimits.per_minute(rate)
    assert limits.jobs >= 1
    assert limits.window_ms > 60_000
    assert limits.jobs / (limits.window_ms / 60_000) <= rate


def test_a_watcher_that_says_what_each_backend_offers_is_taken_by_its_word() -> None:
    """A capability that is paused on one backend is offered by the other only; one that says nothing offers all."""
    told = LiveWatcher(
        "w",
        "w:1",
        frozenset({"any", "text_model"}),
        {"metal": 2, "cloud": 10},
        0,
        {"metal": frozenset({"any"}), "cloud": frozenset({"any", "text_model"})},
    )
    assert [told.slots_for(*place) for place in (("metal", "any"), ("metal", "text_model"))] == [2, 0]
    assert [told.slots_for(*place) for place in (("cloud", "text_model"), ("vast", "any"))] == [10, 0]
    silent = LiveWatcher("w", "w:1", frozenset({"any"}), {"metal": 2}, 0)
    assert (silent.slots_for("metal", "any"), silent.slots_for("metal", "speech")) == (2, 0)
