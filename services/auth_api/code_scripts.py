"""The Lua scripts around one-time codes; each is one decision that no second request can split.

A code is a hash: ``record`` (JSON, never changed), ``state`` (empty while it can be redeemed, else ``spent``,
``replaced``, ``pending`` or ``denied``), ``attempts``, ``expires_on`` (by the clock of Redis, so that replicas of
ours need not agree), and of the running or last attempt ``message``, ``key_id`` and ``until``: when it is over.
"""

from __future__ import annotations

from typing import Final

from shared.bus import Script

_NOW: Final = """
    local time = redis.call('TIME')
    local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

# What began at or before one of the revocation marks, of user, client and grant, is dead.
_MARKS: Final = """
    local function withdrawn(begun_on, user, client, grant)
        local marks = redis.call('MGET', user, client, grant)
        for i = 1, 3 do
            if marks[i] and tonumber(marks[i]) >= tonumber(begun_on) then return true end
        end
        return false
    end
"""

# Marks the code of KEYS[1] spent by an attempt.
_SPEND: Final = """
    local function spend(attempt, message, key_id, over_on, tombstone)
        redis.call('HSET', KEYS[1], 'state', 'spent', 'attempts', attempt, 'message', message, 'key_id', key_id,
            'until', over_on)
        redis.call('PEXPIRE', KEYS[1], tombstone)
    end
"""

# KEYS: mark. ARGV: time, lifetime. Marking twice for the same time changes nothing.
VOID: Final = Script(
    "code_void",
    """
    local mark = math.max(tonumber(ARGV[1]), tonumber(redis.call('GET', KEYS[1]) or '0'))
    redis.call('SET', KEYS[1], string.format('%.0f', mark), 'PX', ARGV[2])
    return 1
    """,
)

# KEYS: code, three marks [, decision, code given before].
# ARGV: record, lifetime, tombstone, when the request was shown [, decision seen, new decision, its lifetime].
STORE: Final = Script(
    "code_store",
    _MARKS
    + _NOW
    + """
    if KEYS[5] then
        if (redis.call('GET', KEYS[5]) or '') ~= ARGV[5] then return 'decided' end
        if ARGV[5] ~= '' and redis.call('HGET', KEYS[6], 'state') == 'spent' then return 'spent' end
    end
    if withdrawn(ARGV[4], KEYS[2], KEYS[3], KEYS[4]) then return 'withdrawn' end
    if KEYS[6] and KEYS[6] ~= KEYS[1] and redis.call('EXISTS', KEYS[6]) == 1 then
        redis.call('HSET', KEYS[6], 'state', 'replaced')
    end
    redis.call('HSET', KEYS[1], 'record', ARGV[1], 'state', '', 'attempts', 0,
        'expires_on', string.format('%.0f', now + ARGV[2]))
    redis.call('PEXPIRE', KEYS[1], ARGV[2] + ARGV[3])
    if KEYS[5] then redis.call('SET', KEYS[5], ARGV[6], 'PX', ARGV[7]) end
    return 'stored'
    """,
)

# KEYS: code, three marks, command stream [, retry]. ARGV: attempt, when the person consented, message id,
# tombstone, key id, fingerprint, deadline, retry lifetime, then the fields of the command.
REDEEM: Final = Script(
    "code_redeem",
    _MARKS
    + _NOW
    + _SPEND
    + """
    if KEYS[6] and redis.call('EXISTS', KEYS[6]) == 1 then return 'running' end
    local code = redis.call('HMGET', KEYS[1], 'state', 'attempts', 'expires_on')
    if not code[1] then return 'gone' end
    if code[1] ~= '' then return code[1] end
    if tonumber(code[3]) <= now then return 'expired' end
    if withdrawn(ARGV[2], KEYS[2], KEYS[3], KEYS[4]) then return 'withdrawn' end
    if tonumber(code[2]) + 1 ~= tonumber(ARGV[1]) then return 'changed' end
    spend(ARGV[1], ARGV[3], ARGV[5], ARGV[7], ARGV[4])
    if KEYS[6] then
        redis.call('HSET', KEYS[6], 'fingerprint', ARGV[6], 'attempt', ARGV[1], 'deadline', ARGV[7], 'done', 0)
        redis.call('PEXPIRE', KEYS[6], ARGV[8])
    end
    redis.call('XADD', KEYS[5], '*', unpack(ARGV, 9))
    return 'ok'
    """,
)

# The usual exchange in one step: the code is spent if it is good and was given for just what the request says; its
# record is the answer, false where anything is else: then nothing is changed, and whoever asks reads the code and judges.
# KEYS: code, command stream; the marks, in the same slot, follow from the record. ARGV: client id, redirect URI, challenge
# of the verifier (both empty where not sent), field of mismatches, most of them, message id, tombstone, key id, deadline,
# what all keys here begin with, the first members of the command's body, the client's name (both JSON), and the fields
# of the command but its body.
REDEEM_UNREAD: Final = Script(
    "code_redeem_unread",
    _MARKS
    + _NOW
    + _SPEND
    + """
    local code = redis.call('HMGET', KEYS[1], 'state', 'attempts', 'expires_on', ARGV[4], 'record')
    if code[1] ~= '' or tonumber(code[3]) <= now then return false end
    if tonumber(code[4] or '0') >= tonumber(ARGV[5]) then return false end
    local record = cjson.decode(code[5])
    local function text(name)
        local found = record[name]
        return type(found) == 'string' and found or ''
    end
    if record.kind ~= 'code' or record.client_id ~= ARGV[1] or #record.permissions == 0 then return false end
    if ARGV[2] == '' and record.redirect_uri_sent then return false end
    if ARGV[2] ~= '' and text('redirect_uri') ~= ARGV[2] then return false end
    if text('challenge') ~= ARGV[3] then return false end

    local user, on = string.format('%.0f', record.user_id), string.format('%.0f', record.consented_on)
    local void = ARGV[10] .. ':void:'
    if withdrawn(record.consented_on, void .. 'user:' .. user, void .. 'client:' .. ARGV[1],
        void .. 'grant:' .. user .. ':' .. ARGV[1]) then return false end

    local attempt = string.format('%.0f', tonumber(code[2]) + 1)
    spend(attempt, ARGV[6], ARGV[8], ARGV[9], ARGV[7])
    local label = text('label')
    local fields = {unpack(ARGV, 13)}
    fields[#fields + 1] = 'd'
    fields[#fields + 1] = '{' .. ARGV[11] .. ',"attempt":' .. attempt .. ',"user_id":' .. user
        .. ',"username":' .. cjson.encode(record.username)
        .. ',"identifier":' .. (label ~= '' and cjson.encode(label) or ARGV[12])
        .. ',"permissions":' .. cjson.encode(record.permissions)
        .. ',"consented_on":' .. on .. ',"origin":"code","shown":false}'
    redis.call('XADD', KEYS[2], '*', unpack(fields))
    return code[5]
    """,
)

# KEYS: code [, retry]. ARGV: message id, tombstone.
RELEASE: Final = Script(
    "code_release",
    _NOW
    + """
    local code = redis.call('HMGET', KEYS[1], 'state', 'message', 'expires_on')
    if code[1] ~= 'spent' or code[2] ~= ARGV[1] then return 0 end
    redis.call('HSET', KEYS[1], 'state', '')
    redis.call('PEXPIRE', KEYS[1], math.max(tonumber(code[3]) - now, 0) + ARGV[2])
    if KEYS[2] then redis.call('DEL', KEYS[2]) end
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

NOTE_MISMATCH: Final = Script(
    "code_note_mismatch",
    """
    if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
    return redis.call('HINCRBY', KEYS[1], ARGV[1], 1)
    """,
)

# KEYS: code. ARGV: record, lifetime, tombstone.
DEVICE_START: Final = Script(
    "device_start",
    _NOW
    + """
    redis.call('HSET', KEYS[1], 'record', ARGV[1], 'state', 'pending', 'attempts', 0,
        'expires_on', string.format('%.0f', now + ARGV[2]))
    redis.call('PEXPIRE', KEYS[1], ARGV[2] + ARGV[3])
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

# KEYS: code, three marks. ARGV: new state, when the request was shown, its id, record.
DEVICE_DECIDE: Final = Script(
    "device_decide",
    _MARKS
    + _NOW
    + """
    local code = redis.call('HMGET', KEYS[1], 'state', 'expires_on', 'decided', 'decided_by')
    if not code[1] or tonumber(code[2]) <= now then return 'gone' end
    if code[1] ~= 'pending' then
        if code[3] == ARGV[1] and code[4] == ARGV[3] then return 'done' end
        return 'decided'
    end
    if withdrawn(ARGV[2], KEYS[2], KEYS[3], KEYS[4]) then return 'withdrawn' end
    redis.call('HSET', KEYS[1], 'state', ARGV[1], 'decided', ARGV[1], 'decided_by', ARGV[3], 'record', ARGV[4])
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

# KEYS: pushed request. ARGV: how long it lives once a browser has brought it.
PUSHED_OPEN: Final = Script(
    "pushed_open",
    """
    local request = redis.call('HGET', KEYS[1], 'request')
    if request and redis.call('HSETNX', KEYS[1], 'opened', 1) == 1 then
        redis.call('PEXPIRE', KEYS[1], ARGV[1])
    end
    return request
    """,
)

# KEYS: pushed request. ARGV: request, lifetime.
PUSHED_STORE: Final = Script(
    "pushed_store",
    """
    redis.call('HSET', KEYS[1], 'request', ARGV[1])
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
    return 1
    """,
)
