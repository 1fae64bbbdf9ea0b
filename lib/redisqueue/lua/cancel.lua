#!lua flags=allow-oom
--- Ends jobs at a person's wish, in whatever state they are, as long as it is the generation that was looked at.
-- A running body is told over `control`; its commit is refused from now on.
-- KEYS: fence index result failed due delayed key key_wait history_done history_failed history_cancelled
-- KEYS: expiry progress events control wake outbox outbox_callback callback_due spend_open deadlines
-- STREAMS: intakes lanes
-- EACH: request_id generation tail ttl_ms callback
-- REPLY: per row: code
-- CODES: cancelled changed streams not_active
-- EVENTS: cancelled
-- INCLUDE: base rows streams records conflict callbacks spend finish
local replies, cancelled = {}, {}
for i = 1, ROWS do
  local ask = row_args(i)
  local row = read_row(ask.request_id)
  if not row then
    replies[i] = 'not_active'
  elseif row.generation ~= ask.generation then
    replies[i] = 'changed'
  elseif row.state ~= 'D' and not STREAM[row.stream] then
    replies[i] = 'streams'
  else
    local attempt = row.attempt
    if row.state == 'L' then
      attempt = attempt + 1  -- the one that it is in
      redis.call('XADD', K.control, 'MAXLEN', '~', KEPT, '*', 'type', 'cancel', 'id', ask.request_id,
        'fence', row.fence)
    end
    -- A fence of its own: with the lease's one in the record, the running body's commit would read `already`.
    finish(ask.request_id, row, {
      status = 'cancelled', fence = digits(take_fences(1)), attempt = attempt, tail = ask.tail,
      ttl_ms = tonumber(ask.ttl_ms), callback = ask.callback,
    })
    cancelled[#cancelled + 1] = ask.request_id
    replies[i] = 'cancelled'
  end
end
if #cancelled > 0 then
  wake('room')
end
announce('cancelled', cancelled)
return replies
