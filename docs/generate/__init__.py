"""Writes the reference pages out of the code, so that they cannot say something else than it does.

`make docs` runs it; `tests/test_reference.py` makes every page again and compares. Pages hold no dates, no paths of
the machine at hand and no widths of a terminal: the same code gives the same bytes everywhere. It is no part of the
installed programs.
"""
