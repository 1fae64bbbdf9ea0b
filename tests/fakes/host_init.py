"""The first process of a rented host: all others there are its children, and none outlives it.

It runs by itself, `python -I -S host_init.py [--disk DIR MB]`, and imports nothing of the house. Orders come on stdin,
one JSON a line, each answered by one line: `{"spawn": argv, "env": {}, "cwd": dir, "log": file}`, and `freeze`, `thaw`,
`kill` and `list` with a process id each: that one and all below it, 0: all below this one. At the end of stdin, so when
whoever started it dies, it kills everything below it: it is the subreaper, so a daemon that left its parent is still
below it.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36
_CLONE_NEWNS = 0x00020000
_MS_REC_PRIVATE = 0x4000 | 0x40000
_SIGNALS = {"freeze": signal.SIGSTOP, "thaw": signal.SIGCONT, "kill": signal.SIGKILL}


def _below(root: int) -> list[int]:
    """All processes under this one, however deep, and it too unless it is our own."""
    children: dict[int, list[int]] = {}
    for each in Path("/proc").iterdir():
        if not each.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            after = (each / "stat").read_bytes().rpartition(b")")[2].split()
            if after[0] != b"Z":
                children.setdefault(int(after[1]), []).append(int(each.name))
    found: list[int] = []
    ahead = [root]
    while ahead:
        below = children.get(ahead.pop(), [])
        found += below
        ahead += below
    return found if root == os.getpid() else [root, *found]


def _signal(root: int, number: int) -> None:
    """To all of them, and to those that were begun meanwhile."""
    reached: set[int] = set()
    while new := set(_below(root)) - reached:
        for pid in new:
            with contextlib.suppress(OSError):
                os.kill(pid, number)
        reached |= new


def _reap(*_: object) -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _kill_all() -> None:
    while _below(os.getpid()):
        _signal(os.getpid(), signal.SIGKILL)
        _reap()
        time.sleep(0.002)


def _own_disk(libc: ctypes.CDLL, directory: str, megabytes: str) -> None:
    """A small file system that only this host sees, and that goes with it."""
    done = (
        libc.unshare(_CLONE_NEWNS) == 0
        and libc.mount(b"none", b"/", None, _MS_REC_PRIVATE, None) == 0
        and libc.mount(b"tmpfs", directory.encode(), b"tmpfs", 0, f"size={megabytes}m".encode()) == 0
    )
    if not done:
        sys.exit(f"no disk of its own: {os.strerror(ctypes.get_errno())}")
    Path(directory, ".ssh").mkdir(mode=0o700)


def _obey(order: dict[str, object]) -> object:
    if "spawn" in order:
        with Path(str(order["log"])).open("ab") as log:
            child = subprocess.Popen(
                order["spawn"],  # type: ignore[call-overload]  # JSON of our own
                env=order["env"],
                cwd=order["cwd"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        child.returncode = 0  # it is reaped by the handler, never waited for
        return child.pid
    [(doing, root)] = order.items()
    root = int(str(root)) or os.getpid()
    if doing == "list":
        return _below(root)
    _signal(root, _SIGNALS[doing])
    return None


def main() -> None:
    """Obey until stdin ends."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        # A handler that does nothing: what is ignored here would be ignored by every process of the host.
        signal.signal(number, lambda *_: None)
    if "--disk" in sys.argv:
        _own_disk(libc, *sys.argv[-2:])
    signal.signal(signal.SIGCHLD, _reap)
    try:
        for line in sys.stdin:
            print(json.dumps(_obey(json.loads(line))), flush=True)  # noqa: T201 - the answer
    finally:
        _kill_all()


if __name__ == "__main__":
    main()
