-- The limit of jobs a minute of what is paid for: a sliding window over the times at which jobs were moved there, by the
-- server's time. It is kept here, so it survives every restart of a conductor.

local RATE_KEPT_MS, RATE_KEPT_MANY = 3600000, 1000

-- Forgets what no window needs. Conductors may differ in theirs: a few moves are kept for one that is wider, more only as
-- long as this one lasts. After a step back of the clock, what was moved "later" was moved now.
local function rate_slide(window_ms)
  local now = now_ms()
  local kept_ms = redis.call('ZCARD', K.moves) > RATE_KEPT_MANY and window_ms or RATE_KEPT_MS
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', K.moves, '(' .. digits(now), '+inf')) do
    redis.call('ZADD', K.moves, digits(now), member)
  end
  redis.call('ZREMRANGEBYSCORE', K.moves, '-inf', digits(now - math.max(window_ms, kept_ms)))
end

local function rate_left(jobs, window_ms)
  return jobs - redis.call('ZCOUNT', K.moves, '(' .. digits(now_ms() - window_ms), '+inf')
end

-- `what` is unique: the same job may be moved twice in a window.
local function rate_take(what)
  redis.call('ZADD', K.moves, digits(now_ms()), what)
end

-- In how many ms the window grants the next one; -1 while it grants one now.
local function rate_next_ms(jobs, window_ms)
  if rate_left(jobs, window_ms) > 0 then
    return -1
  end
  local oldest = redis.call('ZRANGE', K.moves, -jobs, -jobs, 'WITHSCORES')
  return math.max(1, tonumber(oldest[2]) + window_ms - now_ms() + 1)
end
