"""Tests that listen: speech is transcribed and compared with its text."""
