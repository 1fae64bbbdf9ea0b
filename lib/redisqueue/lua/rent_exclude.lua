#!lua flags=allow-oom
--- Keeps a machine that failed from being rented again for some time, by the server's clock; a longer time stays.
-- Those whose time is over are forgotten; of more than `machines_max` the one that would be free first.
-- KEYS: excluded
-- ARGV: machine_id ms why machines_max
-- REPLY: until when it is excluded, Unix ms
-- INCLUDE: base
local now = now_ms()
local ends = now + tonumber(ms)

local function end_of(raw)
  return tonumber(string.match(raw or '', '^(%d+)|') or '0')
end

local known, many, first = redis.call('HGETALL', K.excluded), 0, nil
for i = 1, #known, 2 do
  local till = end_of(known[i + 1])
  if known[i] == machine_id then
    if till >= ends then
      return till
    end
  elseif till <= now then
    redis.call('HDEL', K.excluded, known[i])
  else
    many = many + 1
    if not first or till < first.till then
      first = { name = known[i], till = till }
    end
  end
end
if many >= tonumber(machines_max) then
  redis.call('HDEL', K.excluded, first.name)
end
redis.call('HSET', K.excluded, machine_id, digits(ends) .. '|' .. why)
return ends
