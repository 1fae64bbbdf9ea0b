#!lua flags=allow-oom
--- Ends lapsed sessions and takes back what dead ones left in the lanes.
-- One sweep is let through per interval S; `resume` = 1 goes on with the one begun, `force` = 1 lets one through now.
-- A session ages only while the server is seen: a gap in the sweep's own TIME of more than 2 S, or a negative one,
-- moves every expiry by that gap, never beyond TIME + L.
-- Lanes whose readers are all gone give back what waits in them too.
-- A paid call of a session that has ended was perhaps made: it is charged at the most that it may have cost. What is
-- reserved for rented machines is made to fit their rows.
-- KEYS: index due delayed sessions sweep heartbeat events wake progress spend spend_open instances
-- STREAMS: intakes lanes
-- ARGV: interval_ms life_ms resume force deaths_max entries_max bytes_max
-- REPLY: 1 or 0 (not yet), ms until the next sweep, sessions ended, jobs put back, 1 when another call gets further,
-- REPLY: lost entries (lane, entry id)…, poison (request_id, generation, lane, entry id, deaths, home, job)…,
-- REPLY: lanes that had to get their group again, of the jobs put back those that no watcher had been given
-- EVENTS: queued
-- INCLUDE: base rows streams spend rent put_back
local now, interval, life = now_ms(), tonumber(interval_ms), tonumber(life_ms)
local last = tonumber(redis.call('HGET', K.sweep, 'at') or digits(now))
local gap = now - last

if resume == '0' then
  -- The tenth of slack lets a timer that fires a little early through, or sweeps would be 2 S apart.
  if force == '0' and gap >= 0 and gap < interval * 0.9 and redis.call('HEXISTS', K.sweep, 'at') == 1 then
    return { 0, interval - gap, {}, 0, 0, {}, {}, {}, 0 }
  end
  redis.call('HSET', K.sweep, 'at', digits(now))
  if gap > 2 * interval or gap < 0 then
    local members = redis.call('ZRANGE', K.sessions, 0, -1, 'WITHSCORES')
    for i = 1, #members, 2 do
      local expiry = tonumber(members[i + 1])
      -- After a step back, an end within one life was written since then, in the new time.
      if gap > 0 or expiry > now + life then
        redis.call('ZADD', K.sessions, 'XX', digits(math.min(expiry + gap, now + life)), members[i])
      end
    end
  end
end

local ended = redis.call('ZRANGEBYSCORE', K.sessions, '-inf', digits(now))
for _, session in ipairs(ended) do
  redis.call('ZREM', K.sessions, session)
  redis.call('HDEL', K.heartbeat, string.match(session, '^([^:]*)'))
end

if resume == '0' then
  local open = redis.call('HGETALL', K.spend_open)
  for i = 1, #open, 2 do
    local held = string.sub(open[i], 1, 5) == 'call:' and money_parse(open[i + 1])
    if held and not is_live(held.session) then
      money_settle(open[i], held.micro)
    end
  end
  rent_reconcile(open)
end

local entries_left, bytes_left = tonumber(entries_max), tonumber(bytes_max)
local lost, poison, queued, mended = {}, {}, {}, {}
local more, settled, waited = 0, 0, 0

-- True when the entry has left the dead consumer's pending list.
local function settle(lane, entry)
  local fields = read_entry(lane, entry)
  if not fields then
    lost[#lost + 1] = { lane, entry }
    return false
  end
  local row = fields.id and read_row(fields.id)
  if not row or not is_at(row, lane, entry, fields.gen) then
    drop_entry(lane, entry)
    return true
  end
  if row.state == 'L' then
    if is_live(row.session) then
      return #redis.call('XCLAIM', STREAM[lane], 'watchers', row.session, 0, entry, 'JUSTID') > 0
    end
    count_death(row)
    if row.deaths >= tonumber(deaths_max) then
      poison[#poison + 1] = { fields.id, row.generation, lane, entry, row.deaths, fields.home or '', fields.job }
      return false
    end
  end
  bytes_left = bytes_left - #fields.job
  put_back(fields.id, row, fields)
  queued[#queued + 1] = fields.id
  return true
end

local function take_back(lane, entry)
  entries_left = entries_left - 1
  local gone = settle(lane, entry)
  if gone then
    settled = settled + 1
  end
  return gone
end

local function sweep_consumer(lane, name, pending)
  local handled = 0
  local page = redis.call('XPENDING', STREAM[lane], 'watchers', '-', '+', math.max(1, entries_left), name)
  for _, item in ipairs(page) do
    if entries_left < 1 or bytes_left < 1 then
      more = 1
      return
    end
    if take_back(lane, item[1]) then
      handled = handled + 1
    end
  end
  if #page < pending then
    more = 1
  elseif handled == pending then
    redis.call('XGROUP', 'DELCONSUMER', STREAM[lane], 'watchers', name)
  end
end

local function give_back_waiting(lane)
  local waiting = redis.call('XRANGE', STREAM[lane], '-', '+', 'COUNT', math.max(1, math.min(50, entries_left)))
  for _, item in ipairs(waiting) do
    if entries_left < 1 or bytes_left < 1 then
      more = 1
      return
    end
    local before = #queued
    take_back(lane, item[1])
    waited = waited + #queued - before
  end
  if #waiting > 0 and redis.call('XLEN', STREAM[lane]) > 0 then
    more = 1
  end
end

for _, lane in ipairs(LANES) do
  if entries_left < 1 or bytes_left < 1 then
    more = 1
    break
  end
  local made = redis.pcall('XGROUP', 'CREATE', STREAM[lane], 'watchers', '0', 'MKSTREAM')
  if not made.err then
    mended[#mended + 1] = lane
  end
  local readers = 0
  for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', STREAM[lane], 'watchers')) do
    local about = named(consumer)
    if is_live(about.name) then
      readers = readers + 1
    else
      sweep_consumer(lane, about.name, about.pending)
    end
  end
  if readers == 0 and redis.call('XPENDING', STREAM[lane], 'watchers')[1] == 0 then
    give_back_waiting(lane)
  end
end

if #queued > 0 or #ended > 0 then
  wake('room')
end
announce('queued', queued)
-- Where nothing moved, the next call would meet the same lost and poisoned entries again.
if settled == 0 then
  more = 0
end
return { 1, interval, ended, #queued, more, lost, poison, mended, waited }
