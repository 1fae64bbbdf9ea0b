#!lua flags=allow-oom
--- Opens a watcher's session, and ends the one that the same watcher left behind.
-- A name that is alive in another session is refused: the reply names that session. Its own session, opened by a call
-- whose reply was lost, is none other.
-- KEYS: sessions heartbeat wake
-- ARGV: session name previous life_ms heartbeat
-- REPLY: 'opened', or 'taken' and the session that has the name
-- INCLUDE: base streams
for _, member in ipairs(redis.call('ZRANGE', K.sessions, 0, -1)) do
  if member ~= previous and member ~= session and string.sub(member, 1, #name + 1) == name .. ':' then
    return { 'taken', member }
  end
end
if previous ~= '' then
  redis.call('ZREM', K.sessions, previous)
end
redis.call('ZADD', K.sessions, digits(now_ms() + tonumber(life_ms)), session)
redis.call('HSET', K.heartbeat, name, '{"last_seen_ms":' .. digits(now_ms()) .. ',' .. heartbeat)
wake('roster')
return { 'opened', session }
