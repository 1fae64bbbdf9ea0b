"""The page of settings, from `lib.settings`."""

from __future__ import annotations

from docs.generate.markdown import code, joined, opening, table
from lib.settings import variable_name, variables


def page() -> str:
    """Every variable with default, unit and reason."""
    rows = []
    for each in variables():
        declared = each.metadata
        secret = "yes" if declared["secret"] else ""
        default = "unset" if not declared["default"] else code(declared["default"])
        rows.append((code(variable_name(each)), default, declared["unit"], declared["why"], secret))
    return joined(
        opening(
            "Settings",
            "lib/settings.py",
            "All settings come from the environment, or from a file `.env` in the working directory; the environment "
            "wins, and an empty value means unset. `--redis-url` of a command wins over both. All wrong values are "
            "named at start, together, with what is allowed; `job-runner doctor` names variables that nobody reads.",
            "A secret is never shown: not in messages, not in logs, not in records.",
        ),
        table(("variable", "default", "unit", "why", "secret"), rows),
        "Rules between them: `WATCHER_SESSION_RENEW_EVERY` + 2 * `WATCHER_POLL_INTERVAL` + a tenth of "
        "`WATCHER_SESSION_TTL` must be\nless than `WATCHER_SESSION_TTL`, or live watchers would lose their jobs. "
        "`JOBS_STATE_DIR` in a default is the value of that variable.",
    )
