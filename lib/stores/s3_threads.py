"""Blocking work of a bucket in a thread: a deadline is a store that may be asked again, and a cut upload cleans up.

`lib.stores.s3` and the cache of a bucket call it; it knows nothing of buckets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from lib import daemon_threads
from lib.errors import TemporaryError

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

T = TypeVar("T")

LAST_WORD_SECONDS: Final = 2.0
"""How long a cancelled upload may take to throw its parts away before nobody waits for it."""


async def in_thread(work: Callable[[threading.Event], T], seconds: float) -> T:
    """As `lib.daemon_threads.in_thread`, with a moment to clean up.

    Raises:
        TemporaryError: `seconds` passed.
    """
    try:
        return await daemon_threads.in_thread(work, seconds, "s3", last_word_seconds=LAST_WORD_SECONDS)
    except TimeoutError as exc:
        raise TemporaryError(f"the store did not end within {seconds:.0f} s", hint="this is tried again") from exc
