#!lua flags=allow-oom
--- Takes outbox entries away whose published name now equals the current record: only if the record's fence is the
-- one that was copied.
-- KEYS: result outbox
-- EACH: entry request_id fence
-- REPLY: per row: code
-- CODES: ok changed gone
-- INCLUDE: base records
local replies = {}
for i = 1, ROWS do
  local ask = row_args(i)
  local record = redis.call('HGET', K.result, ask.request_id)
  if record and read_head(record).fence ~= ask.fence then
    replies[i] = 'changed'
  else
    redis.call('XDEL', K.outbox, ask.entry)
    replies[i] = record and 'ok' or 'gone'
  end
end
return replies
