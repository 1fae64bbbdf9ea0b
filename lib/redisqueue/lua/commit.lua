#!lua flags=allow-oom
--- Ends leased jobs: session alive and fence right, or refused. The fence already in the record answers `already`,
-- so a commit whose reply was lost can be sent again.
-- KEYS: index result failed due delayed key key_wait history_done history_failed history_cancelled
-- KEYS: expiry progress events wake outbox outbox_callback callback_due sessions fence
-- STREAMS: lanes
-- ARGV: session
-- EACH: request_id fence status tail ttl_ms publish callback
-- REPLY: per row: code, outbox entry id or ''
-- CODES: ok already refused
-- EVENTS: done failed cancelled
-- INCLUDE: base rows streams records conflict callbacks finish
local live = is_live(session)
local replies = {}
local ended = { done = {}, failed = {}, cancelled = {} }

local function fence_in_record(request_id)
  local record = redis.call('HGET', K.result, request_id) or redis.call('HGET', K.failed, request_id)
  return record and read_head(record).fence
end

local any = false
for i = 1, ROWS do
  local ask = row_args(i)
  local row = live and read_row(ask.request_id)
  if row and row.state == 'L' and row.session == session and row.fence == ask.fence then
    local outbox = finish(ask.request_id, row, {
      status = ask.status, fence = ask.fence, attempt = row.attempt + 1, tail = ask.tail,
      ttl_ms = tonumber(ask.ttl_ms), publish = ask.publish == '1', callback = ask.callback,
    })
    local list = ended[ask.status]
    list[#list + 1] = ask.request_id
    any = true
    replies[i] = { 'ok', outbox }
  elseif fence_in_record(ask.request_id) == ask.fence then
    replies[i] = { 'already', '' }
  else
    replies[i] = { 'refused', '' }
  end
end
for status, request_ids in pairs(ended) do
  announce(status, request_ids)
end
if any then
  wake('room')
end
return replies
