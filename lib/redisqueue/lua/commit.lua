#!lua flags=allow-oom
--- Ends leased jobs: session alive and fence right, or refused. The fence already in the record answers `already`,
-- so a commit whose reply was lost can be sent again.
-- KEYS: index result failed due key key_wait history_done history_failed history_cancelled
-- KEYS: expiry progress events wake outbox outbox_callback callback_due sessions spend_open deadlines
-- STREAMS: lanes
-- ARGV: session
-- EACH: request_id fence status tail ttl_ms publish callback
-- REPLY: per row: the outbox entry id, or '', of a job that has ended now; else a list of one code
-- CODES: already refused
-- EVENTS: done failed cancelled
-- INCLUDE: base rows streams records conflict callbacks spend finish
local live = is_live(session)
local replies, asks, ids = {}, {}, {}
local ended = { done = {}, failed = {}, cancelled = {} }

local function fence_in_record(request_id)
  local record = redis.call('HGET', K.result, request_id) or redis.call('HGET', K.failed, request_id)
  return record and read_head(record).fence
end

for i = 1, ROWS do
  asks[i] = row_args(i)
  ids[i] = asks[i].request_id
end
local rows = live and read_rows(ids) or {}

local left, any = {}, false
for i, ask in ipairs(asks) do
  local row = rows[ask.request_id]
  if row and row.state == 'L' and row.session == session and row.fence == ask.fence then
    local outbox = finish_soon(ask.request_id, row, {
      status = ask.status, fence = ask.fence, attempt = row.attempt + 1, tail = ask.tail,
      ttl_ms = tonumber(ask.ttl_ms), publish = ask.publish == '1', callback = ask.callback,
    })
    local list = ended[ask.status]
    list[#list + 1] = ask.request_id
    left[row.stream] = (left[row.stream] or 0) - 1
    any = true
    replies[i] = outbox
    rows[ask.request_id] = nil
  else
    -- The record may be that of a row above.
    settle_ends()
    replies[i] = { fence_in_record(ask.request_id) == ask.fence and 'already' or 'refused' }
  end
end
settle_ends()
for status, request_ids in pairs(ended) do
  announce(status, request_ids)
end
if any then
  wake('room', pairs_of(left))
end
return replies
