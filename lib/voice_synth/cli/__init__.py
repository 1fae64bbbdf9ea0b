"""The `voice-synth` program: one command a module, loaded when it is used.

A command turns flags into a call of `lib.voice_synth` and prints what came of it. `app.main` is the only place that
catches errors. Exit codes are those of all the programs here; data goes to stdout, everything else to stderr.
"""

from lib.voice_synth.cli.app import main

__all__ = ["main"]
