-- Removes entries that have been worked off, from the group and the stream in
-- one step: an entry removed from the group alone would stay in the stream for
-- ever.
--
-- KEYS[1]  stream
-- ARGV[1]  consumer group
-- ARGV[2]  entry id, and so on, up to 1000
for from = 2, #ARGV, 500 do
  local to = math.min(from + 499, #ARGV)
  redis.call('XACK', KEYS[1], ARGV[1], unpack(ARGV, from, to))
  redis.call('XDEL', KEYS[1], unpack(ARGV, from, to))
end
return 0
