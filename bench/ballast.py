"""What each job carries, ours and the peers': the same, or their rates could not stand side by side.

A module of its own because the peers' side runs under other Pythons, in which nothing of ours can be imported.
"""

BALLAST = "x" * 200
