"""The services behind text models fail, and only what needs them waits: faults rows 25 and 28 to 31, whole watchers.

How an answer of a service becomes a typed error is tested in tests/lib/capabilities; here, what the queue makes of it.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import pytest

from lib.jobqueue import normalize_job_spec
from lib.redisqueue import producing, quota, spend
from lib.redisqueue.submissions import submission_of
from tests.chaos.yard import CATALOGUE, MODULES
from tests.quota.tasks import TASKS as ASKING
from tests.support.fake_gemini import FakeGemini
from tests.support.gemini_faults import Rule
from tests.support.servers import free_port
from tests.support.small_engine import Canned
from tests.support.small_model import MODEL, SmallModel
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.yard import Yard
    from tests.support.watchers import WatcherProcess

pytestmark = pytest.mark.chaos

KINDS: Final = CATALOGUE.with_kinds(*(task.kind for task in ASKING))
ENVIRON: Final = {"JOBS_TASK_MODULES": f"{MODULES},tests.quota.tasks", "CLOUD_TOKENS_PER_MIN": "6000"}
KEY: Final = "a-key-of-no-account-whatsoever"


async def _submit(yard: Yard, *rows: dict[str, Any]) -> None:
    jobs = [submission_of(normalize_job_spec(row, catalogue=KINDS), KINDS) for row in rows]
    assert {reply.code for reply in await producing.submit(yard.queue, jobs)} == {"queued"}


def _ask(name: str, **more: Any) -> dict[str, Any]:
    return {"request_id": name, "task": "ask", **more}


@contextmanager
def _gemini(*rules: Rule) -> Iterator[tuple[FakeGemini, dict[str, str]]]:
    with FakeGemini(rules=rules) as fake:
        yield fake, {**ENVIRON, "GEMINI_API_KEY": KEY, "GEMINI_BASE_URL": fake.url, "GEMINI_RPM": "0"}


async def _cloud(yard: Yard, environ: dict[str, str], backends: str = "metal,cloud") -> WatcherProcess:
    watcher = yard.watcher("w")
    watcher.environ |= environ
    watcher.flags = ("--backends", backends, "--log-json")
    watcher.start()
    await yard.opened(watcher)
    return watcher


async def _offered(yard: Yard, backend: str) -> set[str]:
    return set((await yard.heartbeat("w")).get("offers", {}).get(backend, ()))


async def test_a_cloud_that_answers_500_pauses_and_metal_works_on(yard: Yard) -> None:
    """Row 25: metal's jobs and the cloud's other jobs are done meanwhile, and the cloud is asked less and less."""
    with _gemini(Rule("500", times=None)) as (fake, environ):
        await _cloud(yard, environ)
        await _submit(yard, *(_ask(f"ask-{i}", backend="cloud", max_attempts=9) for i in range(9)))
        await wait_until(lambda: len(fake.calls) >= 5, 60, what="calls that fail")
        plain = [{"request_id": f"plain-{i}", "task": "debug"} for i in range(20)]
        naps = [{"request_id": f"cloud-{i}", "task": "debug", "backend": "cloud"} for i in range(5)]
        await _submit(yard, *plain, *naps)
        await yard.all_done(*(row["request_id"] for row in (*plain, *naps)))

        async def paused() -> bool:
            return "text_model" not in await _offered(yard, "cloud")

        await wait_until(paused, 60, what="a cloud that takes no text")
        assert "any" in await _offered(yard, "cloud")
        asked = len(fake.calls)
        await _submit(yard, *(_ask(f"more-{i}", backend="cloud") for i in range(6)))
        await _submit(yard, {"request_id": "last", "task": "debug"})
        await yard.all_done("last")
        assert len(fake.calls) == asked, "nobody asks what is paused"


async def test_a_429_of_the_day_closes_for_all_and_uses_no_attempt(yard: Yard) -> None:
    """Row 28: no call is made any more, the job waits as delayed with no attempt used, other jobs go on."""
    with _gemini(Rule("429_day", times=None)) as (fake, environ):
        await _cloud(yard, environ, "cloud")
        await _submit(yard, _ask("a", backend="cloud"), _ask("b", backend="cloud"))

        async def both_wait() -> bool:
            rows = [await yard.row(name) for name in ("a", "b")]
            return all(row is not None and row.state == "D" for row in rows)

        await wait_until(both_wait, 60, what="both delayed")
        made = len(fake.calls)
        assert made <= 2, "a pool that is closed is asked no more"
        (pool,) = [each for each in await quota.pools(yard.queue) if each.closed_ms]
        assert pool.pool.model == "gemini-2.5-flash"
        assert pool.closed_ms > 3_600_000 or "day" in pool.why
        for name in ("a", "b"):
            row = await yard.row(name)
            assert row is not None
            assert row.attempt == 0
        await _submit(yard, {"request_id": "nap", "task": "debug", "backend": "cloud"})
        await yard.all_done("nap")
        assert len(fake.calls) == made
        assert (await spend.today(yard.queue)).total == 0, "what was refused costs nothing"


async def test_a_refused_prompt_is_a_permanent_failure_and_an_answer_cut_off_too(yard: Yard) -> None:
    """Row 30: success only on a complete answer; the record says why there is none, after one attempt."""
    rules = (Rule("SAFETY", match="unsafe", times=None), Rule("MAX_TOKENS", match="endless", times=None))
    with _gemini(*rules) as (_, environ):
        await _cloud(yard, environ, "cloud")
        await _submit(yard, _ask("unsafe"), _ask("endless"), _ask("fine"))
        await yard.all_done("fine")
        for name in ("unsafe", "endless"):
            record = await yard.record(name)
            assert (record["status"], record["error_type"], record["attempt"]) == ("failed", "permanent", 1)
        cost = (await yard.record("fine"))["cost"]
        assert cost["calls"] == 1
        assert cost["usd"] > 0
        assert (await spend.today(yard.queue)).reserved == 0


async def test_a_local_server_that_is_down_pauses_text_on_metal_and_says_why(yard: Yard) -> None:
    """Row 31: such jobs wait and use no attempt, all others run; started later, it is used without a restart."""
    port = free_port()
    environ = {**ENVIRON, "OLLAMA_HOST": f"http://127.0.0.1:{port}", "OLLAMA_MODEL": MODEL}
    watcher = await _cloud(yard, environ, "metal")
    assert "text_model" not in await _offered(yard, "metal")
    await _submit(yard, _ask("text"), {"request_id": "plain", "task": "debug"})
    await yard.all_done("plain")
    row = await yard.row("text")
    assert row is not None
    assert (row.state, row.attempt) == ("Q", 0)
    assert "metal takes no text_model jobs for now" in watcher.log
    with SmallModel(port=port, engine=Canned()):
        assert (await yard.record("text"))["attempt"] == 1
        yard.end_watchers()


async def test_without_its_local_model_the_same_job_goes_to_the_cloud(yard: Yard) -> None:
    """Row 31: what metal cannot do now, another backend that offers it does."""
    with _gemini() as (_, environ):
        local = {"OLLAMA_HOST": f"http://127.0.0.1:{free_port()}", "OLLAMA_MODEL": MODEL}
        await _cloud(yard, {**environ, **local})
        await _submit(yard, _ask("text"))
        assert (await yard.record("text"))["backend"] == "cloud"


async def test_a_server_that_dies_under_its_jobs_gives_them_back(yard: Yard) -> None:
    """Row 31: jobs that wait in metal's lane when the server dies go to the cloud, and no attempt is used."""
    with _gemini() as (_, environ), SmallModel(engine=Canned()) as local:
        await _cloud(yard, {**environ, "OLLAMA_HOST": local.url, "OLLAMA_MODEL": MODEL})
        await _submit(yard, _ask("first", backend="metal"))
        await yard.all_done("first")
        local.close()
        await _submit(yard, *(_ask(f"job-{i}", max_attempts=1) for i in range(3)))
        done = await yard.all_done("job-0", "job-1", "job-2")
        assert {record["backend"] for record in done.values()} == {"cloud"}
        assert {record["attempt"] for record in done.values()} == {1}
