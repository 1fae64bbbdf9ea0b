#!lua flags=allow-oom
--- Queues delayed jobs whose time has come: into the intake that their row names, if they can hold their conflict key;
-- otherwise they wait for it. A row may name an intake that the caller did not name: then it stays due until the caller
-- has named it, or has ended the job, so that no crowd of them stops those behind.
-- KEYS: index due delayed key key_wait events wake intakes
-- STREAMS: intakes
-- ARGV: entries_max bytes_max
-- REPLY: jobs queued, 1 when more are due, lost (request_id, generation, stream)…, of an intake that the caller did not
-- REPLY: name (request_id, generation, stream)…
-- EVENTS: queued
-- INCLUDE: base rows streams conflict
local budget = tonumber(bytes_max)
local queued, lost, unknown, filled = {}, {}, {}, {}
local more = 0
local ids = redis.call('ZRANGEBYSCORE', K.due, '-inf', digits(now_ms()), 'LIMIT', 0, tonumber(entries_max))
for _, request_id in ipairs(ids) do
  local row = read_row(request_id)
  local job = redis.call('HGET', K.delayed, request_id)
  if not row or row.state ~= 'D' then
    redis.call('ZREM', K.due, request_id)
    redis.call('HDEL', K.delayed, request_id)
  elseif not job then
    -- It stays due until the caller has ended it, so that no death in between strands it.
    lost[#lost + 1] = { request_id, row.generation, row.stream }
  elseif not STREAM[row.stream] then
    unknown[#unknown + 1] = { request_id, row.generation, row.stream }
  elseif budget < 1 then
    more = 1
  elseif not take_key(request_id, row) then
    redis.call('ZREM', K.due, request_id)
    wait_for_key(request_id, row, 0)
  else
    budget = budget - #job
    row.state, row.reason = 'Q', ''
    row.entry = add_entry(row.stream, request_id, row.generation, job)
    write_row(request_id, row)
    redis.call('ZREM', K.due, request_id)
    redis.call('HDEL', K.delayed, request_id)
    queued[#queued + 1] = request_id
    filled[row.stream] = true
  end
end
if #ids >= tonumber(entries_max) then
  more = 1
end
-- Where somebody removed a name from the set, the next leader would not know that anything waits there.
for name in pairs(filled) do
  if redis.call('SADD', K.intakes, name) == 1 then
    wake('streams')
  end
end
if #queued > 0 then
  wake('intake')
end
announce('queued', queued)
return { #queued, more, lost, unknown }
