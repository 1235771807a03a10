"""Lua scripts: each moves an entry from one place to another in one step, so that no crash leaves it in both or none."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script and the digest under which Redis keeps it."""

    name: str
    source: str
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        """Computes the digest once."""
        object.__setattr__(self, "sha", hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest())


FINISH: Final = Script(
    "finish",
    """
-- KEYS: stream. ARGV: group, ids… Acknowledges and deletes entries that are done.
local ids = {}
for i = 2, #ARGV do ids[#ids + 1] = ARGV[i] end
redis.call('XACK', KEYS[1], ARGV[1], unpack(ids))
return redis.call('XDEL', KEYS[1], unpack(ids))
""",
)

DELAY: Final = Script(
    "delay",
    """
-- KEYS: stream, delayed. ARGV: group, id, due ms, entry as JSON, whether to delete. Puts an entry aside for a later try.
if redis.call('XACK', KEYS[1], ARGV[1], ARGV[2]) == 0 then return 0 end
if ARGV[5] == '1' then redis.call('XDEL', KEYS[1], ARGV[2]) end
redis.call('ZADD', KEYS[2], ARGV[3], ARGV[4])
return 1
""",
)

RESUME: Final = Script(
    "resume",
    """
-- KEYS: stream, delayed. ARGV: now ms, at most. Puts entries whose time has come back into the stream.
local due = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', ARGV[1], 'LIMIT', 0, tonumber(ARGV[2]))
for _, entry in ipairs(due) do
  redis.call('XADD', KEYS[1], '*', unpack(cjson.decode(entry)))
  redis.call('ZREM', KEYS[2], entry)
end
return #due
""",
)

BURY: Final = Script(
    "bury",
    """
-- KEYS: stream, dead. ARGV: group, id, whether to delete, fields… Moves an entry to the dead letters.
if redis.call('XACK', KEYS[1], ARGV[1], ARGV[2]) == 0 then return 0 end
if ARGV[3] == '1' then redis.call('XDEL', KEYS[1], ARGV[2]) end
local fields = {}
for i = 4, #ARGV do fields[#fields + 1] = ARGV[i] end
redis.call('XADD', KEYS[2], '*', unpack(fields))
return 1
""",
)

REPLAY: Final = Script(
    "replay",
    """
-- KEYS: dead, stream. ARGV: dead id, fields… Puts a dead letter back, once.
if redis.call('XDEL', KEYS[1], ARGV[1]) == 0 then return 0 end
local fields = {}
for i = 2, #ARGV do fields[#fields + 1] = ARGV[i] end
redis.call('XADD', KEYS[2], '*', unpack(fields))
return 1
""",
)

LEAVE: Final = Script(
    "leave",
    """
-- KEYS: stream. ARGV: group, consumer. Removes a consumer that holds nothing.
local info = redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])
for _, consumer in ipairs(info) do
  local name, pending
  for i = 1, #consumer, 2 do
    if consumer[i] == 'name' then name = consumer[i + 1] end
    if consumer[i] == 'pending' then pending = consumer[i + 1] end
  end
  if name == ARGV[2] and pending == 0 then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
    return 1
  end
end
return 0
""",
)
