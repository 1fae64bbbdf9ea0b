#!lua flags=allow-oom
--- Gives a rented machine whose owner's session is gone to the caller, under a new fence, to be destroyed.
-- KEYS: fence sessions instances
-- ARGV: session intent version rest
-- REPLY: the new fence; '' when it has an owner, or is no more as the caller has read it
-- INCLUDE: base rent
local row = rent_read(intent)
if not (is_live(session) and row) or is_live(row.owner) or row.version ~= tonumber(version) then
  return ''
end
row.version, row.fence, row.state = row.version + 1, digits(take_fences(1)), 'destroying'
row.owner, row.rest = session, rest
rent_write(intent, row)
return row.fence
