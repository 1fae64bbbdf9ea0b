"""Tells other programs how their jobs ended: a signed POST to each job's `callback_url`, at least once.

`deliveries` is the duty, `delivery` the one try, `addresses` which machines it may reach, `signing` how the far side
knows that it was us. What is to be told stands in the queue (`lib.redisqueue.callbacks`): any watcher can do it.
"""
