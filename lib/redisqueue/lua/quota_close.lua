#!lua flags=allow-oom
--- Closes a pool for everybody: its API said stop. A word that is shorter than an earlier one changes nothing.
-- KEYS: quota wake
-- ARGV: pool ms why
-- REPLY: ms for which it is closed now
-- INCLUDE: base streams quota
local left = quota_closed_ms(pool)
if tonumber(ms) > left then
  left = tonumber(ms)
  redis.call('HSET', K.quota, 'closed ' .. pool, digits(now_ms() + left), 'why ' .. pool, why)
  wake('quota')
end
return left
