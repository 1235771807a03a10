"""Weakenings of what keeps texts, files and the wire harmless: cases 42 to 50, 59 and 60."""

from __future__ import annotations

from typing import Final

from tests.weakened.weakening import Edit, Weakening

_FIELDS: Final = "tests/unit/auth_api/test_client_fields.py"
_FILES: Final = "tests/unit/shared/test_key_file.py"
_OVER_HTTP: Final = "tests/integration/oauth/"
_WIRE: Final = "tests/integration/test_wire.py"
_SERVICES: Final = "tests/integration/test_wire_of_services.py"
_EDGES: Final = "tests/integration/test_edges_of_all.py"

EDGES: Final[tuple[Weakening, ...]] = (
    Weakening(
        "AC-42",
        "names may hold characters that turn the direction or hide",
        (
            Edit(
                "shared/plain_text.py",
                "        is_control(character) or (is_invisible(character) and not joins(text, index))\n",
                "        is_control(character)\n",
            ),
        ),
        (_FIELDS,),
        "ac_42",
    ),
    Weakening(
        "AC-42",
        "pages do not escape",
        (Edit("services/consent_ui/pages.py", "autoescape=True", "autoescape=False"),),
        ("tests/unit/consent_ui/test_templates.py", "tests/integration/consent_ui/test_edges.py"),
        "strangers",
    ),
    Weakening(
        "AC-43",
        "the name of a file may be a path",
        (
            Edit(
                "shared/key_file.py", "    if _PATH_CHARACTERS.search(filename):\n", "    if not filename:\n"
            ),
        ),
        (_FILES,),
        "ac_43",
    ),
    Weakening(
        "AC-44",
        "a template need not parse as its file name promises",
        (
            Edit(
                "shared/key_file.py",
                "    return format_problem(suffix, content, _SAMPLE_KEY)\n",
                "    return None\n",
            ),
        ),
        (_FILES,),
        "keeps_the_promise",
    ),
    Weakening(
        "AC-45",
        "each press of Create key makes one",
        (
            Edit(
                "services/auth_api/file_keys.py",
                'digest_of(f"file:{command.request_id}")',
                'digest_of(f"file:{command.key}")',
            ),
            Edit(
                "services/auth_api/file_keys.py",
                "lifetime_ms=LIFETIME_MS, decision=decision)",
                "lifetime_ms=LIFETIME_MS, decision=None)",
            ),
        ),
        (f"{_OVER_HTTP}test_consent.py",),
        "ac_45",
    ),
    Weakening(
        "AC-45",
        "reading the keys makes one",
        (
            Edit(
                "services/auth_api/personal_keys.py",
                "    reply = await resources.bus.request(ListKeys(user_id=user_id))\n",
                "    from shared.contracts.sessions import SessionUser\n"
                '    reader = SessionUser(user_id=user_id, username="reader")\n'
                "    await create_key(\n"
                '        resources, reader, identifier="read", permissions=("submit_score",), expires_in=None\n'
                "    )\n"
                "    reply = await resources.bus.request(ListKeys(user_id=user_id))\n",
            ),
        ),
        ("tests/integration/auth_api/test_keys.py",),
        "ac_45",
    ),
    Weakening(
        "AC-46",
        "a template may hold several placeholders",
        (
            Edit(
                "shared/key_file.py",
                "    if len(_PLACEHOLDER.findall(template)) != 1:\n",
                "    if not _PLACEHOLDER.findall(template):\n",
            ),
        ),
        (_FILES,),
        "ac_46",
    ),
    Weakening(
        "AC-46",
        "a template engine fills the file",
        (
            Edit(
                "shared/key_file.py",
                "    return name, template[: match.start(1)] + token + template[match.end(1) :]\n",
                "    import jinja2\n"
                "    filled = template[: match.start(1)] + token + template[match.end(1) :]\n"
                "    return name, jinja2.Template(filled).render()\n",
            ),
        ),
        (_FILES,),
        "ac_46",
    ),
    Weakening(
        "AC-47",
        "a webhook may lead to any address",
        (
            Edit(
                "services/auth_api/client_fields.py",
                'return None if public else "must name a public host"',
                "return None",
            ),
        ),
        (_FIELDS,),
        "ac_47",
    ),
    Weakening(
        "AC-47",
        "what Python calls global is global",
        (Edit("services/auth_api/client_fields.py", " and not _is_translated(address)", ""),),
        (_FIELDS,),
        "ac_47",
    ),
    Weakening(
        "AC-48",
        "NUL and lone surrogates reach the stores",
        (
            Edit(
                "shared/web/body.py",
                '        if "\\0" in value or any("\\ud800" <= character <= "\\udfff" for character in value):\n',
                "        if value is None:\n",
            ),
        ),
        ("tests/unit/shared/test_body.py",),
        "ac_48",
    ),
    Weakening(
        "AC-49",
        "the flight recorder repeats what was sent",
        (
            Edit(
                "services/auth_api/oauth/token_request.py",
                'cause="unsupported grant_type"',
                'cause=f"unsupported grant_type {grant_type}"',
            ),
        ),
        (f"{_OVER_HTTP}test_attempts.py",),
        "ac_49",
    ),
    Weakening(
        "AC-50",
        "the debug log tells the code",
        (
            Edit(
                "services/auth_api/token_exchange.py",
                "    await resources.releases.settled(exchange.code_digest, 0.5)\n",
                "    import structlog\n"
                '    structlog.get_logger().debug("exchange", code=exchange.request.code)\n'
                "    await resources.releases.settled(exchange.code_digest, 0.5)\n",
            ),
        ),
        (f"{_OVER_HTTP}test_wrong_input.py",),
        "ac_50",
    ),
    Weakening(
        "AC-50",
        "sessions are kept under the cookie itself",
        (
            Edit(
                "services/auth_api/sessions.py",
                '"SET", _name(digest_of(session_id)), record, "EX", IDLE_SECONDS)\n',
                '"SET", _name(digest_of(session_id)), record, "EX", IDLE_SECONDS)\n'
                '    await redis.execute("SET", _name(session_id), record, "EX", IDLE_SECONDS)\n',
            ),
        ),
        (f"{_OVER_HTTP}test_wrong_input.py",),
        "ac_50",
    ),
    Weakening(
        "AC-59",
        "half a request may stay as long as it likes",
        (Edit("shared/web/connection.py", "HEAD_SECONDS: Final = 10.0", "HEAD_SECONDS: Final = 1000.0"),),
        (_WIRE,),
        "half_open",
    ),
    Weakening(
        "AC-59",
        "a body may take as long as it likes",
        (
            Edit("shared/web/body.py", "asyncio.timeout(BODY_SECONDS)", "asyncio.timeout(1000)"),
            Edit(
                "services/auth_api/handlers/token.py",
                "    async with asyncio.timeout(ANSWER_SECONDS):\n        parameters",
                "    async with asyncio.timeout(1000):\n        parameters",
            ),
        ),
        (_WIRE,),
        "slow_bodies",
    ),
    Weakening(
        "AC-59",
        "a body may be as long as it likes",
        (Edit("shared/web/body.py", "LARGEST_BODY: Final = 64 * 1024", "LARGEST_BODY: Final = 1 << 40"),),
        (_WIRE,),
        "too_large",
    ),
    Weakening(
        "AC-10",
        "a body that is not in its coding is nobody's error",
        (
            Edit(
                "shared/web/body.py",
                "(web.RequestPayloadError, web.PayloadAccessError,",
                "(web.PayloadAccessError,",
            ),
        ),
        (_SERVICES,),
        "ac_10",
    ),
    Weakening(
        "AC-59",
        "every expectation is aiohttp's to answer",
        (Edit("shared/web/request_guard.py", 'not in ("100-continue", "")', 'in ("nothing",)'),),
        (_SERVICES,),
        "other_expectations",
    ),
    Weakening(
        "AC-59",
        "the last of the transfer codings counts",
        (Edit("shared/web/request_guard.py", '_codings(request) != "chunked"', "not _codings(request)"),),
        (_SERVICES,),
        "other_transfer_codings",
    ),
    Weakening(
        "AC-59",
        "an absolute form must name a host",
        (Edit("shared/web/server.py", "made_soundly(server.request_factory)", "server.request_factory"),),
        (_SERVICES,),
        "absolute_form",
    ),
    Weakening(
        "AC-59",
        "a client that takes nothing of its answer stays connected",
        (Edit("shared/web/connection.py", "TAKING_SECONDS: Final = 20.0", "TAKING_SECONDS: Final = 1000.0"),),
        (_SERVICES,),
        "slow_readers",
    ),
    Weakening(
        "AC-60",
        "answers may be sniffed",
        (Edit("shared/web/edge.py", '"X-Content-Type-Options": "nosniff", ', ""),),
        (_EDGES,),
        "ac_60",
    ),
    Weakening(
        "AC-60",
        "every endpoint is open to pages of other sites",
        (
            Edit(
                "shared/web/edge.py",
                "COMMON_HEADERS: Final = CIMultiDict(\n    {",
                'COMMON_HEADERS: Final = CIMultiDict(\n    {"Access-Control-Allow-Origin": "*", ',
            ),
        ),
        (_EDGES,),
        "cors",
    ),
)
