"""A bare HTTP client for tests: sends bytes, reads all that comes back."""

from __future__ import annotations

import asyncio
from typing import NamedTuple
from urllib.parse import urlsplit


class Answer(NamedTuple):
    """What a server said."""

    status: int
    headers: dict[str, str]
    body: str


async def send(url: str, raw: bytes, *, seconds: float = 20) -> bytes:
    """Everything that comes back until the server closes."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        async with asyncio.timeout(seconds):
            writer.write(raw)
            await writer.drain()
            return await reader.read()
    finally:
        writer.close()


async def get(url: str, path: str, *, method: str = "GET", accept: str = "*/*") -> Answer:
    """One request."""
    raw = await send(url, f"{method} {path} HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\n\r\n".encode())
    head, _, body = raw.decode().partition("\r\n\r\n")
    first, *lines = head.split("\r\n")
    return Answer(int(first.split()[1]), dict(line.lower().split(": ", 1) for line in lines), body)


def samples(text: str) -> dict[str, float]:
    """Every line of an exposition: name with labels -> value."""
    lines = [line.rpartition(" ") for line in text.splitlines() if line and line[0] != "#"]
    return {name: float(value) for name, _, value in lines}
