-- Conflict keys: held by (generation, request_id); who waits stands in one zset with score 0 whose members
-- sort by key, then by arrival: key NUL fence NUL request_id.

local function holder_name(request_id, generation)
  return generation .. '|' .. request_id
end

-- True when the job holds its key now, taken or held before; a job without a key always does.
local function take_key(request_id, row)
  if row.key == '' then
    return true
  end
  local mine = holder_name(request_id, row.generation)
  local holder = redis.call('HGET', K.key, row.key)
  if holder and holder ~= mine then
    return false
  end
  redis.call('HSET', K.key, row.key, mine)
  return true
end

local function wait_member(row, request_id)
  return row.key .. '\0' .. row.generation .. '\0' .. request_id
end

-- `reason` of a waiting row is 'key', or 'key:<due ms>' when it also waits for its run_after.
local function wait_for_key(request_id, row, due_ms)
  row.state, row.entry, row.session, row.fence = 'D', '', '', ''
  row.reason = due_ms > 0 and ('key:' .. digits(due_ms)) or 'key'
  redis.call('ZADD', K.key_wait, 0, wait_member(row, request_id))
  write_row(request_id, row)
end

-- Hands a free key to its oldest waiter, who becomes due: now, or at its own run_after.
local function promote_waiter(key)
  while true do
    local oldest = redis.call('ZRANGEBYLEX', K.key_wait, '[' .. key .. '\0', '(' .. key .. '\1', 'LIMIT', 0, 1)
    if #oldest == 0 then
      return
    end
    redis.call('ZREM', K.key_wait, oldest[1])
    local generation, request_id = string.match(string.sub(oldest[1], #key + 2), '^(%d+)%z(.*)$')
    local row = request_id and read_row(request_id)
    if row and row.state == 'D' and row.generation == generation and row.key == key then
      local due = tonumber(string.match(row.reason, '^key:(%d+)$')) or now_ms()
      redis.call('HSET', K.key, key, holder_name(request_id, generation))
      row.reason = 'run_after'
      write_row(request_id, row)
      redis.call('ZADD', K.due, digits(due), request_id)
      wake('due')
      return
    end
  end
end

local function release_key(request_id, row)
  if row.key == '' then
    return
  end
  if redis.call('HGET', K.key, row.key) == holder_name(request_id, row.generation) then
    redis.call('HDEL', K.key, row.key)
    promote_waiter(row.key)
  end
end
