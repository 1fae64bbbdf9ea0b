"""Tests of the face of producers."""
