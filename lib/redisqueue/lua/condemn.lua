#!lua flags=allow-oom
--- Ends as failed what can never run: poison, a lost payload, a refusal by routing. Only a job that is still at the
-- place where it was found, and that no live session holds.
-- `lost` = 1: the payload is gone, so the id may be enqueued anew with --replace whatever its content.
-- KEYS: fence index result failed due delayed key key_wait history_done history_failed history_cancelled
-- KEYS: expiry progress events wake outbox outbox_callback callback_due sessions spend_open deadlines
-- STREAMS: intakes lanes
-- EACH: request_id generation stream entry lost tail ttl_ms callback
-- REPLY: per row: 1 ended, 0 it has moved on
-- EVENTS: failed
-- INCLUDE: base rows streams records conflict callbacks spend finish
local replies, failed = {}, {}
for i = 1, ROWS do
  local ask = row_args(i)
  local row = read_row(ask.request_id)
  replies[i] = 0
  if row and row.generation == ask.generation and row.stream == ask.stream and row.entry == ask.entry
    and (row.state == 'D' or STREAM[row.stream]) and not (row.state == 'L' and is_live(row.session)) then
    if ask.lost == '1' then
      row.identity = 'lost'
    end
    finish(ask.request_id, row, {
      status = 'failed', fence = digits(take_fences(1)), attempt = row.attempt, tail = ask.tail,
      ttl_ms = tonumber(ask.ttl_ms), callback = ask.callback,
    })
    failed[#failed + 1] = ask.request_id
    replies[i] = 1
  end
end
if #failed > 0 then
  wake('room')
end
announce('failed', failed)
return replies
