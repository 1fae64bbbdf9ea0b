"""Ends the child when its parent is gone, whatever the body is doing.

The parent holds the write end of a pipe on which nothing is ever written. When it dies, by SIGKILL too, the pipe
ends. A thread that waits for this needs Python's lock, which a body inside a C function may hold for hours; so
where the kernel can (Linux), it sends SIGKILL to the whole process group by itself at that moment. The
thread does the same everywhere else. Called by the child and the minder before anything else.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import threading


def arm(descriptor: int) -> None:
    """Tie the life of this process group to the other end of the pipe; `descriptor` is its read end."""
    os.set_inheritable(descriptor, False)  # noqa: FBT003  the standard library's own signature
    _ask_kernel(descriptor)
    if _ended(descriptor):
        # The parent died before the kernel was asked.
        _end_group()
    threading.Thread(target=_wait, args=(descriptor,), name="lifeline", daemon=True).start()


def _ask_kernel(descriptor: int) -> None:
    set_signal = getattr(fcntl, "F_SETSIG", None)
    if set_signal is None:
        return
    with contextlib.suppress(OSError):
        fcntl.fcntl(descriptor, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(descriptor, set_signal, signal.SIGKILL)
        flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | os.O_ASYNC)


def _ended(descriptor: int) -> bool:
    # Nothing is ever written, so a pipe that can be read is one that has ended.
    return bool(select.select([descriptor], [], [], 0)[0])


def _wait(descriptor: int) -> None:
    with contextlib.suppress(OSError):
        os.read(descriptor, 1)
    _end_group()


def _end_group() -> None:
    with contextlib.suppress(OSError):
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os._exit(1)
