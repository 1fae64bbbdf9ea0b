"""Rented machines: where they are rented, how dear they may be, and when it is time to rent and to give back."""

# ruff: noqa: RUF009 - variable returns a dataclass field, which is what belongs there

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lib import setting_values as parsers
from lib.setting_fields.declaring import variable
from lib.setting_fields.outputs import OutputSettings

if TYPE_CHECKING:
    from pathlib import Path

_QUERY: Final = re.compile(r"^[A-Za-z0-9_.<>=!\[\], ':-]{1,500}$")
_IMAGE: Final = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._:/@-]{0,299}$")
_PORT: Final = r"(?:[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
_SSH_HOST: Final = re.compile(
    rf"^([a-z_][a-z0-9_-]*@)?([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(:{_PORT})?$"
)

DAY_SECONDS: Final = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RentingSettings(OutputSettings):
    """The same, and what is rented."""

    vast_api_key: str = variable(
        parsers.secret,
        "",
        unit="secret",
        why="The key of an account at Vast.ai, with the extra [vast]. Unset: nothing is rented there.",
        secret=True,
    )
    vast_url: str = variable(
        parsers.matching_or_empty(parsers.HTTP_URL, "http://HOST:PORT or https://HOST"),
        "",
        unit="URL",
        why="Another address of the market's API, such as a proxy. Unset: Vast.ai's.",
    )
    vast_ssh_key: Path | None = variable(
        parsers.file_or_none,
        "",
        unit="file",
        why="Your own private key, for hosts of SSH_HOSTS only; a rented host gets a new key each time. Unset: the "
        "keys of the ssh agent and of ~/.ssh.",
    )
    vast_query: str = variable(
        parsers.matching_or_empty(_QUERY, "a query of Vast.ai, such as gpu_name=RTX_4090 reliability>0.98"),
        "",
        unit="query",
        why="Which offers are looked at, beside VAST_DISK and VAST_MAX_DPH: in the words of `vastai search offers`.",
    )
    vast_image: str = variable(
        parsers.matching(_IMAGE, "an image's name, such as ghcr.io/you/job-runner-worker:1"),
        "ubuntu:24.04",
        unit="image",
        why="What a rented machine starts with. An image of Dockerfile.worker starts at once; on a bare Ubuntu the "
        "worker is installed first, for some minutes that are paid for.",
    )
    vast_disk: int = variable(
        parsers.whole(8, 4000),
        "60",
        unit="GB",
        why="Enough for the models and the outputs of a batch; storage is paid for.",
    )
    vast_max_dph: float = variable(
        parsers.decimal(0.001, 1000.0),
        "1.0",
        unit="dollars an hour",
        why="No dearer machine is rented, storage included.",
    )
    vast_max_instances: int = variable(
        parsers.whole(1, 100),
        "1",
        unit="machines",
        why="So many are rented at once, for all watchers together, and only if what waits repays each of them.",
    )
    vast_interruptible: bool = variable(
        parsers.yes_or_no,
        "no",
        unit="yes or no",
        why="Whether to bid for machines that may be taken away at any moment: cheaper; a job that was running there "
        "begins again and loses no attempt.",
    )
    vast_dead_man: float = variable(
        parsers.seconds(5.0, DAY_SECONDS),
        "600",
        unit="seconds",
        why="A rented machine to which no watcher has spoken for so long destroys itself: the most that is paid when "
        "all else is dead.",
    )
    ssh_hosts: tuple[str, ...] = variable(
        parsers.list_of(_SSH_HOST, "hosts separated by commas, each [USER@]HOST[:PORT], a port from 1 to 65535"),
        "",
        unit="hosts",
        why="Machines of yours that are used like rented ones and cost nothing; job-runner must be installed there.",
    )
    watcher_batch_min: int = variable(
        parsers.whole(1, 1_000_000),
        "1",
        unit="jobs",
        why="A machine is rented when so many jobs wait for one, or the oldest has waited for WATCHER_BATCH_MAX_WAIT.",
    )
    watcher_batch_max_wait: float = variable(
        parsers.seconds(0.0, 7 * DAY_SECONDS),
        "300",
        unit="seconds",
        why="So long a job waits for WATCHER_BATCH_MIN others before a machine is rented for it all the same.",
    )
    watcher_batch_max_jobs: int = variable(
        parsers.whole(1, 500),
        "128",
        unit="jobs",
        why="So many are sent to a rented machine at once at most; one machine works through many such batches.",
    )
    watcher_idle_grace: float = variable(
        parsers.seconds(0.0, DAY_SECONDS),
        "75",
        unit="seconds",
        why="A rented machine without work is kept for so long: to start another one costs more.",
    )
    watcher_max_runtime: float = variable(
        parsers.seconds(60.0, 30 * DAY_SECONDS),
        "7200",
        unit="seconds",
        why="No rented machine is kept for longer, whatever is left to do; jobs that were there go back.",
    )
