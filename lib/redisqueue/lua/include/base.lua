-- Numbers, time, and replies by name. Fences, generations and epochs come from one counter: max(last + 1, server TIME in us).
-- A Lua number holds them exactly up to 2^53 (the year 2255); tostring() would print 1.7e+15, so `digits`.

local function digits(number)
  return string.format('%d', number)
end

-- Asked once: inside a script the server's time stands still.
local frozen_us
local function now_us()
  if not frozen_us then
    local time = redis.call('TIME')
    frozen_us = tonumber(time[1]) * 1000000 + tonumber(time[2])
  end
  return frozen_us
end

local function now_ms()
  return math.floor(now_us() / 1000)
end

-- Reserves `count` consecutive fences and returns the first.
local function take_fences(count)
  local first = tonumber(redis.call('GET', K.fence) or '0') + 1
  local now = now_us()
  if now > first then
    first = now
  end
  redis.call('SET', K.fence, digits(first + count - 1))
  return first
end

local function is_live(session)
  return session ~= '' and redis.call('ZSCORE', K.sessions, session) ~= false
end

-- What a reply says as name, value, name, value …, such as the fields of a stream entry, by name.
local function named(flat)
  local fields = {}
  for i = 1, #flat, 2 do
    fields[flat[i]] = flat[i + 1]
  end
  return fields
end
