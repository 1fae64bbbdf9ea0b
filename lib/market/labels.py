"""The label that a rented instance bears: who rented it, by which intent, and until when. Pure.

It travels in the create call itself, so that whatever was rented can be found though every reply was lost. What has no
label of this namespace is somebody else's and is never touched.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_FORM: Final = re.compile(r"^job-runner/([A-Za-z0-9._{}-]{1,64})/([A-Za-z0-9]{8,40})/([0-9]{1,20})/([0-9]{1,12})$")


@dataclass(frozen=True, slots=True)
class Label:
    """`namespace` tells whose queue it is, `expires_at` (Unix seconds) is the latest end of the rent."""

    namespace: str
    intent: str
    fence: str
    expires_at: int

    def __str__(self) -> str:
        return f"job-runner/{self.namespace}/{self.intent}/{self.fence}/{self.expires_at}"


def parse_label(text: str, namespace: str) -> Label | None:
    """The label, if it is one of this namespace."""
    found = _FORM.match(text)
    if found is None or found[1] != namespace:
        return None
    return Label(found[1], found[2], found[3], int(found[4]))
