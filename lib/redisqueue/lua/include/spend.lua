-- Money, in whole millionths of a dollar: what each UTC day was charged, and what is reserved for what may still be.
-- A reservation is one field of `spend_open`, <micro>|<drawn>|<session>|<backend>|<request_id>; the field `sum` is all of
-- them together. Its name is `job:<request_id>` for what a move reserves, `rent:<intent>` for a rented machine (see
-- rent.lua) and `call:<id>` for one call, which first draws on what its job has. A day is a number, days since 1970, so that no script needs a calendar.
-- What is reserved stands until it is settled or released: no cap is passed by what is only under way.

local MS_A_DAY = 86400000
-- On these a job costs nothing of its own: a rented machine is paid for by the hour, and its money is reserved as a whole.
local NOT_PAID_BY_THE_JOB = { metal = true, vast = true }

local function money_day()
  return digits(math.floor(now_ms() / MS_A_DAY))
end

-- Whether jobs in this stream may have money reserved: those on metal never look.
local function money_lane(stream)
  local backend = string.match(stream, '^lane:([^:]*):')
  return backend ~= nil and not NOT_PAID_BY_THE_JOB[backend]
end

local function money_parse(raw)
  local micro, drawn, session, backend, request_id = string.match(raw or '', '^(%d+)|(%d+)|([^|]*)|([^|]*)|(.*)$')
  return micro and {
    micro = tonumber(micro), drawn = tonumber(drawn), session = session, backend = backend, request_id = request_id,
  }
end

local function money_read(id)
  return money_parse(redis.call('HGET', K.spend_open, id))
end

local function money_write(id, held)
  redis.call('HSET', K.spend_open, id, digits(held.micro) .. '|' .. digits(held.drawn) .. '|' .. held.session .. '|'
    .. held.backend .. '|' .. held.request_id)
end

local function money_add_open(micro)
  if micro ~= 0 then
    redis.call('HINCRBY', K.spend_open, 'sum', digits(micro))
  end
end

-- Settled today.
local function money_settled()
  return tonumber(redis.call('HGET', K.spend, money_day()) or '0')
end

-- Settled today and everything that is reserved: what no cap may be below.
local function money_spent()
  return money_settled() + tonumber(redis.call('HGET', K.spend_open, 'sum') or '0')
end

-- Reserves under this id, in place of what it had; false, and nothing changed, where the cap (nil: none) would be passed.
-- A call names its job, and draws on what that has first: only the rest is new money.
local function money_reserve(id, micro, cap, session, backend, request_id)
  local before = money_read(id)
  local purse = request_id and money_read('job:' .. request_id)
  local drawn = purse and math.min(purse.micro, micro) or 0
  local more = micro - drawn - (before and before.micro or 0)
  if cap and more > 0 and money_spent() + more > cap then
    return false
  end
  if purse then
    purse.micro = purse.micro - drawn
    money_write('job:' .. request_id, purse)
  end
  money_write(id, {
    micro = micro, drawn = drawn, session = session or '', backend = backend or 'cloud', request_id = request_id or '',
  })
  money_add_open(more)
  return true
end

-- Ends a reservation; what its job gave for it and was not `used` goes back to the job, if that is still there.
local function money_close(id, held, used)
  redis.call('HDEL', K.spend_open, id)
  local back = math.max(0, held.drawn - used)
  local purse = back > 0 and money_read('job:' .. held.request_id)
  if purse then
    purse.micro = purse.micro + back
    money_write('job:' .. held.request_id, purse)
  else
    back = 0
  end
  money_add_open(back - held.micro)
end

local function money_charge(micro, backend)
  redis.call('HINCRBY', K.spend, money_day(), digits(micro))
  redis.call('HINCRBY', K.spend, money_day() .. '|' .. backend, digits(micro))
end

-- Charges today with what a reservation came to, and ends it; false where there is none: it was settled before.
local function money_settle(id, micro)
  local held = money_read(id)
  if not held then
    return false
  end
  money_charge(micro, held.backend)
  money_close(id, held, micro)
  return true
end

-- Ends a reservation of which nothing was used.
local function money_release(id)
  local held = money_read(id)
  if held then
    money_close(id, held, 0)
  end
end

-- The same for what up to a batch of jobs have left, when they leave their lane.
local function money_release_jobs(request_ids)
  local ids, left = {}, 0
  for i, request_id in ipairs(request_ids) do
    ids[i] = 'job:' .. request_id
  end
  for _, raw in ipairs(redis.call('HMGET', K.spend_open, unpack(ids))) do
    local held = raw and money_parse(raw)
    left = left + (held and held.micro or 0)
  end
  redis.call('HDEL', K.spend_open, unpack(ids))
  money_add_open(-left)
end
