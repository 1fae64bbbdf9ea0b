-- From a lane back to intake, never to a lane: every limit is checked again at the next move. `home` is the
-- high intake of the job's class, as the move wrote it into the entry. An intake that this caller did not
-- know yet is reached by way of the delayed jobs, due at once. What was reserved for it on its lane is free again.

local function leave_lane(request_id, lane, entry)
  redis.call('HDEL', K.progress, request_id)
  drop_entry(lane, entry)
  if money_lane(lane) then
    money_release_jobs({ request_id })
  end
end

-- Out of the lane into the delayed jobs, for `delay_ms`; afterwards its home decides. `fields` has its `home` and `job`:
-- the entry's, or those that the caller carries.
local function put_off(request_id, row, fields, delay_ms)
  local lane, entry = row.stream, row.entry
  row.state, row.session, row.fence = 'D', '', ''
  row.stream, row.entry, row.reason = fields.home or 'stream', '', 'retry'
  redis.call('HSET', K.delayed, request_id, fields.job)
  redis.call('ZADD', K.due, digits(now_ms() + delay_ms), request_id)
  write_row(request_id, row)
  leave_lane(request_id, lane, entry)
end

local function put_back(request_id, row, fields)
  if not STREAM[fields.home or 'stream'] then
    put_off(request_id, row, fields, 0)
    return
  end
  local lane, entry = row.stream, row.entry
  row.session, row.fence, row.reason = '', '', ''
  row.stream = fields.home or 'stream'
  row.state = 'Q'
  row.entry = add_entry(row.stream, request_id, row.generation, fields.job)
  write_row(request_id, row)
  leave_lane(request_id, lane, entry)
end
