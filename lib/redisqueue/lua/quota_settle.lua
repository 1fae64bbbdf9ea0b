#!lua flags=allow-oom
--- Says what granted calls took and cost: their tokens are put right inside the window, their money is charged to today.
-- `sent` = 0: it never went out, and everything that was counted for it is given back.
-- A call without a reservation was settled before, by its caller or, when its session ended, by the sweep; unless its
-- lease is older than this run of the server, which may have lost the reservation: then it is charged, rather twice than
-- not at all.
-- KEYS: quota quota_grants quota_calls spend spend_open
-- EACH: call_id sent tokens micro backend
-- REPLY: per row: 1 settled now, 0 settled before
-- INCLUDE: base quota spend
quota_note_server()
local since = tonumber(redis.call('HGET', K.quota, 'since_us') or '0')

local function correct(ask)
  local call = quota_parse(redis.call('HGET', K.quota_calls, ask.call_id))
  if not call then
    return
  end
  if ask.sent == '0' then
    quota_add(call.pool, -1, -call.tokens, call.low)
    local of = string.match(redis.call('HGET', K.quota, 'day ' .. call.pool) or '', '^(%d+)|')
    if of == call.day then
      quota_add_to_day(call.pool, call.day, -1, call.low)
    end
    redis.call('HDEL', K.quota_calls, ask.call_id)
    redis.call('ZREM', K.quota_grants, ask.call_id)
    return
  end
  quota_add(call.pool, 0, tonumber(ask.tokens) - call.tokens, call.low)
  redis.call('HSET', K.quota_calls, ask.call_id,
    ask.tokens .. '|' .. (call.low and 'l' or 'h') .. '|' .. call.day .. '|' .. call.pool)
end

local replies = {}
for i = 1, ROWS do
  local ask = row_args(i)
  local id, micro = 'call:' .. ask.call_id, tonumber(ask.micro)
  local known = redis.call('HEXISTS', K.spend_open, id) == 1
  if known then
    correct(ask)
  end
  if ask.sent == '0' then
    money_release(id)
  elseif known then
    money_settle(id, micro)
  else
    local leased_us = tonumber(string.match(ask.call_id, '^(%d+)') or '')
    known = leased_us ~= nil and leased_us < since and micro > 0
    if known then
      money_charge(micro, ask.backend)
    end
  end
  replies[i] = known and 1 or 0
end
return replies
