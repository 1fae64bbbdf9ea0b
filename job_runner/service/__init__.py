"""What a producer can do, without a terminal: the command line and any other face call these modules.

Each takes the queue and the settings it needs, returns a value with `document()` where it has a JSON form, and raises
`lib.errors`. None prints, asks or exits.
"""
