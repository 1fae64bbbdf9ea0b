#!lua flags=allow-oom
--- A rented machine is proven gone: charges the last of it, frees what is left of its reservation, takes its row away and
-- keeps its bill; `bills_max` are kept. An empty bill, of what was never rented, is not kept.
-- KEYS: sessions quota spend spend_open instances bills
-- ARGV: session intent fence version cost bill bills_max
-- REPLY: the bill's entry, or 'none' when it has none; '' when the row is not the caller's
-- INCLUDE: base quota spend rent
if not is_live(session) then
  return ''
end
quota_note_server()
local row = rent_held(intent, session, fence, version, '0')
if not row then
  -- The answer may have been lost.
  if redis.call('HEXISTS', K.instances, intent) == 1 then
    return ''
  end
  return bill == '' and 'none' or rent_bill(intent, fence) or ''
end
rent_charge(intent, row, tonumber(cost))
money_release('rent:' .. intent)
redis.call('HDEL', K.instances, intent)
if bill == '' then
  return 'none'
end
return redis.call('XADD', K.bills, 'MAXLEN', bills_max, '*', 'intent', intent, 'fence', fence, 'bill', bill)
