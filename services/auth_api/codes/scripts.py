"""The Lua scripts around one-time codes; each is one decision that no second request can split.

A code is a hash. Fixed when the person consents: ``record`` (JSON), what it is bound to (one field for each name that
a token request is compared with), ``consented_on``, ``circumstances`` and the names of the three watermarks that can
end it (``by_user``, ``by_client``, ``by_grant``). Changing: ``state`` (empty while it can be redeemed, else ``spent``,
``replaced``, ``pending`` or ``denied``), ``expires_on`` (by the clock of Redis, so that replicas need not agree),
``message`` and ``until`` of the last attempt, ``abandoned`` (ids of keys that were ordered and given up, separated by
blanks), ``fence:`` and the id of each message that must not spend it any more, and counts of mismatches.
"""

from __future__ import annotations

from typing import Final

from shared.bus import Script

_NOW: Final = """
    local time = redis.call('TIME')
    local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

# Whether one of three watermarks ends what began then: all up to a watermark is revoked, its own millisecond too.
_WITHDRAWN: Final = """
    local function withdrawn(watermarks, began)
        for _, revoked_before in ipairs(watermarks) do
            if revoked_before and tonumber(revoked_before) >= tonumber(began) then return true end
        end
        return false
    end
"""

# KEYS: code, three watermarks [, decision, code given before].
# ARGV: lifetime, tombstone, when the request was shown, decision seen, new decision, its lifetime, fields of the code.
STORE: Final = Script(
    "code_store",
    _NOW
    + _WITHDRAWN
    + """
    if KEYS[5] then
        if (redis.call('GET', KEYS[5]) or '') ~= ARGV[4] then return 'decided' end
        if ARGV[4] ~= '' and redis.call('HGET', KEYS[6], 'state') == 'spent' then return 'spent' end
    end
    if withdrawn(redis.call('MGET', KEYS[2], KEYS[3], KEYS[4]), ARGV[3]) then return 'withdrawn' end
    if KEYS[6] and KEYS[6] ~= KEYS[1] and redis.call('EXISTS', KEYS[6]) == 1 then
        redis.call('HSET', KEYS[6], 'state', 'replaced')
    end
    redis.call('HSET', KEYS[1], 'state', '', 'expires_on', string.format('%.0f', now + ARGV[1]), unpack(ARGV, 7))
    redis.call('PEXPIRE', KEYS[1], ARGV[1] + ARGV[2])
    if KEYS[5] then redis.call('SET', KEYS[5], ARGV[5], 'PX', ARGV[6]) end
    return 'stored'
    """,
)

# Spends the code and appends the command if each named field of the code has the expected value (an absent one counts
# as empty), its time is not over, the consent stands, and the command is neither late nor fenced off. Otherwise nothing
# is changed, and the answer is the outcome, the record and what the named fields hold.
# KEYS: code, command stream, count of failures [, where the request is remembered for a retry].
# ARGV: deadline, message id, up to when failures may be paid off, whether this is a retry of the attempt that spent the
# code, fingerprint of the request, ids of abandoned keys, how long it is remembered, number of names, names, expected
# values, fields of the command. The command takes the code's record along as the attached field.
REDEEM: Final = Script(
    "code_redeem",
    _NOW
    + _WITHDRAWN
    + """
    local count, fixed = tonumber(ARGV[8]), 6
    local names = {'record', 'expires_on', 'consented_on', 'by_user', 'by_client', 'by_grant'}
    for i = 1, count do names[fixed + i] = ARGV[8 + i] end
    local code = redis.call('HMGET', KEYS[1], unpack(names))
    local marks = redis.call('MGET', KEYS[3], code[4] or KEYS[3], code[5] or KEYS[3], code[6] or KEYS[3])
    if tonumber(marks[1] or '0') > tonumber(ARGV[3]) then return {'throttled', marks[1]} end
    if not code[1] then return {'gone'} end
    if KEYS[4] and ARGV[4] == '' and redis.call('EXISTS', KEYS[4]) == 1 then return {'running'} end

    local function refused(outcome)
        local answer = {outcome, code[1]}
        for i = 1, count do answer[2 + i] = code[fixed + i] or '' end
        return answer
    end
    for i = 1, count do
        if (code[fixed + i] or '') ~= ARGV[8 + count + i] then return refused('different') end
    end
    if ARGV[4] == '' then
        if tonumber(code[2]) <= now then return refused('expired') end
        if withdrawn({marks[2], marks[3], marks[4]}, code[3]) then return refused('withdrawn') end
    end
    if tonumber(ARGV[1]) < now then return {'late'} end

    redis.call('HSET', KEYS[1], 'state', 'spent', 'message', ARGV[2], 'until', ARGV[1])
    if KEYS[4] then
        redis.call('HSET', KEYS[4], 'fingerprint', ARGV[5], 'abandoned', ARGV[6], 'message', ARGV[2],
            'deadline', ARGV[1], 'done', 0)
        redis.call('PEXPIRE', KEYS[4], ARGV[7])
    end
    redis.call('XADD', KEYS[2], '*', 'a', code[1], unpack(ARGV, 9 + 2 * count))
    return {'spent', code[1]}
    """,
)

# Gives the code back if this message is the one that spent it, and says that its key is abandoned. Where the message has
# spent nothing, it never will: a command that overtakes its own giving-up is refused.
# KEYS: code, command stream [, where the request is remembered]. ARGV: message id, key id, fields of the command.
RELEASE: Final = Script(
    "code_release",
    """#!lua flags=allow-oom
    local code = redis.call('HMGET', KEYS[1], 'state', 'message', 'abandoned')
    if not code[1] then return 0 end
    if code[1] ~= 'spent' or code[2] ~= ARGV[1] then
        redis.call('HSET', KEYS[1], 'fence:' .. ARGV[1], 1)
        return 0
    end
    local abandoned = code[3] and code[3] .. ' ' .. ARGV[2] or ARGV[2]
    redis.call('HSET', KEYS[1], 'state', '', 'abandoned', abandoned)
    redis.call('XADD', KEYS[2], '*', unpack(ARGV, 3))
    if KEYS[3] then redis.call('DEL', KEYS[3]) end
    return 1
    """,
)

# KEYS: retry. What has expired meanwhile must not come back, without its fingerprint and for ever.
NOTE_DONE: Final = Script(
    "code_note_done",
    """
    if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
    redis.call('HSET', KEYS[1], 'done', 1)
    return 1
    """,
)

# KEYS: code. ARGV: field.
NOTE_MISMATCH: Final = Script(
    "code_note_mismatch",
    """
    if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
    return redis.call('HINCRBY', KEYS[1], ARGV[1], 1)
    """,
)

# KEYS: watermark. ARGV: time, lifetime. Setting it twice to the same time changes nothing.
REVOKE_BEFORE: Final = Script(
    "revoke_before",
    """#!lua flags=allow-oom
    for _, watermark in ipairs(KEYS) do
        local before = math.max(tonumber(ARGV[1]), tonumber(redis.call('GET', watermark) or '0'))
        redis.call('SET', watermark, string.format('%.0f', before), 'PX', ARGV[2])
    end
    return 1
    """,
)

# KEYS: code. ARGV: lifetime, tombstone, fields of the code.
DEVICE_START: Final = Script(
    "device_start",
    _NOW
    + """
    redis.call('HSET', KEYS[1], 'state', 'pending', 'expires_on', string.format('%.0f', now + ARGV[1]),
        unpack(ARGV, 3))
    redis.call('PEXPIRE', KEYS[1], ARGV[1] + ARGV[2])
    return 1
    """,
)

# KEYS: code. ARGV: most look-ups. Whether a person may be shown it.
DEVICE_LOOK_UP: Final = Script(
    "device_look_up",
    _NOW
    + """
    local code = redis.call('HMGET', KEYS[1], 'state', 'expires_on')
    if code[1] ~= 'pending' or tonumber(code[2]) <= now then return 0 end
    if redis.call('HINCRBY', KEYS[1], 'look_ups', 1) > tonumber(ARGV[1]) then return 0 end
    return 1
    """,
)

# KEYS: code, three watermarks. ARGV: new state, when the request was shown, its id, fields of the code.
DEVICE_DECIDE: Final = Script(
    "device_decide",
    _NOW
    + _WITHDRAWN
    + """
    local code = redis.call('HMGET', KEYS[1], 'state', 'expires_on', 'decided', 'decided_by')
    if not code[1] or tonumber(code[2]) <= now then return 'gone' end
    if code[1] ~= 'pending' then
        if code[3] == ARGV[1] and code[4] == ARGV[3] then return 'done' end
        return 'decided'
    end
    if withdrawn(redis.call('MGET', KEYS[2], KEYS[3], KEYS[4]), ARGV[2]) then return 'withdrawn' end
    redis.call('HSET', KEYS[1], 'state', ARGV[1], 'decided', ARGV[1], 'decided_by', ARGV[3], unpack(ARGV, 4))
    return 'done'
    """,
)

# KEYS: code. ARGV: shortest time between two polls.
DEVICE_POLL: Final = Script(
    "device_poll",
    _NOW
    + """
    local code = redis.call('HMGET', KEYS[1], 'state', 'expires_on', 'polled_on')
    if not code[1] then return 'gone' end
    if code[1] == 'spent' then return 'spent' end
    if tonumber(code[2]) <= now then return 'expired' end
    if code[1] == '' then return 'approved' end
    if code[1] == 'pending' then
        if code[3] and now - tonumber(code[3]) < tonumber(ARGV[1]) then return 'slow_down' end
        redis.call('HSET', KEYS[1], 'polled_on', string.format('%.0f', now))
    end
    return code[1]
    """,
)
