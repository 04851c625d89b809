-- Takes or renews a lock.
--
-- KEYS[1]  the lock: its value is the owner
-- ARGV[1]  owner
-- ARGV[2]  lease in milliseconds
--
-- Returns 1 when the owner has it, 0 when somebody else does.
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
