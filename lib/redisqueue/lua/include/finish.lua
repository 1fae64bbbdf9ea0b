-- The one way a job ends: done, failed, cancelled, poison, timeout, payload lost or refused.
-- Lua is not rolled back, so the records are written first and the entries leave their streams last.
-- A callback goes into an outbox of its own together with the record, so that it tells of this end whatever becomes of
-- the record.

-- What the endings of a batch still have to write: one command of a kind for all of them.
local ends = { result = {}, failed = {}, ids = {}, keys = {}, entries = {}, paid = {} }

-- Ends a job as soon as `settle_ends` is called, which must be before this script looks at the same id again. Returns
-- the id of the outbox entry, or '' when nothing is to be published.
local function finish_soon(request_id, row, ending)
  local history = redis.call('XADD', K[HISTORY[ending.status]], '*', 'id', request_id)
  local record = record_text(row, ending, history)
  local records = ending.status == 'done' and ends.result or ends.failed
  records[#records + 1] = request_id
  records[#records + 1] = record
  ends.ids[#ends.ids + 1] = request_id
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
  if row.key ~= '' then
    ends.keys[#ends.keys + 1] = { request_id, row }
  end
  if row.state ~= 'D' then
    local entries = ends.entries[row.stream] or {}
    ends.entries[row.stream] = entries
    entries[#entries + 1] = row.entry
    if money_lane(row.stream) then
      ends.paid[#ends.paid + 1] = request_id
    end
  end
  return outbox
end

local function settle_ends()
  for _, kind in ipairs({ 'result', 'failed' }) do
    if #ends[kind] > 0 then
      redis.call('HSET', K[kind], unpack(ends[kind]))
    end
  end
  if #ends.ids > 0 then
    redis.call('HDEL', K.progress, unpack(ends.ids))
    redis.call('HDEL', K.index, unpack(ends.ids))
    if redis.call('EXISTS', K.deadlines) == 1 then
      redis.call('ZREM', K.deadlines, unpack(ends.ids))
    end
  end
  for _, held in ipairs(ends.keys) do
    local request_id, row = held[1], held[2]
    release_key(request_id, row)
    if row.state == 'D' then
      redis.call('ZREM', K.key_wait, wait_member(row, request_id))
    end
  end
  for stream, entries in pairs(ends.entries) do
    drop_entries(stream, entries)
  end
  if #ends.paid > 0 then
    money_release_jobs(ends.paid)
  end
  ends = { result = {}, failed = {}, ids = {}, keys = {}, entries = {}, paid = {} }
end

-- The same at once, for a job in any state.
local function finish(request_id, row, ending)
  local outbox = finish_soon(request_id, row, ending)
  settle_ends()
  if row.state == 'D' then
    redis.call('HDEL', K.delayed, request_id)
    redis.call('ZREM', K.due, request_id)
  end
  return outbox
end
