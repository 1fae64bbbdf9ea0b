#!lua flags=allow-oom
--- Notes in a rented machine's row that somebody wants it to be over; its owner sees to that.
-- KEYS: instances
-- ARGV: intent
-- REPLY: 1 when there is such a row
-- INCLUDE: base rent
local row = rent_read(intent)
if not row then
  return 0
end
row.told = '1'
rent_write(intent, row)
return 1
