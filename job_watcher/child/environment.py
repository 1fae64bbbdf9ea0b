"""What a child inherits: the environment without secrets, and the few settings that it needs.

A body handles other people's text with other people's models; it has no business with Redis or with an API key. The
database is the exception: rounds through it are what some tasks are for.
Used by the parent to build the environment and by the child to read back what it must load.
"""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING, Final

from lib.redaction import process_secrets

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lib.settings import Settings

_SECRET_NAME: Final = re.compile(r"KEY|SECRET|TOKEN|PASSWORD|PASSWD|CREDENTIAL", re.IGNORECASE)
# scheme://user:password@host, as in DATABASE_URL.
_SECRET_VALUE: Final = re.compile(r"://[^/\s@]*:[^/\s@]+@")
_TELLING_CHARACTERS: Final = 8
_NEVER: Final = frozenset({"REDIS_URL"})


def child_environment(settings: Settings, inherited: Mapping[str, str]) -> dict[str, str]:
    """The environment of a child: `inherited` cleaned, then what `settings` say, wherever they came from."""
    known = {*settings.secret_values(), *process_secrets(inherited)}
    # A password of a few letters (`root`, `home`) is part of many values; without PATH and HOME a body finds nothing.
    secrets = [secret for secret in known if len(secret) >= _TELLING_CHARACTERS]
    kept = {
        name: value
        for name, value in inherited.items()
        if name not in _NEVER
        and not _SECRET_NAME.search(name)
        and not _SECRET_VALUE.search(value)
        # A copy under a harmless name is the secret all the same.
        and value not in known
        and not any(secret in value for secret in secrets)
    }
    kept["JOBS_STATE_DIR"] = str(settings.jobs_state_dir)
    kept["JOBS_TASK_MODULES"] = ",".join(settings.jobs_task_modules)
    kept["WATCHER_VOICES_DIR"] = str(settings.watcher_voices_dir)
    kept["SENTENCE_CACHE_BYTES"] = str(settings.sentence_cache_bytes)
    # The tasks that try the database run in a child: it is told by the wire, and whoever starts one takes this out.
    kept["DATABASE_URL"] = settings.database_url
    kept["WATCHER_CORPUS_ROOT"] = str(settings.watcher_corpus_root)
    kept["QWEN_TTS_MODELS"] = str(settings.qwen_tts_models or "")
    kept["QWEN_TTS_DOWNLOAD"] = "yes" if settings.qwen_tts_download else "no"
    kept["PYTHONPATH"] = os.pathsep.join(entry or "." for entry in sys.path)
    return kept


def task_modules(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Inside a child: the modules that its parent has checked already."""
    return tuple(name for name in environ.get("JOBS_TASK_MODULES", "").split(",") if name)
