"""A whole rent on the fake market: an instance that runs is a host that can be reached, any other is none."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tests.fakes import hosts
from tests.fakes.hosts import HOUSE, Host, HostPlan
from tests.fakes.test_hosts import ssh
from tests.fakes.vast_faults import Rule
from tests.fakes.vast_lives import Life, Plan
from tests.fakes.vast_sdk import create, sdk
from tests.fakes.vast_server import FakeVast
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator


pytestmark = pytest.mark.usefixtures("sshd")

DESTROY_ITSELF = f"""
while ! [ -e enough ]; do sleep 0.01; done
exec {sys.executable} -I -c '
import os, urllib.request
url = os.environ["VAST_URL"] + "/api/v0/instances/" + os.environ["CONTAINER_ID"] + "/"
key = {{"Authorization": "Bearer " + os.environ["CONTAINER_API_KEY"]}}
urllib.request.urlopen(urllib.request.Request(url, method="DELETE", headers=key))
'
"""
"""What a dead-man does, with the one key that is on the host."""


@pytest.fixture
def market(tmp_path: Path) -> Iterator[FakeVast]:
    """Three offers, with hosts."""
    with FakeVast(hosts=tmp_path / "hosts") as fake:
        yield fake


async def running(market: FakeVast, instance: int) -> Host:
    """The host of an instance that is said to run."""
    [rented] = [each for each in market.instances if each.id == instance]
    await wait_until(lambda: rented.status == "running", 20)
    assert rented.host is not None
    return rented.host


async def test_a_running_instance_is_reached_where_the_market_says(market: FakeVast, key: Path) -> None:
    """With the key that was attached, at the address of its row; what was given as env is seen there."""
    instance = create(market, env={"A_WORD": 'it\'s "here"'})
    sdk(market).attach_ssh(instance, key.with_suffix(".pub").read_text())
    host = await running(market, instance)
    row = sdk(market).show_instance(instance)
    assert (row["ssh_host"], row["ssh_port"]) == ("127.0.0.1", host.port)
    assert ssh(host, key, 'echo "$A_WORD"').stdout == 'it\'s "here"\n'


async def test_the_keys_of_the_account_are_let_in(market: FakeVast, key: Path) -> None:
    """Those that were there before the create."""
    sdk(market).create_ssh_key(key.with_suffix(".pub").read_text())
    host = await running(market, create(market))
    assert ssh(host, key, "true").returncode == 0


async def test_until_it_runs_nothing_answers(market: FakeVast) -> None:
    """A stuck one has an address where nothing listens."""
    market.plan(Plan(Life(loading=None)))
    instance = create(market)
    await wait_until(lambda: market.instances[0].status == "loading")
    row = sdk(market).show_instance(instance)
    with socket.socket() as link:
        assert link.connect_ex((row["ssh_host"], row["ssh_port"])) != 0


@pytest.mark.parametrize("how", ["destroy", "stop", "preempt", "offline"])
async def test_what_runs_there_dies_with_the_instance(market: FakeVast, how: str) -> None:
    """Destroyed, stopped, preempted or lost: by the time of the answer no process is left."""
    instance = create(market, onstart_cmd="(setsid sleep 1010 &)")
    host = await running(market, instance)
    await wait_until(lambda: len(host.processes()) >= 2)
    pids = host.processes()
    if how == "destroy":
        sdk(market).destroy_instance(instance)
        assert not host.directory.exists()
    elif how == "stop":
        sdk(market).stop_instance(instance)
    elif how == "preempt":
        market.act("preempt", instance)
    else:
        market.act("turn", instance, "offline")
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []


async def test_a_host_that_cannot_be_made_is_an_exited_instance_that_says_why(
    market: FakeVast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here its sshd is no program at all."""
    monkeypatch.setattr(hosts, "SSHD", "/bin/false")
    instance = create(market)
    await wait_until(lambda: market.instances[0].status == "exited", 20)
    assert "sshd does not start" in sdk(market).show_instance(instance)["status_msg"]


async def test_an_end_while_its_host_comes_up_is_an_end(market: FakeVast, monkeypatch: pytest.MonkeyPatch) -> None:
    """A destroy waits for the host that is being switched on, so it is off for good when the answer comes."""
    begun, may_go_on = threading.Event(), threading.Event()
    start = Host.start

    def held_up(host: Host) -> Host:
        begun.set()
        may_go_on.wait(20)
        return start(host)

    monkeypatch.setattr(Host, "start", held_up)
    instance = create(market)
    host = market.instances[0].host
    assert host is not None
    assert await asyncio.to_thread(begun.wait, 20)
    ending = asyncio.create_task(asyncio.to_thread(sdk(market).destroy_instance, instance))
    await asyncio.wait([ending], timeout=0.1)
    assert not ending.done()
    may_go_on.set()
    await ending
    assert not host.alive
    assert not host.directory.exists()


async def test_an_unknown_one_may_be_as_well_as_ever(market: FakeVast) -> None:
    """The market has not heard of the machine for a while; that says nothing about the host. Row 37."""
    instance = create(market)
    host = await running(market, instance)
    pids = host.processes()
    market.act("turn", instance, "unknown")
    assert sdk(market).show_instance(instance)["actual_status"] == "unknown"
    market.act("turn", instance, "running")
    assert host.processes() == pids


async def test_a_destroy_that_is_ignored_leaves_the_host_on(market: FakeVast) -> None:
    """It works and costs as before. Row 40."""
    market.script(Rule("ignored"))
    instance = create(market)
    host = await running(market, instance)
    sdk(market).destroy_instance(instance)
    assert host.processes()
    sdk(market).destroy_instance(instance)
    assert not host.alive


async def test_a_host_can_destroy_itself_by_its_own_key(market: FakeVast) -> None:
    """With nothing but what onstart was given; its bill ends there, nobody else having done a thing. Row 35."""
    instance = create(market, onstart_cmd=DESTROY_ITSELF)
    host = await running(market, instance)
    assert len(market.living) == 1
    (host.home / "enough").touch()
    await wait_until(lambda: market.living == [], 20)
    assert [each.who for each in market.asked("destroy")] == [f"instance:{instance}"]
    assert not host.alive


async def test_a_stopped_one_starts_again_as_the_same_machine(market: FakeVast) -> None:
    """Its files are kept while it is stopped, and onstart runs again."""
    instance = create(market, onstart_cmd="echo . >> starts")
    host = await running(market, instance)
    sdk(market).stop_instance(instance)
    assert not host.alive
    sdk(market).start_instance(instance)
    assert await running(market, instance) is host
    await wait_until(lambda: (host.home / "starts").read_text() == ".\n.\n")


async def test_a_plan_says_what_its_host_is_like_and_act_does_things_to_it(market: FakeVast, key: Path) -> None:
    """Bad drivers come with the machine; keys are swapped and programs die behind the market's back. Rows 42, 43."""
    market.plan(Plan(host=HostPlan(gpu="no_driver"), machine=10_101))
    sdk(market).create_ssh_key(key.with_suffix(".pub").read_text())
    instance = create(market, 101)
    host = await running(market, instance)
    known = host.host_key
    assert ssh(host, key, "nvidia-smi").returncode == 9
    market.act("swap_key", instance)
    assert ssh(host, key, "true", known=known).returncode == 255
    market.act("kill_host", instance)
    assert market.instances[0].status == "running"
    assert ssh(host, key, "true").returncode == 255


async def test_closing_the_market_leaves_no_process_and_no_file(tmp_path: Path) -> None:
    """Whatever was still rented; the bill can be read afterwards."""
    async with FakeVast(hosts=tmp_path / "hosts") as market:
        host = await running(market, create(market, onstart_cmd="sleep 1011"))
        pids = host.processes()
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []
    assert not (tmp_path / "hosts").exists()
    assert market.bill()[0].by_status["running"] > 0


class Served:
    """The market as a process of its own."""

    def __init__(self, place: Path, script: dict[str, Any]) -> None:
        (place / "script.json").write_text(json.dumps(script))
        command = [sys.executable, "-m", "tests.fakes.vast_server", "--script", str(place / "script.json")]
        self.process = subprocess.Popen(
            [*command, "--hosts", str(place / "hosts")], cwd=HOUSE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.url = json.loads(self.process.stdout.readline())["url"]

    def get(self, path: str) -> Any:
        """What the market says."""
        return requests.get(f"{self.url}{path}", timeout=20).json()

    def api(self, method: str, path: str, body: Any = None) -> requests.Response:
        """A call of the market's API, as its account."""
        key = {"Authorization": "Bearer k"}
        return requests.request(method, f"{self.url}/api/v0/{path}", json=body, headers=key, timeout=20)

    def post(self, path: str, body: Any) -> int:
        """Status of the answer."""
        return requests.post(f"{self.url}{path}", json=body, timeout=20).status_code


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """One with a script."""
    script = {
        "offers": [{"id": 5, "dph": 0.5}, {"id": 6}],
        "speed": 2.0,
        "keys": {"k": "somebody"},
        "plans": [{"life": {"loading": 0.02}, "host": {"gpu": "small"}, "times": 1}],
        "rules": [{"fault": "500", "on": "user"}],
    }
    found = Served(tmp_path, script)
    yield found
    found.process.kill()
    found.process.communicate()


def test_as_a_process_it_does_what_its_script_says(served: Served) -> None:
    """Scripted at the start, and by POST later; everything that came of it can be read. It ends by SIGTERM."""
    assert served.post("/_faults", [{"fault": "no_credit", "offer": 6}]) == 200
    assert served.post("/_faults", [{"fault": "no_such"}]) == 400
    assert served.post("/_plans", [{"life": {"loading": None}, "machine": 10_006}]) == 200
    assert served.api("GET", "users/current").status_code == 500
    assert served.api("PUT", "asks/6/", {"image": "x"}).status_code == 400
    for offer in (5, 6):
        assert served.api("PUT", f"asks/{offer}/", {"image": "x"}).status_code == 200
    end = time.monotonic() + 20
    while [row["actual_status"] for row in served.get("/_instances")] != ["running", "loading"]:
        assert time.monotonic() < end
    first = served.get("/_instances")[0]["id"]
    assert served.post("/_do", {"do": "preempt", "instance": first}) == 200
    assert served.post("/_do", {"do": "dance", "instance": first}) == 400
    assert [line["by_status"].get("stopped") is not None for line in served.get("/_bill")] == [True, False]
    assert [each["status"] for each in served.get("/_requests")] == [500, 400, 200, 200]
    served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(20) == 0


def test_as_a_process_it_takes_its_hosts_along_when_it_is_killed(served: Served, tmp_path: Path) -> None:
    """SIGKILL, while a host runs."""
    body = {"image": "x", "onstart": "echo $$ > pid; exec sleep 1012"}
    made = served.api("PUT", "asks/5/", body).json()
    told = tmp_path / "hosts" / str(made["new_contract"]) / "home" / "pid"
    end = time.monotonic() + 20
    while not (told.exists() and told.read_text().strip()):
        assert time.monotonic() < end
    served.process.kill()
    while Path(f"/proc/{told.read_text().strip()}").exists():
        assert time.monotonic() < end
