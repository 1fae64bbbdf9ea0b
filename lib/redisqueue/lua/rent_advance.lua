#!lua flags=allow-oom
--- Writes a rented machine's row as it is now, and charges today with what it has cost since the last time.
-- `cost` is what it has cost in all; `reserve` what may still come, where the server has forgotten the row.
-- KEYS: sessions quota spend spend_open instances bills
-- ARGV: session intent fence version state cost rest reserve
-- REPLY: the new version and the cost; nothing when the row is not the caller's
-- INCLUDE: base quota spend rent
if not is_live(session) then
  return {}
end
quota_note_server()
local version_next = tonumber(version) + 1
local now = rent_read(intent)
if now and now.owner == session and now.fence == fence and now.version == version_next and now.state == state
  and now.rest == rest and now.cost == tonumber(cost) then
  -- The answer was lost.
  return { now.version, now.cost }
end
local row = rent_held(intent, session, fence, version, reserve)
if not row then
  return {}
end
rent_charge(intent, row, tonumber(cost))
row.version, row.state, row.rest = version_next, state, rest
rent_write(intent, row)
return { row.version, row.cost }
