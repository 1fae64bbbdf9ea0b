"""Programs of a rented host that this machine has not: an `nvidia-smi` that answers as the real one does.

Called by `tests.fakes.hosts`, which puts `kind`, `name` and `memory` before that one.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Final

NVIDIA_SMI: Final = r"""
case $kind in
no_driver)
    echo "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver." \
        "Make sure that the latest NVIDIA driver is installed and running."
    exit 9 ;;
mismatch)
    echo "Failed to initialize NVML: Driver/library version mismatch"
    exit 18 ;;
slow)
    exec sleep 3600 ;;
esac

fields= format=
for word in "$@"; do
    case $word in
    --query-gpu=*) fields=${word#--query-gpu=} ;;
    --format=*) format=,${word#--format=}, ;;
    -L) echo "GPU 0: $name (UUID: GPU-00000000-0000-0000-0000-000000000001)"; exit 0 ;;
    esac
done
if [ -z "$fields" ]; then
    echo "| NVIDIA-SMI 570.86.15    Driver Version: 570.86.15    CUDA Version: 12.8 |"
    echo "|   0  $name    |   1MiB / ${memory}MiB |   0%   Default |"
    exit 0
fi

mib=" MiB" percent=" %"
case $format in *,nounits,*) mib= percent= ;; esac
head= row=
IFS=,
for field in $fields; do
    case $field in
    name|gpu_name) value=$name ;;
    driver_version) value=570.86.15 ;;
    memory.total) value=$memory$mib ;;
    memory.free) value=$((memory - 1))$mib ;;
    memory.used) value=1$mib ;;
    utilization.gpu) value=0$percent ;;
    compute_cap) value=8.9 ;;
    temperature.gpu) value=41 ;;
    uuid|gpu_uuid) value=GPU-00000000-0000-0000-0000-000000000001 ;;
    index) value=0 ;;
    count) value=1 ;;
    *) echo "Field \"$field\" is not a valid field to query."; exit 2 ;;
    esac
    head="$head, $field"
    row="$row, $value"
done
case $format in *,noheader,*) ;; *) echo "${head#, }" ;; esac
echo "${row#, }"
"""

BARE_PROGRAMS: Final = {
    # The one that this environment was made of: it has venv and pip, and none of our packages.
    "python3": f'#!/bin/sh\nexec {shlex.quote(str(Path(sys.base_prefix) / "bin/python3"))} "$@"\n',
    "apt-get": "#!/bin/sh\necho 'E: this would be the package manager of your own machine' >&2\nexit 100\n",
}
"""Of a host without any of our programs."""
