"""manifest.json: its model, its order, its bytes.

The same jobs under the same run id give the same bytes in any folder on any machine: no time, no absolute path, no
order of the day. `compiling` writes it, `reading` checks what somebody else may have written.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from lib.jobqueue import fields

MANIFEST: Final = "manifest.json"
EXECUTION: Final = "execution.json"
DRY_EXECUTION: Final = "execution.dry-run.json"
"""A dry run has a document of its own, so that it never hides what was really made."""

SCHEMA_VERSION: Final = 1

OWN_NAMES: Final = frozenset({MANIFEST, EXECUTION, DRY_EXECUTION})
"""What stands beside the jobs' folders; no output_name may begin with one of them."""

TEXT: Final = "text.txt"
RESULT: Final = "result.json"
PROGRAM: Final = ("voice-synth", "speak")

# 64 bits are enough to tell the runs of one folder apart, and short enough to be read out.
_RUN_ID_DIGITS: Final = 16

_Text = Annotated[str, Field(strict=True)]
_Attempt = Annotated[int, Field(strict=True, ge=0)]


class ManifestJob(BaseModel):
    """One job of a manifest; every path is relative to the manifest's folder."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    request_id: fields.CheckedIdentifier
    content_hash: _Text
    attempt: _Attempt
    source_key: _Text
    output_name: fields.CheckedOutputName
    out_exact: _Text
    text_file: _Text
    json_result: _Text
    argv: list[_Text]

    @property
    def order(self) -> tuple[str, str, str]:
        """Jobs of one voice stand together, so that its model is loaded once."""
        return self.source_key, self.output_name, self.request_id


class Manifest(BaseModel):
    """The whole document."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    schema_version: Literal[1]
    run_id: fields.CheckedIdentifier
    jobs: list[ManifestJob]

    def to_json(self) -> bytes:
        """The bytes of the file."""
        return json_bytes(self.model_dump())


def run_id_of(jobs: list[ManifestJob]) -> str:
    """The name of a run that nobody named: a hash of its jobs, given in their order."""
    digest = hashlib.sha256()
    for job in jobs:
        digest.update(json_bytes(job.model_dump()))
    return f"run-{digest.hexdigest()[:_RUN_ID_DIGITS]}"


def json_bytes(document: dict[str, Any]) -> bytes:
    """Indented UTF-8 with a final newline; the order of keys is the document's own."""
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False).encode() + b"\n"
