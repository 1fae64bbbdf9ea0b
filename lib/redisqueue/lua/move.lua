#!lua flags=allow-oom
--- Moves jobs from the heads of intakes to lanes, or moves nothing: the leader's epoch and each lane's room are
-- checked here, whatever the leader believed. No rows: only the survey.
-- `limit` is the room of the lane, `pool_limit` that of all lanes in `pool` together (comma-separated names);
-- both count what waits and what runs. `home` is where a moved job goes if it comes back.
-- KEYS: index sessions lock due events
-- STREAMS: intakes lanes
-- ARGV: session epoch bytes_max
-- EACH: intake lane count limit pool pool_limit home
-- REPLY: moved per row; foreign entries as (intake, entry id)…; survey: waiting per intake, held per lane,
-- REPLY: ms until the next due job or -1, newest entry of the inlet or ''
-- EVENTS: moved
-- ERRORS: NOLEADER NOSTREAM
-- INCLUDE: base rows streams survey
if not is_live(session) or redis.call('HGET', K.lock, 'session') ~= session
  or redis.call('HGET', K.lock, 'epoch') ~= epoch then
  return redis.error_reply('NOLEADER this session does not lead in this epoch')
end

local function refuse_unknown(ask)
  for name in string.gmatch(ask.lane .. ',' .. ask.intake .. ',' .. ask.pool, '[^,]+') do
    if not STREAM[name] then
      return redis.error_reply('NOSTREAM an order names ' .. name .. ', which this caller does not know')
    end
  end
end

for i = 1, ROWS do
  local refusal = refuse_unknown(row_args(i))
  if refusal then
    return refusal
  end
end

local CHUNK = 50 -- entries read at once: few enough that big payloads do not pile up in the script's memory
local FOREIGN_MAX = 50
local budget = tonumber(bytes_max)
local foreign, moved_ids, moved = {}, {}, {}

local function room_of(ask)
  local pool = 0
  for name in string.gmatch(ask.pool, '[^,]+') do
    pool = pool + redis.call('XLEN', STREAM[name])
  end
  local own = tonumber(ask.limit) - redis.call('XLEN', STREAM[ask.lane])
  return math.min(own, tonumber(ask.pool_limit) - pool, tonumber(ask.count))
end

local function fields_of(flat)
  local fields = {}
  for i = 1, #flat, 2 do
    fields[flat[i]] = flat[i + 1]
  end
  return fields
end

local function move_one(ask, entry, fields)
  local row = fields.id and fields.gen and read_row(fields.id)
  if not row or not is_at(row, ask.intake, entry, fields.gen) then
    if #foreign < FOREIGN_MAX then
      foreign[#foreign + 1] = { ask.intake, entry }
    end
    return false
  end
  row.stream = ask.lane
  row.entry = redis.call('XADD', STREAM[ask.lane], '*', 'id', fields.id, 'gen', fields.gen, 'job', fields.job,
    'home', ask.home)
  write_row(fields.id, row)
  redis.call('XDEL', STREAM[ask.intake], entry)
  budget = budget - #fields.job
  moved_ids[#moved_ids + 1] = fields.id
  return true
end

for i = 1, ROWS do
  local ask = row_args(i)
  local room = room_of(ask)
  local count, from = 0, '-'
  -- A crowd of foreign entries at the head ends the order: they are adopted, and the next round gets further.
  while count < room and budget > 0 and #foreign < FOREIGN_MAX do
    local heads = redis.call('XRANGE', STREAM[ask.intake], from, '+', 'COUNT', math.min(CHUNK, room - count))
    if #heads == 0 then
      break
    end
    for _, head in ipairs(heads) do
      if budget > 0 and move_one(ask, head[1], fields_of(head[2])) then
        count = count + 1
      end
    end
    from = '(' .. heads[#heads][1]
  end
  moved[i] = count
end
announce('moved', moved_ids)
return { moved, foreign, survey() }
