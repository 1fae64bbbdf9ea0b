#!lua flags=allow-oom
--- Gives a rented machine that works to the next session of the watcher that has it in its hands: `former`, its owner,
-- has ended, and nobody has taken it over since. `version` is the last that the watcher knows to be written; the answer to
-- one more may have been lost. Safe to repeat.
-- KEYS: sessions instances
-- ARGV: session former intent fence version
-- REPLY: the row as it is now; '' when it is not to be gone on with
-- INCLUDE: base rent
local row = rent_read(intent)
if not (is_live(session) and row) or row.fence ~= fence or (row.state ~= 'draining' and row.state ~= 'idle') then
  return ''
end
if row.owner ~= session then
  local ahead = row.version - tonumber(version)
  if is_live(former) or row.owner ~= former or ahead < 0 or ahead > 1 then
    return ''
  end
  row.version, row.owner = row.version + 1, session
  rent_write(intent, row)
end
return redis.call('HGET', K.instances, intent)
