-- Forgets ids, in one step, so that none can change sets meanwhile.
--
-- KEYS[1]  sorted set of waiting ids
-- KEYS[2]  sorted set of leased ids (same hash slot)
-- ARGV     ids, up to 1000
for from = 1, #ARGV, 500 do
  local to = math.min(from + 499, #ARGV)
  redis.call('ZREM', KEYS[1], unpack(ARGV, from, to))
  redis.call('ZREM', KEYS[2], unpack(ARGV, from, to))
end
return 0
