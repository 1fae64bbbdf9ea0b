"""What the commands that queue files share: from checked files to the queue, and what a person is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from job_runner.cli.advice import typed
from job_runner.cli.noting import Notes
from job_runner.cli.running import settings_of, with_queue
from job_runner.cli.tables import Table, counted, summary_text
from job_runner.service.jobfiles import jobs_of
from job_runner.service.place import server_text
from job_runner.service.submit import enqueue as submit_jobs
from job_runner.service.voicing import Voicing
from lib.errors import InvalidJobsError
from lib.jobfile import EntryNames
from lib.redisqueue.keys import DEFAULT_BACKLOG, parse_backlog
from lib.routing.view import BACKENDS
from lib.wiring import voices

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from job_runner.service.submit import Enqueued, EnqueuedRow
    from lib.command_line.output import Output
    from lib.jobqueue import JobSpec
    from lib.jobqueue.problems import FieldProblem

_IDS_MAX: Final = 5

Target = Annotated[
    str | None, typer.Option("--target", metavar="backlog:NAME", help="A named backlog instead of the default one.")
]
Replace = Annotated[
    bool, typer.Option("--replace", help="Start finished jobs whose content has changed again, with the new content.")
]

NoCache = Annotated[
    bool, typer.Option("--no-cache", help="Make them anew, even where the files of an equal job are there.")
]


@dataclass(frozen=True, slots=True)
class Manifests:
    """The files are task manifests: how their plan is called otherwise, who hears of each part, and how to look."""

    plan: str | None
    tell: Callable[[Sequence[EnqueuedRow]], object]
    look: str


def submit_and_tell(  # noqa: PLR0913 - what three commands have in common
    files: Sequence[Path],
    output: Output,
    command: str,
    *,
    target: str | None,
    replace: bool,
    any_voice: bool,
    redis_url: str | None,
    by_hand: Mapping[str, Any] | None = None,
    manifests: Manifests | None = None,
    anew: bool = False,
) -> None:
    """Queue the jobs of `files` and say what became of each; `command` is what was typed, for what to type next.

    `anew`: each is made, also where the files of an equal job are there.

    Raises:
        InvalidJobsError: with every mistake of all files; nothing was queued.
        typer.Exit: with 1 when a job was refused.

    """
    settings = settings_of(redis_url)
    backlog = DEFAULT_BACKLOG if target is None else parse_backlog(target)
    names = EntryNames(backlog, manifests.plan if manifests else None)
    asked = (lambda _: None) if manifests is None else manifests.tell
    voicing = Voicing(voices(settings))
    notes = Notes()

    def inspect(spec: JobSpec) -> tuple[FieldProblem, ...]:
        found = () if any_voice else voicing.problems(spec)
        if not found and (noted := voicing.notes(spec)):
            notes.add(noted)
        return found

    pins: set[str] = set()
    try:
        with jobs_of(
            files,
            settings,
            inspect=inspect,
            notice=output.warn,
            by_hand=by_hand,
            empty_too=False,
            names=names,
            manifest=manifests is not None,
        ) as jobs:
            done = with_queue(
                settings,
                lambda queue: submit_jobs(
                    queue,
                    settings,
                    _noted(map(_made_anew, jobs) if anew else jobs, pins),
                    backlog=backlog,
                    replace=replace,
                    tell=asked,
                ),
            )
    except InvalidJobsError as exc:
        if voicing.refused:
            exc.hint = f"{exc.hint}; --any-voice takes voices that only the watcher's machine has"
        raise
    if output.as_json:
        output.document(done.document())
    else:
        _show(done, output)
    notes.say(output)
    output.say(f"server: {server_text(settings)}")
    if done.short_of_replicas:
        output.warn(
            f"accepted, but on {done.reached} of {done.durability.replicas} replicas; run it again to have it confirmed"
        )
    flag = "" if target is None else f" {typed(['--target', target])}"
    look = manifests.look if manifests else "result ID" if by_hand else f"report {typed(files)}{flag}"
    for line in _next_steps(done, command, look, pins):
        output.say(line)
    if done.refused or done.short_of_replicas:
        raise typer.Exit(1)


def _made_anew(job: JobSpec) -> JobSpec:
    # Whether it is taken from elsewhere is no part of what it is: its content hash stays.
    return job.model_copy(update={"cache": False})


def _noted(jobs: Iterable[JobSpec], pins: set[str]) -> Iterator[JobSpec]:
    """The same jobs, and where they are pinned to."""
    for job in jobs:
        if job.backend is not None:
            pins.add(job.backend)
        yield job


def _watcher(pins: Collection[str]) -> str:
    """The program that works on jobs which are pinned so."""
    wanted = [each for each in BACKENDS if each in {"metal", *pins}]
    return "job-watcher" if wanted == ["metal"] else f"job-watcher --backends {','.join(wanted)}"


def _show(done: Enqueued, output: Output) -> None:
    table = Table(("REQUEST ID", "STATUS"), ("left", "left"))
    for row in done.rows:
        table.row(row.request_id, row.status)
    output.listing(table.lines(output.width, output.paint))
    output.data()
    output.data(f"{counted(len(done.rows), 'job')}: {summary_text(done.summary)} (durability: {done.durability_text})")


def _next_steps(done: Enqueued, command: str, look: str, pins: Collection[str]) -> list[str]:
    """What a person may want to do now, one line for each status that calls for something.

    `look` is what shows the results: not a report of files that alone do not say what was queued.
    """
    seen = done.summary
    steps: list[str] = []
    if "queued" in seen:
        steps.append(f"next: run `{_watcher(pins)}` to work on them, `job-runner watch` to follow")
    elif seen.keys() and seen.keys() <= {"already_done"}:
        steps.append(f"nothing to do: {_all_of(len(done.rows))} done already, with this content")
    if "duplicate_request" in seen:
        steps.append(
            "duplicate_request: in the queue already with the same content, so not queued twice; "
            "`job-runner status` shows the queue"
        )
    if "key_busy" in seen:
        steps.append("key_busy: another job holds the conflict_key; run again later, or write `on_conflict: queue`")
    if "already_failed" in seen:
        steps.append("already_failed: see why with `job-runner result ID`, then `job-runner retry ID`")
    if "already_cancelled" in seen:
        steps.append("already_cancelled: `job-runner retry ID` queues it again")
    if "already_done" in seen:
        steps.append(f"already_done: `job-runner {look}` shows where the results are")
    return steps + _about_conflicts(done, command)


def _about_conflicts(done: Enqueued, command: str) -> list[str]:
    """A conflict's mend depends on how the other job of that name stands."""
    active = [each for each, status in done.in_the_way.items() if status in {"queued", "leased", "delayed"}]
    ended = len(done.in_the_way) - len(active)
    steps: list[str] = []
    if active:
        shown = typed(active[:_IDS_MAX]) + (" …" if len(active) > _IDS_MAX else "")
        steps.append(
            f"conflict: still waiting or running with other content; `job-runner cancel {shown}`, then "
            f"`job-runner {command} --replace`; or let it end first"
        )
    if ended:
        steps.append(
            f"conflict: ended before with other content; `job-runner {command} --replace` makes it anew, "
            "or give the job another request_id"
        )
    return steps


def _all_of(number: int) -> str:
    return "the one job is" if number == 1 else f"all {number} jobs are"
