"""The tests mirror the source tree; a package only so that no other `tests` on the path can shadow it."""
