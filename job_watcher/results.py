"""What a body may hand back: checked before it reaches a wire, a store or a record.

A result lives in Redis memory as long as its record; bulk belongs into an output file. Called by the child before it
answers and by `job_watcher.execution` for every backend.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from lib.errors import PermanentError
from lib.tasks.base import Output, TaskResult

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# Half of what one commit call may carry (512 KiB), so that a single result never stalls the server.
MAX_RESULT_BYTES: Final = 256 * 1024
# Many more than the takes that a job may ask for (1000).
MAX_OUTPUTS: Final = 2_000

_ENCODE: Final = json.JSONEncoder(allow_nan=False).encode


def checked(given: object, place: Callable[[], Path]) -> TaskResult:
    """The result, if it can be kept; `place` says where the attempt's work directory is, if it has outputs.

    Raises:
        PermanentError: it is no TaskResult, no JSON, too large, or names a file outside its work directory.
    """
    if not isinstance(given, TaskResult):
        raise PermanentError(f"the task returned {type(given).__name__}, not a TaskResult")
    _check_json(given.result)
    if len(given.outputs) > MAX_OUTPUTS:
        raise PermanentError(f"the task returned {len(given.outputs)} outputs; at most {MAX_OUTPUTS} are kept")
    _check_stored(given)
    if not given.outputs:
        return given
    work_dir = place()
    names: set[str] = set()
    inside: set[Path] = {work_dir}
    for output in given.outputs:
        _check_output(output, work_dir, names, inside)
    return given


def _check_json(result: dict[str, Any] | None) -> None:
    if result is None:
        return
    if not isinstance(result, dict):
        raise PermanentError(f"the task's result is {type(result).__name__}; it must be a dict of plain JSON")
    try:
        size = len(_ENCODE(result))
    except (TypeError, ValueError, RecursionError) as exc:
        raise PermanentError(
            f"the task's result is not JSON: {exc}",
            hint="a result holds text, finite numbers, booleans, null, lists and mappings",
        ) from exc
    if size > MAX_RESULT_BYTES:
        raise PermanentError(
            f"the task's result is {size} bytes of JSON; at most {MAX_RESULT_BYTES} are kept",
            hint="write it to a file in the work directory and return that as an Output",
        )


def _check_stored(given: TaskResult) -> None:
    """What is stored already was checked where it stands; here only whether a record can name it."""
    names = [item.name for item in given.stored]
    if names and given.outputs:
        raise PermanentError("the task returned outputs beside those that are stored already")
    if len(names) > MAX_OUTPUTS:
        raise PermanentError(f"{len(names)} outputs are stored; at most {MAX_OUTPUTS} are kept")
    if len(set(names)) != len(names):
        raise PermanentError("two stored outputs have one name")


def _check_output(output: Output, work_dir: Path, names: set[str], inside: set[Path]) -> None:
    """`inside` are directories that are known to be in the work directory; it grows."""
    # The parent is resolved, not the file: a symlink as the file itself is refused by the store.
    folder = output.path.parent
    if folder not in inside:
        home, found = work_dir.resolve(), folder.resolve()
        if found != home and home not in found.parents:
            raise PermanentError(
                f"the task's output {output.name} lies outside its work directory",
                hint="write outputs below context.work_dir",
            )
        inside.add(folder)
    if output.name in names:
        raise PermanentError(f"the task returned two outputs named {output.name}")
    names.add(output.name)
