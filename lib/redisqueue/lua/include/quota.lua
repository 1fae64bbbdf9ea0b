-- What the APIs let their keys do, as it is used. A pool is a key and a model. In `quota` each has its fields, named
-- <what> <pool>: what the calls of the window sum up to (`calls`, `tokens`, and those of other than high priority,
-- `low_calls`, `low_tokens`), its `day` <begin>|<calls>|<low calls>, until when it is `closed` and `why`, until when
-- its day counts as `full`, and who comes `next`. A granted call stands in `quota_grants` by its time and in `quota_calls` as <tokens>|<h or l>|<day>|<pool>.

-- A minute, and a second in which a granted call may be on its way: no minute at the API then holds more than was granted
-- in one window.
local WINDOW_MS = 61000

local function quota_parse(raw)
  local tokens, class, day, pool = string.match(raw or '', '^(%d+)|(%l)|(%d+)|(.*)$')
  return tokens and { tokens = tonumber(tokens), low = class == 'l', day = day, pool = pool }
end

-- Adds to the sums of a pool's window, in both counts what is of low class.
local function quota_add(pool, calls, tokens, low)
  for what, by in pairs({ calls = calls, tokens = tokens }) do
    if by ~= 0 then
      redis.call('HINCRBY', K.quota, what .. ' ' .. pool, digits(by))
      if low then
        redis.call('HINCRBY', K.quota, 'low_' .. what .. ' ' .. pool, digits(by))
      end
    end
  end
end

-- Calls of the pool's day, in all and of low class; none where the day is another.
local function quota_day(pool, begin)
  local raw = redis.call('HGET', K.quota, 'day ' .. pool)
  local of, calls, low = string.match(raw or '', '^(%d+)|(%d+)|(%d+)$')
  if of ~= begin then
    return 0, 0
  end
  return tonumber(calls), tonumber(low)
end

local function quota_add_to_day(pool, begin, by, low)
  local calls, low_calls = quota_day(pool, begin)
  redis.call('HSET', K.quota, 'day ' .. pool,
    begin .. '|' .. digits(math.max(0, calls + by)) .. '|' .. digits(math.max(0, low_calls + (low and by or 0))))
end

-- Notes which server this is. Where it is another than last time it was restarted, or a replica took over, and may have
-- lost what it granted last: for one window nothing is granted. A server that does not say is taken for the same.
local function quota_note_server()
  local info = redis.pcall('INFO', 'server')
  local run = type(info) == 'string' and string.match(info, 'run_id:(%w+)')
  local known = redis.call('HGET', K.quota, 'run')
  if run and run ~= known then
    redis.call('HSET', K.quota, 'run', run)
    if known then
      redis.call('HSET', K.quota, 'since_us', digits(now_us()), 'quiet', digits(now_ms() + WINDOW_MS))
    end
  end
end

local function quota_left_ms(field)
  return math.max(0, (tonumber(redis.call('HGET', K.quota, field) or '0') or 0) - now_ms())
end

-- For how long nothing is granted to a pool whatever it asks for; 0 when it is open.
local function quota_closed_ms(pool)
  return math.max(math.min(quota_left_ms('quiet'), WINDOW_MS), quota_left_ms('closed ' .. pool))
end
