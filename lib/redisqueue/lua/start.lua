#!lua flags=allow-oom
--- Takes the fences under which bodies run: for the entries named, or, with `read` > 0, for that many new entries
-- of the lanes, one after the other. Each entry is answered in its own slot; a bad one never fails the others.
-- started: leased now. put_off: a suspect while another one runs here, delayed for a moment, so that another
-- watcher may have it. foreign: another session's lease, claimed back to it (the sweep sees to those of a dead one), or
-- this session's own, running already. stale: not what the index says, removed.
-- lost: pending without an entry. `again` = 1: the entries named were delivered before and their answer was lost, so a
-- lease of this session is started anew; otherwise a rewound group is delivering what still runs. `ahead` = 1: their
-- bodies begin later than their leases; until begin.lua says so, a death of the watcher counts nothing.
-- KEYS: fence index due delayed sessions events progress rejected wake spend_open
-- STREAMS: intakes lanes
-- ARGV: session read bytes_max suspects suspect_deaths pause_ms again ahead
-- EACH: lane entry
-- REPLY: per entry: code, lane, entry id, then for started: request_id, generation, fence, attempts used,
-- REPLY: watcher deaths, crashes, home, job
-- EVENTS: started delayed
-- ERRORS: NOSESSION NOGROUP
-- INCLUDE: base rows streams spend put_back lease
if not is_live(session) then
  return redis.error_reply('NOSESSION this session has ended')
end

for i = 1, ROWS do
  local ask = row_args(i)
  find(ask.lane, ask.entry, read_entry(ask.lane, ask.entry))
end

local refusal = find_new(session, LANES, tonumber(read), tonumber(bytes_max))
if refusal then
  return refusal
end
return lease_found({
  session = session, suspects = tonumber(suspects), suspect_deaths = suspect_deaths, pause_ms = pause_ms, again = again,
  ahead = ahead,
})
