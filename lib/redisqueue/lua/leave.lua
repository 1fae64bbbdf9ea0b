#!lua flags=allow-oom
--- A watcher reads some lanes no more: its backend cannot do such jobs for the time being. It leaves those that it holds
-- nothing of; what waits in a lane that nobody reads goes back to its intake at the next sweep.
-- KEYS: sessions
-- STREAMS: lanes
-- ARGV: session
-- REPLY: the lanes that were left
-- INCLUDE: base
local left = {}
if not is_live(session) then
  return left
end
for _, lane in ipairs(LANES) do
  local pending = redis.pcall('XPENDING', STREAM[lane], 'watchers', '-', '+', 1, session)
  if not pending.err and #pending == 0 then
    redis.call('XGROUP', 'DELCONSUMER', STREAM[lane], 'watchers', session)
    left[#left + 1] = lane
  end
end
return left
