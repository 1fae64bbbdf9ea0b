"""Tests of speech: no network, a scripted engine for what a good one never does, and the real one for the rest."""
