-- Gives a lock back, if the owner has it.
--
-- KEYS[1]  the lock: its value is the owner
-- ARGV[1]  owner
--
-- Returns 1 when it had it.
if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return 0
