"""The voices of somebody's own that a host needs: read here, sent there once, and again when they have changed.

A voice goes with all that its voice.json names; the host's worker looks it up as any watcher does, and checks every
digest before it speaks with it.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Final

from lib.errors import TemporaryError
from lib.voice_synth.library import BUILT_IN_SLUGS, document_in
from lib.voice_synth.library_document import DOCUMENT_NAME

if TYPE_CHECKING:
    from pathlib import Path

    from job_watcher.hosts.batch_host import BatchHost
    from lib.voice_synth.library import VoiceLibrary

DIRECTORY: Final = "voices"
"""Below the worker's directory."""

SECONDS: Final = 1_800.0
"""For the files of one voice, which may hold a model."""


class SentVoices:
    """What one host has; `place` is the directory of its voices."""

    def __init__(self, host: BatchHost, place: str, library: VoiceLibrary) -> None:
        self._host = host
        self._place = place
        self._library = library
        self._sent: dict[str, str] = {}

    async def send(self, slug: str | None) -> None:
        """See that the host has this voice as it is now; nothing for a built-in one.

        Raises:
            PermanentError: there is no such voice, or it is not whole.
            TemporaryError: it cannot be read now.
            HostError: the host is lost, or cannot write.

        """
        if slug is None or slug in BUILT_IN_SLUGS:
            return
        digest, files, document = await asyncio.to_thread(self._read, slug)
        if self._sent.get(slug) == digest:
            return
        # Its document last: what it names is there before.
        await self._host.put(self._place, files, seconds=SECONDS)
        await self._host.put(self._place, {f"{slug}/{DOCUMENT_NAME}": document}, seconds=SECONDS)
        self._sent[slug] = digest

    def _read(self, slug: str) -> tuple[str, dict[str, Path | bytes], bytes]:
        self._library.require(slug)
        folder = self._library.directory / slug
        try:
            raw = (folder / DOCUMENT_NAME).read_bytes()
        except OSError as exc:
            raise TemporaryError(f"{folder / DOCUMENT_NAME}: {exc.strerror}", hint="this is tried again") from exc
        document = document_in(self._library.directory, slug)
        files: dict[str, Path | bytes] = {
            f"{slug}/{stored.file}": folder / stored.file for stored in document.stored_files.values()
        }
        return hashlib.sha256(raw).hexdigest(), files, raw
