"""What goes wrong with a host. Every fault of ssh becomes one of these; none of them is asyncssh's own.

TemporaryError
├── WaitError
│   └── HostError                no fault of a job: no attempt is used
│       ├── HostLostError        it does not answer, or not any more
│       ├── HostKeyChangedError  somebody else answers in its place: destroy it
│       ├── HostRefusedError     it does not let us in, or has not what it should have
│       └── BootstrapError       the worker could not be installed there
└── HostAnswerError              it sent what was not asked for: too much, or under a name that leads elsewhere
"""

from __future__ import annotations

from lib.errors import TemporaryError, WaitError


class HostError(WaitError):
    """A host cannot do the work; the job goes elsewhere and has used no attempt."""

    code = "host"


class HostLostError(HostError):
    """The connection broke, or the host did not answer in time."""

    code = "host_lost"


class HostKeyChangedError(HostError):
    """The host key is not the one that was pinned: this is another machine, or somebody stands between."""

    code = "host_key_changed"


class HostRefusedError(HostError):
    """The host answers and refuses: our ssh key, a command, a directory."""

    code = "host_refused"


class BootstrapError(HostError):
    """The worker could not be installed; the message names the step and ends with what the host said last."""

    code = "bootstrap"


class HostAnswerError(TemporaryError):
    """What came from the host is not what was asked for. It may be the job's doing, so an attempt is used."""

    code = "host_answer"
