#!lua flags=allow-oom
--- Reads every term of the sum that must hold in one step: accepted = intake + lanes + leased + delayed + done +
-- failed + cancelled + expired + flushed. Changes nothing.
-- Entries that were added to an intake by hand and not adopted yet count as foreign, not as accepted. They are found
-- by reading at most `scan_max` entries; where more than that wait, what no row accounts for is taken as foreign.
-- KEYS: index result failed delayed history_cancelled counters
-- STREAMS: intakes lanes
-- ARGV: scan_max
-- REPLY: accepted, expired, flushed, intake, lanes, leased, delayed, done, failed, cancelled, rows, foreign,
-- REPLY: 1 when every entry was read to count the foreign ones
-- INCLUDE: base rows
local function counter(name)
  return tonumber(redis.call('HGET', K.counters, name) or '0')
end

local intake, in_lanes, leased = 0, 0, 0
for _, name in ipairs(INTAKES) do
  intake = intake + redis.call('XLEN', STREAM[name])
end
for _, name in ipairs(LANES) do
  in_lanes = in_lanes + redis.call('XLEN', STREAM[name])
  local pending = redis.pcall('XPENDING', STREAM[name], 'watchers')
  if not pending.err then
    leased = leased + pending[1]
  end
end

local CHUNK = 50 -- entries read at once: few enough that big payloads do not pile up in the script's memory
local function foreign_of(name)
  local found, from = 0, '-'
  while true do
    local page = redis.call('XRANGE', STREAM[name], from, '+', 'COUNT', CHUNK)
    for _, item in ipairs(page) do
      local fields = named(item[2])
      local row = fields.id and read_row(fields.id)
      if not row or not is_at(row, name, item[1], fields.gen) then
        found = found + 1
      end
    end
    if #page < CHUNK then
      return found
    end
    from = '(' .. page[#page][1]
  end
end

local rows, delayed = redis.call('HLEN', K.index), redis.call('HLEN', K.delayed)
local foreign, exact = 0, 1
if intake <= tonumber(scan_max) then
  for _, name in ipairs(INTAKES) do
    foreign = foreign + foreign_of(name)
  end
else
  foreign, exact = math.max(0, intake + in_lanes + delayed - rows), 0
end
local cancelled = redis.call('XLEN', K.history_cancelled)
return {
  counter('accepted'), counter('expired'), counter('flushed'), intake - foreign, in_lanes - leased, leased, delayed,
  redis.call('HLEN', K.result), redis.call('HLEN', K.failed) - cancelled, cancelled, rows, foreign, exact,
}
