-- A row of the index: what is true about one active job, fields joined by '|', the conflict key last because
-- it alone may contain one. States: Q queued (in an intake or a lane), L leased, D delayed.
-- Of a job that has not moved since it was queued the entry is short, since there may be a million of them: a letter for
-- how many ms before its generation it was written ('a' none, 'b' one …), and the sequence number behind it.

local ROW = '^(%u)|(%d+)|(%d+)|(%d*)|(%d*)|([^|]*)|([^|]*)|([^|]*)|([^|]*)|(%d*)|([^|]*)|(.*)$'

local LETTER, LETTERS = string.byte('a'), 26

local function parse_row(raw)
  local state, generation, attempt, deaths, crashes, stream, entry, identity, session, fence, reason, key =
    string.match(raw, ROW)
  if not state then
    return nil
  end
  if string.find(entry, '^%l') then
    entry = digits(math.floor(tonumber(generation) / 1000) - string.byte(entry) + LETTER) .. '-' .. string.sub(entry, 2)
  end
  return {
    state = state, generation = generation, attempt = tonumber(attempt),
    deaths = tonumber(deaths) or 0, crashes = tonumber(crashes) or 0,
    stream = stream, entry = entry, identity = identity,
    session = session, fence = fence, reason = reason, key = key,
  }
end

local function read_row(request_id)
  local raw = redis.call('HGET', K.index, request_id)
  return raw and parse_row(raw) or nil
end

-- The rows of up to a batch of ids, each parsed once however often its id is named; nothing for an id without one.
local function read_rows(request_ids)
  local rows = {}
  if #request_ids > 0 then
    local raws = redis.call('HMGET', K.index, unpack(request_ids))
    for i, request_id in ipairs(request_ids) do
      rows[request_id] = rows[request_id] or raws[i] and parse_row(raws[i]) or nil
    end
  end
  return rows
end

-- The reasons of leased rows for which the death of their watcher counts nothing: it was told to stop; or the lease is
-- held ahead, and begin.lua has not said yet that the body began.
local DRAIN, AHEAD = 'drain', 'ahead'

local function some(number)
  return number > 0 and digits(number) or ''
end

-- One concatenation: this runs for every step of every job.
local function row_text(row)
  return row.state .. '|' .. row.generation .. '|' .. digits(row.attempt) .. '|' .. some(row.deaths) .. '|'
    .. some(row.crashes) .. '|' .. row.stream .. '|' .. row.entry .. '|' .. row.identity .. '|' .. row.session .. '|'
    .. row.fence .. '|' .. row.reason .. '|' .. row.key
end

local function write_row(request_id, row)
  redis.call('HSET', K.index, request_id, row_text(row))
end

-- `flat` = id, text, id, text … of at most a batch: unpack() fails near 8 000 values.
local function write_rows(flat)
  if #flat > 0 then
    redis.call('HSET', K.index, unpack(flat))
  end
end

-- The text of a row that was queued in this very step; `fence` is its generation as a number, `generation` as text.
-- What XADD has just called is this step's millisecond and a number, unless the stream knows a later time than the server.
local this_ms
local function queued_row(fence, generation, attempt, stream, entry, identity)
  this_ms = this_ms or digits(now_ms()) .. '-'
  local before = math.floor(fence / 1000) - now_ms()
  if before >= 0 and before < LETTERS and string.sub(entry, 1, #this_ms) == this_ms then
    entry = string.char(LETTER + before) .. string.sub(entry, #this_ms + 1)
  end
  return 'Q|' .. generation .. '|' .. attempt .. '|||' .. stream .. '|' .. entry .. '|' .. identity .. '||||'
end

-- The session of a leased row is gone: if its body was running, and that was no drain, this counts.
local function count_death(row)
  if row.reason ~= DRAIN and row.reason ~= AHEAD then
    row.deaths = row.deaths + 1
  end
end

local function is_at(row, stream, entry, generation)
  return row ~= nil and row.state ~= 'D' and row.stream == stream and row.entry == entry
    and row.generation == generation
end

-- The fields of one entry; nil when it is gone.
local function read_entry(stream, entry)
  local found = redis.call('XRANGE', STREAM[stream], entry, entry)
  return found[1] and named(found[1][2])
end
