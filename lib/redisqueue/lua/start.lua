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

local function start(lane, entry, fields)
  if not fields then
    -- Not pending either: a cancel took it between its delivery and now.
    local pending = redis.call('XPENDING', STREAM[lane], 'watchers', entry, entry, 1)
    return { #pending > 0 and 'lost' or 'stale', lane, entry }
  end
  local row = fields.id and read_row(fields.id)
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
  row.state, row.session, row.fence, row.reason = 'L', session, digits(take_fences(1)), ''
  write_row(fields.id, row)
  started[#started + 1] = fields.id
  return { 'started', lane, entry, fields.id, row.generation, row.fence, row.attempt, row.deaths, row.crashes,
    fields.home or '', fields.job or '' }
end

for i = 1, ROWS do
  local ask = row_args(i)
  replies[i] = start(ask.lane, ask.entry, read_entry(ask.lane, ask.entry))
end

local left = tonumber(read)
for _, lane in ipairs(LANES) do
  if left > 0 then
    local read_reply = redis.pcall('XREADGROUP', 'GROUP', 'watchers', session, 'COUNT', left, 'STREAMS', STREAM[lane], '>')
    if read_reply and read_reply.err then
      if #replies == 0 then
        return redis.error_reply(read_reply.err)
      end
    elseif read_reply and read_reply[1] then
      for _, found in ipairs(read_reply[1][2]) do
        local fields = {}
        for f = 1, #found[2], 2 do
          fields[found[2][f]] = found[2][f + 1]
        end
        replies[#replies + 1] = start(lane, found[1], fields)
        left = left - 1
      end
    end
  end
end
announce('started', started)
announce('delayed', put_offs)
if #put_offs > 0 then
  wake('due')
end
return replies
