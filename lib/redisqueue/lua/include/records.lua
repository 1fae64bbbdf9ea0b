-- The head of a terminal record is written here, by the step that knows these values; the rest of the JSON
-- object, the tail, was built in Python and is never decoded.

local HEAD =
  '^{"schema_version":1,"generation":(%d+),"fence":(%d+),"attempt":(%d+),"identity":"([^"]*)","history":"([^"]*)","status":"(%l+)",'

local function record_text(row, ending, history)
  return '{"schema_version":1,"generation":' .. row.generation .. ',"fence":' .. ending.fence
    .. ',"attempt":' .. digits(ending.attempt) .. ',"identity":"' .. row.identity .. '","history":"' .. history
    .. '","status":"' .. ending.status .. '",' .. ending.tail
end

-- The head of a stored record; an empty table when somebody wrote one by hand.
local function read_head(record)
  local generation, fence, attempt, identity, history, status = string.match(record, HEAD)
  return {
    generation = generation, fence = fence, attempt = attempt, identity = identity or '', history = history,
    status = status,
  }
end

local HISTORY = { done = 'history_done', failed = 'history_failed', cancelled = 'history_cancelled' }

-- Takes a terminal record away with its history entry and its expiry.
local function drop_record(request_id, hash, record)
  local head = read_head(record)
  if head.history then
    redis.call('XDEL', K[HISTORY[head.status]], head.history)
  end
  redis.call('HDEL', hash, request_id)
  redis.call('ZREM', K.expiry, request_id)
end
