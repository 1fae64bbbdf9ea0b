#!lua flags=allow-oom
--- Removes terminal records whose own TTL has passed; the id is new again in the same step.
-- KEYS: result failed history_done history_failed history_cancelled expiry counters events
-- ARGV: entries_max
-- REPLY: records removed, 1 when more are due
-- EVENTS: expired
-- INCLUDE: base streams records
local expired = {}
local ids = redis.call('ZRANGEBYSCORE', K.expiry, '-inf', digits(now_ms()), 'LIMIT', 0, tonumber(entries_max))
for _, request_id in ipairs(ids) do
  for _, hash in ipairs({ K.result, K.failed }) do
    local record = redis.call('HGET', hash, request_id)
    if record then
      drop_record(request_id, hash, record)
      redis.call('HINCRBY', K.counters, 'expired', 1)
      expired[#expired + 1] = request_id
    end
  end
  redis.call('ZREM', K.expiry, request_id)
end
announce('expired', expired)
return { #expired, #ids >= tonumber(entries_max) and 1 or 0 }
