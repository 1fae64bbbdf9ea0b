"""The small parent of a suspect: what a body that kills its parent hits instead of the watcher.

Started by `job_watcher.child.process`. It holds the child in its own process group, waits, and dies of what the child
died of, so that the watcher learns the true cause. It reads nothing from the wire. If it is killed itself, the
watcher ends the group.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys

from job_watcher.child import lifeline
from job_watcher.child.arguments import CHILD_MODULE, ChildArguments


def main(argv: list[str]) -> int:
    """Start the child and end as it does."""
    arguments = ChildArguments.parse(argv)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    child = subprocess.Popen(  # noqa: S603  our own module, arguments of our own
        arguments.command(CHILD_MODULE), pass_fds=(arguments.wire, arguments.lifeline), stdin=subprocess.DEVNULL
    )
    # A stop of the whole group is answered by the child; the minder stays to see it out, so that no zombie is left
    # to a process that may be slow to collect it.
    signal.signal(signal.SIGTERM, lambda _number, _frame: None)
    lifeline.arm(arguments.lifeline)
    os.close(arguments.wire)
    code = child.wait()
    if code < 0:
        _die_of(-code)
    return code


def _die_of(number: int) -> None:
    with contextlib.suppress(OSError, ValueError):  # SIGKILL has no handler to reset
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
