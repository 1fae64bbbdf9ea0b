#!lua flags=allow-oom
--- Ends a try of callbacks: `delivered`, `again` after a delay, or `failed` for good, which is told once. A try that
-- somebody else has settled meanwhile answers `gone`.
-- KEYS: outbox_callback callback_due events counters
-- EACH: member request_id outcome delay_ms why
-- REPLY: per row: code
-- CODES: delivered again failed gone
-- EVENTS: delivery_failed
-- INCLUDE: base streams callbacks
local replies = {}
for i = 1, ROWS do
  local ask = row_args(i)
  local entry, tries, host = read_member(ask.member)
  local mine = redis.call('ZREM', K.callback_due, ask.member) == 1
  replies[i] = 'gone'
  if ask.outcome == 'again' then
    if mine then
      redis.call('ZADD', K.callback_due, digits(now_ms() + tonumber(ask.delay_ms)),
        entry .. ' ' .. digits(tonumber(tries) + 1) .. ' ' .. host)
      replies[i] = 'again'
    end
  elseif redis.call('XDEL', K.outbox_callback, entry) == 1 then
    if ask.outcome == 'failed' then
      redis.call('XADD', K.events, 'MAXLEN', '~', KEPT, '*', 'type', 'delivery_failed',
        'ids', cjson.encode({ ask.request_id }), 'host', host, 'why', ask.why)
      redis.call('HINCRBY', K.counters, 'callbacks_failed', 1)
      replies[i] = 'failed'
    else
      redis.call('HINCRBY', K.counters, 'callbacks_delivered', 1)
      replies[i] = 'delivered'
    end
  end
end
return replies
