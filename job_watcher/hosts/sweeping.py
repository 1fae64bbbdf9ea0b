"""What dead watchers have left on a host of one's own: the directories of their work, which nobody else would delete.

A rented machine goes with all that is on it; one's own stays. A watcher that was killed leaves the inputs and outputs
of its last micro-batches there. Swept is only what nobody can need: nothing in it was touched for longer than a watcher
may be silent, and no process works in it. Another watcher, of another queue perhaps, is not disturbed. Called when a
watcher has come in.

Limit: a worker whose connection broke without a word keeps its directory until sshd there sees that.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from job_watcher.hosts.host import Host

PREFIX: Final = "job-runner-"
"""Before the intent's name, in the home of the user there."""

# Without /proc nobody knows who works where, so nothing is touched.
_SWEEP: Final = r"""
keep=$1 minutes=$2
[ -d /proc/self ] && cd -P -- "${HOME:-.}" || exit 0
here=$(pwd -P)
works_in() {
  for cwd in /proc/[0-9]*/cwd; do
    case $(readlink "$cwd" 2>/dev/null) in "$1" | "$1"/*) return 0 ;; esac
  done
  return 1
}
for dir in job-runner-i*; do
  case ${dir#job-runner-i} in *[!0-9a-f]* | "") continue ;; esac
  [ -d "$dir" ] && [ ! -L "$dir" ] && [ "$dir" != "$keep" ] || continue
  [ -z "$(find "$dir" -mmin "-$minutes" 2>&1 | head -n 1)" ] || continue
  works_in "$here/$dir" && continue
  rm -rf -- "$dir" && echo "$dir"
done
"""


async def sweep(host: Host, keep: str, quiet_seconds: float, *, seconds: float = 60.0) -> list[str]:
    """Delete them, `keep` aside; the names of those that are gone. `quiet_seconds` is rounded up to minutes.

    Raises:
        HostLostError: it did not answer within `seconds`; some may be gone.
    """
    minutes = max(1, ceil(quiet_seconds / 60))
    ran = await host.run(["sh", "-c", _SWEEP, "sh", keep, str(minutes)], seconds=seconds)
    return ran.out.split()
