"""The wire that is half deaf: renewals are held back, everything else passes, and late words arrive in the end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.chaos.machine.wires import Wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

import pytest

HEARTBEAT = b'$44\r\n"session":"w1:a","capabilities":["any"]}'


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    """A wire to somebody who repeats what he hears."""

    async def repeat(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while heard := await reader.read(65536):
            writer.write(heard)
        writer.close()

    server = await asyncio.start_server(repeat, "127.0.0.1", 0)
    found = Wire(server.sockets[0].getsockname()[1])
    await found.listen()
    yield found
    await found.close()
    server.close()


async def answer(wire: Wire, said: bytes, seconds: float = 5.0) -> bytes:
    """What comes back on a connection of its own; empty when nothing does in time."""
    reader, writer = await asyncio.open_connection("127.0.0.1", wire.port)
    try:
        writer.write(said)
        async with asyncio.timeout(seconds):
            return await reader.readexactly(len(said))
    except TimeoutError:
        return b""
    finally:
        writer.close()


async def test_a_half_deaf_wire_holds_back_renewals_alone(wire: Wire) -> None:
    """Another connection of the same watcher works on, and a heartbeat inside a reply passes."""
    wire.deafen()
    held = asyncio.create_task(answer(wire, HEARTBEAT))
    assert await answer(wire, b"*1\r\n$4\r\nPING\r\n") != b""
    assert await answer(wire, b'{"last_seen_ms":1,"session":"w1:a"}') != b""
    assert not held.done()
    wire.hear()
    assert await held == HEARTBEAT


async def test_a_wire_that_hears_lets_renewals_through(wire: Wire) -> None:
    """As any other proxy."""
    assert await answer(wire, HEARTBEAT) == HEARTBEAT
