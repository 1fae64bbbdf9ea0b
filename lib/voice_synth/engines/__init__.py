"""The programs that turn text into sound, each behind one adapter that alone imports it."""
