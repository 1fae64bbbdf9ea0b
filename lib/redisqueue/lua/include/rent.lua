-- Rented machines: a row each in `instances`, fields joined by '|', <version>|<fence>|<state>|<reserved>|<cost>|<told>|
-- <owner>|<the rest, as JSON that was made outside>. `told` is 1 when somebody wants it to be over. The row also knows
-- what is reserved for it as `rent:<intent>`, so that a lost reservation is made again. A row that is not of this form
-- counts as a machine that may bill, and is nobody's.

local RENT_ROW = '^(%d+)|(%d+)|(%l+)|(%d+)|(%d+)|([01])|([^|]*)|({.*)$'

-- Of all machines, whichever market they are from: it is how the ledger names the backend.
local RENTED = 'vast'

-- Longer numbers are none that a script wrote, and no command would take them: one such row must not stop a sweep.
local DIGITS_MAX = 15

local function rent_parse(raw)
  local version, fence, state, reserved, cost, told, owner, rest = string.match(raw or '', RENT_ROW)
  return version and math.max(#version, #reserved, #cost) <= DIGITS_MAX and {
    version = tonumber(version), fence = fence, state = state, reserved = tonumber(reserved), cost = tonumber(cost),
    told = told, owner = owner, rest = rest,
  } or nil
end

local function rent_read(intent)
  return rent_parse(redis.call('HGET', K.instances, intent))
end

local function rent_write(intent, row)
  redis.call('HSET', K.instances, intent, digits(row.version) .. '|' .. row.fence .. '|' .. row.state .. '|'
    .. digits(row.reserved) .. '|' .. digits(row.cost) .. '|' .. row.told .. '|' .. row.owner .. '|' .. row.rest)
end

local function rent_reserve(intent, row)
  money_reserve('rent:' .. intent, row.reserved, nil, row.owner, RENTED)
end

-- Charges today with what it has come to cost by now, and shrinks what is reserved for it by as much. What it cost beyond
-- that is charged all the same: it was spent.
local function rent_charge(intent, row, cost)
  local micro = math.max(0, cost - row.cost)
  if micro > 0 then
    money_charge(micro, RENTED)
  end
  row.cost = row.cost + micro
  row.reserved = math.max(0, row.reserved - micro)
  rent_reserve(intent, row)
end

-- The bill of this rent among the newest ones, if it has ended: its entry.
local BILLS_READ = 100
local function rent_bill(intent, fence)
  for _, item in ipairs(redis.call('XREVRANGE', K.bills, '+', '-', 'COUNT', BILLS_READ)) do
    local fields = named(item[2])
    if fields.intent == intent and fields.fence == fence then
      return item[1]
    end
  end
end

-- The row, if it is the caller's: same owner, fence and version. A server that was restarted since, or a replica that took
-- over, may have forgotten the last versions, or all of the row: then the owner knows better, and what it cost meanwhile
-- is charged again, rather twice than not at all.
local function rent_held(intent, session, fence, version, reserve)
  local row = rent_read(intent)
  if row then
    return row.owner == session and row.fence == fence and row.version <= tonumber(version) and row or nil
  end
  local since = tonumber(redis.call('HGET', K.quota, 'since_us') or '0')
  if redis.call('HEXISTS', K.instances, intent) == 1 or tonumber(fence) >= since or rent_bill(intent, fence) then
    return nil
  end
  return {
    version = tonumber(version), fence = fence, reserved = tonumber(reserve), cost = 0, told = '0', owner = session,
  }
end

-- What is reserved for no row is free again, and what a row must have reserved and has not is made anew. `open` is all
-- that is reserved, as HGETALL answers it.
local function rent_reconcile(open)
  local raws = named(redis.call('HGETALL', K.instances))
  for i = 1, #open, 2 do
    local intent = string.match(open[i], '^rent:(.*)$')
    if intent and not raws[intent] then
      money_release(open[i])
    end
  end
  for intent, raw in pairs(raws) do
    local row = rent_parse(raw)
    if row and redis.call('HEXISTS', K.spend_open, 'rent:' .. intent) == 0 then
      rent_reserve(intent, row)
    end
  end
end
