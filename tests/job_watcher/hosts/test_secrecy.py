"""What a rented host can see of us: its own key and nothing else that would be worth anything an hour later."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from job_watcher.hosts.connection import connect
from job_watcher.hosts.deadman import onstart, revive
from job_watcher.hosts.probe import Wants, probe
from tests.job_watcher.hosts.sshd import marked

if TYPE_CHECKING:
    import pytest

    from tests.job_watcher.hosts.sshd import Sshd

OWN_KEY: Final = "key-of-this-instance-alone"
SECRETS: Final = {
    "VAST_API_KEY": "long-lived-vast-key",
    "REDIS_URL": "redis://:long-lived-password@queue.example",
    "AWS_SECRET_ACCESS_KEY": "long-lived-store-key",
    "GEMINI_API_KEY": "long-lived-gemini-key",
    "CALLBACK_SECRET": "long-lived-callback-key",
}


def seen_on(server: Sshd) -> dict[str, bytes]:
    """Arguments and environment of each process of the host, and each of its files."""
    seen: dict[str, bytes] = {}
    for pid in marked(f"HOME={server.home}"):
        for name in ("cmdline", "environ"):
            seen[f"{name} of {pid}"] = Path(f"/proc/{pid}/{name}").read_bytes()
    for path in server.home.rglob("*"):
        if path.is_file():
            seen[str(path.relative_to(server.home))] = path.read_bytes()
    return seen


async def test_nothing_long_lived_is_on_a_host(own_sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    """Faults row 45: while it is probed, watched by its dead-man and at work, no secret of the watcher's is there.

    Not the private half of its ssh key either. Its own key, which can destroy it and nothing else, is in the
    environment of its dead-man and nowhere else.
    """
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    own_sshd.stop()
    own_sshd.environment |= {"CONTAINER_ID": "77", "CONTAINER_API_KEY": OWN_KEY}
    own_sshd.start()
    host = await connect(own_sshd.address, own_sshd.keys, None, 10)
    assert await revive(host, 600, "http://127.0.0.1:9")
    await probe(host, Wants(0.001, card=False))
    await host.put(f"{own_sshd.home}/batch", {"manifest.json": b"{}"})
    worker = await host.start(["sh", "-c", "cd; sleep 1000; :"], environment={"VOICES": "voices"})
    seen = seen_on(own_sshd)
    await worker.kill()
    await host.aclose()
    assert len(seen) >= 8
    private = b"".join(own_sshd.keys.private.splitlines()[1:-1])[:60]
    for secret in (*(value.encode() for value in SECRETS.values()), private, b"PRIVATE KEY"):
        assert [place for place, data in seen.items() if secret in data] == []
    places = {place.partition(" ")[0] for place, data in seen.items() if OWN_KEY.encode() in data}
    assert places == {"environ"}


def test_the_start_script_names_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes to the market in the clear: names of variables that the host has, no value."""
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    text = onstart(600, "https://market.example")
    assert "CONTAINER_API_KEY" in text
    assert [name for name, value in SECRETS.items() if name in text or value in text] == []
