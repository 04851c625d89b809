-- Leases due ids, the longest due first.
--
-- KEYS[1]  sorted set of waiting ids by due time
-- KEYS[2]  sorted set of leased ids by the end of the lease (same hash slot)
-- ARGV[1]  how many ids at most, up to 1000
-- ARGV[2]  lease in microseconds
-- ARGV[3]  the caller's time
-- ARGV[4]  how many ended leases to take back at most, up to 1000
--
-- Times are Unix microseconds. The sets are kept by the clock of the server;
-- times that go in or out are shifted by its difference to the caller's clock.
--
-- Returns {next, id, due, id, due, ...}: next is in how many microseconds
-- something will be due, -1 if nothing waits; it means nothing when ids follow.
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local shift = now - ARGV[3]

local function add(key, pairs)
  for i = 1, #pairs, 1000 do
    redis.call('ZADD', key, unpack(pairs, i, math.min(i + 999, #pairs)))
  end
end

local ended = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'WITHSCORES', 'LIMIT', 0, ARGV[4])
if #ended > 0 then
  local back = {}
  for i = 1, #ended, 2 do
    back[i], back[i + 1] = ended[i + 1], ended[i]
  end
  add(KEYS[1], back)
  redis.call('ZREMRANGEBYRANK', KEYS[2], 0, #ended / 2 - 1)
end

local reply = {-1}
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'WITHSCORES', 'LIMIT', 0, ARGV[1])
if #due > 0 then
  local lease = {}
  for i = 1, #due, 2 do
    lease[i], lease[i + 1] = now + ARGV[2], due[i]
    reply[i + 1], reply[i + 2] = due[i], due[i + 1] - shift
  end
  redis.call('ZREMRANGEBYRANK', KEYS[1], 0, #due / 2 - 1)
  add(KEYS[2], lease)
  return reply
end

for _, key in ipairs(KEYS) do
  local head = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
  if head[2] then
    local wait = math.max(head[2] - now, 0)
    if reply[1] < 0 or wait < reply[1] then
      reply[1] = wait
    end
  end
end
return reply
