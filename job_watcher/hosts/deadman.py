"""The dead-man: a script on a rented host that destroys it when no watcher has renewed it for too long.

It is the last thing between a dead watcher and a bill without end, so it is POSIX sh, needs curl or python3 and nothing
of ours, is started before everything else, and ends by nothing but SIGKILL. Its key is the one that the market gives
each instance for itself (`CONTAINER_API_KEY`), which can destroy this instance alone; it is in no file and no argv.
It counts by the time since the machine's start, so that a clock that is set does not set it off. Called by the driver
of an instance. Hosts of one's own have none.
"""

from __future__ import annotations

import math
import secrets
import shlex
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from job_watcher.hosts.host import Host

MARKET_URL: Final = "https://console.vast.ai"
"""Where an instance is destroyed, unless VAST_URL names another address."""

LONGEST: Final = 4_000
"""Characters that markets take as a start script."""

PATIENCE_SECONDS: Final = 900.0
"""So long it asks the market, again and again, before it turns to the last resort; and goes on asking."""

# Root's own machine alone: whoever tries this on a desk keeps the desk.
_POWER_OFF: Final = '[ "$(id -u)" = 0 ] && [ "$HOME" = /root ] && poweroff -f'

_SCRIPT: Final = r"""
trap '' HUP INT QUIT PIPE TERM
umask 077
dir=$1 limit=$2 url=$3 patience=$4 last=$5
given() { tr '\0' '\n' </proc/1/environ 2>/dev/null | sed -n "s/^$1=//p"; }
key=${CONTAINER_API_KEY:-$(given CONTAINER_API_KEY)}
id=${CONTAINER_ID:-$(given CONTAINER_ID)}
[ -n "$key" ] && [ -n "$id" ] || exit 1
if read -r other 2>/dev/null <"$dir/dead-man.pid" && [ "$other" != $$ ]; then
  grep -qsF dead-man "/proc/$other/cmdline" && exit 0
fi
echo $$ >"$dir/dead-man.pid"
{ echo -1000 >/proc/self/oom_score_adj; } 2>/dev/null
has() { command -v "$1" >/dev/null 2>&1; }
if ! has curl && ! has python3; then
  { apt-get -qq update && apt-get -qqy -o DPkg::Lock::Timeout=300 install curl ca-certificates; } &
fi
target=$url/api/v0/instances/$id/
by_curl() {
  has curl && printf 'header = "Authorization: Bearer %s"\n' "$key" |
    curl -fsS -m 20 -K - -H 'Content-Type: application/json' -X DELETE -d '{}' "$target"
}
by_python() {
  K=$key U=$target python3 -c '
import os, urllib.request as r
said = {"Authorization": "Bearer " + os.environ["K"], "Content-Type": "application/json"}
r.urlopen(r.Request(os.environ["U"], b"{}", said, method="DELETE"), timeout=20)'
}
tick=$((limit / 20)) pause=10
[ "$tick" -ge 1 ] || tick=0.2 pause=0.5
seen= since=
trap 'since=' USR1
while :; do
  read -r now rest <"${DEAD_MAN_CLOCK:-/proc/uptime}"
  now=${now%%.*} token=
  read -r token 2>/dev/null <"$dir/alive"
  if [ -z "$since" ] || [ "$token" != "$seen" ]; then seen=$token since=$now; fi
  quiet=$((now - since))
  if [ "$quiet" -ge "$limit" ]; then
    by_curl || by_python
    [ "$quiet" -lt $((limit + patience)) ] || sh -c "$last"
    sleep $pause || sleep 1
  else
    sleep $tick || sleep 1
  fi
done
"""

_BEGUN: Final = 'for _ in 1 2 3 4 5; do [ -s "$dir/dead-man.pid" ] && break; sleep 0.1; done'

# The signal says the same where the disk is full.
_RENEW: Final = """\
umask 077
dir=${HOME:-/root}/.job-runner
read -r pid 2>/dev/null <"$dir/dead-man.pid" && grep -qsF dead-man "/proc/$pid/cmdline" || pid=
mkdir -p "$dir" && echo "$1" >"$dir/alive.new" && mv "$dir/alive.new" "$dir/alive" || kill -USR1 "$pid"
[ -n "$pid" ]
"""


def onstart(
    seconds: float,
    url: str = "",
    then: str = "",
    *,
    last_resort: str | None = None,
    patience_seconds: float = PATIENCE_SECONDS,
) -> str:
    """The script that a host runs first: it writes the dead-man, starts it, and goes on with `then`.

    `seconds` is VAST_DEAD_MAN, `url` VAST_URL. `last_resort` is a command for when the market has not answered for
    `patience_seconds` more; by default it powers off.

    Raises:
        ValueError: it is longer than markets take.
    """
    words = (
        str(math.ceil(seconds)),
        (url or MARKET_URL).rstrip("/"),
        str(math.ceil(patience_seconds)),
        _POWER_OFF if last_resort is None else last_resort,
    )
    # Whoever starts it by ssh would otherwise find it among what the command started, and end it with that.
    text = f"""\
#!/bin/sh
unset JOB_RUNNER_PROCESS
dir=${{HOME:-/root}}/.job-runner
mkdir -p "$dir"
cat >"$dir/dead-man" <<'DEAD_MAN'
{_SCRIPT.strip()}
DEAD_MAN
setsid sh "$dir/dead-man" "$dir" {shlex.join(words)} </dev/null >/dev/null 2>&1 &
{then}
"""
    if len(text) > LONGEST:
        raise ValueError(f"a start script of {len(text)} characters; markets take {LONGEST}")
    return text


async def renew(host: Host, seconds: float = 10.0) -> bool:
    """Say that a watcher is alive; False where no dead-man runs there, which `revive` mends.

    Raises:
        HostLostError: the host did not answer.
    """
    # Another word each time: what counts is that it has changed.
    ran = await host.run(["sh", "-c", _RENEW, "sh", secrets.token_hex(8)], seconds=seconds)
    return ran.code == 0


async def revive(host: Host, dead_man_seconds: float, url: str = "", *, seconds: float = 10.0) -> bool:
    """Start the dead-man by ssh where it does not run; whether it runs then (no key, no dead-man).

    Raises:
        HostLostError: the host did not answer.
    """
    await host.run(["sh", "-c", onstart(dead_man_seconds, url, _BEGUN)], seconds=seconds)
    return await renew(host, seconds)
