"""Speech: voices, engines, takes and the `voice-synth` program. It knows no queue and no job store."""
