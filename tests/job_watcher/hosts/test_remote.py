"""Programs on a host: their lines and their words, and that killed is killed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from job_watcher.hosts.connection import Host, connect
from job_watcher.hosts.errors import HostAnswerError, HostLostError, HostRefusedError
from job_watcher.hosts.remote import LINE_BYTES, kill_command
from tests.job_watcher.hosts.sshd import marked, state_of
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from job_watcher.hosts.remote import RemoteProcess
    from tests.job_watcher.hosts.sshd import Sshd


async def lines_of(process: RemoteProcess) -> list[str]:
    """All that it says."""
    return [line async for line in process.lines()]


async def test_arguments_arrive_as_they_are(host: Host) -> None:
    """No shell reads them: quotes, newlines, dollars and stars are letters."""
    odd = ["a b", "$(touch /tmp/never)", "'\"", "*", "", "two\nlines", "-n", "ü", "\\"]
    process = await host.start(["python3", "-c", "import sys; print(sys.argv[1:])", *odd])
    assert await lines_of(process) == [repr(odd)]
    assert await process.wait() == 0


async def test_directory_and_environment_are_as_asked(host: Host, tmp_path: Path) -> None:
    """A directory with a space and a dash, a value with a quote."""
    folder = tmp_path / "- a folder"
    folder.mkdir()
    process = await host.start(["sh", "-c", 'pwd; echo "$GREETING"'], cwd=str(folder), environment={"GREETING": "it's"})
    assert await lines_of(process) == [str(folder), "it's"]


async def test_a_directory_that_is_not_there_starts_nothing(host: Host) -> None:
    """And says so in the host's own words."""
    with pytest.raises(HostRefusedError, match="/no/such/place"):
        await host.start(["true"], cwd="/no/such/place")


async def test_words_go_in_and_lines_come_out_one_at_a_time(host: Host) -> None:
    """As they happen, not at the end; closing its input ends it."""
    process = await host.start(["sh", "-c", 'while read -r word; do echo "got $word"; done; printf "no newline"'])
    lines = process.lines()
    for word in ("one", "two words"):
        await process.write_line(word)
        assert await anext(lines) == f"got {word}"
    await process.close_stdin()
    await process.close_stdin()
    assert [line async for line in lines] == ["no newline"]
    assert await process.wait() == 0
    await process.write_line("to nobody")


async def test_the_end_of_stderr_is_kept(host: Host) -> None:
    """The last few kilobytes, however much it was, and none of it gets into the lines."""
    process = await host.start(["sh", "-c", "head -c 300000 /dev/zero | tr '\\0' x >&2; echo the end >&2; echo out"])
    assert await lines_of(process) == ["out"]
    assert await process.wait() == 0
    assert process.stderr_tail.endswith("xxx" + "the end\n")
    assert 4_000 < len(process.stderr_tail) < 10_000


async def test_a_line_without_end_is_refused(host: Host) -> None:
    """Faults row 45: a host does not get our memory; the program is still there to be killed."""
    process = await host.start(["sh", "-c", "tr '\\0' x </dev/zero"])
    with pytest.raises(HostAnswerError, match=f"more than {LINE_BYTES} bytes"):
        await lines_of(process)
    await process.kill()
    assert state_of(process.pid) == ""


async def test_too_many_words_of_a_short_program_are_refused(host: Host) -> None:
    """The same for what is read as a whole; the program is ended."""
    with pytest.raises(HostAnswerError, match="said more than"):
        await host.run(["sh", "-c", "tr '\\0' x </dev/zero"], seconds=20)


async def test_letters_that_are_none_do_not_end_the_reading(host: Host) -> None:
    """Bytes that are no UTF-8 come as the sign for that."""
    process = await host.start(["sh", "-c", "printf 'a\\377b\\nnext\\n'"])
    assert await lines_of(process) == ["a�b", "next"]


async def test_killed_is_the_whole_tree(host: Host, tmp_path: Path) -> None:
    """Children, grandchildren, one that ignores signals, one in another session, one without environment."""
    script = (
        "trap '' TERM HUP INT; echo $$ >>pids; (trap '' TERM; sh -c 'echo $$ >>pids; sleep 1000'; :) & "
        "setsid sh -c 'echo $$ >>pids; exec sleep 1000' & env -i sleep 1000 & echo $! >>pids; wait"
    )
    process = await host.start(["sh", "-c", script], cwd=str(tmp_path))

    def begun() -> list[int]:
        path = tmp_path / "pids"
        return [int(word) for word in path.read_text().split()] if path.exists() else []

    await wait_until(lambda: len(begun()) == 4)
    assert all(state_of(pid) in set("SRD") for pid in begun())
    await process.kill()
    assert [pid for pid in begun() if state_of(pid) not in {"", "Z"}] == []
    assert await process.wait() == -9
    await process.kill()


async def test_what_a_program_left_behind_is_killed_after_its_end(host: Host, tmp_path: Path) -> None:
    """It has ended by itself; its child has not."""
    process = await host.start(["sh", "-c", "sleep 1000 >/dev/null 2>&1 & echo $! >child"], cwd=str(tmp_path))
    assert await process.wait() == 0
    child = int((tmp_path / "child").read_text())
    assert state_of(child) in set("SRD")
    await process.kill()
    assert state_of(child) in {"", "Z"}


async def test_a_stranger_with_the_number_of_an_ended_program_is_left_alone(host: Host) -> None:
    """Numbers come again: a group whose leader lives though ours has ended is somebody else's."""
    stranger = await host.start(["sleep", "1000"])
    ran = await host.run(["sh", "-c", kill_command(stranger.pid, "of-nobody", ended=True)], seconds=5)
    assert ran.code == 0
    assert state_of(stranger.pid) in set("SRD")
    await stranger.kill()
    assert state_of(stranger.pid) in {"", "Z"}


async def test_a_kill_that_is_cancelled_or_without_a_host_ends(own_sshd: Sshd) -> None:
    """A host that is gone cannot be asked: HostLostError, and no waiting."""
    host = await connect(own_sshd.address, own_sshd.keys, None, 10)
    process = await host.start(["sleep", "1000"])
    own_sshd.stop()
    await asyncio.wait_for(host.lost.wait(), 10)
    with pytest.raises(HostLostError):
        await process.kill()
    assert len(marked("JOB_RUNNER_PROCESS=")) >= 1


async def test_a_connection_killed_in_mid_run_is_told_to_whoever_reads_waits_or_writes(own_sshd: Sshd) -> None:
    """Faults row 38: HostLostError for all of them, so that no job uses an attempt."""
    host = await connect(own_sshd.address, own_sshd.keys, None, 10)
    process = await host.start(["sh", "-c", "echo begun; sleep 1000"])
    lines = process.lines()
    assert await anext(lines) == "begun"
    reading = asyncio.ensure_future(anext(lines))
    waiting = asyncio.create_task(process.wait())
    await asyncio.sleep(0)
    own_sshd.stop()
    for each in (reading, waiting):
        with pytest.raises(HostLostError):
            await asyncio.wait_for(each, 10)
    with pytest.raises(HostLostError):
        await process.write_line("to nobody")
    await process.close_stdin()
    await host.aclose()


async def test_many_programs_at_once(host: Host) -> None:
    """Each has its own lines and its own end."""
    processes = await asyncio.gather(*(host.start(["sh", "-c", f"echo {each}; exit {each}"]) for each in range(6)))
    said = await asyncio.gather(*(lines_of(process) for process in processes))
    assert said == [[str(each)] for each in range(6)]
    assert [await process.wait() for process in processes] == list(range(6))


async def test_more_is_asked_at_once_than_sshd_takes_in_one_connection(host: Host, tmp_path: Path) -> None:
    """It takes ten sessions; files and short programs wait for each other, and a kill for none of them."""
    workers = [await host.start(["sleep", "1000"]) for _ in range(3)]
    asked = [host.put(str(tmp_path), {f"{each}": b"x"}) for each in range(12)]
    asked_too = [host.run(["sh", "-c", "sleep 0.01"], seconds=20) for _ in range(12)]
    await asyncio.gather(*asked, *asked_too, *(worker.kill() for worker in workers))
    assert len(list(tmp_path.iterdir())) == 12
    assert [state_of(worker.pid) for worker in workers if state_of(worker.pid) not in {"", "Z"}] == []


async def test_a_host_that_begins_with_nonsense_is_refused(own_sshd: Sshd) -> None:
    """Faults row 45: the number of the process group is used in a kill, so it must be one."""
    own_sshd.put_program("setsid", "echo '-1; reboot'")
    host = await connect(own_sshd.address, own_sshd.keys, None, 10)
    with pytest.raises(HostRefusedError, match="which is no process"):
        await host.start(["true"])
    await host.aclose()
