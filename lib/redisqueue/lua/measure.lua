#!lua flags=allow-oom
--- Adds what jobs took to what is known of their like. A group of them is one field, count|seconds|money|most money|steps:
-- sums per unit of size, and how many fell on each step of a logarithmic scale, as <step>:<count>,… .
-- A group that has `halve_at` counts for half from then on, so that what is new outweighs what was long ago.
-- KEYS: measures
-- ARGV: halve_at
-- EACH: group step seconds micro
-- REPLY: how many were added
local function number(value)
  return string.format('%.10g', value)
end

local function read(group)
  local raw = redis.call('HGET', K.measures, group)
  local count, seconds, micro, most, steps = string.match(raw or '', '^([^|]*)|([^|]*)|([^|]*)|([^|]*)|(.*)$')
  local known = {
    count = tonumber(count) or 0, seconds = tonumber(seconds) or 0, micro = tonumber(micro) or 0,
    most = tonumber(most) or 0, steps = {},
  }
  for step, many in string.gmatch(steps or '', '(-?%d+):([^,]+)') do
    known.steps[step] = tonumber(many)
  end
  return known
end

local function halve(known)
  -- So does what was once very dear: it comes half the way to the mean.
  known.most = (known.most + known.micro / known.count) / 2
  known.count, known.seconds, known.micro = known.count / 2, known.seconds / 2, known.micro / 2
  for step, many in pairs(known.steps) do
    -- What has not been seen for long is forgotten.
    known.steps[step] = many >= 0.1 and many / 2 or nil
  end
end

local function write(group, known)
  local steps = {}
  for step, many in pairs(known.steps) do
    steps[#steps + 1] = step .. ':' .. number(many)
  end
  table.sort(steps)
  redis.call('HSET', K.measures, group, number(known.count) .. '|' .. number(known.seconds) .. '|'
    .. number(known.micro) .. '|' .. number(known.most) .. '|' .. table.concat(steps, ','))
end

local groups = {}
for i = 1, ROWS do
  local ask = row_args(i)
  local known = groups[ask.group] or read(ask.group)
  groups[ask.group] = known
  local micro = tonumber(ask.micro)
  known.count, known.seconds, known.micro = known.count + 1, known.seconds + tonumber(ask.seconds), known.micro + micro
  known.most = math.max(known.most, micro)
  known.steps[ask.step] = (known.steps[ask.step] or 0) + 1
  if known.count >= tonumber(halve_at) then
    halve(known)
  end
end
for group, known in pairs(groups) do
  write(group, known)
end
return ROWS
