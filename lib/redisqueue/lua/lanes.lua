#!lua flags=allow-oom
--- Makes lanes and their groups, from the first entry on, so that nothing that waits is passed over. Also on a full
-- server: a watcher must be able to start there, since only watchers drain what fills it.
-- KEYS: lanes
-- STREAMS: lanes
-- REPLY: names of the lanes that had no group
local made = {}
for _, name in ipairs(LANES) do
  redis.call('SADD', K.lanes, name)
  if not redis.pcall('XGROUP', 'CREATE', STREAM[name], 'watchers', '0', 'MKSTREAM').err then
    made[#made + 1] = name
  end
end
return made
