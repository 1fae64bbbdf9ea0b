#!lua flags=allow-oom
--- Writes the row of an intent to rent a machine and reserves the most that it may cost, or does neither.
-- There are as many rows as the caller has seen (`living`), fewer than `most`, and the day's budget (`cap`; '' for none)
-- has room. Without a budget nothing is rented that costs. The answer to a repeated intent is the same.
-- KEYS: fence sessions quota spend spend_open instances
-- ARGV: session intent rest living most reserve cap
-- REPLY: code, the fence or what the day has spent
-- CODES: ok session raced enough no_budget budget
-- INCLUDE: base quota spend rent
if not is_live(session) then
  return { 'session', '0' }
end
quota_note_server()
local row = rent_read(intent)
if row and row.owner == session and row.version == 1 and row.rest == rest then
  -- Written again, so that the caller's WAIT waits for it.
  rent_write(intent, row)
  return { 'ok', row.fence }
end
local rows = redis.call('HLEN', K.instances)
if rows ~= tonumber(living) or redis.call('HEXISTS', K.instances, intent) == 1 then
  return { 'raced', '0' }
elseif rows >= tonumber(most) then
  return { 'enough', '0' }
end
local worst = tonumber(reserve)
if worst > 0 and cap == '' then
  return { 'no_budget', '0' }
elseif not money_reserve('rent:' .. intent, worst, tonumber(cap), session, RENTED) then
  return { 'budget', digits(money_spent()) }
end
local fence = digits(take_fences(1))
rent_write(intent, {
  version = 1, fence = fence, state = 'intended', reserved = worst, cost = 0, told = '0', owner = session, rest = rest,
})
return { 'ok', fence }
