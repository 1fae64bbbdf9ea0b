#!lua flags=allow-oom
--- Notes that the bodies of leases that were held ahead (`ahead` of start.lua) have begun: from now on a death of their
-- watcher counts. A lease that no longer stands is left alone. Safe to repeat.
-- KEYS: index sessions
-- ARGV: session
-- EACH: request_id fence
-- REPLY: per row: 1 it stands, 0 refused
-- INCLUDE: base rows
local asks, ids, replies, written = {}, {}, {}, {}
for i = 1, ROWS do
  asks[i] = row_args(i)
  ids[i] = asks[i].request_id
end
local rows = is_live(session) and read_rows(ids) or {}
for i, ask in ipairs(asks) do
  local row = rows[ask.request_id]
  local stands = row and row.state == 'L' and row.session == session and row.fence == ask.fence
  if stands and row.reason == AHEAD then
    row.reason = ''
    written[#written + 1] = ask.request_id
    written[#written + 1] = row_text(row)
  end
  replies[i] = stands and 1 or 0
end
write_rows(written)
return replies
