-- Measures a stream without fetching bodies.
--
-- KEYS[1]  stream
-- ARGV[1]  the caller's time, Unix milliseconds
--
-- Returns {entries, oldest}: the number of entries that have not been
-- acknowledged, and when the oldest was appended in Unix milliseconds of the
-- caller's clock, or -1 if there is none.
local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)
if #first == 0 then
  return {0, -1}
end
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local at = tonumber(string.match(first[1][1], '^%d+'))
return {redis.call('XLEN', KEYS[1]), at - (now - ARGV[1])}
