--- Takes in, or turns away, entries that another program added to an intake by hand.
-- A row with `identity` is a valid job in its canonical form; one without it is unreadable and becomes the failed
-- record `foreign:<stream>:<entry>` whose tail is `job`. An entry that has meanwhile gone is left alone.
-- KEYS: fence index result failed due delayed key key_wait history_done history_failed history_cancelled
-- KEYS: expiry events wake intakes backlogs counters rejected outbox outbox_callback callback_due progress spend_open deadlines
-- STREAMS: intakes
-- EACH: source entry request_id identity job intake backlog due_ms key on_conflict attempt deadline_ms
-- REPLY: per row: code
-- CODES: queued duplicate_request already_done already_failed already_cancelled conflict key_busy failed gone
-- EVENTS: queued dropped rejected finished
-- INCLUDE: base rows streams records conflict callbacks spend finish accept
local first = take_fences(ROWS)
local replies = {}
local seen = { queued = {}, dropped = {}, rejected = {}, finished = {} }

local function tell(kind, request_id)
  seen[kind][#seen[kind] + 1] = request_id
end

local function reject(ask, fields, why)
  redis.call('XADD', K.rejected, 'MAXLEN', '~', KEPT, '*', 'why', why, 'source', ask.source,
    'entry', ask.entry, 'job', fields.job or '')
  tell('rejected', ask.request_id)
end

local function refuse_unreadable(ask, fields)
  if redis.call('HEXISTS', K.failed, ask.request_id) == 0 then
    accepted = accepted + 1
    local row = {
      state = 'Q', generation = ask.fence, attempt = 0, stream = ask.source, entry = ask.entry,
      identity = 'lost', session = '', key = '',
    }
    reject(ask, fields, 'unreadable')
    finish(ask.request_id, row, { status = 'failed', fence = ask.fence, attempt = 0, tail = ask.job, ttl_ms = 0 })
    tell('finished', ask.request_id)
  else
    drop_entry(ask.source, ask.entry)
  end
  return 'failed'
end

local function adopt(ask)
  local fields = read_entry(ask.source, ask.entry)
  if not fields then
    return 'gone'
  end
  local placed = fields.id and read_row(fields.id)
  if placed and is_at(placed, ask.source, ask.entry, fields.gen) then
    return 'gone'
  end
  if ask.identity == '' then
    return refuse_unreadable(ask, fields)
  end
  if redis.call('SADD', K.intakes, ask.intake) == 1 then
    redis.call('SADD', K.backlogs, ask.backlog)
    wake('streams')
  end
  local code = accept(ask)
  if code == 'queued' then
    tell('queued', ask.request_id)
    if ask.deadline_ms ~= '0' then
      redis.call('ZADD', K.deadlines, ask.deadline_ms, ask.request_id)
    end
  elseif code == 'conflict' or code == 'key_busy' then
    reject(ask, fields, code)
  else
    tell('dropped', ask.request_id)
  end
  drop_entry(ask.source, ask.entry)
  return code
end

for i = 1, ROWS do
  local ask = row_args(i)
  ask.mode, ask.fence = 'new', digits(first + i - 1)
  ask.due_ms, ask.attempt = tonumber(ask.due_ms), tonumber(ask.attempt)
  replies[i] = adopt(ask)
end
count_accepted()
for kind, request_ids in pairs(seen) do
  announce(kind, request_ids)
end
wake('intake')
return replies
