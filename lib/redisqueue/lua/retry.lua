#!lua flags=allow-oom
--- Ends a try of leased jobs, to be tried again after a delay: `attempt` used one up, `crash` counts one crash of the
-- job's child, `free` (a quota wait, a preempted host) counts nothing. The job is carried by the caller, so that an
-- entry trimmed by hand loses nothing.
-- KEYS: index due delayed progress events wake sessions spend_open
-- STREAMS: lanes
-- ARGV: session
-- EACH: request_id fence kind delay_ms home job
-- REPLY: per row: 1 delayed, 0 refused
-- EVENTS: delayed
-- INCLUDE: base rows streams spend put_back
local live = is_live(session)
local replies, delayed = {}, {}
for i = 1, ROWS do
  local ask = row_args(i)
  local row = live and read_row(ask.request_id)
  if row and row.state == 'L' and row.session == session and row.fence == ask.fence then
    if ask.kind == 'attempt' then
      row.attempt = row.attempt + 1
    elseif ask.kind == 'crash' then
      row.crashes = row.crashes + 1
    end
    put_off(ask.request_id, row, ask, tonumber(ask.delay_ms))
    delayed[#delayed + 1] = ask.request_id
    replies[i] = 1
  else
    replies[i] = 0
  end
end
if #delayed > 0 then
  wake('due')
end
announce('delayed', delayed)
return replies
