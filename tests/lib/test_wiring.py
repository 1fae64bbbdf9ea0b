"""From settings to objects: what is picked, and that picking opens nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lib import wiring
from lib.errors import InvalidInputError, SettingsError
from lib.jobqueue import BUILT_IN, Catalogue, normalize_job_spec
from lib.redisqueue.submissions import submission_of
from lib.routing.prices import load_prices
from lib.settings import Settings
from lib.stores.artifacts import LocalArtifacts

if TYPE_CHECKING:
    from pathlib import Path


def _settings(**environ: str) -> Settings:
    return Settings.load({"HOME": "/tmp", **environ})  # noqa: S108 - nothing is written


async def test_a_queue_is_opened_at_its_first_command(valkey_url: str, prefix: str) -> None:
    """No server is needed to have one; the prefix is the settings' own."""
    nowhere = wiring.open_queue(_settings(REDIS_URL="redis://127.0.0.1:1/0"))
    await nowhere.client.aclose()
    async with wiring.opened_queue(_settings(REDIS_URL=valkey_url, JOBS_PREFIX=prefix)) as queue:
        assert queue.keys.of("index") == f"{prefix}:jobs:req:index"
        assert (await queue.check_server()).software == "valkey"


async def test_a_blocking_client_outlasts_its_block(valkey_url: str, prefix: str) -> None:
    """A read that blocks for its whole time is no timeout."""
    client = wiring.open_blocking(_settings(REDIS_URL=valkey_url), block_seconds=0.2)
    assert not await client.xread({prefix: "$"}, block=200)
    await client.aclose()


def test_the_catalogue_without_modules_is_the_built_in_one() -> None:
    """Nothing is imported for it."""
    assert wiring.catalogue(_settings()) is BUILT_IN
    assert set(wiring.tasks(_settings()).catalogue.names) == set(BUILT_IN.names)


def test_modules_add_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To what may be submitted and to what can run, alike; a broken module is named."""
    (tmp_path / "wired_tasks.py").write_text(
        "from lib.jobqueue import TaskKind\n"
        "class Wired:\n"
        "    kind = TaskKind('wired', ('wire',), 'text_model', None, 10, 'inline')\n"
        "    async def run(self, job, context): ...\n"
        "TASKS = (Wired(),)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    settings = _settings(JOBS_TASK_MODULES="wired_tasks")
    assert wiring.catalogue(settings).get("wire") is wiring.tasks(settings).catalogue.get("wired")
    with pytest.raises(SettingsError, match="no_such_module cannot be imported"):
        wiring.catalogue(_settings(JOBS_TASK_MODULES="no_such_module"))


def test_outputs_go_below_the_root(tmp_path: Path) -> None:
    """Of the settings."""
    store = wiring.artifacts(_settings(WATCHER_OUTPUT_ROOT=str(tmp_path)))
    assert isinstance(store, LocalArtifacts)
    assert store.root == tmp_path


class TestSubmissions:
    """From a job to what the queue takes in."""

    @pytest.mark.parametrize(
        ("row", "intake"),
        [
            ({"voice": "newsroom", "text": "Hi"}, "stream"),
            ({"voice": "newsroom", "text": "Hi", "priority": "high"}, "stream:high:speech"),
            ({"voice": "newsroom", "text": "Hi", "backend": "metal"}, "stream:normal:speech:metal"),
            ({"speaker": "Ryan", "text": "Hi"}, "stream:normal:speaker"),
            ({"speaker": "Ryan", "text": "Hi", "backend": "cloud"}, "stream:normal:speaker:cloud"),
            ({"task": "debug"}, "stream:normal:any"),
            ({"task": "debug", "priority": 9, "backend": "cloud"}, "stream:low:any:cloud"),
        ],
    )
    def test_the_intake_is_priority_and_class(self, row: dict[str, object], intake: str) -> None:
        """The commonest class has the inlet itself."""
        spec = normalize_job_spec({"request_id": "a", **row})
        assert submission_of(spec, BUILT_IN).intake == intake
        named = submission_of(spec, BUILT_IN, backlog="night")
        assert named.intake.startswith("backlog:night:")
        assert named.backlog == "night"

    def test_the_job_travels_whole(self) -> None:
        """Canonical JSON, due time in milliseconds, key and attempt."""
        spec = normalize_job_spec(
            {
                "request_id": "a",
                "task": "debug",
                "run_after": "2030-01-01T00:00:00.250Z",
                "conflict_key": "k",
                "on_conflict": "queue",
                "attempt": 2,
            }
        )
        made = submission_of(spec, BUILT_IN, expected_fence="7")
        assert made.job == spec.to_json()
        assert made.due_ms == 1893456000250
        assert (made.conflict_key, made.on_conflict, made.attempt, made.expected_fence) == ("k", "queue", 2, "7")

    def test_identity_is_content_and_output(self) -> None:
        """Time and routing make no other request; text and output name do."""
        base = {"request_id": "a", "output_name": "o", "voice": "newsroom", "text": "Hi"}

        def identity(**fields: object) -> str:
            return submission_of(normalize_job_spec({**base, **fields}), BUILT_IN).identity

        assert identity() == identity(priority="high", backend="metal", callback_data={"x": 1})
        assert len({identity(), identity(text="Ho"), identity(output_name="p")}) == 3

    def test_an_unknown_task_has_no_place(self) -> None:
        """A job of a task that is not here is refused with the variable to set."""
        spec = normalize_job_spec({"request_id": "a", "task": "debug"})
        with pytest.raises(InvalidInputError, match="no task is named 'debug' here"):
            submission_of(spec, Catalogue(()))


def test_voices_are_those_of_the_directory(tmp_path: Path) -> None:
    """The built-in one is there without a directory; nothing is made."""
    found = wiring.voices(_settings(WATCHER_VOICES_DIR=str(tmp_path / "own")))
    assert (found.directory, found.slugs) == (tmp_path / "own", ("newsroom",))
    assert list(tmp_path.iterdir()) == []


def test_prices_are_those_of_the_models(tmp_path: Path) -> None:
    """Text and speech by their own; a file of one's own wins, and a cloud that does not speak has text's."""
    built_in = load_prices(None)
    price = wiring.cloud_price(_settings(GEMINI_MODEL="gemini-2.5-flash"))
    assert price("annotate", 1_000_000, 0) == pytest.approx(built_in.of("gemini-2.5-flash").input)
    assert price("speak", 0, 1_000_000) == pytest.approx(built_in.of(_settings().gemini_speech_model).output)
    own = tmp_path / "prices.yaml"
    own.write_text("models: {gemini-2.5-flash: {input: 1, output: 2}}\n")
    mine = wiring.cloud_price(
        _settings(PRICES_FILE=str(own), GEMINI_MODEL="gemini-2.5-flash", GEMINI_SPEECH_MODEL="none")
    )
    assert mine("annotate", 0, 1_000_000) == mine("speak", 0, 1_000_000) == pytest.approx(2.0)
