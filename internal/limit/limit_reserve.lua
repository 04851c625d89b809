-- Reserves slots, request by request, as slots.go says.
--
-- KEYS     the limits, all in one hash slot: each a text of decimal numbers with
--          spaces between, its theoretical arrival time and its marks, in Unix
--          microseconds of this server
-- ARGV[1]  how many marks a limit may have
-- then, for each key: spacing and tolerance in microseconds
-- then, for each request: tokens, horizon in microseconds, number of limits, and
--          the index of each of them in KEYS
--
-- Returns for each request three numbers: 1 or 0, the microseconds to the slot,
-- and which of its limits made it that far, from 0.
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local most = tonumber(ARGV[1])

local states = {}
for i, key in ipairs(KEYS) do
  local s = {
    tat = 0, marks = {}, dirty = false,
    spacing = tonumber(ARGV[2 * i]), tolerance = tonumber(ARGV[2 * i + 1]),
  }
  local first = true
  for n in string.gmatch(redis.call('GET', key) or '', '%d+') do
    if first then
      s.tat, first = tonumber(n), false
    else
      s.marks[#s.marks + 1] = tonumber(n)
    end
  end
  states[i] = s
end

-- Whether marks from one on keep their places after an arrival time.
local function fits(s, tat, from)
  for i = from, #s.marks do
    local mark = s.marks[i]
    if tat <= mark then
      return true
    end
    if tat - s.tolerance > mark then
      return false
    end
    tat = tat + s.spacing
  end
  return true
end

-- The first time from at on with a slot for n; the arrival time with the marks
-- before it charged; and how many these are.
local function next_slot(s, at, n)
  local tat, passed = s.tat, 0
  while true do
    local slot = math.max(at, tat + (n - 1) * s.spacing - s.tolerance)
    local mark = s.marks[passed + 1]
    if not mark or mark > slot and fits(s, math.max(tat, slot) + n * s.spacing, passed + 1) then
      return slot, tat, passed
    end
    tat = math.max(tat, mark) + s.spacing
    passed = passed + 1
  end
end

local function drop(marks, n)
  for _ = 1, n do
    table.remove(marks, 1)
  end
end

local function take(s, slot, n)
  s.dirty = true
  local first, tat, passed = next_slot(s, now, n)
  if first == slot then
    s.tat = math.max(tat, slot) + n * s.spacing
    drop(s.marks, passed)
    return
  end
  local i = 1
  while s.marks[i] and s.marks[i] < slot do
    i = i + 1
  end
  table.insert(s.marks, i, slot)
  if #s.marks > most then
    s.tat = math.max(s.tat, s.marks[1]) + s.spacing
    drop(s.marks, 1)
  end
end

local reply = {}
local a = 2 * #KEYS + 2
while ARGV[a] do
  local n, horizon, count = tonumber(ARGV[a]), tonumber(ARGV[a + 1]), tonumber(ARGV[a + 2])
  local slot, by, ok, settled = now, 0, 1, false
  while not settled and ok == 1 do
    settled = true
    for i = 1, count do
      local at = next_slot(states[tonumber(ARGV[a + 2 + i])], slot, math.max(n, 1))
      if at > slot then
        slot, by, settled = at, i - 1, false
      end
    end
    if slot - now > horizon then
      ok = 0
    end
  end
  if ok == 1 and n > 0 then
    for i = 1, count do
      take(states[tonumber(ARGV[a + 2 + i])], slot, n)
    end
  end
  reply[#reply + 1] = ok
  reply[#reply + 1] = slot - now
  reply[#reply + 1] = by
  a = a + 3 + count
end

for i, key in ipairs(KEYS) do
  local s = states[i]
  if s.dirty then
    local text = string.format('%.0f', s.tat)
    local last = s.tat
    for _, mark in ipairs(s.marks) do
      text = text .. string.format(' %.0f', mark)
      last = math.max(last, mark)
    end
    -- A second more than it matters.
    redis.call('SET', key, text, 'PX', string.format('%.0f', math.max(math.ceil((last - now) / 1000), 0) + 1000))
  end
end
return reply
