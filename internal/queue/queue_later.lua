-- Ends the leases of ids and makes them due at exactly the given times.
--
-- KEYS and ARGV are those of queue_push.lua, and so is what it returns.
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local shift = now - ARGV[3]
local head = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
local before = head[2] and tonumber(head[2])
local first

for from = 5, #ARGV, 1000 do
  local to = math.min(from + 999, #ARGV)
  local ids, add = {}, {}
  for i = from, to, 2 do
    local due = math.max(ARGV[i] + shift, 0)
    ids[#ids + 1] = ARGV[i + 1]
    add[#add + 1] = due
    add[#add + 1] = ARGV[i + 1]
    if not first or due < first then
      first = due
    end
  end
  redis.call('ZREM', KEYS[2], unpack(ids))
  redis.call('ZADD', KEYS[1], unpack(add))
end

if first and first < now + ARGV[4] and (not before or first < before) then
  redis.call('PUBLISH', ARGV[1], ARGV[2])
  return 1
end
return 0
