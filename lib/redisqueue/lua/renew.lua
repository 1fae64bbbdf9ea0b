#!lua flags=allow-oom
--- Renews a session, even past its expiry as long as it is still a member, and checks the fences in hand.
-- `draining` = 1: the watcher was told to stop. It is written into the rows of what still runs, so that a kill in the
-- middle of a drain, as a container's stop does, counts no death.
-- `news` = 1: what the watcher offers has changed, so the leader is to look.
-- KEYS: index sessions heartbeat wake
-- ARGV: session name life_ms draining news heartbeat
-- EACH: request_id fence
-- REPLY: 1 or 0 (the session is gone), then the fences that no longer stand
-- INCLUDE: base rows streams
if not is_live(session) then
  return { 0 }
end
local now = now_ms()
redis.call('ZADD', K.sessions, 'XX', digits(now + tonumber(life_ms)), session)
redis.call('HSET', K.heartbeat, name, '{"last_seen_ms":' .. digits(now) .. ',' .. heartbeat)
if news == '1' then
  wake('roster')
end
local reply = { 1 }
local held, ids = {}, {}
for i = 1, ROWS do
  held[i] = row_args(i)
  ids[i] = held[i].request_id
end
local rows = read_rows(ids)
for _, each in ipairs(held) do
  local row = rows[each.request_id]
  if not row or row.state ~= 'L' or row.session ~= session or row.fence ~= each.fence then
    reply[#reply + 1] = each.fence
  elseif draining == '1' and row.reason ~= DRAIN then
    row.reason = DRAIN
    write_row(each.request_id, row)
  end
end
return reply
