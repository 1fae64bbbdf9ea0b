#!lua flags=allow-oom
--- Looks at what the queue keeps beside the index: due times, delayed payloads, progress, expiries, conflict keys,
-- those who wait for them, and the money reserved. Each is judged and mended in this one step.
-- KEYS: index result failed due delayed key key_wait progress expiry wake spend spend_open instances
-- ARGV: repair
-- EACH: kind name
-- REPLY: per finding: kind, request_id or key, detail, 1 repaired or 0
-- INCLUDE: base rows streams conflict spend rent
local mending = repair == '1'
local findings = {}

local function report(kind, name, detail, mended)
  findings[#findings + 1] = { kind, name, detail, mended and 1 or 0 }
end

local function is_delayed(request_id)
  local row = read_row(request_id)
  return row ~= nil and row.state == 'D'
end

local look = {}

function look.due(request_id)
  if redis.call('ZSCORE', K.due, request_id) and not is_delayed(request_id) then
    report('due_without_row', request_id, 'a due time of a job that is not delayed', mending)
    if mending then
      redis.call('ZREM', K.due, request_id)
    end
  end
end

function look.delayed(request_id)
  if redis.call('HEXISTS', K.delayed, request_id) == 1 and not is_delayed(request_id) then
    report('delayed_without_row', request_id, 'a payload of a job that is not delayed', mending)
    if mending then
      redis.call('HDEL', K.delayed, request_id)
    end
  end
end

function look.progress(request_id)
  local row = read_row(request_id)
  if redis.call('HEXISTS', K.progress, request_id) == 1 and not (row and row.state == 'L') then
    report('progress_without_row', request_id, 'progress of a job that does not run', mending)
    if mending then
      redis.call('HDEL', K.progress, request_id)
    end
  end
end

function look.expiry(request_id)
  local records = redis.call('HEXISTS', K.result, request_id) + redis.call('HEXISTS', K.failed, request_id)
  if redis.call('ZSCORE', K.expiry, request_id) and records == 0 then
    report('expiry_without_record', request_id, 'an expiry of a record that is gone', mending)
    if mending then
      redis.call('ZREM', K.expiry, request_id)
    end
  end
end

-- A key that nobody active holds goes to its oldest waiter.
function look.key(key)
  local holder = redis.call('HGET', K.key, key)
  if not holder then
    return
  end
  local generation, request_id = string.match(holder, '^(%d+)|(.*)$')
  local row = request_id and read_row(request_id)
  local waits = row and row.state == 'D' and string.sub(row.reason, 1, 3) == 'key'
  if not row or row.generation ~= generation or row.key ~= key or waits then
    report('key_of_nobody', key, 'held by ' .. holder .. ', which is not active', mending)
    if mending then
      redis.call('HDEL', K.key, key)
      promote_waiter(key)
    end
  end
end

function look.key_wait(member)
  if not redis.call('ZSCORE', K.key_wait, member) then
    return
  end
  local key, generation, request_id = string.match(member, '^(.-)%z(%d+)%z(.*)$')
  local row = request_id and read_row(request_id)
  local waits = row and row.state == 'D' and string.sub(row.reason, 1, 3) == 'key'
  if not waits or row.generation ~= generation or row.key ~= key then
    report('waiter_without_row', request_id or member, 'waits for a key without a row that says so', mending)
    if mending then
      redis.call('ZREM', K.key_wait, member)
    end
  elseif redis.call('HEXISTS', K.key, key) == 0 then
    report('waits_for_free_key', request_id, key, mending)
    if mending then
      promote_waiter(key)
    end
  end
end

local function look_at_sum()
  local sum, open = 0, named(redis.call('HGETALL', K.spend_open))
  for _, raw in pairs(open) do
    local held = money_parse(raw)
    sum = sum + (held and held.micro or 0)
  end
  if tonumber(open.sum or '0') ~= sum then
    report('ledger_sum', 'sum', 'the reservations are ' .. digits(sum) .. ' together, not ' .. (open.sum or '0'), mending)
    if mending then
      redis.call('HSET', K.spend_open, 'sum', digits(sum))
    end
  end
end

function look.spend_open(name)
  if name == 'sum' then
    look_at_sum()
    return
  end
  local intent = string.match(name, '^rent:(.*)$')
  if intent and redis.call('HEXISTS', K.instances, intent) == 0 and redis.call('HEXISTS', K.spend_open, name) == 1 then
    report('reservation_of_nobody', intent, 'money reserved for a rented machine without a row', mending)
    if mending then
      money_release(name)
    end
  end
  local request_id = string.match(name, '^job:(.*)$')
  local row = request_id and read_row(request_id)
  local paid = row and row.state ~= 'D' and money_lane(row.stream)
  if request_id and not paid and redis.call('HEXISTS', K.spend_open, name) == 1 then
    report('reservation_of_nobody', request_id, 'money reserved for a job in no lane that is paid for', mending)
    if mending then
      money_release(name)
    end
  end
end

function look.instances(intent)
  local row = rent_read(intent)
  if row and redis.call('HEXISTS', K.spend_open, 'rent:' .. intent) == 0 then
    report('rent_not_reserved', intent, 'a rented machine without what it may still cost', mending)
    if mending then
      rent_reserve(intent, row)
    end
  end
end

for i = 1, ROWS do
  local ask = row_args(i)
  look[ask.kind](ask.name)
end
return findings
