"""Counts so small that a measure takes no time: they show that it works, and nothing else."""

from __future__ import annotations

from dataclasses import replace

from bench.sizes import QUICK

FEW = replace(QUICK, jobs=60, singles=20, pings=5, rows=(10, 20), waiting=(10, 20), sample=20, texts=1)
