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
local news = 'intake'
for i = 1, ROWS do
  local ask = row_args(i)
  ask.mode, ask.fence = mode, digits(first + i - 1)
  ask.due_ms, ask.attempt = tonumber(ask.due_ms), tonumber(ask.attempt)
  if redis.call('SADD', K.intakes, ask.intake) == 1 then
    redis.call('SADD', K.backlogs, ask.backlog)
    news = 'streams'
  end
  local code, entry, attempt = accept(ask)
  if code == 'queued' then
    queued[#queued + 1] = ask.request_id
  end
  replies[i] = { code, entry, attempt }
end
if #queued > 0 then
  wake(news)
  announce('queued', queued)
end
return replies
