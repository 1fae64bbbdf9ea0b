"""Starting a child: its descriptors, its session, and nothing left open when that fails or is cancelled.

Never by fork: a fork of a process with threads and an event loop inherits locks that nobody will release. The
three descriptors are the wire (a socket pair), the lifeline (a pipe that ends when this process does) and
what the child prints (a pipe).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from job_watcher.child.arguments import CHILD_MODULE, MINDER_MODULE, ChildArguments
from job_watcher.child.output import ChildOutput
from lib.errors import TemporaryError

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Launched:
    """The parent's ends. `lifeline` is a descriptor: closing it ends the child."""

    process: asyncio.subprocess.Process
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    output: ChildOutput
    lifeline: int


async def launch(environment: Mapping[str, str], *, suspect: bool) -> Launched:
    """Start the child module, or for a suspect the minder, as leader of a session and process group of its own.

    Raises:
        TemporaryError: the system has no process, descriptor or memory for it.
    """
    try:
        with contextlib.ExitStack() as ours_if_it_fails, contextlib.ExitStack() as theirs:
            return await _launch(environment, ours_if_it_fails, theirs, suspect=suspect)
    except OSError as exc:
        raise TemporaryError(
            f"no child process could be started: {exc}", hint="the machine is out of something"
        ) from exc


async def _launch(
    environment: Mapping[str, str], ours: contextlib.ExitStack, theirs: contextlib.ExitStack, *, suspect: bool
) -> Launched:
    near, far = socket.socketpair()
    ours.callback(near.close)
    theirs.callback(far.close)
    lifeline_read, lifeline_write = os.pipe()
    ours.callback(os.close, lifeline_write)
    theirs.callback(os.close, lifeline_read)
    output_read, output_write = os.pipe()
    output = ChildOutput(output_read)
    ours.callback(output.close)
    theirs.callback(os.close, output_write)
    reader, writer = await asyncio.open_unix_connection(sock=near)
    ours.callback(writer.close)
    arguments = ChildArguments(far.fileno(), lifeline_read, suspect)
    process = await asyncio.create_subprocess_exec(
        *arguments.command(MINDER_MODULE if suspect else CHILD_MODULE),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=output_write,
        stderr=output_write,
        pass_fds=(far.fileno(), lifeline_read),
        env=dict(environment),
        start_new_session=True,
    )
    ours.pop_all()
    return Launched(process, reader, writer, output, lifeline_write)
