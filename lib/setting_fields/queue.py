"""The queue, its limits, and the directories of a watcher."""

# ruff: noqa: RUF009 - variable returns a dataclass field, which is what belongs there

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lib import setting_values as parsers
from lib.setting_fields.declaring import STATE_DIR, variable
from lib.setting_values import DEFAULT_REDIS_URL

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSettings:
    """Where the queue is, what it accepts, how soon it recovers, where files lie."""

    redis_url: str = variable(
        parsers.redis_url,
        None,
        unit="URL",
        why="redis://, rediss:// for TLS, unix:// for a socket, redis+sentinel://HOST:PORT,HOST:PORT/SERVICE. Unset: "
        f"the bundled server of this state directory, once it was started, else {DEFAULT_REDIS_URL}, where a Redis "
        "answers on most machines.",
        secret=True,  # it may carry a password
    )
    jobs_prefix: str = variable(
        parsers.matching(parsers.PREFIX, "1 to 64 letters, digits and . _ -, with at most one {part} in braces"),
        "pab",
        unit="start of every key",
        why="One prefix is one queue. On Redis Cluster it carries braces, as {pab}, to live in one slot.",
    )
    jobs_durability: str = variable(
        parsers.matching(parsers.DURABILITY, "memory, fsynced or replicated:N"),
        "memory",
        unit="level",
        why="What a submit waits for: memory is fastest and survives a crash of any watcher; fsynced also a "
        "power cut, and needs a server with appendfsync always; replicated:N the loss of the master.",
    )
    jobs_max_file_bytes: int = variable(
        parsers.whole(1, 2**40),
        "67108864",
        unit="bytes",
        why="64 MiB is some 300 000 jobs; a larger YAML file is more often a mistake than a plan.",
    )
    jobs_max_job_bytes: int = variable(
        parsers.whole(256, 400 * 1024),
        "262144",
        unit="bytes",
        why="256 KiB holds a long chapter; a batch of jobs must stay under 512 KiB or it stalls the server.",
    )
    jobs_state_dir: Path = variable(
        parsers.directory,
        None,
        unit="directory",
        why="What belongs to this machine: the bundled server's data, voices, work and output. "
        "Unset: $XDG_STATE_HOME/job-runner, else ~/.local/state/job-runner.",
    )
    jobs_task_modules: tuple[str, ...] = variable(
        parsers.list_of(parsers.MODULE, "import paths separated by commas, such as my_tasks,team.more_tasks"),
        "",
        unit="import paths",
        why="Modules with further tasks, each with a tuple TASKS. None by default: to import is to run code.",
    )
    watcher_session_ttl: float = variable(
        parsers.seconds(1, 3600),
        "20",
        unit="seconds",
        why="How long a watcher that is not heard of keeps its jobs: shorter recovers sooner, longer "
        "forgives longer pauses of machine or network.",
    )
    watcher_session_renew_every: float = variable(
        parsers.seconds(0.05, 600),
        "3",
        unit="seconds",
        why="Leaves room for several lost renewals within one session life.",
    )
    watcher_poll_interval: float = variable(
        parsers.seconds(0.05, 600),
        "5",
        unit="seconds",
        why="How often one watcher sweeps for dead sessions, due jobs and expired records; "
        "recovery takes at most a session life plus this.",
    )
    watcher_lease_idle_ms: int = variable(
        parsers.whole(1, 2**40),
        "180000",
        unit="milliseconds",
        why="When `status` calls an entry stale whose consumer is no session of ours.",
    )
    watcher_max_attempts: int = variable(
        parsers.whole(1, 1000),
        "3",
        unit="attempts",
        why="Pauses of 30 s and 2 min outlast most short outages; a job may say its own number.",
    )
    watcher_max_crashes: int = variable(
        parsers.whole(1, 1000),
        "3",
        unit="crashes",
        why="A job whose process dies this often is set aside as poison, with its bytes kept.",
    )
    watcher_voices_dir: Path = variable(
        parsers.directory, f"{STATE_DIR}/voices", unit="directory", why="Voices of your own."
    )
    watcher_work_dir: Path = variable(
        parsers.directory,
        f"{STATE_DIR}/work",
        unit="directory",
        why="Where attempts write before their outputs are checked and stored.",
    )
    watcher_corpus_root: Path = variable(
        parsers.directory,
        ".",
        unit="directory",
        why="Corpora that are files lie below it, and a job may name no other file. By default the directory that the "
        "watcher was started in.",
    )
    watcher_output_root: Path = variable(
        parsers.directory,
        f"{STATE_DIR}/output",
        unit="directory",
        why="Finished outputs, one folder an output_name.",
    )
