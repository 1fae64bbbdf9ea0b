#!lua flags=allow-oom
--- Takes the fences under which bodies run: for the entries named, or, with `read` > 0, for that many new entries
-- of the lanes in turn. Each entry is answered in its own slot; a bad one never fails the others.
-- started: leased now. put_off: a suspect while another one runs here, delayed for a moment, so that another
-- watcher may have it. foreign: another live
-- session's lease, claimed back to it, or this session's own, running already. stale: not what the index says, removed.
-- lost: pending without an entry. `again` = 1: the entries named were delivered before and their answer was lost, so a
-- lease of this session is started anew; otherwise a rewound group is delivering what still runs.
-- KEYS: fence index due delayed sessions events progress rejected wake
-- STREAMS: intakes lanes
-- ARGV: session read suspects suspect_deaths pause_ms again
-- EACH: lane entry
-- REPLY: per entry: code, lane, entry id, then for started: request_id, generation, fence, attempts used,
-- REPLY: watcher deaths, crashes, home, job
-- EVENTS: started delayed
-- ERRORS: NOSESSION NOGROUP
-- INCLUDE: base rows streams put_back
if not is_live(session) then
  return redis.error_reply('NOSESSION this session has ended')
end

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

for i = 1, ROWS do
  local ask = row_args(i)
  find(ask.lane, ask.entry, read_entry(ask.lane, ask.entry))
end

local left = tonumber(read)
for _, lane in ipairs(LANES) do
  if left > 0 then
    local read_reply = redis.pcall('XREADGROUP', 'GROUP', 'watchers', session, 'COUNT', left, 'STREAMS', STREAM[lane], '>')
    if read_reply and read_reply.err then
      if #found == 0 then
        return redis.error_reply(read_reply.err)
      end
    elseif read_reply and read_reply[1] then
      for _, entry in ipairs(read_reply[1][2]) do
        find(lane, entry[1], named(entry[2]))
        left = left - 1
      end
    end
  end
end

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
