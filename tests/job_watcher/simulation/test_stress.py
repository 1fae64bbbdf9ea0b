"""The stress test of the requirement, word for word, on the virtual clock."""

from __future__ import annotations

from tests.stress.simulated import simulate_stress, stress

SECONDS = [90, 150, 120, 100, 130, 110, 95, 140, 125, 105]


def test_the_decisions_of_the_requirement() -> None:
    """Two to metal, two to the cloud at once, then two a window, and metal whenever it has room."""
    decisions = simulate_stress(SECONDS)
    assert [(round(at), job, backend) for at, job, backend in decisions] == [
        (0, "job-1", "metal"),
        (0, "job-2", "metal"),
        (0, "job-3", "cloud"),
        (0, "job-4", "cloud"),
        (61, "job-5", "cloud"),
        (61, "job-6", "cloud"),
        (90, "job-7", "metal"),
        (121, "job-8", "cloud"),
        (121, "job-9", "cloud"),
        (182, "job-10", "cloud"),
    ]


def test_no_window_of_a_minute_holds_more_than_two() -> None:
    """Also with the margin for transit: the third begins more than a minute after the first."""
    times = [at for at, _, backend in simulate_stress(SECONDS) if backend == "cloud"]
    assert all(later - first > 60 for first, later in zip(times, times[2:], strict=False))


def test_jobs_keep_the_names_that_they_are_given() -> None:
    """So that the decisions can be laid beside those of a real run."""
    named = {"stress:01": 100.0, "stress:02": 100.0, "stress:03": 100.0}
    assert [job for _, job, _ in simulate_stress(named)] == list(named)


def test_every_line_of_the_requirement_is_said_when_it_becomes_true() -> None:
    """Full, near the limit, paused, holding; and what was fed."""
    said = [text for _, text in stress(SECONDS).lines]
    for text in (
        "M1 is full, trying Gemini",
        "Gemini near rate limit",
        "Cloud Paused due to Rate Limit",
        "No compute available holding",
        "Fed Metal",
        "Fed Cloud",
    ):
        assert text in said
    assert said.count("Gemini near rate limit") == 3, "once for each time it held jobs back"


def test_a_fast_cloud_limit_and_more_metal() -> None:
    """The same with other figures: three slots take six, the cloud the rest."""
    decisions = simulate_stress([60.0] * 10, metal=3, per_minute=60)
    assert [backend for _, _, backend in decisions] == ["metal"] * 6 + ["cloud"] * 4
