"""The server that speaks Ollama's API, as a program of its own; what it answers is tested where the adapter is."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from typing import Any


def ask(url: str, body: Any = None) -> Any:
    """The JSON of one reply; a body makes it a POST."""
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(url, data) as reply:  # noqa: S310 - loopback
        return json.load(reply)


def test_it_is_a_program() -> None:
    """For tests of many processes: it says where it is, notes what it is asked, and takes faults."""
    words = [sys.executable, "-m", "tests.support.small_model", "--canned", "--model", "m"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = json.loads(process.stdout.readline())["url"]
            assert ask(f"{url}/_fake/faults", [{"kind": "slow", "seconds": 0.01}]) == {}
            chat = {"model": "m", "stream": False, "messages": [{"role": "user", "content": "hello"}]}
            assert ask(f"{url}/api/chat", chat)["message"]["content"] == "You said: hello"
            assert [(each["path"], each["fault"]) for each in ask(f"{url}/_fake/asked")] == [("/api/chat", "slow")]
        finally:
            process.terminate()
    assert process.returncode == 0
