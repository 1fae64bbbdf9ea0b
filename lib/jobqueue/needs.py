"""What a job needs of whoever runs it: the capability of its task, made narrower by what it asks for. Pure.

Its intake is named for it, and the lanes that it may take. So a queue, a plan and a quote ask here and agree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lib.jobqueue.catalogue import Capability, TaskKind
    from lib.jobqueue.spec import JobSpec


def capability_of(kind: TaskKind, spec: JobSpec) -> Capability:
    """The capability for `spec`, a job of this kind.

    Speech by a listed speaker is a class of its own, since the cloud can do it; a voice of somebody's own lies on the
    machines of its owner.
    """
    if kind.capability == "speech" and spec.speaker is not None:
        return "speaker"
    return kind.capability
