-- A row of the index: what is true about one active job, fields joined by '|', the conflict key last because
-- it alone may contain one. States: Q queued (in an intake or a lane), L leased, D delayed.

local ROW = '^(%u)|(%d+)|(%d+)|(%d*)|(%d*)|([^|]*)|([^|]*)|([^|]*)|([^|]*)|(%d*)|([^|]*)|(.*)$'

local function read_row(request_id)
  local raw = redis.call('HGET', K.index, request_id)
  if not raw then
    return nil
  end
  local state, generation, attempt, deaths, crashes, stream, entry, identity, session, fence, reason, key =
    string.match(raw, ROW)
  if not state then
    return nil
  end
  return {
    state = state, generation = generation, attempt = tonumber(attempt),
    deaths = tonumber(deaths) or 0, crashes = tonumber(crashes) or 0,
    stream = stream, entry = entry, identity = identity,
    session = session, fence = fence, reason = reason, key = key,
  }
end

-- The reason of a leased row whose watcher was told to stop: its death counts nothing.
local DRAIN = 'drain'

local function some(number)
  return number > 0 and digits(number) or ''
end

local function row_text(row)
  return table.concat({
    row.state, row.generation, digits(row.attempt), some(row.deaths), some(row.crashes),
    row.stream, row.entry, row.identity, row.session, row.fence, row.reason, row.key,
  }, '|')
end

local function write_row(request_id, row)
  redis.call('HSET', K.index, request_id, row_text(row))
end

-- The session of a leased row is gone: its body was running, unless that was a drain this counts.
local function count_death(row)
  if row.reason ~= DRAIN then
    row.deaths = row.deaths + 1
  end
end

local function is_at(row, stream, entry, generation)
  return row ~= nil and row.state ~= 'D' and row.stream == stream and row.entry == entry
    and row.generation == generation
end

-- The fields of a stream entry as a table; nil when the entry is gone.
local function read_entry(stream, entry)
  local found = redis.call('XRANGE', STREAM[stream], entry, entry)
  if #found == 0 then
    return nil
  end
  local fields = {}
  local flat = found[1][2]
  for i = 1, #flat, 2 do
    fields[flat[i]] = flat[i + 1]
  end
  return fields
end
