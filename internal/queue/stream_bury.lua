-- Deletes consumers that hold no entries. Checking and deleting are one step,
-- because deleting a consumer loses the entries it holds.
--
-- KEYS[1]  stream
-- ARGV[1]  consumer group
-- ARGV[2]  the only consumer to look at, or '' for all
-- ARGV[3]  idle time in milliseconds a consumer must have reached
-- ARGV[4]  how many to delete at most
--
-- Returns how many have been deleted.
local deleted = 0
for _, info in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local c = {}
  for i = 1, #info, 2 do
    c[info[i]] = info[i + 1]
  end
  if (ARGV[2] == '' or ARGV[2] == c.name) and c.pending == 0 and c.idle >= tonumber(ARGV[3]) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], c.name)
    deleted = deleted + 1
    if deleted >= tonumber(ARGV[4]) then
      break
    end
  end
end
return deleted
