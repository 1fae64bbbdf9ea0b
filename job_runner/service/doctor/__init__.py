"""What is wrong with the server and with this machine, and how to mend it. It changes nothing.

Each check answers by itself: one that cannot be made says so and the next one is made all the same. One module a
subject.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from job_runner.service.doctor.callbacks import callback_checks
from job_runner.service.doctor.checks import Check, Diagnosis
from job_runner.service.doctor.compute import compute_checks
from job_runner.service.doctor.instances import instance_checks
from job_runner.service.doctor.machine import machine_checks
from job_runner.service.doctor.renting import renting_checks
from job_runner.service.doctor.server import server_checks
from job_runner.service.doctor.storage import storage_checks
from job_runner.service.doctor.voices import voice_checks

if TYPE_CHECKING:
    from lib.settings import Settings

__all__ = ["Check", "Diagnosis", "diagnose"]


async def diagnose(settings: Settings) -> Diagnosis:
    """Check the server, then this machine."""
    return Diagnosis(
        (
            *await server_checks(settings),
            *await callback_checks(settings),
            *await compute_checks(settings),
            *await renting_checks(settings),
            *await instance_checks(settings),
            *await asyncio.to_thread(machine_checks, settings),
            *await storage_checks(settings),
            *await asyncio.to_thread(voice_checks, settings),
        )
    )
