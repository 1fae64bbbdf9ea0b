"""`job-runner enqueue`: what it prints, what it queues, what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.hand import HandWatcher

if TYPE_CHECKING:
    from tests.job_runner.conftest import JobRunner

TEN_MISTAKES = Path(__file__).parents[2] / "data" / "ten_mistakes.yaml"


def test_prints_a_table_and_what_to_do_next(runner: JobRunner, three: str) -> None:
    """The first time everything is queued, data on stdout, the hint on stderr."""
    done = runner("enqueue", three)
    assert done.out == (
        "REQUEST ID  STATUS\n"
        "story:one   queued\n"
        "story:two   queued\n"
        "nap         queued\n"
        "\n"
        "3 jobs: 3 queued (durability: memory)\n"
    )
    assert done.err == (
        f"server: {runner.url} (from REDIS_URL)\n"
        "next: run `job-watcher` to work on them, `job-runner watch` to follow\n"
    )
    assert done.code == 0


def test_what_to_do_next_is_a_watcher_that_does_them(runner: JobRunner, tmp_path: Path) -> None:
    """Jobs that are pinned to rented machines or to the cloud wait for ever for a watcher of this machine alone."""
    file = tmp_path / "pinned.yaml"
    for backend, flag in (("vast", " --backends metal,vast"), ("cloud", " --backends metal,cloud"), ("metal", "")):
        file.write_text(f"jobs:\n- {{request_id: on-{backend}, task: debug, backend: {backend}}}\n")
        assert f"next: run `job-watcher{flag}` to work on them" in runner("enqueue", str(file)).err


def test_json_is_the_contracts_document(runner: JobRunner, three: str) -> None:
    """Rows in the order of the file, with the entry of the stream where each stands."""
    done = runner("enqueue", three, "--json")
    assert done.code == 0
    document = done.document
    entries = [row.pop("stream_id") for row in document["rows"]]
    assert all(entry.partition("-")[0].isdigit() for entry in entries)
    assert document == {
        "schema_version": 1,
        "rows": [
            {"index": 0, "request_id": "story:one", "output_name": "story/one", "status": "queued", "attempt": 0},
            {"index": 1, "request_id": "story:two", "output_name": "story/two", "status": "queued", "attempt": 0},
            {"index": 2, "request_id": "nap", "output_name": None, "status": "queued", "attempt": 0},
        ],
        "summary": {"queued": 3},
        "durability": "memory",
    }


def test_twice_then_done_then_edited_then_replaced(runner: JobRunner, three: str) -> None:
    """The whole life of a file: nothing is ever done twice, and only what was changed is done anew."""
    runner("enqueue", three)
    again = runner("enqueue", three, "--json")
    assert again.code == 0
    assert again.document["summary"] == {"duplicate_request": 3}

    assert runner.by_hand(HandWatcher.all_done) == 3
    after = runner("enqueue", three)
    assert after.code == 0
    assert after.out.endswith("3 jobs: 3 already_done (durability: memory)\n")
    assert "`job-runner report jobs.yaml`" in after.err
    assert "nothing to do: all 3 jobs are done already, with this content\n" in after.err
    generations = {each: _generation(runner, each) for each in ("story:one", "story:two", "nap")}

    runner.file((runner.home / three).read_text().replace("Two.", "Two, changed."))
    refused = runner("enqueue", three)
    assert refused.code == 1
    assert refused.out == (
        "REQUEST ID  STATUS\n"
        "story:one   already_done\n"
        "story:two   conflict\n"
        "nap         already_done\n"
        "\n"
        "3 jobs: 2 already_done, 1 conflict (durability: memory)\n"
    )
    assert refused.err.splitlines()[-1] == (
        "conflict: ended before with other content; `job-runner enqueue jobs.yaml --replace` makes it anew, "
        "or give the job another request_id"
    )
    assert "nothing to do" not in refused.err

    replaced = runner("enqueue", three, "--replace", "--json")
    assert replaced.code == 0
    assert [row["status"] for row in replaced.document["rows"]] == ["already_done", "queued", "already_done"]
    assert runner.by_hand(HandWatcher.all_done) == 1
    assert _generation(runner, "story:two") > generations["story:two"]
    assert _generation(runner, "story:one") == generations["story:one"]
    assert _generation(runner, "nap") == generations["nap"]
    assert runner("enqueue", three, "--json").document["summary"] == {"already_done": 3}


def _generation(runner: JobRunner, request_id: str) -> int:
    generation: int = runner("result", request_id, "--json").document["record"]["generation"]
    return generation


def test_replace_leaves_an_active_job_alone(runner: JobRunner, three: str) -> None:
    """What is still waiting is not replaced under the watcher's hands, and the message says what to do."""
    runner("enqueue", three)
    runner.file((runner.home / three).read_text().replace("Two.", "Two, changed."))
    refused = runner("enqueue", three, "--replace")
    assert refused.code == 1
    assert "story:two   conflict\n" in refused.out
    assert refused.err.splitlines()[-2:] == [
        (
            "duplicate_request: in the queue already with the same content, so not queued twice; "
            "`job-runner status` shows the queue"
        ),
        (
            "conflict: still waiting or running with other content; `job-runner cancel story:two`, then "
            "`job-runner enqueue jobs.yaml --replace`; or let it end first"
        ),
    ]
    # What the message says to type works as it stands.
    assert runner("cancel", "story:two", "--yes").code == 0
    refused = runner("enqueue", three)
    assert refused.err.splitlines()[-1].startswith("conflict: ended before with other content; ")
    assert runner("enqueue", three, "--replace").code == 0
    assert runner("result", "story:two", "--json").document["status"] == "queued"


def test_ten_mistakes_are_ten_lines_and_nothing_is_queued(runner: JobRunner) -> None:
    """Every mistake of a file at once, each with its place and mend; exit code 2."""
    refused = runner("enqueue", str(TEN_MISTAKES))
    assert refused.code == 2
    assert refused.out == ""
    lines = refused.err.splitlines()
    assert [line.removeprefix(f"{TEN_MISTAKES}:").split(": ")[:2] for line in lines[:10]] == [
        ["11", "jobs[1].output_name"],
        ["16", "jobs[2].voise"],
        ["22", "jobs[3].variants"],
        ["25", "jobs[4].voice"],
        ["31", "jobs[5].text"],
        ["36", "jobs[6].task"],
        ["41", "jobs[7].text"],
        ["44", "jobs[8].voice"],
        ["50", "jobs[9].deadline"],
        ["52", "jobs[10].output_name"],
    ]
    assert lines[10:] == ["error: 10 problems, nothing was queued", "hint: mend the lines above and run it again"]
    assert runner("status", "--json").document["totals"]["submitted"] == 0


def test_one_bad_file_of_two_queues_neither(runner: JobRunner, three: str) -> None:
    """The good file's jobs wait until the bad one is mended, and stdout stays empty under --json."""
    bad = runner.file("- {voice: newsroom, text: Hi}\n", "bad.yaml")
    refused = runner("enqueue", three, bad, "--json")
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.startswith("bad.yaml:1: jobs[0]")
    assert runner("status", "--json").document["totals"]["submitted"] == 0


def test_two_files_may_share_an_id(runner: JobRunner, three: str) -> None:
    """Across files of one command the second is a duplicate, or a conflict, like any other."""
    same = runner.file((runner.home / three).read_text(), "same.yaml")
    done = runner("enqueue", three, same, "--json")
    assert done.code == 0
    assert done.document["summary"] == {"queued": 3, "duplicate_request": 3}
    assert [row["index"] for row in done.document["rows"]] == [0, 1, 2, 3, 4, 5]


def test_more_jobs_than_one_batch(runner: JobRunner) -> None:
    """A long file goes in several batches, and every job is there once."""
    names = "".join(f"- {{request_id: 'r{i}', task: sleep, payload: {{seconds: 0}}}}\n" for i in range(1201))
    done = runner("enqueue", runner.file(names), "--json")
    assert done.document["summary"] == {"queued": 1201}
    assert runner("status", "--json").document["totals"]["queued"] == 1201


def test_a_named_backlog(runner: JobRunner, three: str) -> None:
    """`--target` puts the jobs into a backlog of their own."""
    assert runner("enqueue", three, "--target", "backlog:night").code == 0
    backlogs = runner("status", "--json").document["backlogs"]
    assert {name: entry["waiting"] for name, entry in backlogs.items()} == {"default": 0, "night": 3}


def test_a_backlog_that_cannot_be(runner: JobRunner, three: str) -> None:
    """A bad target is bad usage, and says how to write it."""
    refused = runner("enqueue", three, "--target", "backlog:Night shift")
    assert refused.code == 2
    assert "hint: write backlog:NAME" in refused.err


def test_priorities_have_their_own_intakes(runner: JobRunner) -> None:
    """A priority of the requirement's numbers lands among high, normal and low."""
    rows = "".join(f"- {{request_id: p{p}, task: debug, priority: {p}}}\n" for p in (0, 5, 9))
    runner("enqueue", runner.file(rows))
    default = runner("status", "--json").document["backlogs"]["default"]
    assert default == {"waiting": 3, "high": 1, "normal": 1, "low": 1}


def test_a_busy_key_is_refused_and_the_rest_is_queued(runner: JobRunner) -> None:
    """`key_busy` exits 1 and says what to do; `on_conflict: queue` waits instead."""
    done = runner(
        "enqueue",
        runner.file(
            """\
            - {request_id: a, task: debug, conflict_key: source-7}
            - {request_id: b, task: debug, conflict_key: source-7}
            - {request_id: c, task: debug, conflict_key: source-7, on_conflict: queue}
            - {request_id: d, task: debug}
            """
        ),
    )
    assert done.code == 1
    assert done.out == (
        "REQUEST ID  STATUS\n"
        "a           queued\n"
        "b           key_busy\n"
        "c           queued\n"
        "d           queued\n"
        "\n"
        "4 jobs: 3 queued, 1 key_busy (durability: memory)\n"
    )
    assert "write `on_conflict: queue`" in done.err
    assert runner("status", "--json").document["totals"]["delayed"] == 1


def test_a_failed_job_is_named_with_its_mend(runner: JobRunner) -> None:
    """`already_failed` is no error of enqueue, and points to retry."""
    jobs = runner.file("- {request_id: a, task: debug}\n")
    runner("enqueue", jobs)

    async def fail(watcher: HandWatcher) -> None:
        (lease,) = await watcher.lease()
        await watcher.failed(lease)

    runner.by_hand(fail)
    again = runner("enqueue", jobs)
    assert again.code == 0
    assert again.out.startswith("REQUEST ID  STATUS\na           already_failed\n")
    assert "`job-runner retry ID`" in again.err


def test_an_empty_file_is_refused(runner: JobRunner) -> None:
    """A night of nothing is nobody's wish: exit code 2, and stdout stays empty under --json."""
    refused = runner("enqueue", runner.file(""), "--json")
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.startswith("jobs.yaml:1: nothing in it: there is no job; ")


def test_a_missing_file(runner: JobRunner) -> None:
    """Named, with exit code 2."""
    refused = runner("enqueue", "nowhere.yaml")
    assert (refused.code, refused.out) == (2, "")
    assert refused.err == "error: nowhere.yaml does not exist\nhint: check the path\n"


def test_redis_down(runner: JobRunner, three: str) -> None:
    """Exit code 3, nothing on stdout, and how to get a server."""
    refused = runner("enqueue", three, "--json", "--redis-url", "redis://:secret@127.0.0.1:1/0")
    assert (refused.code, refused.out) == (3, "")
    assert refused.err.startswith("error: Redis at redis://:***@127.0.0.1:1/0 does not answer")
    assert "hint: start one with `job-runner server start`, or set REDIS_URL\n" in refused.err
    assert "secret" not in refused.err


def test_quiet_keeps_the_data(runner: JobRunner, three: str) -> None:
    """`--quiet` silences the hints and nothing else."""
    done = runner("enqueue", three, "--quiet")
    assert done.err == ""
    assert done.out.endswith("3 jobs: 3 queued (durability: memory)\n")


def test_one_name_in_two_files_queues_nothing(runner: JobRunner, three: str) -> None:
    """With other content it is a mistake, exit code 2; with the same it is a duplicate, exit code 0."""
    other = runner.file("- {output_name: story/one, voice: newsroom, text: Other.}\n", "other.yaml")
    refused = runner("enqueue", three, other)
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.startswith("other.yaml:1: request_id: 'story:one' stands in jobs.yaml on line 2 too")
    assert runner("status", "--json").document["totals"]["submitted"] == 0
    assert runner("enqueue", three, three, "--json").document["summary"] == {"queued": 3, "duplicate_request": 3}
