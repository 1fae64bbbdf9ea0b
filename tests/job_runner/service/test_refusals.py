"""What each backend says to a job, and at which price: one reason after the other goes, until it is taken."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from job_runner.service.known import Known
from job_runner.service.refusals import BackendView, Job, backend_views, job_of
from lib.jobqueue import normalize_job_spec
from lib.redisqueue.rows import IndexRow
from lib.routing.quoted import Taking
from lib.settings import Settings

SETTINGS = Settings.load({"HOME": "/tmp", "BUDGET_PER_DAY_USD": "1", "GEMINI_MODEL": "gemini-2.5-flash"})  # noqa: S108 - nothing is written
ROW = IndexRow.parse(b"Q|1|0|0|0|stream|1-1|id||||")
JOB = Job({"metal": Taking(5, 6, 5), "cloud": Taking(1, 2, 1, usd=0.01, usd_most=0.25)})
CLOUD = {"alive": True, "slots": {"cloud": 3}, "offers": {"cloud": ["any", "text_model"]}}
METAL = {"alive": True, "slots": {"metal": 1}, "capabilities": ["any", "text_model"]}
PAUSED = {"why": "no such key", "asks_again_sec": 5.0}
CLOSED = {"key": "k", "model": "gemini-2.5-flash", "closed_sec": 17.0, "why": "429", "closes_model": True}


def known(*watchers: dict[str, Any], **more: Any) -> Known:
    """A queue with these watchers, all its limits unused unless said otherwise."""
    usual = {
        "watchers": list(watchers),
        "lanes": {},
        "rate": {"cloud_moves_in_window": 0},
        "pools": [],
        "spend": {"today_usd": 0.0, "reserved_usd": 0.0},
    }
    return Known(answered=True, document=usual | more)


def says(backend: str, *watchers: dict[str, Any], capability: str = "text_model", pin: str = "", **more: Any) -> Any:
    """The view of one backend."""
    views = {view.backend: view for view in backend_views(JOB, capability, pin, known(*watchers, **more), SETTINGS)}
    return views[backend]


def lane(backend: str, length: int) -> dict[str, Any]:
    """One lane of it."""
    return {f"lane:{backend}:any": {"backend": backend, "length": length}}


@pytest.mark.parametrize(
    ("watchers", "more", "limit", "said"),
    [
        ((), {}, "", "no living watcher offers the backend cloud"),
        ((METAL,), {}, "", "no living watcher offers the backend cloud"),
        ((CLOUD | {"alive": False},), {}, "", "no living watcher offers the backend cloud"),
        ((CLOUD,), {"pin": "metal"}, "", "the job is pinned to metal"),
        ((CLOUD,), {"capability": "speech"}, "", "its watchers do not offer speech"),
        (
            (CLOUD | {"name": "w", "offers": {"cloud": ["any"]}, "paused": {"cloud": {"text_model": PAUSED}}},),
            {},
            "paused",
            "watcher w takes no text_model jobs for now: no such key; it asks again every 5 s",
        ),
        (
            (CLOUD | {"offers": {"cloud": ["any"]}, "paused": {"cloud": "by hand"}},),
            {},
            "",
            "its watchers do not offer text_model",
        ),
        ((CLOUD | {"slots": {"cloud": 0}},), {}, "", "its watchers are stopping"),
        ((CLOUD,), {"lanes": lane("cloud", 8)}, "cloud_full", "cloud is full: 8 jobs wait or run there, for 3 slots"),
        (
            (CLOUD,),
            {"rate": {"cloud_moves_in_window": 2}},
            "near_limit",
            "near the rate limit: 2 jobs in the last minute, 2 allowed",
        ),
        ((CLOUD,), {"pools": [CLOSED]}, "api_closed", "the API of gemini-2.5-flash is closed until 20"),
        (
            (CLOUD,),
            {"spend": {"today_usd": 0.5, "reserved_usd": 0.3}},
            "budget_reached",
            "the day's budget is reached: $0.8000 of $1.00, and it may cost $0.2500",
        ),
    ],
)
def test_why_the_cloud_refuses(watchers: tuple[Any, ...], more: dict[str, Any], limit: str, said: str) -> None:
    """Each reason by itself; what could run the job at all says which limit keeps it from it."""
    view: BackendView = says("cloud", *watchers, **more)
    assert not view.takes
    assert view.says.startswith(said)
    assert (view.able, view.limit) == (limit not in {"", "paused"}, limit)


def test_the_first_reason_is_told() -> None:
    """The one that would have to go first."""
    everything: dict[str, Any] = {
        "lanes": lane("cloud", 8),
        "rate": {"cloud_moves_in_window": 2},
        "pools": [CLOSED],
        "spend": {"today_usd": 2.0, "reserved_usd": 0.0},
    }
    reasons: list[str] = []
    for name in list(everything):
        reasons.append(says("cloud", CLOUD, **everything).limit)
        del everything[name]
    assert reasons == ["cloud_full", "near_limit", "api_closed", "budget_reached"]
    assert says("cloud", CLOUD, **everything).takes


def test_what_is_taken_has_its_price() -> None:
    """Expected and at worst; metal is free and says nothing of it."""
    view = says("cloud", CLOUD)
    assert (view.takes, view.says) == (True, "3 slots for text_model; about $0.0100, at most $0.2500")
    assert (view.usd, view.usd_most, view.seconds) == (0.01, 0.25, (1, 2))
    metal = says("metal", METAL)
    assert (metal.takes, metal.says, metal.usd) == (True, "1 slot for text_model", 0.0)


def test_a_refusal_of_a_limit_has_the_price_too() -> None:
    """So that one sees what waiting saves."""
    assert says("cloud", CLOUD, pools=[CLOSED]).says.endswith(": 429; about $0.0100, at most $0.2500")


def test_a_closed_api_is_no_matter_to_a_job_that_calls_none() -> None:
    """Nor is the budget to one that costs nothing."""
    speech = CLOSED | {"model": SETTINGS.gemini_speech_model}
    assert says("cloud", CLOUD, capability="any", pools=[CLOSED, speech]).takes
    assert says("cloud", CLOUD, pools=[speech]).takes, "the other model's"
    free = backend_views(Job(), "any", "", known(CLOUD, spend={"today_usd": 9.0, "reserved_usd": 0.0}), SETTINGS)
    assert free[1].takes


def test_a_pool_of_a_key_that_was_replaced_closes_nothing() -> None:
    """It is told in the list of pools, and another one of the model may be called."""
    assert says("cloud", CLOUD, pools=[CLOSED | {"closes_model": False}]).takes


def test_below_one_job_a_minute_the_window_is_longer() -> None:
    """A job that went two minutes ago holds the next one, as the queue does."""
    slow = Settings.load({"HOME": "/tmp", "CLOUD_TOKENS_PER_MIN": "0.2"})  # noqa: S108 - nothing is written
    rate = {"cloud_moves_last_min": 0, "cloud_moves_in_window": 1}
    (_, view) = backend_views(JOB, "text_model", "", known(CLOUD, rate=rate), slow)
    assert (view.limit, view.says.partition(";")[0]) == (
        "near_limit",
        "near the rate limit: 1 job in the last 300 s, 1 allowed",
    )


def test_full_metal() -> None:
    """By METAL_QUEUE_MAX of each slot."""
    assert says("metal", METAL, lanes=lane("metal", 1)).takes
    full = says("metal", METAL, lanes=lane("metal", 2))
    assert (full.takes, full.able) == (False, True)
    assert full.says.startswith("metal is full: 2 jobs wait or run there, for 1 slot with 2 each")


def test_the_job_is_read_for_its_size() -> None:
    """Ten times the text, ten times the price; bytes that cannot be read have none."""

    def price(text: str) -> float:
        spec = normalize_job_spec({"request_id": "a", "speaker": "Ryan", "text": text})
        return job_of(spec.to_json(), ROW, Known(), SETTINGS).takes["cloud"].usd

    assert price("x" * 1000) == pytest.approx(10 * price("x" * 100))
    assert job_of(b"{", ROW, Known(), SETTINGS) == job_of(None, ROW, Known(), SETTINGS) == Job()


@pytest.mark.parametrize(
    ("policy", "left_sec", "pin", "limit", "said"),
    [
        ("local-first", None, "", "", "3 slots for text_model"),
        ("cheapest", None, "", "policy", "the policy cheapest pays for nothing that a free machine can run"),
        ("cheapest", 5, "cloud", "", "3 slots"),
        ("deadline", None, "", "policy", "the policy deadline pays for no job without a deadline"),
        (
            "deadline",
            3600,
            "",
            "policy",
            "the policy deadline holds it for the free machine as long as that can end it by",
        ),
        ("deadline", 0.5, "", "", "3 slots"),
        ("deadline", -5, "", "", "3 slots"),
    ],
)
def test_a_policy_that_does_not_pay_refuses(
    policy: str, left_sec: float | None, pin: str, limit: str, said: str
) -> None:
    """Room on the cloud is no place for a job that the policy keeps for the free machine; a pin passes it."""
    made = Settings.load({"HOME": "/tmp", "CONDUCTOR_POLICY": policy})  # noqa: S108 - nothing is written
    takes = {"metal": Taking(1, 2, 1), "cloud": Taking(1, 2, 1)}
    until = None if left_sec is None else datetime.now(UTC) + timedelta(seconds=left_sec)
    able = METAL | {"offers": {"metal": ["text_model"]}}
    views = backend_views(Job(takes, until), "text_model", pin, known(able, CLOUD), made)
    assert (views[1].takes, views[1].limit) == (not limit, limit)
    assert views[1].says.startswith(said)
    alone = backend_views(Job(takes, until), "text_model", pin, known(CLOUD), made)
    assert alone[1].takes, "no free machine can run it"
