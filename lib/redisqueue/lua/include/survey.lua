-- What the leader must know to decide: how many wait in each intake, how many are in each lane (waiting and
-- running: an entry leaves a lane only when it ends), when the next delayed job is due, and the newest entry
-- of the inlet, so that the leader can wait for the next one without missing it.

local function survey()
  local waiting, held = {}, {}
  for i, name in ipairs(INTAKES) do
    waiting[i] = redis.call('XLEN', STREAM[name])
  end
  for i, name in ipairs(LANES) do
    held[i] = redis.call('XLEN', STREAM[name])
  end
  local due = redis.call('ZRANGE', K.due, 0, 0, 'WITHSCORES')
  local due_in = -1
  if #due > 0 then
    due_in = math.max(0, tonumber(due[2]) - now_ms())
  end
  local newest = STREAM['stream'] and redis.call('XREVRANGE', STREAM['stream'], '+', '-', 'COUNT', 1) or {}
  return { waiting, held, due_in, newest[1] and newest[1][1] or '' }
end
