"""Every environment variable that job-runner reads: its type, default, unit and reason, in one place.

It exists so that a wrong value is named when a program starts, all wrong ones at once, and not hours later
inside a loop. It connects to nothing and creates nothing. The command lines load it once and pass it on; there is
no global settings object. It is a plain dataclass because a settings library costs more time to import than
`job-runner status` may take (docs/adr/0006-settings-are-a-dataclass.md).
"""

from __future__ import annotations

import json
import os
from dataclasses import Field, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import unquote, urlsplit

from lib.errors import SettingsError
from lib.server_url import parse_server_url
from lib.setting_fields.declaring import STATE_DIR
from lib.setting_fields.renting import RentingSettings
from lib.setting_values import DEFAULT_REDIS_URL

if TYPE_CHECKING:
    from collections.abc import Mapping

RedisUrlSource = Literal["flag", "environment", "embedded", "default"]

EMBEDDED_ADDRESS_FILE = "server.json"
EMBEDDED_LAUNCH_FILE = "valkey/launch.json"
"""In the state directory: `lib.embedded` writes the one while the bundled server runs, the other for good."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(RentingSettings):
    """All settings of one process, checked. `load` makes one; tests may use `dataclasses.replace`."""

    redis_url_source: RedisUrlSource = "default"

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None, *, redis_url: str | None = None) -> Settings:
        """Read and check everything.

        `environ` None means the process environment over `.env` of the working directory; a mapping is taken
        alone. `redis_url` is the value of a command's flag and wins over all.

        Raises:
            SettingsError: naming every variable that is wrong, its value and what is allowed.
        """
        source = process_environment() if environ is None else environ
        problems: list[str] = []
        values: dict[str, Any] = {"redis_url_source": _place_redis_url(source, redis_url)}
        for variable in variables():
            text = _text_of(variable, source, redis_url, values)
            try:
                values[variable.name] = variable.metadata["parse"](text)
            except ValueError as exc:
                shown = "(not shown)" if variable.metadata["secret"] else repr(text)
                problems.append(f"{variable_name(variable)} is {shown}; allowed: {exc}")
        if not problems:
            settings = cls(**values)
            problems = settings.contradictions()
            if not problems:
                return settings
        raise SettingsError("\n".join(problems), hint="set them right in the environment or in .env (see .env.example)")

    @property
    def watcher_margin(self) -> float:
        """Seconds before a session's end at which its watcher starts nothing that is paid or external."""
        return self.watcher_session_ttl / 10

    @property
    def embedded_address_file(self) -> Path:
        """Where `lib.embedded` keeps the bundled server's address."""
        return self.jobs_state_dir / EMBEDDED_ADDRESS_FILE

    def secret_values(self) -> tuple[str, ...]:
        """What must never be seen in a log: each secret's value, and the passwords inside the URLs."""
        found = {getattr(self, each.name) for each in variables() if each.metadata["secret"]}
        found -= {self.redis_url, self.database_url}
        found.update(parse_server_url(self.redis_url).secrets)
        if not self.database_url.startswith("sqlite:"):
            password = urlsplit(self.database_url).password or ""
            found |= {password, unquote(password)}
        return tuple(sorted(value for value in found if value))

    def contradictions(self) -> list[str]:
        """What is wrong between settings that are each right alone; empty when sound."""
        life, renew = self.watcher_session_ttl, self.watcher_session_renew_every
        needed = renew + 2 * self.watcher_poll_interval + self.watcher_margin
        sweep, margin = self.watcher_poll_interval, self.watcher_margin
        found: list[str] = []
        if self.vast_api_key and self.vast_dead_man <= life + sweep:
            found.append(
                f"VAST_DEAD_MAN ({self.vast_dead_man:g}) must be more than WATCHER_SESSION_TTL ({life:g}) + "
                f"WATCHER_POLL_INTERVAL ({sweep:g}), or machines end while their watcher only pauses"
            )
        if needed < life:
            return found
        problem = (
            f"WATCHER_SESSION_RENEW_EVERY ({renew:g}) + 2 x WATCHER_POLL_INTERVAL ({sweep:g}) + a margin of "
            f"a tenth ({margin:g}) is {needed:g}; it must be less than WATCHER_SESSION_TTL ({life:g}), "
            "or live watchers lose their jobs"
        )
        return [*found, problem]


def variables() -> tuple[Field[Any], ...]:
    """The declared variables in order, each with `metadata`: parse, default, unit, why, secret."""
    return tuple(each for each in fields(Settings) if each.metadata)


def variable_name(variable: Field[Any]) -> str:
    """The name in the environment."""
    return variable.name.upper()


def _text_of(variable: Field[Any], source: Mapping[str, str], redis_url: str | None, known: Mapping[str, Any]) -> str:
    """The raw text of a variable; the empty string counts as unset, as `NAME=` in a .env file means it."""
    given = source.get(variable_name(variable), "").strip()
    if variable.name == "redis_url":
        if redis_url is not None:
            return redis_url
        return given or _embedded_url(source) or DEFAULT_REDIS_URL
    if given:
        return given
    if variable.name == "jobs_state_dir":
        return str(_default_state_dir(source))
    # A state directory that is itself wrong is reported once, not again by all that lie in it.
    state_dir = known.get("jobs_state_dir") or _default_state_dir(source)
    return str(variable.metadata["default"]).replace(STATE_DIR, str(state_dir))


def _place_redis_url(source: Mapping[str, str], flag: str | None) -> RedisUrlSource:
    if flag is not None:
        return "flag"
    if source.get("REDIS_URL", "").strip():
        return "environment"
    return "embedded" if _embedded_url(source) else "default"


def _embedded_url(source: Mapping[str, str]) -> str | None:
    """The bundled server's address, if one was ever started here; None when there is no readable word of it.

    Also while it is stopped: the jobs are in there, and what else listens by now is somebody else's.
    """
    state_dir = source.get("JOBS_STATE_DIR", "").strip() or _default_state_dir(source)
    for name, field_name in ((EMBEDDED_ADDRESS_FILE, "url"), (EMBEDDED_LAUNCH_FILE, "port")):
        try:
            found = json.loads((Path(state_dir).expanduser() / name).read_bytes())[field_name]
            url = found if field_name == "url" else f"redis://127.0.0.1:{int(found)}/0"
        except (OSError, RuntimeError, ValueError, KeyError, TypeError):
            continue
        if isinstance(url, str):
            return url
    return None


def _default_state_dir(source: Mapping[str, str]) -> Path:
    """The XDG place for what is neither configuration nor cache."""
    home = Path(source.get("HOME", "").strip() or Path.home())
    # The XDG rules say that a relative path counts as unset.
    base = Path(source.get("XDG_STATE_HOME", "").strip())
    return (base if base.is_absolute() else home / ".local" / "state") / "job-runner"


def process_environment() -> Mapping[str, str]:
    """The environment over `.env` of the working directory."""
    dotenv_file = Path(".env")
    if not dotenv_file.is_file():
        return os.environ
    from dotenv import dotenv_values  # noqa: PLC0415 - 10 ms that most starts need not pay

    written = {name: value for name, value in dotenv_values(dotenv_file).items() if value is not None}
    return {**written, **os.environ}
