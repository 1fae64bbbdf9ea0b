"""The thin line of a host with a slow network: it passes bytes on, so many a second in each direction and no more.

It runs by itself, `python -I -S host_relay.py PORT TARGET_PORT BYTES_A_SECOND`, as a process of the host.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys

_STEPS_A_SECOND = 50


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, rate: int) -> None:
    """Until either side is done. It reads no more than it may pass on, so the sender is held up too."""
    with contextlib.suppress(OSError):
        while data := await reader.read(max(1, rate // _STEPS_A_SECOND)):
            writer.write(data)
            await writer.drain()
            await asyncio.sleep(len(data) / rate)
    with contextlib.suppress(OSError):
        writer.close()
        await writer.wait_closed()


async def _serve(port: int, target: int, rate: int) -> None:
    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", target, limit=rate)
        except OSError:
            writer.transport.abort()
            return
        await asyncio.gather(_pass_on(reader, back, rate), _pass_on(there, writer, rate))

    server = await asyncio.start_server(take, "127.0.0.1", port, limit=max(1024, rate // _STEPS_A_SECOND))
    print("listens", flush=True)  # noqa: T201 - whoever starts it waits for this
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(*(int(word) for word in sys.argv[1:])))
