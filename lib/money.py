"""Money is whole millionths of a dollar everywhere inside; dollars are floats in JSON and tables only."""

from __future__ import annotations

from typing import Final

MICRO: Final = 1_000_000
"""Millionths in a dollar."""
