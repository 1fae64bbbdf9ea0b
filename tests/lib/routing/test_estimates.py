"""What a job takes: measured before built in, of its own size before a near one."""

from __future__ import annotations

import pytest

from lib.redisqueue.measures import Measured
from lib.routing.estimates import JOB_SECONDS, SPEECH_SECONDS_PER_CHARACTER, Estimates, averages, middle_of


def test_built_in() -> None:
    """A job takes its handling and what grows with its size; a sleep is known, speech is a guess."""
    known = Estimates()
    assert known.taking("debug", "metal", 1).mean == JOB_SECONDS
    assert known.taking("sleep", "metal", 90).mean == 90 + JOB_SECONDS
    spoken = known.taking("speak", "metal", 1000)
    assert spoken.mean == pytest.approx(JOB_SECONDS + 1000 * SPEECH_SECONDS_PER_CHARACTER)
    assert (spoken.samples, spoken.usd, spoken.requests) == (0, 0.0, 0.0)
    assert spoken.p90 > 1.5 * spoken.p50
    assert known.source == "built-in"


def test_a_call_is_priced_by_its_tokens() -> None:
    """On the cloud alone; a call asks for one request at least, a long text for more."""
    known = Estimates(price=lambda _task, tokens_in, tokens_out: (tokens_in + 10 * tokens_out) / 1e6)
    ten = known.taking("annotate", "cloud", 10)
    assert ten.usd == pytest.approx(10 * (700 + 2000) / 1e6)
    assert ten.usd_most > ten.usd
    assert (ten.requests, ten.tokens) == (10, 9000)
    assert known.taking("annotate", "metal", 10).usd == 0
    assert known.taking("speak", "cloud", 20).requests == 1
    assert known.taking("speak", "cloud", 5000).requests == 10
    assert known.taking("sleep", "cloud", 20).requests == 0


def test_measured() -> None:
    """Figures of a unit, times the size; `source` says what was used."""
    known = Estimates({("speak", "metal", 6): Measured(40, 0.01, 0.02, 0.012, 0.001, 0.002)})
    taking = known.taking("speak", "metal", 100)
    assert taking.p50 == pytest.approx(1.0)
    assert taking.p90 == pytest.approx(2.0)
    assert 1.0 < taking.mean < 1.2
    assert known.kind("speak", "metal", 6).expected(100)[0] == pytest.approx(taking.mean)
    assert (taking.usd, taking.usd_most) == pytest.approx((0.1, 0.2))
    assert (taking.samples, known.source) == (40, "measured")
    assert known.taking("speak", "cloud", 100).samples == 0
    assert known.source == "mixed"


def test_the_nearest_size_answers_with_less_certainty() -> None:
    """As if one job said so."""
    figures = {
        ("speak", "metal", bucket): Measured(40, unit, unit, unit, 0, 0) for bucket, unit in ((3, 0.3), (10, 0.1))
    }
    taking = Estimates(figures).taking("speak", "metal", 300)
    assert taking.mean == pytest.approx(30)
    assert taking.samples == 1
    assert Estimates(figures).taking("speak", "metal", 4).mean == pytest.approx(1.2)


def test_of_few_jobs_the_one_that_loaded_a_model_does_not_count_for_all() -> None:
    """Of few the median says what is usual; of many the mean says what they come to."""

    def middle(count: int) -> float:
        return middle_of(Measured(count, 1.0, 9.0, 3.0, 0, 0))

    assert middle(4) == pytest.approx(1.0, abs=0.3)
    assert middle(1000) == pytest.approx(3.0, abs=0.1)
    assert middle(4) < middle(40) < middle(400)


def test_averages() -> None:
    """Of a backend and what is needed there, each group as heavy as its jobs."""
    found = averages(
        {
            ("sleep", "metal", 1): Measured(30, 1.0, 1.0, 1.0, 0, 0),
            ("debug", "metal", 0): Measured(10, 5.0, 6.0, 5.0, 0, 0),
            ("speak", "cloud", 3): Measured(2, 0.1, 0.2, 0.1, 0.01, 0.02),
        }
    )
    assert set(found) == {("metal", "any"), ("cloud", "speech"), ("cloud", "speaker")}
    assert found["metal", "any"].mean == pytest.approx((30 * 3 + 10 * 5) / 40)
    assert found["metal", "any"].samples == 40
    assert found["cloud", "speaker"].usd == pytest.approx(0.12)
