#!lua flags=allow-oom
--- Empties the queue: soft takes what is waiting, delayed or leased; `hard` = 1 the terminal records too, and what is
-- still to be published or called back.
-- The counter of fences stays, so that a late worker of before is still refused. So do quotas, the ledger and what was
-- measured, and the rows of rented machines, whose bills run on: they are about the world outside. Only what was reserved
-- for the jobs is free again. Refused while a watcher is alive, unless `force` = 1. The rows are members of `intakes` and `lanes` that the caller has read and that name no stream.
-- KEYS: index result failed due delayed key key_wait history_done history_failed history_cancelled
-- KEYS: expiry progress events control wake outbox outbox_callback callback_due rejected sessions counters intakes lanes
-- KEYS: deadlines spend_open instances
-- STREAMS: intakes lanes
-- ARGV: hard force
-- EACH: set member
-- REPLY: 'flushed', jobs removed, records removed, names of the keys removed, rented machines kept; or 'alive' and the live sessions;
-- REPLY: or 'streams' when there is an intake or lane that the caller did not name, so that none is left behind
-- EVENTS: flushed
-- INCLUDE: base streams spend
local alive = redis.call('ZRANGEBYSCORE', K.sessions, '(' .. digits(now_ms()), '+inf')
if force ~= '1' and #alive > 0 then
  return { 'alive', alive }
end

local aside = { intakes = {}, lanes = {} }
for i = 1, ROWS do
  local ask = row_args(i)
  aside[ask.set][ask.member] = true
end
for _, set in ipairs({ 'intakes', 'lanes' }) do
  for _, name in ipairs(redis.call('SMEMBERS', K[set])) do
    if not STREAM[name] and not aside[set][name] then
      return { 'streams' }
    end
  end
end

local removed = {}
local function remove(key)
  if redis.call('UNLINK', key) == 1 then
    removed[#removed + 1] = key
  end
end

local jobs = redis.call('HLEN', K.index)
local records = 0
for _, name in ipairs(INTAKES) do
  remove(STREAM[name])
end
for _, name in ipairs(LANES) do
  remove(STREAM[name])
  redis.call('XGROUP', 'CREATE', STREAM[name], 'watchers', '0', 'MKSTREAM')
end
for _, key in ipairs({ 'index', 'due', 'delayed', 'key', 'key_wait', 'progress', 'control', 'deadlines' }) do
  remove(K[key])
end
local BATCH = 500
local reserved = {}
for name in pairs(named(redis.call('HGETALL', K.spend_open))) do
  reserved[#reserved + 1] = string.match(name, '^job:(.*)$')
end
for from = 1, #reserved, BATCH do
  money_release_jobs({ unpack(reserved, from, math.min(from + BATCH - 1, #reserved)) })
end
if hard == '1' then
  records = redis.call('HLEN', K.result) + redis.call('HLEN', K.failed)
  for _, key in ipairs({
    'result', 'failed', 'history_done', 'history_failed', 'history_cancelled', 'expiry', 'outbox', 'rejected',
    'outbox_callback', 'callback_due',
  }) do
    remove(K[key])
  end
end
if jobs + records > 0 then
  redis.call('HINCRBY', K.counters, 'flushed', jobs + records)
end
redis.call('XADD', K.events, 'MAXLEN', '~', KEPT, '*', 'type', 'flushed', 'hard', hard)
wake('room')
return { 'flushed', jobs, records, removed, redis.call('HLEN', K.instances) }
