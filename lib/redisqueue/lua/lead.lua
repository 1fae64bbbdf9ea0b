#!lua flags=allow-oom
--- Takes the lead when nobody alive has it; the leader's own call answers with the epoch it has.
-- `dedicated` = 1: a process that only conducts, which takes the lead from a watcher that leads beside its work. That
-- one learns it at its next move, whose epoch is over.
-- KEYS: fence sessions lock wake
-- `backlogs` are those that it serves, comma-separated; '' for all.
-- ARGV: session dedicated backlogs
-- REPLY: epoch, or '' and the session that leads; 'no_session' when the caller is gone
-- INCLUDE: base streams
if not is_live(session) then
  return { '', 'no_session' }
end
local leader = redis.call('HGET', K.lock, 'session')
if leader == session then
  return { redis.call('HGET', K.lock, 'epoch'), session }
end
local taken = leader and is_live(leader)
if taken and (dedicated == '0' or redis.call('HGET', K.lock, 'dedicated') == '1') then
  return { '', leader }
end
local epoch = digits(take_fences(1))
redis.call('HSET', K.lock, 'session', session, 'epoch', epoch, 'dedicated', dedicated, 'backlogs', backlogs)
if taken then
  wake('lead')
end
return { epoch, session }
