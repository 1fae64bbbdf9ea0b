--- Accepts up to 500 jobs, each once by its request_id; all of the batch in one step.
-- What neighbouring jobs have in common is said once for `count` of them: nearly always for all.
-- KEYS: fence index result failed due delayed key key_wait history_done history_failed history_cancelled
-- KEYS: expiry events wake intakes backlogs counters deadlines
-- STREAMS: intakes
-- ARGV: mode
-- COMMON: intake backlog due_ms key on_conflict attempt expected deadline_ms
-- EACH: request_id identity job
-- REPLY: per row: the stream entry id of a job that is queued in its intake at once; else code, entry id or '', attempt
-- CODES: queued duplicate_request already_done already_failed already_cancelled conflict key_busy not_found changed
-- EVENTS: queued
-- INCLUDE: base rows streams records conflict accept
local first = take_fences(ROWS)
local replies, queued = {}, {}
local asks, ids = {}, {}
for i = 1, ROWS do
  asks[i] = row_args(i)
  ids[i] = asks[i].request_id
end

-- Which of the ids have a record in this hash. Nearly always none has, and a few reads say so; where one has, the
-- others are only asked about: 500 records of a quarter of a megabyte would stop the server for a second.
local READ_AT_ONCE = 50
local function recorded(hash)
  local known, some = {}, false
  for from = 1, ROWS, READ_AT_ONCE do
    local upto = math.min(from + READ_AT_ONCE - 1, ROWS)
    if some then
      for i = from, upto do
        known[i] = redis.call('HEXISTS', hash, ids[i]) == 1
      end
    else
      local records = redis.call('HMGET', hash, unpack(ids, from, upto))
      for i = from, upto do
        known[i] = records[i - from + 1] and true
        some = some or known[i]
      end
    end
  end
  return known
end

-- A few reads tell of which ids nothing is known, which are nearly all; only the others are looked at one by one. The
-- second row of an id is never fresh: the first has just been accepted.
local fresh = {}
if mode ~= 'again' then
  local active, done, failed = redis.call('HMGET', K.index, unpack(ids)), recorded(K.result), recorded(K.failed)
  for i = 1, ROWS do
    fresh[ids[i]] = not (active[i] or done[i] or failed[i])
  end
end

local arrived = {}
-- The rows of those that go into their intake and nowhere else, written together at the end.
local placed = {}
local function place(ask, common, fence)
  local generation = digits(fence)
  local entry = add_entry(common.intake, ask.request_id, generation, ask.job)
  local at = #placed
  placed[at + 1] = ask.request_id
  placed[at + 2] = queued_row(fence, generation, common.attempt, common.intake, entry, ask.identity)
  accepted = accepted + 1
  arrived[common.intake] = (arrived[common.intake] or 0) + 1
  return entry
end

local function look(ask, common, fence)
  -- What it has to look at may be the row of a job placed a moment ago.
  write_rows(placed)
  placed = {}
  ask.fresh, ask.mode, ask.fence = fresh[ask.request_id], mode, digits(fence)
  ask.due_ms, ask.attempt = tonumber(common.due_ms), tonumber(common.attempt)
  ask.intake, ask.key, ask.on_conflict, ask.expected = common.intake, common.key, common.on_conflict, common.expected
  local code, entry, attempt = accept(ask)
  return code, { code, entry, attempt }
end

local news, known, deadlines = 'intake', {}, {}
local i = 0
for c = 1, COMMONS do
  local common = common_args(c)
  local plain = common.key == '' and tonumber(common.due_ms) <= now_ms()
  if not known[common.intake] then
    known[common.intake] = true
    if redis.call('SADD', K.intakes, common.intake) == 1 then
      redis.call('SADD', K.backlogs, common.backlog)
      news = 'streams'
    end
  end
  for _ = 1, tonumber(common.count) do
    i = i + 1
    local ask, fence = asks[i], first + i - 1
    local code = 'queued'
    if plain and fresh[ask.request_id] then
      replies[i] = place(ask, common, fence)
    else
      code, replies[i] = look(ask, common, fence)
    end
    fresh[ask.request_id] = nil
    if code == 'queued' then
      queued[#queued + 1] = ask.request_id
      if common.deadline_ms ~= '0' then
        deadlines[#deadlines + 1] = common.deadline_ms
        deadlines[#deadlines + 1] = ask.request_id
      end
    end
  end
end
write_rows(placed)
if #deadlines > 0 then
  redis.call('ZADD', K.deadlines, unpack(deadlines))
end
count_accepted()
if #queued > 0 then
  wake(news, pairs_of(arrived))
  announce('queued', queued)
end
return replies
