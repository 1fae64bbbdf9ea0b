#!lua flags=allow-oom
--- Renews a session, even past its expiry as long as it is still a member, and checks the fences in hand.
-- KEYS: index sessions heartbeat
-- ARGV: session name life_ms heartbeat
-- EACH: request_id fence
-- REPLY: 1 or 0 (the session is gone), then the fences that no longer stand
-- INCLUDE: base rows
if not is_live(session) then
  return { 0 }
end
local now = now_ms()
redis.call('ZADD', K.sessions, 'XX', digits(now + tonumber(life_ms)), session)
redis.call('HSET', K.heartbeat, name, '{"last_seen_ms":' .. digits(now) .. ',' .. heartbeat)
local reply = { 1 }
for i = 1, ROWS do
  local held = row_args(i)
  local row = read_row(held.request_id)
  if not row or row.state ~= 'L' or row.session ~= session or row.fence ~= held.fence then
    reply[#reply + 1] = held.fence
  end
end
return reply
