"""The tools of fault tests must themselves be true, or a green fault test means nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.support.proxy import FaultProxy
from tests.support.servers import RealServer, ServerFailedError, ValkeyServer
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def proxy(valkey: RealServer) -> AsyncIterator[FaultProxy]:
    """A proxy before the shared Valkey."""
    async with FaultProxy(valkey.port) as running:
        yield running


class Wire:
    """One raw connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def to(cls, proxy: FaultProxy) -> Wire:
        """Connect."""
        return cls(*await asyncio.open_connection("127.0.0.1", proxy.port))

    async def ask(self, line: str) -> bytes:
        """Send an inline command; the first line of its reply."""
        self.writer.write(f"{line}\r\n".encode())
        return await self.reader.readline()

    def close(self) -> None:
        """Let go without waiting for the far end."""
        self.writer.transport.abort()


async def test_forwards_both_ways(proxy: FaultProxy) -> None:
    """Without a fault the proxy is not noticed."""
    wire = await Wire.to(proxy)
    assert await wire.ask("PING") == b"+PONG\r\n"
    wire.close()


async def test_a_lost_reply_means_an_applied_command(proxy: FaultProxy, valkey: RealServer, prefix: str) -> None:
    """A trapped command is applied by the server, and its client sees only a broken connection."""
    trap = proxy.trap_reply(f"{prefix}:lost".encode())
    wire = await Wire.to(proxy)
    assert await wire.ask(f"SET {prefix}:other 1") == b"+OK\r\n"
    with pytest.raises(ConnectionResetError):
        await wire.ask(f"SET {prefix}:lost 1")
    assert trap.caught.is_set()
    assert valkey.command("GET", f"{prefix}:lost") == b"$1\r\n1\r\n"


async def test_trap_counts_commands_that_it_skips(proxy: FaultProxy, prefix: str) -> None:
    """`skip=1` lets the first match through and catches the second."""
    proxy.trap_reply(prefix.encode(), skip=1)
    wire = await Wire.to(proxy)
    assert await wire.ask(f"INCR {prefix}") == b":1\r\n"
    with pytest.raises(ConnectionResetError):
        await wire.ask(f"INCR {prefix}")


async def test_trap_finds_a_marker_across_chunks(proxy: FaultProxy, prefix: str) -> None:
    """A marker that arrives in two pieces is still found."""
    proxy.trap_reply(prefix.encode())
    wire = await Wire.to(proxy)
    wire.writer.write(f"INCR {prefix[:5]}".encode())
    await wire.writer.drain()
    await wait_until(lambda: any(link.recent for link in proxy._links))
    with pytest.raises(ConnectionResetError):
        await wire.ask(prefix[5:])


async def test_held_reply_arrives_after_release(proxy: FaultProxy, valkey: RealServer, prefix: str) -> None:
    """A held reply is late, not lost."""
    trap = proxy.trap_reply(prefix.encode(), then="hold")
    wire = await Wire.to(proxy)
    asking = asyncio.create_task(wire.ask(f"SET {prefix} 1"))
    await asyncio.wait_for(trap.caught.wait(), 10)
    assert valkey.command("GET", prefix) == b"$1\r\n1\r\n"
    assert not asking.done()
    trap.release()
    assert await asking == b"+OK\r\n"
    wire.close()


async def test_silence_leaves_the_connection_open(proxy: FaultProxy, prefix: str) -> None:
    """After a silent trap nothing more comes back, and nothing is closed."""
    trap = proxy.trap_reply(prefix.encode(), then="silence")
    wire = await Wire.to(proxy)
    asking = asyncio.create_task(wire.ask(f"SET {prefix} 1"))
    await asyncio.wait_for(trap.caught.wait(), 10)
    assert not asking.done()
    asking.cancel()
    wire.close()


async def test_a_forgotten_connection_stays_open_and_carries_nothing(proxy: FaultProxy, prefix: str) -> None:
    """Half-open: what is sent is not applied and not answered, whatever comes after; a new connection works."""
    wire = await Wire.to(proxy)
    assert await wire.ask("PING") == b"+PONG\r\n"
    proxy.forget()
    proxy.restore()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(wire.ask(f"SET {prefix}:lost 1"), 0.2)
    other = await Wire.to(proxy)
    assert await other.ask(f"EXISTS {prefix}:lost") == b":0\r\n"
    for each in (wire, other):
        each.close()


async def test_blackhole_delivers_after_restore(proxy: FaultProxy) -> None:
    """What is sent into a blackhole waits and is not lost."""
    wire = await Wire.to(proxy)
    assert await wire.ask("PING") == b"+PONG\r\n"
    proxy.blackhole()
    asking = asyncio.create_task(wire.ask("PING"))
    other = await Wire.to(proxy)
    await wait_until(lambda: proxy.connections_seen == 2)
    assert not asking.done()
    proxy.restore()
    assert await asking == b"+PONG\r\n"
    wire.close()
    other.close()


async def test_refuse_and_listen_again(proxy: FaultProxy) -> None:
    """A refused client finds the proxy on the same port afterwards."""
    port = proxy.port
    wire = await Wire.to(proxy)
    await wire.ask("PING")
    await proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        await Wire.to(proxy)
    await proxy.listen()
    assert proxy.port == port
    again = await Wire.to(proxy)
    assert await again.ask("PING") == b"+PONG\r\n"
    wire.close()
    again.close()


async def test_server_keeps_data_and_port_over_a_kill(own_valkey: RealServer) -> None:
    """A killed server comes back on its port with what it had."""
    url = own_valkey.url
    own_valkey.command("SET", "kept", "yes")
    own_valkey.restart(kill=True)
    assert own_valkey.url == url
    # It answers, and reads its file first.
    await wait_until(lambda: not own_valkey.command("GET", "kept").startswith(b"-LOADING"))
    assert own_valkey.command("GET", "kept") == b"$3\r\nyes\r\n"


async def test_paused_server_is_silent(own_valkey: RealServer) -> None:
    """A paused server answers nobody until it is resumed."""
    own_valkey.pause()
    with pytest.raises(TimeoutError):
        own_valkey.command("PING", timeout_seconds=0.1)
    own_valkey.resume()
    assert own_valkey.command("PING") == b"+PONG\r\n"


async def test_a_strangers_answer_is_not_taken_for_ours(own_valkey: RealServer, tmp_path: Path) -> None:
    """A server whose port is taken fails to start instead of handing out the stranger."""
    with pytest.raises(ServerFailedError, match="in use"):
        ValkeyServer(tmp_path / "second", port=own_valkey.port).start()


async def test_the_network_is_closed() -> None:
    """A test cannot reach beyond this machine."""
    with pytest.raises(OSError, match="closed in tests"):
        await asyncio.open_connection("192.0.2.1", 80)


async def test_redis7_is_old_enough(redis7: RealServer) -> None:
    """The oldest supported server is really tested: 7.0, which has no WAITAOF."""
    assert b"unknown command" in redis7.command("WAITAOF", "0", "0", "0")


async def test_wait_until_says_what_it_last_saw() -> None:
    """A missed deadline names the thing and the last value."""
    with pytest.raises(AssertionError, match=r"the moon; last seen: 0"):
        await wait_until(lambda: 0, 0.02, what="the moon")
