"""What tests of the fakes share: an sshd on this machine, and the key pair of one who rents."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.fakes.hosts import HostMissingError, need_sshd

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def sshd() -> None:
    """Hosts can be made here; else the test is skipped on a laptop, and fails in CI."""
    try:
        need_sshd()
    except HostMissingError as exc:
        if os.environ.get("CI") == "true":
            pytest.fail(str(exc))
        pytest.skip(str(exc))


@pytest.fixture(scope="session")
def key(sshd: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A private key; the public one is beside it, in `.pub`."""
    del sshd  # it is there, and ssh-keygen with it
    path = tmp_path_factory.mktemp("key") / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path
