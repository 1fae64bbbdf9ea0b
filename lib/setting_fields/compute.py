"""What jobs run on: the machine at hand, the cloud, and what may be spent."""

# ruff: noqa: RUF009 - variable returns a dataclass field, which is what belongs there

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from lib import setting_values as parsers
from lib.setting_fields.declaring import STATE_DIR, variable
from lib.setting_fields.queue import QueueSettings

if TYPE_CHECKING:
    from pathlib import Path

Policy = Literal["local-first", "cheapest", "deadline"]
RATE_LEAST: Final = 0.001
RATE_MOST: Final = 100_000.0
"""Jobs a minute."""

POLICIES: Final[tuple[Policy, ...]] = ("local-first", "cheapest", "deadline")

NO_SPEECH: Final = "none"
"""What GEMINI_SPEECH_MODEL is where the cloud has no model for speech."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputeSettings(QueueSettings):
    """The same, and the backends with their limits and prices."""

    metal_concurrency: int = variable(
        parsers.whole(1, 256),
        "1",
        unit="jobs at once",
        why="Speech and local models use every core they get, so a second job rarely finishes sooner.",
    )
    metal_queue_max: int = variable(
        parsers.whole(1, 10_000),
        "2",
        unit="jobs a slot",
        why="Waiting and running together: one runs, one is ready, the rest wait where priority counts.",
    )
    qwen_tts_models: Path | None = variable(
        parsers.directory_or_none,
        "",
        unit="directory",
        why="Where the model directories of Qwen3-TTS lie, for the extra [qwen]. Unset: the cache of Hugging Face.",
    )
    qwen_tts_download: bool = variable(
        parsers.yes_or_no,
        "no",
        unit="yes or no",
        why="Whether gigabytes of weights may be downloaded when a job needs them: never unasked.",
    )
    conductor_policy: Policy = variable(
        parsers.one_of(*POLICIES),
        "local-first",
        unit="policy",
        why="local-first: the free machine as long as it has room, then the cloud. cheapest: the free machine even "
        "when that takes longer. deadline: pays only where a job's deadline would be missed otherwise.",
    )
    cloud_concurrency: int = variable(
        parsers.whole(1, 1000),
        "10",
        unit="jobs at once",
        why="Jobs on the cloud wait for answers most of the time, so many fit into one watcher.",
    )
    cloud_queue_max: int = variable(
        parsers.whole(1, 10_000),
        "5",
        unit="jobs",
        why="So many may wait for a free slot of the cloud; the rest wait where priority counts.",
    )
    cloud_tokens_per_min: float = variable(
        parsers.decimal(RATE_LEAST, RATE_MOST),
        "2.0",
        unit="jobs a minute",
        why="How many jobs the conductor hands to the cloud in any 60 seconds; below 1, one job in 60 / N seconds. The "
        "limits of the API itself are GEMINI_RPM, GEMINI_TPM and GEMINI_RPD.",
    )
    ollama_host: str = variable(
        parsers.matching(parsers.HTTP_URL, "http://HOST:PORT"),
        "http://127.0.0.1:11434",
        unit="URL",
        why="Where the local text model is served, by Ollama or anything that speaks its API.",
    )
    ollama_model: str = variable(
        parsers.matching_or_empty(parsers.MODEL, "a model's name, such as llama3.2 or qwen3:8b"),
        "",
        unit="model",
        why="The text model of this machine. Unset: metal offers no text model.",
    )
    gemini_api_key: str = variable(
        parsers.secret,
        "",
        unit="secret",
        why="The key of the Gemini API, with the extra [gemini]. Unset: the cloud has neither text model nor speech.",
        secret=True,
    )
    gemini_base_url: str = variable(
        parsers.matching_or_empty(parsers.HTTP_URL, "http://HOST:PORT or https://HOST"),
        "",
        unit="URL",
        why="Another address of the API, such as a proxy. Unset: Google's.",
    )
    gemini_model: str = variable(
        parsers.matching(parsers.MODEL, "a model's name, such as gemini-2.5-flash"),
        "gemini-2.5-flash",
        unit="model",
        why="The text model of the cloud: the cheapest that follows a JSON schema well.",
    )
    gemini_speech_model: str = variable(
        parsers.matching_or_empty(parsers.MODEL, "a model's name, such as gemini-3.8-flash-lite-tts"),
        "gemini-3.8-flash-lite-tts",
        unit="model",
        why="What speaks on the cloud. none: the cloud offers no speech.",
    )
    gemini_rpm: int | None = variable(
        parsers.whole_or_unlimited(1, 1_000_000),
        "10",
        unit="requests a minute",
        why="What your key may ask of each model in any minute, all watchers together; see the limits page of your "
        "account. The default is that of the free tier. 0: only the API itself says stop.",
    )
    gemini_tpm: int | None = variable(
        parsers.whole_or_unlimited(1, 1_000_000_000),
        "250000",
        unit="tokens a minute",
        why="The same for tokens, of prompts and answers together.",
    )
    gemini_rpd: int | None = variable(
        parsers.whole_or_unlimited(1, 1_000_000_000),
        "250",
        unit="requests a day",
        why="The same for a day, which begins at midnight in Los Angeles.",
    )
    gemini_high_share: float = variable(
        parsers.decimal(0, 0.9),
        "0",
        unit="share, 0 to 0.9",
        why="The part of each of these limits that only jobs of high priority may use.",
    )
    budget_per_day_usd: float | None = variable(
        parsers.decimal_or_none(0, 1_000_000),
        "",
        unit="dollars a UTC day",
        why="What all watchers together may spend, never passed: at the cap what is paid for pauses and says so. "
        "Unset: no GPU is rented; calls of an API run and are counted.",
    )
    prices_file: Path | None = variable(
        parsers.file_or_none,
        "",
        unit="YAML file",
        why="Prices of your own, which win over the built-in table (docs/reference/prices.md).",
    )
    database_url: str = variable(
        parsers.database_url,
        f"sqlite:///{STATE_DIR}/database.sqlite3",
        unit="URL of SQLAlchemy",
        why="Where the tasks fast_crud and sleep_crud do their rounds, and the only database server whose corpora are "
        "annotated; PostgreSQL needs the extra [postgres].",
        secret=True,  # it may carry a password
    )
