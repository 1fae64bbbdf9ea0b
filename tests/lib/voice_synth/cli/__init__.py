"""The `voice-synth` program, a test file a command."""
