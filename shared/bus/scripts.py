"""Lua scripts: each moves an entry from one place to another in one step, so that no crash leaves it in both or none.

An entry is moved only by the member that holds it: one that slept while another took its entries over changes nothing.
"""

from __future__ import annotations

from typing import Final

from shared.redis.script import Script

_HELD: Final = """
local function held(stream, group, member, id)
  local found = redis.call('XPENDING', stream, group, id, id, 1)
  return #found == 1 and found[1][2] == member
end
local function body(stream, id)
  local found = redis.call('XRANGE', stream, id, id)
  return found[1] and found[1][2]
end
"""

DELAY: Final = Script(
    "delay",
    _HELD
    + """
-- KEYS: stream, delayed. ARGV: group, member, id, pause in ms. The entry leaves the stream and comes back later.
if not held(KEYS[1], ARGV[1], ARGV[2], ARGV[3]) then return 0 end
local fields = body(KEYS[1], ARGV[3])
redis.call('XACK', KEYS[1], ARGV[1], ARGV[3])
if not fields then return 0 end
redis.call('XDEL', KEYS[1], ARGV[3])
for i = 1, #fields, 2 do
  if fields[i] == 'n' then fields[i + 1] = tostring(math.floor((tonumber(fields[i + 1]) or 1) + 1)) end
end
local time = redis.call('TIME')
local due = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[4]
redis.call('ZADD', KEYS[2], string.format('%.0f', due), cmsgpack.pack({ARGV[3], fields}))
return 1
""",
)

RESUME: Final = Script(
    "resume",
    """#!lua flags=allow-oom
-- KEYS: delayed, stream. ARGV: at most. Puts entries whose time has come back into the stream; how many.
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, tonumber(ARGV[1]))
for _, entry in ipairs(due) do
  redis.call('XADD', KEYS[2], '*', unpack(cmsgpack.unpack(entry)[2]))
  redis.call('ZREM', KEYS[1], entry)
end
return #due
""",
)

DEAD_LETTER: Final = Script(
    "dead_letter",
    _HELD
    + """
-- KEYS: stream, dead. ARGV: group, member, id, whether to delete, then what is told of it. Moves it to the dead letters.
if not held(KEYS[1], ARGV[1], ARGV[2], ARGV[3]) then return 0 end
local fields = body(KEYS[1], ARGV[3])
redis.call('XACK', KEYS[1], ARGV[1], ARGV[3])
if not fields then return 0 end
if ARGV[4] == '1' then redis.call('XDEL', KEYS[1], ARGV[3]) end
local letter = {unpack(ARGV, 5)}
for i = 1, #fields do letter[#letter + 1] = fields[i] end
redis.call('XADD', KEYS[2], '*', unpack(letter))
return 1
""",
)

REPLAY: Final = Script(
    "replay",
    """
-- KEYS: dead, stream. ARGV: dead id, fields… Puts a dead letter back, once.
if redis.call('XDEL', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('XADD', KEYS[2], '*', unpack(ARGV, 2))
return 1
""",
)

HOLD: Final = Script(
    "hold",
    _HELD
    + """
-- KEYS: stream. ARGV: group, member, idle ms, ids… Sets how long these entries count as idle; how many are held still.
local count = 0
for i = 4, #ARGV do
  if held(KEYS[1], ARGV[1], ARGV[2], ARGV[i]) then
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[i], 'IDLE', ARGV[3], 'JUSTID')
    count = count + 1
  end
end
return count
""",
)

LEAVE: Final = Script(
    "leave",
    """
-- KEYS: stream. ARGV: group, member. Removes a member that holds nothing: DELCONSUMER would drop what it holds.
for _, member in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local name, pending
  for i = 1, #member, 2 do
    if member[i] == 'name' then name = member[i + 1] end
    if member[i] == 'pending' then pending = member[i + 1] end
  end
  if name == ARGV[2] and pending == 0 then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
    return 1
  end
end
return 0
""",
)
