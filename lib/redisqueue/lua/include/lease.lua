-- Leases: entries of lanes become work under a fence, or it is said why not. First all are found, then all are leased:
-- their rows are read, and written, at once.

-- What was found: {lane, entry, fields} each.
local found = {}

local function find(lane, entry, fields)
  found[#found + 1] = { lane, entry, fields }
end

-- Finds up to `count` new entries of some `bytes_max` in these lanes, one lane after the other; an error reply where
-- none could be read. What is read is leased, so few are read before it is known how big they are.
local function find_new(session, lanes, count, bytes_max)
  local left, taken, read = count, 0, 0
  for _, lane in ipairs(lanes) do
    local more = true
    while more and left > 0 and taken < bytes_max do
      local ask = math.min(left, entries_that_fit(read, taken, bytes_max - taken))
      local reply = redis.pcall('XREADGROUP', 'GROUP', 'watchers', session, 'COUNT', ask, 'STREAMS', STREAM[lane], '>')
      if reply and reply.err and #found == 0 then
        return redis.error_reply(reply.err)
      end
      local entries = reply and reply[1] and reply[1][2] or {}
      for _, entry in ipairs(entries) do
        local fields = named(entry[2])
        find(lane, entry[1], fields)
        taken = taken + #(fields.job or '')
      end
      read, left, more = read + #entries, left - #entries, #entries == ask
    end
  end
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

-- Why an entry is no work for this session; nothing when it is.
local function refuse(asked, lane, entry, fields, row)
  if not fields then
    -- Not pending either: a cancel took it between its delivery and now.
    local pending = redis.call('XPENDING', STREAM[lane], 'watchers', entry, entry, 1)
    return #pending > 0 and 'lost' or 'stale'
  end
  if not is_at(row, lane, entry, fields.gen) then
    if not fields.id then
      redis.call('XADD', K.rejected, 'MAXLEN', '~', KEPT, '*', 'why', 'stale', 'source', lane, 'entry', entry,
        'job', fields.job or '')
    end
    drop_entry(lane, entry)
    return 'stale'
  end
  if row.state == 'L' and (row.session ~= asked.session or asked.again == '0') then
    -- Also of a session that has ended: what becomes of that, the sweep decides, and counts, and tells.
    redis.call('XCLAIM', STREAM[lane], 'watchers', row.session, 0, entry, 'JUSTID')
    return 'foreign'
  end
  if row.deaths >= tonumber(asked.suspect_deaths) then
    if asked.suspects < 1 then
      put_off(fields.id, row, fields, tonumber(asked.pause_ms))
      return 'put_off'
    end
    asked.suspects = asked.suspects - 1
  end
end

-- Leases all that was found; an answer for each. `asked` has session, suspects (a number: how many of them may be
-- suspects), suspect_deaths, pause_ms, again and ahead.
local function lease_found(asked)
  local BATCH = 500
  local replies, started, delayed = {}, {}, {}
  for from = 1, #found, BATCH do
    local upto = math.min(from + BATCH - 1, #found)
    local rows, written = read_rows(ids_between(from, upto)), {}
    local fence = take_fences(upto - from + 1)
    for i = from, upto do
      local lane, entry, fields = found[i][1], found[i][2], found[i][3]
      local row = fields and fields.id and rows[fields.id] or nil
      local refusal = refuse(asked, lane, entry, fields, row)
      if refusal then
        replies[i] = { refusal, lane, entry }
        delayed[#delayed + 1] = refusal == 'put_off' and fields.id or nil
      else
        row.state, row.session, row.fence = 'L', asked.session, digits(fence)
        row.reason = asked.ahead == '1' and AHEAD or ''
        fence = fence + 1
        written[#written + 1] = fields.id
        written[#written + 1] = row_text(row)
        started[#started + 1] = fields.id
        replies[i] = { 'started', lane, entry, fields.id, row.generation, row.fence, row.attempt, row.deaths,
          row.crashes, fields.home or '', fields.job or '' }
      end
    end
    write_rows(written)
  end
  announce('started', started)
  announce('delayed', delayed)
  if #delayed > 0 then
    wake('due')
  end
  return replies
end
