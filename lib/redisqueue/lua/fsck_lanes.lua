#!lua flags=allow-oom
--- Looks at entries of lanes that no row names: what an older generation or a hand left there is dropped.
-- KEYS: index rejected
-- STREAMS: lanes
-- ARGV: repair
-- EACH: lane entry
-- REPLY: per finding: kind, request_id or '', detail, 1 repaired or 0
-- INCLUDE: base rows streams
local findings = {}
for i = 1, ROWS do
  local ask = row_args(i)
  local fields = read_entry(ask.lane, ask.entry)
  local row = fields and fields.id and read_row(fields.id)
  if fields and (not row or not is_at(row, ask.lane, ask.entry, fields.gen)) then
    findings[#findings + 1] = {
      'stale_entry', fields.id or '', ask.lane .. ' ' .. ask.entry .. ' is named by no row', repair == '1' and 1 or 0,
    }
    if repair == '1' then
      redis.call('XADD', K.rejected, 'MAXLEN', '~', KEPT, '*', 'why', 'stale', 'source', ask.lane, 'entry', ask.entry,
        'job', fields.job or '')
      drop_entry(ask.lane, ask.entry)
    end
  end
end
return findings
