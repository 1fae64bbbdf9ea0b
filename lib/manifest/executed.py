"""execution.json read back: by `logs`, maybe years later, maybe after somebody else had it.

What is shown of it is only what this model knows, of the right types: a damaged document is said to be one, never half
believed. It knows nothing of how the document is written, which is `execution`'s.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from lib.errors import InvalidInputError, NotFoundError
from lib.jobqueue.problems import from_validation
from lib.manifest.folder import read_plain

if TYPE_CHECKING:
    from pathlib import Path

# As many jobs as a manifest may hold, with what became of them.
MAX_BYTES: Final = 512 << 20
_HINT: Final = "run the manifest again: that writes it anew, and what is made already is not made twice"


def _printable_at_all(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("holds a lone surrogate, which cannot be printed") from None
    return text


_Text = Annotated[str, AfterValidator(_printable_at_all)]
_Count = Annotated[int, Field(ge=0)]
_Seconds = Annotated[float, Field(ge=0)]


class _Read(BaseModel):
    # What a later version adds is left out.
    model_config = ConfigDict(extra="ignore", strict=True, allow_inf_nan=False)


class _ReadJob(_Read):
    request_id: _Text
    output_name: _Text
    status: Literal["ok", "failed", "skipped"]
    return_code: int | None
    duration_sec: _Seconds
    error: _Text | None = None
    hint: _Text | None = None
    reason: _Text | None = None
    audio: _Text | None = None
    audio_sec: _Seconds | None = None
    takes: _Count | None = None
    engine: _Text | None = None


class _ReadExecution(_Read):
    schema_version: Literal[1]
    run_id: _Text
    started_at: _Text
    completed_at: _Text | None
    duration_sec: _Seconds
    job_count: _Count
    executed_count: _Count
    failed_count: _Count
    skipped_count: _Count
    success: bool
    aborted: bool
    dry_run: bool
    current: _Text | None
    jobs: list[_ReadJob]


_FIELDS: Final = tuple({**_ReadExecution.model_fields, **_ReadJob.model_fields})


def execution_document(path: Path) -> dict[str, Any]:
    """The document that was written to `path`. Blocks; never waits for the writer of a pipe.

    Raises:
        NotFoundError: there is no such file.
        InvalidInputError: it cannot be read, is no such document, or a damaged one.

    """
    try:
        loaded = json.loads(read_plain(path, MAX_BYTES, follow=True), parse_constant=_refused, parse_float=_finite)
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise NotFoundError(f"{path}: {exc.strerror}", hint="`job-runner run FILE` writes one") from exc
    except OSError as exc:
        raise InvalidInputError(f"{path}: {exc.strerror}", hint="name an execution.json, or the folder of one") from exc
    except (ValueError, RecursionError) as exc:
        said = "it is nested too deeply" if isinstance(exc, RecursionError) else exc
        raise InvalidInputError(f"{path} is no execution document, or a damaged one: {said}", hint=_HINT) from exc
    try:
        return _ReadExecution.model_validate(loaded).model_dump(exclude_unset=True)
    except ValidationError as exc:
        first, *more = from_validation(exc, _FIELDS)
        rest = f", and {len(more)} more" if more else ""
        raise InvalidInputError(
            f"{path} is no execution document, or a damaged one: {first}{rest}", hint=_HINT
        ) from exc


def _refused(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits[:20]} is too large a number")
    return number
