#!lua flags=allow-oom
--- Looks at rows of the index, each again in this one step, and mends what stands where nobody would find it.
-- A session's life is the sweep's business: what a dead one holds as pending is left to it, and what a live one runs
-- is only given back to its pending list.
-- KEYS: index result failed due delayed key key_wait sessions progress events wake spend_open
-- STREAMS: intakes lanes
-- ARGV: repair
-- EACH: request_id
-- REPLY: per finding: kind, request_id, detail, 1 repaired or 0, generation, stream, entry
-- EVENTS: queued
-- INCLUDE: base rows streams conflict spend put_back
local mending = repair == '1'
local findings, queued = {}, {}

local function report(kind, request_id, row, detail, mended)
  findings[#findings + 1] = {
    kind, request_id, detail, mended and 1 or 0, row.generation, row.stream, row.entry,
  }
end

local function after(entry, last)
  local a, b = string.match(entry, '^(%d+)%-(%d+)$')
  local c, d = string.match(last, '^(%d+)%-(%d+)$')
  a, b, c, d = tonumber(a), tonumber(b), tonumber(c), tonumber(d)
  return a > c or (a == c and b > d)
end

-- Whether the group has passed an entry by and holds it for nobody; a lane without a group delivers from 0 again.
local function is_stranded(lane, entry)
  local pending = redis.pcall('XPENDING', STREAM[lane], 'watchers', entry, entry, 1)
  if pending.err or #pending > 0 then
    return false
  end
  for _, group in ipairs(redis.call('XINFO', 'GROUPS', STREAM[lane])) do
    local about = named(group)
    if about.name == 'watchers' then
      return not after(entry, about['last-delivered-id'])
    end
  end
  return false
end

local function look_at_lane(request_id, row, fields)
  if not is_stranded(row.stream, row.entry) then
    return
  end
  if row.state == 'L' and is_live(row.session) then
    report('lease_not_pending', request_id, row, 'runs under ' .. row.session .. ', pending for nobody', mending)
    if mending then
      redis.call('XCLAIM', STREAM[row.stream], 'watchers', row.session, 0, row.entry, 'FORCE', 'JUSTID')
    end
    return
  end
  report('stranded', request_id, row, 'delivered once, pending for nobody', mending)
  if mending then
    if row.state == 'L' then
      count_death(row)
    end
    put_back(request_id, row, fields)
    queued[#queued + 1] = request_id
  end
end

local function look_at_place(request_id, row)
  if not STREAM[row.stream] then
    report('unknown_stream', request_id, row, row.stream, false)
    return
  end
  local fields = read_entry(row.stream, row.entry)
  local here = fields and fields.id == request_id and fields.gen == row.generation
  if not here then
    -- A live session that runs it still has the payload and can end or retry it.
    if not (row.state == 'L' and is_live(row.session)) then
      report('payload_lost', request_id, row, 'its place ' .. row.stream .. ' ' .. row.entry .. ' is empty', false)
    end
  elseif is_lane(row.stream) then
    look_at_lane(request_id, row, fields)
  end
end

local function look_at_delay(request_id, row)
  if redis.call('HEXISTS', K.delayed, request_id) == 0 then
    report('payload_lost', request_id, row, 'delayed without its payload', false)
    return
  end
  local due = redis.call('ZSCORE', K.due, request_id)
  local waiting = row.key ~= '' and redis.call('ZSCORE', K.key_wait, wait_member(row, request_id))
  if not due and not waiting then
    report('never_due', request_id, row, 'delayed without a due time and without a key to wait for', mending)
    if mending then
      local own_time = tonumber(string.match(row.reason, '^key:(%d+)$'))
      row.reason = 'retry'
      write_row(request_id, row)
      redis.call('ZADD', K.due, digits(own_time or now_ms()), request_id)
      wake('due')
    end
  end
end

local function look_at_key(request_id, row)
  if row.key == '' or (row.state == 'D' and string.sub(row.reason, 1, 3) == 'key') then
    return
  end
  local holder = redis.call('HGET', K.key, row.key)
  if not holder then
    report('key_not_held', request_id, row, row.key, mending)
    if mending then
      take_key(request_id, row)
    end
  elseif holder ~= holder_name(request_id, row.generation) and row.state ~= 'D' then
    local generation, other = string.match(holder, '^(%d+)|(.*)$')
    local theirs = other and read_row(other)
    if theirs and theirs.generation == generation and theirs.key == row.key then
      report('key_held_by_two', request_id, row, row.key .. ' is held by ' .. other, false)
    end
  end
end

for i = 1, ROWS do
  local request_id = row_args(i).request_id
  local raw = redis.call('HGET', K.index, request_id)
  local row = raw and read_row(request_id)
  if raw and not row then
    report('unreadable_row', request_id, { generation = '', stream = '', entry = '' }, raw, false)
  elseif row then
    if redis.call('HEXISTS', K.result, request_id) + redis.call('HEXISTS', K.failed, request_id) > 0 then
      report('record_and_row', request_id, row, 'active and with a terminal record', false)
    end
    if row.state == 'D' then
      look_at_delay(request_id, row)
    else
      look_at_place(request_id, row)
    end
    look_at_key(request_id, row)
  end
end
if #queued > 0 then
  wake('intake')
end
announce('queued', queued)
return findings
