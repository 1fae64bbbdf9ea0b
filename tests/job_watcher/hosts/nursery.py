"""Workers for tests of batches, each in a millisecond: a process that has imported all, and forks one when asked.

What runs in a fork is the worker's own code with a quick engine. Words of a text tell that engine what to do:
`[dies]` kills the process, `[stays]` never ends, `[waits NAME]` waits for a file NAME in the directory above.
Started by `local_host`, as `python -m tests.job_watcher.hosts.nursery DESCRIPTOR`; it ends with who started it.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lib import failpoints
from lib.capabilities.speech import WarmEngines
from lib.manifest.events import Events
from lib.manifest.following import Following
from lib.manifest.speech import Speech
from lib.voice_synth.library import VoiceLibrary
from tests.lib.voice_synth.scripted_engine import ScriptedEngine, spoken

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lib.voice_synth.engines.base import Samples, SynthesisSettings

_WAITS = re.compile(r"\[waits ([a-z]+)\]")


def said(text: str, settings: SynthesisSettings) -> Iterator[Samples]:
    """Speech, after what the text tells."""
    if "[dies]" in text:
        sys.stderr.write("out of memory\n")
        sys.stderr.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    while "[stays]" in text:
        time.sleep(0.01)
    for name in _WAITS.findall(text):
        while not Path("..", name).exists():
            time.sleep(0.005)
    yield from spoken(text, settings)


def speech_of(directory: Path) -> Speech:
    """The quick engine under every name that an engine has."""
    return Speech(VoiceLibrary(directory, check_files=True), WarmEngines(lambda name: ScriptedEngine(said, name=name)))


def _work(order: dict[str, Any], ends: list[int]) -> None:
    os.setsid()
    for number, end in enumerate(ends[:3]):
        os.dup2(end, number)
    os.closerange(3, 256)
    os.chdir(order["cwd"])
    if "BROKEN" in order["environment"]:
        sys.stderr.write("no such module\n")
        sys.stderr.flush()
        os._exit(3)
    if "MUTE" in order["environment"]:
        signal.pause()
    failpoints.arm(order["environment"].get(failpoints.VARIABLE, ""))
    speech = speech_of(Path(order["environment"]["WATCHER_VOICES_DIR"]))
    bad = Following(Path(), speech, Events(1, str)).run(sys.stdin.buffer)
    os._exit(1 if bad else 0)


def _report(pid: int, told: int) -> None:
    _, status = os.waitpid(pid, 0)
    with contextlib.suppress(OSError):
        os.write(told, str(os.waitstatus_to_exitcode(status)).encode())
    os.close(told)


def main(descriptor: int) -> None:
    """Fork a worker for each order: where, with which environment, and its three streams and a pipe for its end."""
    with socket.socket(fileno=descriptor) as orders:
        while True:
            said_, ends, _, _ = socket.recv_fds(orders, 1 << 16, 4)
            if not said_:
                return
            pid = os.fork()
            if not pid:
                _work(json.loads(said_), ends)
            orders.sendall(str(pid).encode())
            for end in ends[:3]:
                os.close(end)
            threading.Thread(target=_report, args=(pid, ends[3]), daemon=True).start()


if __name__ == "__main__":
    main(int(sys.argv[1]))
