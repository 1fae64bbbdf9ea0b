"""What jobs run on beside this machine's own cores: the models, their prices and the budget, and the database.

Only what is set up is looked at. A model is asked whether it is there, which loads nothing and costs nothing; no line
shows a key or a password. The database is only looked at: its table is made by the first round that needs it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

from job_runner.service.compute import speaks
from job_runner.service.doctor.checks import Check
from lib.calling import install_extra
from lib.clock import SystemClock
from lib.errors import JobRunnerError
from lib.money import MICRO
from lib.redisqueue import spend
from lib.routing.prices import SPEECH_MODELS, TEXT_MODELS, load_prices, meant_by
from lib.wiring import opened_queue

if TYPE_CHECKING:
    from lib.settings import Settings

_SQLITE: Final = "sqlite:///"


class _Served(Protocol):
    """A model that can be asked whether it is there."""

    async def available(self) -> str | None:
        """Why not; None when it is."""

    async def aclose(self) -> None:
        """Close its connections."""


async def compute_checks(settings: Settings) -> list[Check]:
    """One line for each thing that is set up."""
    return [
        *await _ollama(settings),
        *await _gemini(settings),
        *_prices(settings),
        *await _budget(settings),
        *await asyncio.to_thread(_database, settings),
    ]


async def _ollama(settings: Settings) -> list[Check]:
    if not settings.ollama_model:
        return []
    from lib.capabilities.ollama import OllamaModel  # noqa: PLC0415 - for those with a local model alone

    model = OllamaModel(settings.ollama_host, settings.ollama_model, clock=SystemClock())
    mend = f"start Ollama there and `ollama pull {settings.ollama_model}`, or set OLLAMA_HOST and OLLAMA_MODEL"
    return [await _asked("ollama", model, f"{settings.ollama_model} at {settings.ollama_host}", mend)]


async def _gemini(settings: Settings) -> list[Check]:
    if not settings.gemini_api_key:
        return []
    from lib.capabilities.gemini import GeminiModel  # noqa: PLC0415 - for those with a key alone
    from lib.capabilities.gemini_speech import GeminiSpeech  # noqa: PLC0415 - as above

    key, url, clock = settings.gemini_api_key, settings.gemini_base_url, SystemClock()
    asked: list[tuple[str, _Served, str]] = [
        (settings.gemini_model, GeminiModel(key, settings.gemini_model, base_url=url, clock=clock), "GEMINI_MODEL")
    ]
    if speaks(settings):
        speech = GeminiSpeech(key, settings.gemini_speech_model, base_url=url, clock=clock)
        asked.append((settings.gemini_speech_model, speech, "GEMINI_SPEECH_MODEL"))
    return [
        await _asked(
            "gemini", model, name, f"set GEMINI_API_KEY to a key that is valid, and {variable} to a model of it"
        )
        for name, model, variable in asked
    ]


async def _asked(name: str, model: _Served, what: str, mend: str) -> Check:
    try:
        lacking = await model.available()
    except JobRunnerError as exc:
        return Check(name, "wrong", f"{what}: {exc.message}", exc.hint or mend)
    except ImportError as exc:
        return Check(name, "wrong", f"{what}: {exc.name} is not installed", install_extra(name))
    finally:
        await model.aclose()
    return Check(name, "ok", f"{what} is there") if lacking is None else Check(name, "wrong", lacking, mend)


def _prices(settings: Settings) -> list[Check]:
    if not settings.gemini_api_key and settings.prices_file is None:
        return []
    try:
        own = load_prices(settings.prices_file).own
    except JobRunnerError as exc:
        return [Check("prices", "wrong", exc.message, exc.hint or "")]
    slips = [f"{name} (did you mean {meant}?)" for name in own if (meant := meant_by(name)) is not None]
    if slips:
        return [Check("prices", "note", f"no model is known as {', '.join(slips)}", f"mend {settings.prices_file}")]
    used = [settings.gemini_model, *([settings.gemini_speech_model] if speaks(settings) else [])]
    unknown = [name for name in used if name not in {*own, *TEXT_MODELS, *SPEECH_MODELS}]
    if unknown and settings.gemini_api_key:
        found = f"none is known for {' and '.join(unknown)}: counted as the dearest"
        return [Check("prices", "note", found, "name them in PRICES_FILE (docs/reference/prices.md)")]
    beside = "" if settings.prices_file is None else f", {len(own)} of them from {settings.prices_file}"
    return [Check("prices", "ok", f"of {len({*own, *TEXT_MODELS, *SPEECH_MODELS})} models{beside}")]


async def _budget(settings: Settings) -> list[Check]:
    cap = settings.budget_per_day_usd
    if cap is None:
        if not settings.gemini_api_key:
            return []
        return [Check("budget", "note", "no cap: calls of the API run and are counted", "set BUDGET_PER_DAY_USD")]
    try:
        async with opened_queue(settings) as queue:
            day = await spend.today(queue)
    except JobRunnerError:
        # That the server does not answer is told elsewhere.
        return [Check("budget", "ok", f"${cap:.2f} a UTC day")]
    found = f"${day.settled / MICRO:.4f} of ${cap:.2f} spent on {day.day}, ${day.reserved / MICRO:.4f} more reserved"
    if day.total >= cap * MICRO:
        mend = "what is paid for goes on the next UTC day, or with a higher BUDGET_PER_DAY_USD"
        return [Check("budget", "note", f"reached: {found}", mend)]
    return [Check("budget", "ok", found)]


def _database(settings: Settings) -> list[Check]:
    """Nothing for the file that is made under the state directory when it is first needed."""
    if settings.database_url == f"{_SQLITE}{settings.jobs_state_dir}/database.sqlite3":
        return []
    from lib.tasks.database import Database  # noqa: PLC0415 - for those who set one alone

    try:
        database = Database(settings.database_url, looks_only=True)
        try:
            has_table = database.has_table()
        finally:
            database.close()
    except JobRunnerError as exc:
        return [Check("database", "wrong", exc.message, exc.hint or "set DATABASE_URL to one that is there")]
    later = "" if has_table else "; its table is made by the first job that needs it"
    return [Check("database", "ok", f"{database.place} opens ({database.dialect}){later}")]
