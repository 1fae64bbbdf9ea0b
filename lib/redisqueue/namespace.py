"""The name under which this queue's machines are known at a market: two queues of one account never meet there.

A prefix is not enough: two servers of one owner both have the default one, and each would take the other's machines for
forgotten. So it is drawn once and kept in the queue. A queue that lost its data is given the same one again by whoever
still knows it, so that what is out there can be found; where nobody does, another is drawn. Called by whoever rents,
lists or reaps.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from lib.redisqueue.connection import as_text, edge

if TYPE_CHECKING:
    from lib.redisqueue.queue import Queue

_PREFIX_CHARACTERS: Final = 48
_RANDOM_BYTES: Final = 5


async def namespace(queue: Queue, known: str = "") -> str:
    """The prefix and ten random digits, the same for everybody who uses this queue.

    `known` is what it was when the caller asked last.
    """
    key = queue.keys.of("namespace")
    async with edge(queue.url):
        await queue.client.set(key, known.rpartition(".")[2] or secrets.token_hex(_RANDOM_BYTES), nx=True)
        drawn = as_text(await queue.client.get(key) or b"")
    clean = "".join(each for each in drawn if each.isalnum())[: 2 * _RANDOM_BYTES]
    return f"{queue.keys.prefix[:_PREFIX_CHARACTERS]}.{clean}"
