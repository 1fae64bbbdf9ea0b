"""The shapes of the documents of `voice-synth`."""

from __future__ import annotations

from typing import Any, Final

_VERSION: Final = "whole: 1"

_FACTS: Final = {
    "usable": "boolean",
    "why_not": "text | null",
    "name": "text: the engine's own name of it",
    "speed": "number",
    "digest": "text: of everything that makes its sound",
}

VOICE: Final[dict[str, Any]] = {
    "schema_version": _VERSION,
    "slug": "text",
    "description": "text",
    "language": "text | null",
    "created_at": "time",
    "engines": {
        "<engine>": {
            "name": "text",
            "speed": "number",
            "files": {"<role>": "object: name, bytes and sha256"},
            "texts": {"<role>": "text"},
        }
    },
}

VOICES: Final[dict[str, Any]] = {
    "voice-synth speak": {
        "schema_version": _VERSION,
        "request": "object: the speech fields and the seed",
        "model": {
            "engine": "text",
            "version": "text",
            "voice": "text",
            "speed": "number",
            "voice_digest": "text",
            "sample_rate": "whole",
        },
        "substituted_voice": "object | null: what was asked, what was used",
        "ignored_fields": ["text"],
        "selection": {
            "selected_take": "whole",
            "enabled": "boolean",
            "method": "text | null",
            "ranking": ["object"],
        },
        "timings": {
            "load_sec": "number",
            "synth_sec": "number",
            "total_sec": "number",
            "audio_sec": "number",
            "rtf": "number: synthesis time for one second of audio",
        },
        "files": [{"name": "text", "kind": "text", "bytes": "whole", "sha256": "text"}],
        "sentences?": {
            "at_hand": "whole: that were not spoken again; with --chunk",
            "of": "whole: all, in all takes",
        },
    },
    "voice-synth list-voices": {
        "schema_version": _VERSION,
        "voices_dir": "text",
        "voices": [
            {
                "slug": "text",
                "built_in": "boolean",
                "description": "text",
                "language": "text | null",
                "created_at": "time | null",
                "engines": {"<engine>": _FACTS},
                "usable": "boolean: on any engine here",
                "broken": "text | null: what is wrong with its folder",
            }
        ],
    },
    "voice-synth list-speakers": {
        "schema_version": _VERSION,
        "speakers": [
            {
                "speaker": "text",
                "engine": "text | null",
                "voice": "text | null",
                "speed": "number | null",
                "stand_in": "boolean: somebody else speaks for this name",
                "why_not": "text | null",
            }
        ],
    },
    "voice-synth register": {"schema_version": _VERSION, "voice": "object: voice.json, see records.md"},
    "voice-synth rename": {"schema_version": _VERSION, "renamed": "text", "voice": "object: voice.json"},
    "voice-synth delete": {"schema_version": _VERSION, "deleted": "text"},
    "voice-synth export": {
        "schema_version": _VERSION,
        "file": "text",
        "bytes": "whole",
        "voice": "object: voice.json",
    },
    "voice-synth import": {"schema_version": _VERSION, "voice": "object: voice.json"},
    "voice-synth capabilities": {
        "schema_version": _VERSION,
        "engines": [
            {
                "engine": "text",
                "usable": "boolean",
                "why_not": "text | null",
                "version": "text | null",
                "languages": ["text"],
                "voices": ["text"],
                "speakers": ["text"],
                "controls": ["text: of a job's fields, those it obeys"],
                "sample_rate": "whole | null",
                "deterministic": "boolean",
                "voice_parts": [{"role": "text", "kind": "text", "required": "boolean", "what": "text"}],
            }
        ],
        "qa": {"usable": "boolean", "why_not": "text | null", "language": "text | null"},
    },
}
