#!lua flags=allow-oom
--- A start and a commit in one step, for jobs of which what they would make is made already: each is leased where it
-- waits, in its intake and as it was found there, and is done. The session is that of the watcher which has the files.
-- KEYS: fence index result failed due key key_wait history_done history_failed history_cancelled
-- KEYS: expiry progress events wake outbox outbox_callback callback_due sessions spend_open deadlines
-- STREAMS: intakes
-- ARGV: session
-- EACH: request_id generation intake entry tail ttl_ms publish callback
-- REPLY: per row: a list of its fence and the outbox entry id, or ''; an empty one where it has moved on
-- EVENTS: done
-- INCLUDE: base rows streams records conflict callbacks spend finish
local asks, ids, replies, done = {}, {}, {}, {}
for i = 1, ROWS do
  asks[i] = row_args(i)
  ids[i] = asks[i].request_id
end
local rows = is_live(session) and read_rows(ids) or {}
for i, ask in ipairs(asks) do
  local row = rows[ask.request_id]
  replies[i] = {}
  if row and row.state == 'Q' and is_at(row, ask.intake, ask.entry, ask.generation) then
    local fence = digits(take_fences(1))
    row.state, row.session, row.fence = 'L', session, fence
    local outbox = finish_soon(ask.request_id, row, {
      status = 'done', fence = fence, attempt = row.attempt + 1, tail = ask.tail, ttl_ms = tonumber(ask.ttl_ms),
      publish = ask.publish == '1', callback = ask.callback,
    })
    done[#done + 1] = ask.request_id
    replies[i] = { fence, outbox }
    rows[ask.request_id] = nil
  end
end
settle_ends()
announce('done', done)
return replies
