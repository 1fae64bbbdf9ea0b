#!lua flags=allow-oom
--- Takes the lead when nobody alive has it; the leader's own call answers with the epoch it has.
-- KEYS: fence sessions lock
-- ARGV: session
-- REPLY: epoch, or '' and the session that leads; 'no_session' when the caller is gone
-- INCLUDE: base
if not is_live(session) then
  return { '', 'no_session' }
end
local leader = redis.call('HGET', K.lock, 'session')
if leader == session then
  return { redis.call('HGET', K.lock, 'epoch'), session }
end
if leader and is_live(leader) then
  return { '', leader }
end
local epoch = digits(take_fences(1))
redis.call('HSET', K.lock, 'session', session, 'epoch', epoch)
return { epoch, session }
