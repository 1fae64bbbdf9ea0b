-- Callbacks still to be delivered: a stream of what to say, whose entries never change, and a zset of when. A member
-- of the zset is `<entry id> <tries so far> <host[:port] of the URL>`: who puts one off need not read the entry, and
-- only one of two who settle the same try finds its member still there.

local function callback_member(entry, tries, url)
  return entry .. ' ' .. tries .. ' ' .. string.lower(string.match(url, '^%a+://([^/?#]*)') or '')
end

local function leave_callback(request_id, generation, ending, record)
  local entry = redis.call('XADD', K.outbox_callback, '*', 'id', request_id, 'generation', generation,
    'fence', ending.fence, 'status', ending.status, 'url', ending.callback, 'record', record)
  redis.call('ZADD', K.callback_due, digits(now_ms()), callback_member(entry, '0', ending.callback))
end

-- Entry id, tries and host of a member; nil for one that somebody else put there.
local function read_member(member)
  return string.match(member, '^(%d+%-%d+) (%d+) (.*)$')
end
