-- The one way a job ends: done, failed, cancelled, poison, timeout, payload lost or refused.
-- Lua is not rolled back, so the record is written first and the entry leaves its stream last.
-- Returns the id of the outbox entry, or '' when nothing is to be published. A callback goes into an outbox of its own
-- together with the record, so that it tells of this end whatever becomes of the record.

local function finish(request_id, row, ending)
  local history = redis.call('XADD', K[HISTORY[ending.status]], '*', 'id', request_id)
  local record = record_text(row, ending, history)
  redis.call('HSET', ending.status == 'done' and K.result or K.failed, request_id, record)
  if ending.ttl_ms > 0 then
    redis.call('ZADD', K.expiry, digits(now_ms() + ending.ttl_ms), request_id)
  end
  local outbox = ''
  if ending.publish then
    outbox = redis.call('XADD', K.outbox, '*', 'id', request_id, 'fence', ending.fence, 'session', row.session)
  end
  if ending.callback and ending.callback ~= '' then
    leave_callback(request_id, row.generation, ending, record)
  end
  redis.call('HDEL', K.progress, request_id)
  redis.call('HDEL', K.index, request_id)
  release_key(request_id, row)
  if row.state == 'D' then
    redis.call('HDEL', K.delayed, request_id)
    redis.call('ZREM', K.due, request_id)
    if row.key ~= '' then
      redis.call('ZREM', K.key_wait, wait_member(row, request_id))
    end
  else
    drop_entry(row.stream, row.entry)
  end
  return outbox
end
