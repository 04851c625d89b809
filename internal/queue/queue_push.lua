-- Makes ids due. Ids that wait keep the earlier time; leased ids are left alone.
--
-- KEYS[1]  sorted set of waiting ids by due time
-- KEYS[2]  sorted set of leased ids by the end of the lease (same hash slot)
-- ARGV[1]  channel of wake-ups
-- ARGV[2]  who pushes: the message on that channel
-- ARGV[3]  the caller's time
-- ARGV[4]  microseconds that a waiting puller sleeps at most
-- ARGV[5]  due time, ARGV[6] id, and so on, up to 1000 pairs
--
-- Times are as in queue_pull.lua. Returns 1 when it has published a wake-up,
-- which it does only if a sleeping puller would otherwise be late: when an id
-- is due before all others and before the sleep ends.
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local shift = now - ARGV[3]
local head = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
local before = head[2] and tonumber(head[2])
local first

for from = 5, #ARGV, 1000 do
  local to = math.min(from + 999, #ARGV)
  local ids = {}
  for i = from, to, 2 do
    ids[#ids + 1] = ARGV[i + 1]
  end
  local leased = redis.call('ZMSCORE', KEYS[2], unpack(ids))
  local add = {}
  for k, id in ipairs(ids) do
    if not leased[k] then
      local due = math.max(ARGV[from + 2 * k - 2] + shift, 0)
      add[#add + 1] = due
      add[#add + 1] = id
      if not first or due < first then
        first = due
      end
    end
  end
  if #add > 0 then
    redis.call('ZADD', KEYS[1], 'LT', unpack(add))
  end
end

if first and first < now + ARGV[4] and (not before or first < before) then
  redis.call('PUBLISH', ARGV[1], ARGV[2])
  return 1
end
return 0
