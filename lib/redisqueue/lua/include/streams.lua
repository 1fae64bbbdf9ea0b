-- Entries and the two streams that tell others: `events` for people (one entry a batch), `wake` for the leader.

-- Of what people and watchers read after it has happened: `events`, `control`, `rejected`.
local KEPT = '1000'
local WAKES_KEPT = '64'

local function announce(kind, request_ids)
  if #request_ids > 0 then
    redis.call('XADD', K.events, 'MAXLEN', '~', KEPT, '*', 'type', kind, 'ids', cjson.encode(request_ids))
  end
end

-- Names and counts as one list, for a command.
local function pairs_of(counts)
  local flat = {}
  for name, count in pairs(counts) do
    flat[#flat + 1] = name
    flat[#flat + 1] = digits(count)
  end
  return flat
end

-- `changes` = names of streams and by how much each has grown, or shrunk (a count below zero), in turn: with them the
-- leader need not look first.
local function wake(reason, changes)
  redis.call('XADD', K.wake, 'MAXLEN', '~', WAKES_KEPT, '*', 'why', reason, unpack(changes or {}))
end

-- How many entries to read next where `left` bytes may still be taken, after `count` entries of `taken` bytes: few before
-- it is known how big they are, so that big jobs are not read to be left where they are.
local function entries_that_fit(count, taken, left)
  if count == 0 then
    return 2
  end
  return math.max(1, math.ceil(left * count / math.max(taken, 1)))
end

local function add_entry(stream, request_id, generation, job)
  return redis.call('XADD', STREAM[stream], '*', 'id', request_id, 'gen', generation, 'job', job)
end

local function is_lane(stream)
  return string.sub(stream, 1, 5) == 'lane:'
end

-- Out of a lane's group and out of the stream: always both, or the entry stays in the PEL.
local function drop_entry(stream, entry)
  if is_lane(stream) then
    redis.call('XACK', STREAM[stream], 'watchers', entry)
  end
  redis.call('XDEL', STREAM[stream], entry)
end

-- The same for up to a batch of entries of one stream.
local function drop_entries(stream, entries)
  if is_lane(stream) then
    redis.call('XACK', STREAM[stream], 'watchers', unpack(entries))
  end
  redis.call('XDEL', STREAM[stream], unpack(entries))
end
