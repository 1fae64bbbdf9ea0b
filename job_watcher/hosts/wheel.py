"""The wheel of the job-runner that runs here, made of its own installed files, to be sent to bare hosts.

Nothing is built: the packages are pure Python, and what an installer must know stands in the metadata of this
installation, an editable one's too. Called before a bootstrap.
"""

from __future__ import annotations

import base64
import hashlib
import zipfile
from importlib import metadata, util
from pathlib import Path
from typing import Final

from job_watcher.hosts.errors import BootstrapError

_DISTRIBUTION: Final = "job-runner"
_PACKAGES: Final = ("job_runner", "job_watcher", "lib")
_WHEEL: Final = "Wheel-Version: 1.0\nGenerator: job-runner\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def own_version() -> str:
    """As `Probe.version` must be for the host to be used without a bootstrap."""
    return metadata.version(_DISTRIBUTION)


def make_wheel(directory: Path) -> Path:
    """Write it into `directory`; blocks for half a second.

    Raises:
        BootstrapError: this program was not installed, so that nothing says what it depends on.
    """
    try:
        here = metadata.distribution(_DISTRIBUTION)
    except metadata.PackageNotFoundError as exc:
        raise BootstrapError(f"{_DISTRIBUTION} is not installed here, so it cannot be sent", hint="make setup") from exc
    info = f"job_runner-{here.version}.dist-info"
    files = {str(name): path.read_bytes() for name, path in sorted(_own_files().items())}
    for name in ("METADATA", "entry_points.txt"):
        text = here.read_text(name)
        if text is None:
            raise BootstrapError(f"the installation of {_DISTRIBUTION} has no {name}", hint="install it again")
        files[f"{info}/{name}"] = text.encode()
    files[f"{info}/WHEEL"] = _WHEEL.encode()
    record = [f"{name},sha256={_digest(data)},{len(data)}" for name, data in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,", ""]).encode()
    wheel = directory / f"job_runner-{here.version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return wheel


def _own_files() -> dict[str, Path]:
    found = {}
    for package in _PACKAGES:
        spec = util.find_spec(package)
        for root in (spec.submodule_search_locations or ()) if spec is not None else ():
            for path in Path(root).rglob("*"):
                if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith("."):
                    found[f"{package}/{path.relative_to(root).as_posix()}"] = path
    return found


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
