--- Accepts up to 500 jobs, each once by its request_id; all of the batch in one step.
-- What neighbouring jobs have in common is said once for `count` of them: nearly always for all.
-- KEYS: fence index result failed due delayed key key_wait history_done history_failed history_cancelled
-- KEYS: expiry events wake intakes backlogs counters
-- STREAMS: intakes
-- ARGV: mode
-- COMMON: intake backlog due_ms key on_conflict attempt expected
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

-- Three reads tell of which ids nothing is known, which are nearly all; only the others are looked at one by one. The
-- second row of an id is never fresh: the first has just been accepted.
local fresh = {}
if mode ~= 'again' then
  local active = redis.call('HMGET', K.index, unpack(ids))
  local done = redis.call('HMGET', K.result, unpack(ids))
  local failed = redis.call('HMGET', K.failed, unpack(ids))
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

local news, known = 'intake', {}
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
    end
  end
end
write_rows(placed)
count_accepted()
if #queued > 0 then
  wake(news, pairs_of(arrived))
  announce('queued', queued)
end
return replies
