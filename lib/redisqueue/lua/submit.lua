--- Accepts up to 500 jobs, each once by its request_id; all of the batch in one step.
-- KEYS: fence index result failed due delayed key key_wait history_done history_failed history_cancelled
-- KEYS: expiry events wake intakes backlogs counters
-- STREAMS: intakes
-- ARGV: mode
-- EACH: request_id identity job intake backlog due_ms key on_conflict attempt expected
-- REPLY: per row: code, stream entry id or '', attempt
-- CODES: queued duplicate_request already_done already_failed already_cancelled conflict key_busy not_found changed
-- EVENTS: queued
-- INCLUDE: base rows streams records conflict accept
local first = take_fences(ROWS)
local replies, queued = {}, {}
local asks, ids = {}, {}
for i = 1, ROWS do
  asks[i] = row_args(i)
  ids[i] = asks[i].request_id
end

-- Three reads tell of which ids nothing is known, which are nearly all; only the others are looked at one by one. The
-- second row of an id is never fresh: the first has just been accepted.
local fresh = {}
if mode ~= 'again' then
  local active = redis.call('HMGET', K.index, unpack(ids))
  local done = redis.call('HMGET', K.result, unpack(ids))
  local failed = redis.call('HMGET', K.failed, unpack(ids))
  for i = 1, ROWS do
    fresh[ids[i]] = not active[i] and not done[i] and not failed[i]
  end
end

local news, named = 'intake', {}
for i = 1, ROWS do
  local ask = asks[i]
  ask.fresh = fresh[ask.request_id]
  fresh[ask.request_id] = nil
  ask.mode, ask.fence = mode, digits(first + i - 1)
  ask.due_ms, ask.attempt = tonumber(ask.due_ms), tonumber(ask.attempt)
  if not named[ask.intake] then
    named[ask.intake] = true
    if redis.call('SADD', K.intakes, ask.intake) == 1 then
      redis.call('SADD', K.backlogs, ask.backlog)
      news = 'streams'
    end
  end
  local code, entry, attempt = accept(ask)
  if code == 'queued' then
    queued[#queued + 1] = ask.request_id
  end
  replies[i] = { code, entry, attempt }
end
count_accepted()
if #queued > 0 then
  wake(news)
  announce('queued', queued)
end
return replies
