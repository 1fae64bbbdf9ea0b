#!lua flags=allow-oom
--- Moves jobs from the heads of intakes to lanes, or moves nothing: the leader's epoch and each lane's room are
-- checked here, whatever the leader believed. No rows: only the survey.
-- `limit` is the room of the lane, `pool_limit` that of all lanes in `pool` together (comma-separated names);
-- both count what waits and what runs. `home` is where a moved job goes if it comes back.
-- The leader's own watcher may lease at once what it has a slot for, and saves the way through its lane: up to `read`
-- new entries of the lanes `own` (comma-separated), as start.lua does (`ahead` too).
-- `rated` = 1: each job uses one of the `rate_jobs` that may be moved in any `rate_window_ms`, whoever leads.
-- `picks` are the ids of the jobs that are meant, as a JSON list, wherever they stand in the intake; '': its head.
-- `price` is reserved for each job, in millionths of a dollar, and never beyond `budget` ('': no cap).
-- KEYS: fence index due delayed sessions lock events progress rejected wake moves spend spend_open
-- STREAMS: intakes lanes
-- ARGV: session epoch bytes_max read own suspects suspect_deaths pause_ms ahead rate_jobs rate_window_ms budget
-- EACH: intake lane count limit pool pool_limit home rated price picks
-- REPLY: moved per row; foreign entries as (intake, entry id)…; survey: waiting per intake, held per lane,
-- REPLY: ms until the next due job or -1, newest entry of the inlet or '', rated moves that are left now, ms until the
-- REPLY: next one or -1, what today has spent and reserved, now; what was leased, as start.lua says it
-- EVENTS: moved started delayed
-- ERRORS: NOLEADER NOSTREAM
-- INCLUDE: base rows streams rate survey spend put_back lease
if not is_live(session) or redis.call('HGET', K.lock, 'session') ~= session
  or redis.call('HGET', K.lock, 'epoch') ~= epoch then
  return redis.error_reply('NOLEADER this session does not lead in this epoch')
end

local function refuse_unknown(names)
  for name in string.gmatch(names, '[^,]+') do
    if not STREAM[name] then
      return redis.error_reply('NOSTREAM an order names ' .. name .. ', which this caller does not know')
    end
  end
end

for i = 1, ROWS do
  local ask = row_args(i)
  local refusal = refuse_unknown(ask.lane .. ',' .. ask.intake .. ',' .. ask.pool)
  if refusal then
    return refusal
  end
end
local refusal = refuse_unknown(own)
if refusal then
  return refusal
end

local FOREIGN_MAX = 50
local bytes_left = tonumber(bytes_max)
local foreign, moved_ids, moved = {}, {}, {}

local CHUNK = 50 -- heads read at once, at most

rate_jobs, rate_window_ms = tonumber(rate_jobs), tonumber(rate_window_ms)
local cap = tonumber(budget) -- nothing where it is ''
-- Where nothing but metal has a lane, nobody pays for looking at limits and money.
local limited = false
for _, lane in ipairs(LANES) do
  limited = limited or money_lane(lane)
end
if limited then
  rate_slide(rate_window_ms)
end

local function affordable(ask, request_id)
  local price = tonumber(ask.price)
  return price == 0 or not money_lane(ask.lane)
    or money_reserve('job:' .. request_id, price, cap, '', string.match(ask.lane, '^lane:([^:]+):') or '')
end

local function room_of(ask)
  local pool = 0
  for name in string.gmatch(ask.pool, '[^,]+') do
    pool = pool + redis.call('XLEN', STREAM[name])
  end
  local own = tonumber(ask.limit) - redis.call('XLEN', STREAM[ask.lane])
  local room = math.min(own, tonumber(ask.pool_limit) - pool, tonumber(ask.count))
  return ask.rated == '1' and math.min(room, rate_left(rate_jobs, rate_window_ms)) or room
end

-- The entries of the jobs that are meant; one that has left this intake meanwhile is left out.
local function picked(ask)
  local heads = {}
  for _, request_id in ipairs(cjson.decode(ask.picks)) do
    local row = read_row(request_id)
    if row and row.state == 'Q' and row.stream == ask.intake then
      heads[#heads + 1] = redis.call('XRANGE', STREAM[ask.intake], row.entry, row.entry)[1]
    end
  end
  return heads
end

-- Moves what may be moved of some heads: one command of a kind for all of them but the XADD. How many, and whether
-- there was money for all.
local function move_chunk(ask, heads, room)
  local ids, fields = {}, {}
  for i, head in ipairs(heads) do
    fields[i] = named(head[2])
    ids[#ids + 1] = fields[i].gen and fields[i].id
  end
  local rows, written, gone, paid = read_rows(ids), {}, {}, true
  for i, head in ipairs(heads) do
    local entry, job = head[1], fields[i]
    local row = job.gen and job.id and rows[job.id]
    if #gone == room or bytes_left <= 0 then
      break
    elseif row and is_at(row, ask.intake, entry, job.gen) then
      paid = affordable(ask, job.id)
      if not paid then
        break
      end
      row.stream = ask.lane
      row.entry = redis.call('XADD', STREAM[ask.lane], '*', 'id', job.id, 'gen', job.gen, 'job', job.job,
        'home', ask.home)
      written[#written + 1] = job.id
      written[#written + 1] = row_text(row)
      gone[#gone + 1] = entry
      if ask.rated == '1' then
        rate_take(ask.lane .. ':' .. row.entry)
      end
      moved_ids[#moved_ids + 1] = job.id
      bytes_left = bytes_left - #job.job
    elseif #foreign < FOREIGN_MAX then
      foreign[#foreign + 1] = { ask.intake, entry }
    end
  end
  write_rows(written)
  if #gone > 0 then
    drop_entries(ask.intake, gone)
  end
  return #gone, paid
end

for i = 1, ROWS do
  local ask = row_args(i)
  local room = room_of(ask)
  local count, from = 0, '-'
  -- A crowd of foreign entries at the head ends the order: they are adopted, and the next round gets further.
  while count < room and bytes_left > 0 and #foreign < FOREIGN_MAX do
    local fit = entries_that_fit(#moved_ids, tonumber(bytes_max) - bytes_left, bytes_left)
    local heads = ask.picks ~= '' and picked(ask)
      or redis.call('XRANGE', STREAM[ask.intake], from, '+', 'COUNT', math.min(CHUNK, fit, room - count))
    if #heads == 0 then
      break
    end
    local went, paid = move_chunk(ask, heads, room - count)
    count = count + went
    if ask.picks ~= '' or not paid then
      break
    end
    from = '(' .. heads[#heads][1]
  end
  moved[i] = count
end
announce('moved', moved_ids)

local own_lanes = {}
for name in string.gmatch(own, '[^,]+') do
  own_lanes[#own_lanes + 1] = name
end
-- What cannot be read here, the watcher's own reader will find, and mend.
find_new(session, own_lanes, tonumber(read), tonumber(bytes_max))
local leased = lease_found({
  session = session, suspects = tonumber(suspects), suspect_deaths = suspect_deaths, pause_ms = pause_ms, again = '0',
  ahead = ahead,
})
local seen = survey()
seen[5], seen[6], seen[7] = rate_jobs, -1, 0
if limited then
  seen[5], seen[6] = rate_left(rate_jobs, rate_window_ms), rate_next_ms(rate_jobs, rate_window_ms)
  seen[7] = money_spent()
end
seen[8] = now_ms()
return { moved, foreign, seen, leased }
