#!lua flags=allow-oom
--- Grants one paid call, or says how long to wait and why: the lease stands, the pool is not closed, its minute and its
-- day have room, and the day's budget too. All of it is counted in this step, at the most that the call may take.
-- What others than high priority may use of each limit comes as `low_rpm`, `low_tpm`, `low_rpd`; '' is no limit. The day
-- of the API lasts from `day_begin` to before `day_end`, by the caller's calendar: where the server's time is outside,
-- the answer is that time. Who has waited for `long_ms` comes next: others leave as much room as it needs.
-- A call that was granted before, and whose answer was lost, is granted again.
-- KEYS: index sessions quota quota_grants quota_calls spend spend_open
-- ARGV: call_id pool session request_id fence tokens micro backend rank rpm tpm rpd low_rpm low_tpm low_rpd budget
-- ARGV: waited_ms long_ms day_begin day_end
-- REPLY: code, ms to wait or the server's time in ms
-- CODES: granted lease day quiet closed rpd rpm tpm budget
-- INCLUDE: base rows quota spend
local now = now_ms()
local row = read_row(request_id)
if not (row and row.state == 'L' and row.session == session and row.fence == fence and is_live(session)) then
  return { 'lease', 0 }
end
if redis.call('HEXISTS', K.spend_open, 'call:' .. call_id) == 1 then
  return { 'granted', 0 }
end
if now < tonumber(day_begin) or now >= tonumber(day_end) then
  return { 'day', now }
end
quota_note_server()

-- Takes what has left the window out of the sums: each call once, whoever asks next.
local BATCH = 500
local function slide()
  -- After a step back of the clock, what was granted "later" was granted now.
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', K.quota_grants, '(' .. digits(now), '+inf')) do
    redis.call('ZADD', K.quota_grants, digits(now), id)
  end
  local ids
  repeat
    ids = redis.call('ZRANGEBYSCORE', K.quota_grants, '-inf', digits(now - WINDOW_MS), 'LIMIT', 0, BATCH)
    if #ids > 0 then
      for _, raw in ipairs(redis.call('HMGET', K.quota_calls, unpack(ids))) do
        local call = raw and quota_parse(raw)
        if call then
          quota_add(call.pool, -1, -call.tokens, call.low)
        end
      end
      redis.call('ZREM', K.quota_grants, unpack(ids))
      redis.call('HDEL', K.quota_calls, unpack(ids))
    end
  until #ids < BATCH
end
slide()

tokens, micro, waited_ms = tonumber(tokens), tonumber(micro), tonumber(waited_ms)
local low = rank == 'l'

local function field(what)
  return what .. ' ' .. pool
end

-- Who comes next, unless that is the asker, or one of low class before an asker of high; nothing when it gave up.
local NEXT = '^(%d+)|(%l)|(%d+)|(.*)$'
local function ahead()
  local need, its_class, until_ms, who = string.match(redis.call('HGET', K.quota, field('next')) or '', NEXT)
  if not who or tonumber(until_ms) < now or who == request_id or (its_class == 'l' and not low) then
    return nil
  end
  return { tokens = tonumber(need), low = its_class == 'l', until_ms = tonumber(until_ms) }
end

local sums = redis.call('HMGET', K.quota, field('calls'), field('tokens'), field('low_calls'), field('low_tokens'),
  field('full'))
local calls, used = tonumber(sums[1] or '0') + 1, tonumber(sums[2] or '0') + tokens
local low_calls, low_used = tonumber(sums[3] or '0') + 1, tonumber(sums[4] or '0') + tokens
local first = ahead()
if first then
  calls, used = calls + 1, used + first.tokens
  if first.low then
    low_calls, low_used = low_calls + 1, low_used + first.tokens
  end
end

local function beyond(count, limit)
  return limit ~= '' and count > tonumber(limit)
end

local function too_many()
  return beyond(calls, rpm) or (low and beyond(low_calls, low_rpm))
end

local function too_much()
  return beyond(used, tpm) or (low and beyond(low_used, low_tpm))
end

-- Ms until so many of the oldest calls have left the window that there is room.
local PAGE = 100
local function room_in()
  local from = 0
  while true do
    local page = redis.call('ZRANGE', K.quota_grants, from, from + PAGE - 1, 'WITHSCORES')
    if #page == 0 then
      -- It is the one ahead that leaves none.
      return first and math.max(1, first.until_ms - now) or WINDOW_MS
    end
    for i = 1, #page, 2 do
      local call = quota_parse(redis.call('HGET', K.quota_calls, page[i]))
      if call and call.pool == pool then
        calls, used = calls - 1, used - call.tokens
        if call.low then
          low_calls, low_used = low_calls - 1, low_used - call.tokens
        end
        if not too_many() and not too_much() then
          return math.max(1, tonumber(page[i + 1]) + WINDOW_MS - now)
        end
      end
    end
    from = from + PAGE
  end
end

local why, wait = '', 0
local function hold(reason, ms)
  if ms > wait then
    why, wait = reason, ms
  end
end

hold('closed', quota_left_ms(field('closed')))
hold('quiet', math.min(quota_left_ms('quiet'), WINDOW_MS))
local of_day, low_of_day = quota_day(pool, day_begin)
-- In the day's last second too: the call would arrive in the next one, which has not counted it.
local TRANSIT_MS = 1000
local full = beyond(of_day + 1, rpd) or (low and beyond(low_of_day + 1, low_rpd))
if full or (rpd ~= '' and now >= tonumber(day_end) - TRANSIT_MS) then
  hold('rpd', tonumber(day_end) - now)
  -- Said to the conductor, for a while: the limit may be raised meanwhile, and only a call that is tried finds out.
  local FULL_MS = 300000
  redis.call('HSET', K.quota, field('full'), digits(math.min(now + FULL_MS, tonumber(day_end))))
end
if too_many() then
  hold('rpm', room_in())
elseif too_much() then
  hold('tpm', room_in())
end
if wait == 0 then
  local cap = tonumber(budget)
  if not money_reserve('call:' .. call_id, micro, cap, session, backend, request_id) then
    -- What is reserved may be given back at any moment; what is settled, only the next day.
    local SOON_MS = 5000
    hold('budget', money_settled() + micro > cap and MS_A_DAY - now % MS_A_DAY or SOON_MS)
  end
end

if wait > 0 then
  if (why == 'rpm' or why == 'tpm') and waited_ms >= tonumber(long_ms) and not first then
    -- It asks again when there is room; a moment later it counts as gone.
    local GRACE_MS = 2000
    redis.call('HSET', K.quota, field('next'),
      digits(tokens) .. '|' .. rank .. '|' .. digits(now + wait + GRACE_MS) .. '|' .. request_id)
  end
  return { why, wait }
end

local _, _, _, comes_next = string.match(redis.call('HGET', K.quota, field('next')) or '', NEXT)
if comes_next == request_id then
  redis.call('HDEL', K.quota, field('next'))
end
if sums[5] then
  redis.call('HDEL', K.quota, field('full'))
end
redis.call('HSET', K.quota_calls, call_id, digits(tokens) .. '|' .. rank .. '|' .. day_begin .. '|' .. pool)
redis.call('ZADD', K.quota_grants, digits(now), call_id)
quota_add(pool, 1, tokens, low)
quota_add_to_day(pool, day_begin, 1, low)
return { 'granted', 0 }
