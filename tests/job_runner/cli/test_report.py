"""`job-runner report`: the jobs of a file against the queue."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from job_runner.service.outcomes import Report, ReportRow
from lib.jobqueue.records import ErrorType, RecordedOutput
from lib.redisqueue import measures
from lib.redisqueue.measures import Sample
from lib.redisqueue.reader import Found
from tests.support.hand import HandWatcher

if TYPE_CHECKING:
    from pathlib import Path

    from tests.job_runner.conftest import JobRunner, Outcome

FIVE_JOBS = """\
    jobs:
      - {output_name: story/one, voice: newsroom, text: "One."}
      - {output_name: story/a-name-that-is-much-longer-than-any-column-should-ever-be-wide/beat-0001, voice: newsroom, text: "Two."}
      - {request_id: broken, task: debug}
      - {request_id: nap, task: sleep, payload: {seconds: 3}}
      - {request_id: later, task: debug, run_after: 2999-01-01T00:00:00Z}
    """  # noqa: E501 - the long name is the point
SPOKEN = {"takes": [{"file": "take_01.wav", "seed": 0, "seconds": 3.217}], "selected_take": 1}


def _wav(name: str, root: Path) -> RecordedOutput:
    return RecordedOutput("take_01.wav", "take", f"file://{root}/.store/{name}/take_01.wav", 9, "0" * 64)


async def _work(watcher: HandWatcher, root: Path) -> None:
    for lease in await watcher.lease():
        if lease.request_id == "broken":
            await watcher.failed(lease, "it\nbroke")
        elif lease.request_id.startswith("story"):
            await watcher.done(lease, outputs=[_wav(lease.request_id, root)], result=SPOKEN, seconds=0.4)


def test_the_table_reads_well_at_80_columns(runner: JobRunner, tmp_path: Path) -> None:
    """Audio length, time taken, and the path on a line of its own; the published file when it is there."""
    root = tmp_path / "state" / "output"
    jobs = runner.file(FIVE_JOBS)
    runner("enqueue", jobs)
    runner.by_hand(lambda watcher: _work(watcher, root))
    long_id = "story:a-name-that-is-much-longer-than-any-column-should-ever-be-wide:beat-0001"
    (root / ".store" / long_id).mkdir(parents=True)
    (root / ".store" / long_id / "take_01.wav").write_bytes(b"RIFF12345")
    (root / "story" / "one").mkdir(parents=True)
    (root / "story" / "one" / "take_01.wav").write_bytes(b"RIFF12345")
    runner.file(FIVE_JOBS + "  - {request_id: unknown, task: debug}\n")
    shown = runner("report", jobs)
    assert shown.code == 1
    room = 80 - len("not_found") - len("AUDIO") - len("0.4 s") - 6
    pad = " " * room
    assert shown.out == (
        f"{'REQUEST ID'.ljust(room)}  STATUS     AUDIO   TOOK\n".replace("AUDIO   TOOK", "AUDIO   TOOK")
        + f"{'story:one'.ljust(room)}  done       3.2 s  0.4 s\n"
        + f"  {root}/story/one/take_01.wav\n"
        + f"{long_id}\n"
        + f"{pad}  done       3.2 s  0.4 s\n"
        + f"  {root}/.store/{long_id}/take_01.wav\n"
        + f"{'broken'.ljust(room)}  failed         -      -\n"
        + "  permanent: it\\nbroke\n"
        + f"{'nap'.ljust(room)}  leased         -      -\n"
        + f"{'later'.ljust(room)}  delayed        -      -\n"
        + f"{'unknown'.ljust(room)}  not_found      -      -\n"
        + "\n"
        + "6 jobs: 2 done, 1 failed, 1 leased, 1 delayed, 1 not_found\n"
    )
    table = [line for line in shown.out.splitlines() if not line.startswith("  ")]
    assert max(len(line) for line in table) <= 80
    assert "`job-runner enqueue jobs.yaml`" in shown.err
    assert "mend it in jobs.yaml, then `job-runner enqueue jobs.yaml --replace`" in shown.err


def test_json_is_the_contracts_document(runner: JobRunner, three: str) -> None:
    """Rows in the order of the file, with whole records."""
    runner("enqueue", three)
    runner.by_hand(HandWatcher.all_done)
    found = runner("report", three, "--json")
    assert found.code == 0
    document = found.document
    records = [row.pop("record") for row in document["rows"]]
    assert [record["request_id"] for record in records] == ["story:one", "story:two", "nap"]
    assert document == {
        "schema_version": 1,
        "job_count": 3,
        "summary": {"done": 3},
        "outdated": 0,
        "missing": 0,
        "cost_usd": 0.0,
        "eta": None,
        "rows": [
            {"request_id": "story:one", "output_name": "story/one", "status": "done", "current": True},
            {"request_id": "story:two", "output_name": "story/two", "status": "done", "current": True},
            {"request_id": "nap", "output_name": None, "status": "done", "current": True},
        ],
    }


def test_a_changed_text_is_not_shown_as_done(runner: JobRunner, three: str) -> None:
    """The record is of other content than the file has now: said in the row, the sum and the next step; exit 0."""
    runner("enqueue", three)
    runner.by_hand(HandWatcher.all_done)
    text = (runner.home / three).read_text()
    runner.file(text.replace("Two.", "Two, changed.") + "  - {request_id: new, task: debug}\n")
    shown = runner("report", three)
    assert shown.code == 0
    assert "story:two   done (other content)" in shown.out
    assert shown.out.endswith("4 jobs: 2 done, 1 done (other content), 1 not_found\n")
    assert shown.err.splitlines()[0] == (
        "other content: 1 job changed in the file since; "
        "`job-runner enqueue jobs.yaml --replace` makes what is finished anew"
    )
    document = runner("report", three, "--json").document
    assert [row["current"] for row in document["rows"]] == [True, False, True, None]
    assert document["outdated"] == 1
    runner("enqueue", three, "--replace")
    assert [row["current"] for row in runner("report", three, "--json").document["rows"]] == [True] * 4


def test_each_kind_of_failure_has_its_mend(runner: JobRunner) -> None:
    """What fails for good is mended in the file; what may pass is tried again, by name when it is one."""
    rows = "".join(f"- {{request_id: '{name}', task: debug}}\n" for name in ("a b", "slow", "gone"))
    jobs = runner.file(rows)
    runner("enqueue", jobs)

    async def fail(watcher: HandWatcher) -> None:
        kinds: dict[str, ErrorType] = {"a b": "permanent", "slow": "timeout", "gone": "transient_exhausted"}
        for lease in await watcher.lease():
            await watcher.failed(lease, kind=kinds[lease.request_id])

    runner.by_hand(fail)
    permanent, passing = runner("report", jobs).err.splitlines()
    assert permanent == (
        "failed for good: mend it in jobs.yaml, then `job-runner enqueue jobs.yaml --replace`; "
        "if the cause was elsewhere and is mended: `job-runner retry 'a b'`"
    )
    assert passing == (
        "failed (timeout, transient_exhausted): may go well the next time; `job-runner retry ID` tries again"
    )
    assert runner("result", "slow").err == (
        "failed (timeout): may go well the next time; `job-runner retry slow` tries again\n"
    )


def test_the_best_take_is_the_one_to_listen_to(runner: JobRunner) -> None:
    """With several takes the best is shown with its own length, and the others are counted."""
    jobs = runner.file("- {output_name: a, voice: newsroom, text: Hi, variants: 2, select_best: true}\n")
    runner("enqueue", jobs)

    async def speak(watcher: HandWatcher) -> None:
        (lease,) = await watcher.lease()
        outputs = [
            RecordedOutput("best.wav", "best", "file:///o/.store/a/best.wav", 9, "1" * 64),
            RecordedOutput("take_01.wav", "take", "file:///o/.store/a/take_01.wav", 9, "0" * 64),
            RecordedOutput("take_02.wav", "take", "file:///o/.store/a/take_02.wav", 9, "1" * 64),
        ]
        takes = [{"file": "take_01.wav", "seconds": 1.0}, {"file": "take_02.wav", "seconds": 61.0}]
        await watcher.done(lease, outputs=outputs, result={"takes": takes, "selected_take": 2})

    runner.by_hand(speak)
    assert runner("report", jobs).out.splitlines()[1:3] == [
        "a           done     1:01  1.5 s",
        "  /o/.store/a/best.wav  (and 2 takes beside it)",
    ]


def test_a_bad_file(runner: JobRunner) -> None:
    """A report of a file with mistakes is no report: exit code 2."""
    refused = runner("report", runner.file("- {voice: newsroom}\n"))
    assert (refused.code, refused.out) == (2, "")
    assert "jobs.yaml:1: jobs[0]" in refused.err
    assert "queued" not in refused.err  # which a report never does


def test_more_jobs_than_one_page(runner: JobRunner) -> None:
    """Pages of the queue do not show."""
    names = "".join(f"- {{request_id: 'r{i}', task: sleep, payload: {{seconds: 0}}}}\n" for i in range(501))
    jobs = runner.file(names)
    runner("enqueue", jobs)
    document = runner("report", jobs, "--json").document
    assert document["summary"] == {"queued": 501}
    assert [row["request_id"] for row in document["rows"]] == [f"r{i}" for i in range(501)]


def test_deleted_and_damaged_files_are_not_shown_as_done(runner: JobRunner, tmp_path: Path) -> None:
    """The row, the sum, the JSON and the next step say so; exit 0 as before, since no job has failed."""
    root = tmp_path / "state" / "output"
    jobs = runner.file("".join(f"- {{output_name: story/{i}, voice: newsroom, text: Hi}}\n" for i in range(3)))
    runner("enqueue", jobs)
    runner.by_hand(lambda watcher: _work(watcher, root))
    for name, content in (("story:0", b"RIFF12345"), ("story:1", b"RIFF")):
        (root / ".store" / name).mkdir(parents=True)
        (root / ".store" / name / "take_01.wav").write_bytes(content)
    shown = runner("report", jobs)
    assert shown.code == 0
    rows = [line.partition("  ")[2].strip() for line in shown.out.splitlines() if line.startswith("story")]
    statuses = [row.partition("  ")[0] for row in rows]
    assert statuses == ["done", "done (file missing)", "done (file missing)"]
    assert shown.out.endswith("3 jobs: 1 done, 2 done (file missing)\n")
    assert shown.err.startswith("file missing: what 2 jobs made is not on this machine any more, or not whole;")
    assert "a new request_id in jobs.yaml, beside the same output_name, and `job-runner enqueue jobs.yaml`" in shown.err
    document = runner("report", jobs, "--json").document
    assert (document["summary"], document["missing"]) == ({"done": 3}, 2)
    marked = [row["record"]["outputs"]["takes"][0].get("missing") for row in document["rows"]]
    assert marked == [None, True, True]


def test_a_cancelled_job_is_no_failure(runner: JobRunner) -> None:
    """Nobody has to mend what somebody took out."""
    jobs = runner.file("- {request_id: a, task: debug}\n")
    runner("enqueue", jobs)
    runner("cancel", "a", "--yes")
    shown = runner("report", jobs)
    assert shown.code == 0
    assert shown.out.splitlines()[1:3] == ["a           cancelled      -     -", "  cancelled by request"]


def test_one_status_of_many(runner: JobRunner, three: str) -> None:
    """Only its rows are listed; the sums are those of all, in the JSON too."""
    runner("enqueue", three)
    runner("cancel", "story:two", "--yes")
    shown = runner("report", three, "--status", "cancelled")
    assert [line.split()[0] for line in shown.out.splitlines() if line.startswith(("story", "nap"))] == ["story:two"]
    assert shown.out.endswith("3 jobs: 2 queued, 1 cancelled\n")
    assert runner("report", three, "--status", "failed").out == "3 jobs: 2 queued, 1 cancelled\n"
    document = runner("report", three, "--status", "queued", "--json").document
    assert [row["request_id"] for row in document["rows"]] == ["story:one", "nap"]
    assert (document["job_count"], document["summary"]) == (3, {"queued": 2, "cancelled": 1})


def test_what_waits_stands_in_line(runner: JobRunner, three: str) -> None:
    """The place of each job in the document, and when the last is done, once such jobs were measured."""
    runner("enqueue", three)
    rows = {row["request_id"]: row for row in runner("report", three, "--json").document["rows"]}
    assert {name: row["position"] for name, row in rows.items()} == {"story:one": 1, "story:two": 2, "nap": 1}
    assert all(row["eta"] is None for row in rows.values())

    async def look(watcher: HandWatcher) -> tuple[Outcome, Outcome]:
        samples = [Sample(task, "metal", 4.0, 10.0) for task in ("speak", "sleep")] * 50
        await measures.add(watcher.queue, samples)
        asked = [await asyncio.to_thread(runner, "report", three, *more) for more in ((), ("--json",))]
        return asked[0], asked[1]

    shown, document = runner.by_hand(look)
    assert "\n3 jobs in line: the last is done in about " in shown.out
    assert max(len(line) for line in shown.out.splitlines()) <= 80
    assert document.document["eta"]["p50_sec"] > 10


def test_what_the_jobs_cost(runner: JobRunner, three: str) -> None:
    """The sum of their records."""
    rows = tuple(
        ReportRow(name, None, Found(name, "done", {"status": "done", "cost": {"usd": usd}}))
        for name, usd in (("a", 0.25), ("b", 0.5), ("c", None))
    )
    assert Report(rows).document()["cost_usd"] == 0.75
    assert "cost $" not in runner("report", three).out
