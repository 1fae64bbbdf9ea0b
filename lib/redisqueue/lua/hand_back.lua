#!lua flags=allow-oom
--- Puts jobs that a living watcher will not run back into intake; no attempt, no death is counted.
-- What is leased must be this session's: under this fence, or under whichever it has when the caller knows none
-- (`fence` = '': a lease whose reply was lost). What nobody has leased yet goes back whoever asks: another session to
-- which it was delivered meanwhile finds no entry to lease (`stale`), and nothing is lost.
-- KEYS: index due delayed progress events wake sessions spend_open
-- STREAMS: intakes lanes
-- ARGV: session
-- EACH: lane entry request_id generation fence
-- REPLY: per row: 1 put back, 0 leased by another, or moved on
-- EVENTS: queued
-- INCLUDE: base rows streams spend put_back
local live = is_live(session)
local replies, queued = {}, {}
for i = 1, ROWS do
  local ask = row_args(i)
  replies[i] = 0
  local row = live and read_row(ask.request_id)
  if row and is_at(row, ask.lane, ask.entry, ask.generation)
    and (row.state == 'Q' or row.session == session and (ask.fence == '' or row.fence == ask.fence)) then
    local fields = read_entry(ask.lane, ask.entry)
    if fields then
      put_back(ask.request_id, row, fields)
      queued[#queued + 1] = ask.request_id
      replies[i] = 1
    end
  end
end
if #queued > 0 then
  wake('room')
end
announce('queued', queued)
return replies
