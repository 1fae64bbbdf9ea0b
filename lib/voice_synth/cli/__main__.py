"""`python -m lib.voice_synth.cli`: the program where no console script is installed."""

import sys

from lib.voice_synth.cli.app import main

sys.exit(main())
