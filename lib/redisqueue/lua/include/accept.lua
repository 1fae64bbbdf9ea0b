-- One request for an id, from a submit or an adoption: duplicate, already finished, conflict, key busy, or a
-- new generation. `ask` = {request_id, identity, job, intake, due_ms, key, on_conflict, attempt, mode, fence},
-- mode 'new', 'replace' (terminal with other content begins anew) or 'again' (a failed record whose fence is
-- `expected` begins anew). With `fresh` the caller has seen that nothing is known of the id. Returns code, stream id,
-- attempt; the caller adds `accepted` to the counter at its end.

local accepted = 0

local function earlier(ask)
  local row = read_row(ask.request_id)
  if row then
    local same = row.identity == ask.identity
    return (same or ask.mode == 'again') and 'duplicate_request' or 'conflict', row.entry, row.attempt
  end
  local hash = K.result
  local record = redis.call('HGET', hash, ask.request_id)
  if not record then
    hash = K.failed
    record = redis.call('HGET', hash, ask.request_id)
    if not record then
      return ask.mode == 'again' and 'not_found' or nil
    end
  end
  local head = read_head(record)
  if ask.mode == 'again' then
    if hash ~= K.failed or head.fence ~= ask.expected then
      return 'changed', '', 0
    end
    return nil, hash, record
  end
  local lost = head.identity == 'lost'
  if head.identity ~= ask.identity and (not lost or ask.mode == 'replace') then
    if ask.mode == 'replace' then
      return nil, hash, record
    end
    return 'conflict', '', 0
  end
  return 'already_' .. (head.status or (hash == K.result and 'done' or 'failed')), '', tonumber(head.attempt) or 0
end

local function accept(ask)
  local code, where, detail
  if not ask.fresh then
    code, where, detail = earlier(ask)
  end
  if code then
    return code, where or '', detail or 0
  end
  local row = {
    state = 'Q', generation = ask.fence, attempt = ask.attempt, deaths = 0, crashes = 0,
    stream = ask.intake, entry = '', identity = ask.identity, session = '', fence = '', reason = '',
    key = ask.key,
  }
  local held = take_key(ask.request_id, row)
  if not held and ask.on_conflict ~= 'queue' then
    return 'key_busy', '', 0
  end
  if where then
    drop_record(ask.request_id, where, detail)
  else
    accepted = accepted + 1
  end
  local now = now_ms()
  if not held then
    redis.call('HSET', K.delayed, ask.request_id, ask.job)
    wait_for_key(ask.request_id, row, ask.due_ms > now and ask.due_ms or 0)
    return 'queued', '', row.attempt
  end
  if ask.due_ms > now then
    row.state, row.reason = 'D', 'run_after'
    redis.call('HSET', K.delayed, ask.request_id, ask.job)
    redis.call('ZADD', K.due, digits(ask.due_ms), ask.request_id)
  else
    row.entry = add_entry(row.stream, ask.request_id, row.generation, ask.job)
  end
  write_row(ask.request_id, row)
  return 'queued', row.entry, row.attempt
end

local function count_accepted()
  if accepted > 0 then
    redis.call('HINCRBY', K.counters, 'accepted', accepted)
  end
end
