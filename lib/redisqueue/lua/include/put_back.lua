-- From a lane back to intake, never to a lane: every limit is checked again at the next move. `home` is the
-- high intake of the job's class, as the move wrote it into the entry. An intake that this caller did not
-- know yet is reached by way of the delayed jobs, due at once.

local function put_back(request_id, row, fields)
  local lane, entry = row.stream, row.entry
  row.session, row.fence, row.reason = '', '', ''
  row.stream = fields.home or 'stream'
  if STREAM[row.stream] then
    row.state = 'Q'
    row.entry = add_entry(row.stream, request_id, row.generation, fields.job)
  else
    row.state, row.entry, row.reason = 'D', '', 'retry'
    redis.call('HSET', K.delayed, request_id, fields.job)
    redis.call('ZADD', K.due, digits(now_ms()), request_id)
  end
  write_row(request_id, row)
  redis.call('HDEL', K.progress, request_id)
  drop_entry(lane, entry)
end
