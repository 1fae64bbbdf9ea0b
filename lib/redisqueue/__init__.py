"""The queue over Redis: every transition one Lua step, every view a read.

The only room, with `lib.embedded` and `lib.wiring`, that knows redis-py. What it offers, by who asks:
`producing` (job-runner), `sessions`, `leasing` and `conducting` (job-watcher), `upkeep` (every watcher, in
turn), `reader` and `fsck` (whoever looks).
"""
