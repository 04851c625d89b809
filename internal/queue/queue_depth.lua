-- Measures what waits.
--
-- KEYS[1]  sorted set of waiting ids by due time
-- KEYS[2]  sorted set of leased ids by the end of the lease (same hash slot)
-- ARGV[1]  the caller's time
--
-- Returns {count, oldest}. Leases that have ended count as waiting. Oldest is
-- the earliest due time by the caller's clock, or -1 if nothing is due. Times
-- are as in queue_pull.lua.
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local count = redis.call('ZCARD', KEYS[1]) + redis.call('ZCOUNT', KEYS[2], '-inf', now)
local oldest
for _, key in ipairs(KEYS) do
  local head = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
  local due = head[2] and tonumber(head[2])
  if due and due <= now and (not oldest or due < oldest) then
    oldest = due
  end
end
if not oldest then
  return {count, -1}
end
return {count, oldest - (now - ARGV[1])}
