"""Callbacks are there only where they were set up, and cost nothing elsewhere."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.watchers import ROOT

if TYPE_CHECKING:
    from pathlib import Path

CODE = """
import sys, asyncio
from job_watcher.equipping import sender_of
from lib.clock import SystemClock
from lib.settings import Settings

async def main():
    callback_sender = sender_of(Settings.load(ENVIRON), SystemClock())
    print(callback_sender is not None, "httpx" in sys.modules)
    if callback_sender:
        await callback_sender.aclose()

asyncio.run(main())
"""
BOTH = {"CALLBACK_SECRET": "long enough for a secret", "CALLBACK_ALLOWED_HOSTS": "a.example"}


@pytest.mark.parametrize("names", [(), ("CALLBACK_SECRET",), ("CALLBACK_ALLOWED_HOSTS",), tuple(BOTH)])
async def test_the_library_is_loaded_only_where_both_settings_are(tmp_path: Path, names: tuple[str, ...]) -> None:
    """Half a setting is none: nothing is sent unsigned, and nothing to anywhere."""
    environ = {"JOBS_STATE_DIR": str(tmp_path), **{name: BOTH[name] for name in names}}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-c", CODE.replace("ENVIRON", json.dumps(environ))),
        env={"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(tmp_path)},
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0
    assert out.split() == ([b"True", b"True"] if len(names) == 2 else [b"False", b"False"])
