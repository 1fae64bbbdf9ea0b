-- Leases: entries of lanes become work under a fence, or it is said why not. Whoever includes this has the arguments
-- `session`, `suspects`, `suspect_deaths`, `pause_ms` and `again` (start.lua tells what they mean).

local suspects_left = tonumber(suspects)
local replies, started, put_offs = {}, {}, {}
-- What is to be started: {lane, entry, fields}; the rows of all of them are read, and written, at once.
local found = {}
local rows, written, next_fence

local function find(lane, entry, fields)
  found[#found + 1] = { lane, entry, fields }
end

local function ids_between(from, upto)
  local ids = {}
  for i = from, upto do
    local fields = found[i][3]
    if fields and fields.id then
      ids[#ids + 1] = fields.id
    end
  end
  return ids
end

local function start(lane, entry, fields)
  if not fields then
    -- Not pending either: a cancel took it between its delivery and now.
    local pending = redis.call('XPENDING', STREAM[lane], 'watchers', entry, entry, 1)
    return { #pending > 0 and 'lost' or 'stale', lane, entry }
  end
  local row = fields.id and rows[fields.id]
  if not row or not is_at(row, lane, entry, fields.gen) then
    if not fields.id then
      redis.call('XADD', K.rejected, 'MAXLEN', '~', '1000', '*', 'why', 'stale', 'source', lane, 'entry', entry,
        'job', fields.job or '')
    end
    drop_entry(lane, entry)
    return { 'stale', lane, entry }
  end
  if row.state == 'L' and (row.session ~= session or again == '0') then
    if is_live(row.session) then
      redis.call('XCLAIM', STREAM[lane], 'watchers', row.session, 0, entry, 'JUSTID')
      return { 'foreign', lane, entry }
    end
    count_death(row)
    put_back(fields.id, row, fields)
    return { 'stale', lane, entry }
  end
  if row.deaths >= tonumber(suspect_deaths) then
    if suspects_left < 1 then
      put_off(fields.id, row, fields, tonumber(pause_ms))
      put_offs[#put_offs + 1] = fields.id
      return { 'put_off', lane, entry }
    end
    suspects_left = suspects_left - 1
  end
  row.state, row.session, row.fence, row.reason = 'L', session, digits(next_fence), ''
  next_fence = next_fence + 1
  written[#written + 1] = fields.id
  written[#written + 1] = row_text(row)
  started[#started + 1] = fields.id
  return { 'started', lane, entry, fields.id, row.generation, row.fence, row.attempt, row.deaths, row.crashes,
    fields.home or '', fields.job or '' }
end

-- Finds up to `count` new entries in these lanes, in turn; an error reply when not one lane could be read.
local function find_new(lanes, count)
  for _, lane in ipairs(lanes) do
    if count > 0 then
      local reply = redis.pcall('XREADGROUP', 'GROUP', 'watchers', session, 'COUNT', count, 'STREAMS', STREAM[lane], '>')
      if reply and reply.err then
        if #found == 0 then
          return redis.error_reply(reply.err)
        end
      elseif reply and reply[1] then
        for _, entry in ipairs(reply[1][2]) do
          find(lane, entry[1], named(entry[2]))
          count = count - 1
        end
      end
    end
  end
end

-- Starts all that was found; an answer for each.
local function lease_found()
  local BATCH = 500
  for from = 1, #found, BATCH do
    local upto = math.min(from + BATCH - 1, #found)
    rows, written, next_fence = read_rows(ids_between(from, upto)), {}, take_fences(upto - from + 1)
    for i = from, upto do
      replies[i] = start(found[i][1], found[i][2], found[i][3])
    end
    write_rows(written)
  end
  announce('started', started)
  announce('delayed', put_offs)
  if #put_offs > 0 then
    wake('due')
  end
  return replies
end
