"""Every environment variable that job-runner reads: its type, default, unit and reason, in one place.

It exists so that a wrong value is named when a program starts, all wrong ones at once, and not hours later
inside a loop. It connects to nothing and creates nothing. The command lines load it once and pass it on; there is
no global settings object. It is a plain dataclass because a settings library costs more time to import than
`job-runner status` may take (docs/adr/0006-settings-are-a-dataclass.md).
"""

# ruff: noqa: RUF009 - _variable returns a dataclass field, which is what belongs there

from __future__ import annotations

import json
import os
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lib import setting_values as parsers
from lib.errors import SettingsError
from lib.server_url import parse_server_url
from lib.setting_values import DEFAULT_REDIS_URL

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

RedisUrlSource = Literal["flag", "environment", "embedded", "default"]

EMBEDDED_ADDRESS_FILE = "server.json"
EMBEDDED_LAUNCH_FILE = "valkey/launch.json"
"""In the state directory: `lib.embedded` writes the one while the bundled server runs, the other for good."""

_STATE_DIR = "$JOBS_STATE_DIR"
"""In a default: the value of that variable."""


def _variable(parse: Callable[[str], Any], default: str | None, *, unit: str, why: str, secret: bool = False) -> Any:
    """Declare one variable; `default` is text as it would stand in the environment, None when derived."""
    metadata = {"parse": parse, "default": default, "unit": unit, "why": why, "secret": secret}
    return field(metadata=metadata, repr=not secret)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings of one process, checked. `load` makes one; tests may use `dataclasses.replace`."""

    redis_url: str = _variable(
        parsers.redis_url,
        None,
        unit="URL",
        why="redis://, rediss:// for TLS, unix:// for a socket, redis+sentinel://HOST:PORT,HOST:PORT/SERVICE. Unset: "
        f"the bundled server of this state directory, once it was started, else {DEFAULT_REDIS_URL}, where a Redis "
        "answers on most machines.",
        secret=True,  # it may carry a password
    )
    jobs_prefix: str = _variable(
        parsers.matching(parsers.PREFIX, "1 to 64 letters, digits and . _ -, with at most one {part} in braces"),
        "pab",
        unit="start of every key",
        why="One prefix is one queue. On Redis Cluster it carries braces, as {pab}, to live in one slot.",
    )
    jobs_durability: str = _variable(
        parsers.matching(parsers.DURABILITY, "memory, fsynced or replicated:N"),
        "memory",
        unit="level",
        why="What a submit waits for: memory is fastest and survives a crash of any watcher; fsynced also a "
        "power cut, and needs a server with appendfsync always; replicated:N the loss of the master.",
    )
    jobs_max_file_bytes: int = _variable(
        parsers.whole(1, 2**40),
        "67108864",
        unit="bytes",
        why="64 MiB is some 300 000 jobs; a larger YAML file is more often a mistake than a plan.",
    )
    jobs_max_job_bytes: int = _variable(
        parsers.whole(256, 400 * 1024),
        "262144",
        unit="bytes",
        why="256 KiB holds a long chapter; a batch of jobs must stay under 512 KiB or it stalls the server.",
    )
    jobs_state_dir: Path = _variable(
        parsers.directory,
        None,
        unit="directory",
        why="What belongs to this machine: the bundled server's data, voices, work and output. "
        "Unset: $XDG_STATE_HOME/job-runner, else ~/.local/state/job-runner.",
    )
    jobs_task_modules: tuple[str, ...] = _variable(
        parsers.list_of(parsers.MODULE, "import paths separated by commas, such as my_tasks,team.more_tasks"),
        "",
        unit="import paths",
        why="Modules with further tasks, each with a tuple TASKS. None by default: to import is to run code.",
    )
    watcher_session_ttl: float = _variable(
        parsers.seconds(1, 3600),
        "20",
        unit="seconds",
        why="How long a watcher that is not heard of keeps its jobs: shorter recovers sooner, longer "
        "forgives longer pauses of machine or network.",
    )
    watcher_session_renew_every: float = _variable(
        parsers.seconds(0.05, 600),
        "3",
        unit="seconds",
        why="Leaves room for several lost renewals within one session life.",
    )
    watcher_poll_interval: float = _variable(
        parsers.seconds(0.05, 600),
        "5",
        unit="seconds",
        why="How often one watcher sweeps for dead sessions, due jobs and expired records; "
        "recovery takes at most a session life plus this.",
    )
    watcher_lease_idle_ms: int = _variable(
        parsers.whole(1, 2**40),
        "180000",
        unit="milliseconds",
        why="When `status` calls an entry stale whose consumer is no session of ours.",
    )
    watcher_max_attempts: int = _variable(
        parsers.whole(1, 1000),
        "3",
        unit="attempts",
        why="Pauses of 30 s and 2 min outlast most short outages; a job may say its own number.",
    )
    watcher_max_crashes: int = _variable(
        parsers.whole(1, 1000),
        "3",
        unit="crashes",
        why="A job whose process dies this often is set aside as poison, with its bytes kept.",
    )
    watcher_voices_dir: Path = _variable(
        parsers.directory, f"{_STATE_DIR}/voices", unit="directory", why="Voices of your own."
    )
    watcher_work_dir: Path = _variable(
        parsers.directory,
        f"{_STATE_DIR}/work",
        unit="directory",
        why="Where attempts write before their outputs are checked and stored.",
    )
    watcher_output_root: Path = _variable(
        parsers.directory,
        f"{_STATE_DIR}/output",
        unit="directory",
        why="Finished outputs, one folder an output_name.",
    )
    metal_concurrency: int = _variable(
        parsers.whole(1, 256),
        "1",
        unit="jobs at once",
        why="Speech and local models use every core they get, so a second job rarely finishes sooner.",
    )
    metal_queue_max: int = _variable(
        parsers.whole(1, 10_000),
        "2",
        unit="jobs a slot",
        why="Waiting and running together: one runs, one is ready, the rest wait where priority counts.",
    )
    qwen_tts_models: Path | None = _variable(
        parsers.directory_or_none,
        "",
        unit="directory",
        why="Where the model directories of Qwen3-TTS lie, for the extra [qwen]. Unset: the cache of Hugging Face.",
    )
    qwen_tts_download: bool = _variable(
        parsers.yes_or_no,
        "no",
        unit="yes or no",
        why="Whether gigabytes of weights may be downloaded when a job needs them: never unasked.",
    )
    s3_bucket: str = _variable(
        parsers.matching_or_empty(parsers.BUCKET, "3 to 63 lower-case letters, digits, dots and dashes"),
        "",
        unit="bucket",
        why="Where outputs go, with the extra [s3]. Unset: WATCHER_OUTPUT_ROOT. Credentials come by the usual chain of "
        "the AWS libraries (environment, shared files, instance role).",
    )
    s3_prefix: str = _variable(
        parsers.matching(parsers.OBJECT_PREFIX, "letters, digits and . _ - /, without a slash at either end"),
        "voice-results",
        unit="start of every object's name",
        why="Lets a bucket hold more than this queue's outputs.",
    )
    s3_endpoint_url: str = _variable(
        parsers.matching_or_empty(parsers.HTTP_URL, "http://HOST:PORT or https://HOST"),
        "",
        unit="URL",
        why="An S3-compatible store that is not Amazon's, such as MinIO, R2 or Ceph. Unset: Amazon's.",
    )
    callback_secret: str = _variable(
        parsers.secret,
        "",
        unit="secret",
        why="Signs callbacks (HMAC-SHA256). Unset: a job with callback_url is refused.",
        secret=True,
    )
    callback_allowed_hosts: tuple[str, ...] = _variable(
        parsers.list_of(parsers.HOST, "host names separated by commas, such as hooks.example.org,10.0.0.5:8080"),
        "",
        unit="hosts",
        why="The only places that callbacks may go to. Unset: a job with callback_url is refused.",
    )
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
        """What must never be seen in a log: each secret's value, and the password inside `redis_url`."""
        found = {getattr(self, each.name) for each in variables() if each.metadata["secret"]}
        found.discard(self.redis_url)
        found.update(parse_server_url(self.redis_url).secrets)
        return tuple(sorted(value for value in found if value))

    def contradictions(self) -> list[str]:
        """What is wrong between settings that are each right alone; empty when sound."""
        life, renew = self.watcher_session_ttl, self.watcher_session_renew_every
        needed = renew + 2 * self.watcher_poll_interval + self.watcher_margin
        if needed < life:
            return []
        sweep, margin = self.watcher_poll_interval, self.watcher_margin
        problem = (
            f"WATCHER_SESSION_RENEW_EVERY ({renew:g}) + 2 x WATCHER_POLL_INTERVAL ({sweep:g}) + a margin of "
            f"a tenth ({margin:g}) is {needed:g}; it must be less than WATCHER_SESSION_TTL ({life:g}), "
            "or live watchers lose their jobs"
        )
        return [problem]


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
    return str(variable.metadata["default"]).replace(_STATE_DIR, str(state_dir))


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
