#!lua flags=allow-oom
--- Records how far running jobs are; a job whose lease no longer stands is left alone.
-- KEYS: index sessions progress events
-- ARGV: session
-- EACH: request_id fence progress
-- REPLY: per row: 1 recorded, 0 refused
-- EVENTS: progress
-- INCLUDE: base rows streams
local live = is_live(session)
local replies, told = {}, {}
for i = 1, ROWS do
  local ask = row_args(i)
  local row = live and read_row(ask.request_id)
  local stands = row and row.state == 'L' and row.session == session and row.fence == ask.fence
  if stands then
    redis.call('HSET', K.progress, ask.request_id, ask.progress)
    told[#told + 1] = ask.request_id
  end
  replies[i] = stands and 1 or 0
end
announce('progress', told)
return replies
