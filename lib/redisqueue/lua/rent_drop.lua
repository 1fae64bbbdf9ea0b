#!lua flags=allow-oom
--- Takes away rows of rented machines that nobody can read, each if it is still just as it was read. What was reserved
-- is charged: the machine may have cost as much. It is found by its label from then on.
-- KEYS: spend spend_open instances
-- EACH: intent raw
-- REPLY: per row: 1 when it was taken away
-- INCLUDE: base spend
local replies = {}
for i = 1, ROWS do
  local ask = row_args(i)
  local same = redis.call('HGET', K.instances, ask.intent) == ask.raw
  if same then
    local held = money_read('rent:' .. ask.intent)
    money_settle('rent:' .. ask.intent, held and held.micro or 0)
    redis.call('HDEL', K.instances, ask.intent)
  end
  replies[i] = same and 1 or 0
end
return replies
