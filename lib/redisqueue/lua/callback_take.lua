#!lua flags=allow-oom
--- Takes callbacks whose time has come, the longest due first, for whoever delivers them now. What is taken comes due
-- again after `hold_ms` unless it is settled before: that is how one is found whose watcher died.
-- At most `per_host` of one host are in flight, counting those that the caller names, so that a slow one keeps no other
-- waiting; where nothing but such stand among the first `scan_max`, they are put off for `pause_ms`.
-- KEYS: outbox_callback callback_due
-- ARGV: count per_host hold_ms pause_ms scan_max
-- EACH: host in_flight
-- REPLY: taken (member, request_id, generation, fence, status, url, record)…, ms until the next one comes due or -1,
-- REPLY: 1 when another call gets further
-- INCLUDE: base callbacks
local MENDED = 100 -- entries read at once where the times are lost
local now, most = now_ms(), tonumber(count)
local flying, taken, passed, more = {}, {}, {}, 0
for i = 1, ROWS do
  local ask = row_args(i)
  flying[ask.host] = tonumber(ask.in_flight)
end

-- The zset can be made again from the stream, except for how often each was tried.
if redis.call('EXISTS', K.callback_due) == 0 then
  for _, item in ipairs(redis.call('XRANGE', K.outbox_callback, '-', '+', 'COUNT', MENDED)) do
    redis.call('ZADD', K.callback_due, digits(now), callback_member(item[1], '0', named(item[2]).url or ''))
  end
end

local function take(member)
  local entry, _, host = read_member(member)
  local found = entry and redis.call('XRANGE', K.outbox_callback, entry, entry) or {}
  if #found == 0 then
    redis.call('ZREM', K.callback_due, member)
    return
  end
  local fields = named(found[1][2])
  flying[host] = (flying[host] or 0) + 1
  redis.call('ZADD', K.callback_due, digits(now + tonumber(hold_ms)), member)
  taken[#taken + 1] = { member, fields.id or '', fields.generation or '', fields.fence or '', fields.status or '',
    fields.url or '', fields.record or '' }
end

local due = redis.call('ZRANGEBYSCORE', K.callback_due, '-inf', digits(now), 'LIMIT', 0, tonumber(scan_max))
for _, member in ipairs(due) do
  if #taken >= most then
    break
  end
  local _, _, host = read_member(member)
  if host and (flying[host] or 0) >= tonumber(per_host) then
    passed[#passed + 1] = member
  else
    take(member)
  end
end
if #taken < most and #due >= tonumber(scan_max) then
  more = 1
  for _, member in ipairs(passed) do
    redis.call('ZADD', K.callback_due, digits(now + tonumber(pause_ms)), member)
  end
end

local ahead = redis.call('ZRANGEBYSCORE', K.callback_due, '(' .. digits(now), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
return { taken, ahead[2] and math.max(1, tonumber(ahead[2]) - now) or -1, more }
