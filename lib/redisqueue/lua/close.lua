#!lua flags=allow-oom
--- Ends a session at its own wish (a drain): it holds no leases any more; the lead, if it had it, is free.
-- KEYS: sessions heartbeat lock wake
-- ARGV: session name
-- REPLY: 1 when the session was a member
-- INCLUDE: streams
local was = redis.call('ZREM', K.sessions, session)
if redis.call('HGET', K.lock, 'session') == session then
  redis.call('DEL', K.lock)
end
if was == 1 then
  redis.call('HDEL', K.heartbeat, name)
end
wake('roster')
return was
