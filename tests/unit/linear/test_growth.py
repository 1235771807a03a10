"""Everything that strangers may send is read in time linear in it, and nothing of ours reads it unmeasured."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, Final

import pytest
from pydantic import BaseModel

from services.auth_api.oauth.errors import OAuthError
from shared.web.body import validated
from shared.web.failures import Problem
from tests.harness.growth import grows_too_fast
from tests.harness.processes import REPOSITORY
from tests.unit.linear.cases import CASES, Case
from tests.unit.linear.heaps import HEAPS, MODELS, Heap
from tests.unit.linear.pumps import PIECES, repeated
from tests.unit.linear.text_functions import Function, functions_that_read


def reading(read: Callable[[Any], object], given: object) -> None:
    """Reads it; a refusal is as good as an answer."""
    with suppress(Problem, OAuthError, ValueError):
        read(given)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_text_is_read_in_time_that_grows_with_its_length(case: Case) -> None:
    """Twice as long twice over: not more than about four times the work, whatever it is full of."""
    slow = {}
    for head in case.heads:
        for piece in PIECES:
            for tail in case.tails:
                make = partial(repeated, head, piece, tail)
                fault = grows_too_fast(make, partial(reading, case.read), case.longest)
                if fault is not None:
                    slow[head, piece, tail] = fault
    assert slow == {}


@pytest.mark.parametrize("heap", HEAPS, ids=lambda heap: heap.name)
def test_many_things_are_read_in_time_that_grows_with_their_number(heap: Heap) -> None:
    """The same for members, pairs, names, lines."""
    assert grows_too_fast(heap.make, partial(reading, heap.read), heap.most) is None


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_no_body_takes_a_list_without_a_bound(model: type[BaseModel]) -> None:
    """Twenty thousand entries are wrong in every field, and after the last that may be none is looked at."""
    for name, field in model.model_fields.items():
        with pytest.raises(Problem) as refused:
            validated(model, {field.alias or name: ["a"] * 20_000})
        about = [
            error.detail for error in refused.value.failure.errors if error.field == (field.alias or name)
        ]
        assert about, name


FEW: Final = ("a", "0", "%41", "%ff", "é", "A&", "")
"""Pieces that between them enter every reader."""
OWN_MODULES: Final = {
    "shared/redis/": "what Redis answers",
    "shared/bus/": "frames that our own services wrote",
    "shared/settings.py": "the operator's configuration",
    "shared/pauses.py": "the operator's configuration",
    "shared/environment.py": "the operator's configuration",
    "shared/telemetry/logs.py": "our own log lines",
    "shared/telemetry/tracing.py": "the operator's configuration",
    "shared/database.py": "our own queries",
    "shared/migrations.py": "our own migrations",
    "shared/permissions.py": "the operator's catalogue",
    "shared/failpoints.py": "a test's own words",
    "shared/purge.py": "what PostgreSQL answers",
    "shared/contracts/": "messages of our own services, at most 64 KiB and read by pydantic alone",
    "shared/web/server.py": "our own readiness",
    "shared/web/cross_origin.py": "our own routes",
    "shared/secret_tokens.py": "our own randomness",
    "services/consent_ui/assets.py": "our own stylesheet",
    "services/consent_ui/handlers/public.py": "our own description",
    "services/auth_api/handlers/metadata.py": "our own description",
    "services/key_issuer/issuance.py": "orders that our own service wrote, and rows",
    "services/key_issuer/consumer.py": "our own table of handlers",
    "services/key_issuer/key_reader.py": "rows",
    "services/key_issuer/last_use.py": "rows",
    "services/key_issuer/listener": "our own events, and the service keys of those who were let in",
    "services/key_issuer/listing.py": "rows",
    "services/key_issuer/operators.py": "what an operator types",
    "services/key_issuer/records.py": "rows",
    "shared/documents.py": "names of our own fields",
}
"""Where nothing that a stranger wrote is taken apart, and whose words are."""
OWN: Final[dict[str, str]] = {
    "shared/web/guarded_connections.py resolve": "addresses that the system's look-up gives",
    "services/auth_api/accounts/service.py _verified": "a username that username_problem would pass, and a row",
    "services/auth_api/activity_log.py _unpacked": "our own record",
    "services/auth_api/authorize/consent.py is_stale": "our own record and the client's",
    "services/auth_api/authorize/prepare.py _consent_page": "permissions that were checked, and a row",
    "services/auth_api/clients/cache.py _ageing": "our own table",
    "services/auth_api/clients/model.py client_of": "a row",
    "services/auth_api/clients/model.py view": "a row",
    "services/auth_api/clients/registry.py update_client": "the fields of a model, measured as ClientChanges and _client_fields",
    "services/auth_api/device_flow/device_codes.py look_up": "our own record, by a code that normalise_user_code made",
    "services/auth_api/grants/connected_apps.py list_apps": "rows",
    "services/auth_api/grants/connected_apps.py _app": "rows",
    "services/auth_api/handlers/clients.py create": "the fields of a model, measured as NewClient and _client_fields",
    "services/auth_api/handlers/keys.py change": "the fields of a model, measured as KeyChanges",
    "services/auth_api/handlers/keys.py _personal": "a name of 80 characters at most",
    "services/auth_api/handlers/keys.py _key_id": "an id, measured as that of a cursor",
    "services/auth_api/handlers/session.py hand_session": "a header of which 120 characters are kept",
    "services/auth_api/handlers/token.py token": "a header for read_idempotency_key",
    "services/auth_api/keys/commands.py _fitting": "our own order",
    "services/auth_api/keys/personal_keys.py rotate_key": "our own order",
    "services/auth_api/oauth/authorization_code.py check_still_allowed": "our own record and the client's",
    "services/auth_api/oauth/authorization_code.py from_bytes": "our own record",
    "services/auth_api/own_login/endings.py end_external_people": "ids of 255 characters, and rows",
    "services/auth_api/own_login/handoff.py arrive": "our own record, by texts that are measured where they are read",
    "services/auth_api/own_login/oidc_provider.py _discover": "what the operator's provider answers, 512 KB at most",
    "services/auth_api/own_login/oidc_sign_in.py arrive": "a state that is measured as such",
    "services/auth_api/own_login/oidc_tokens.py check_id_token": "claims that the provider has signed",
    "services/auth_api/sessions/account_sessions.py end_other_sessions": "our own record",
    "services/auth_api/sessions/account_sessions.py list_sessions": "our own records, and rows",
    "services/auth_api/sessions/account_sessions.py network_of": "a row",
    "services/auth_api/sessions/service.py _end_oldest": "our own records",
    "services/auth_api/sessions/service.py end_session": "our own record",
    "services/auth_api/sessions/service.py read_session": "our own record",
    "services/consent_ui/handlers/account.py _errors_in": "words that are looked up, among 200 pairs at most",
    "services/consent_ui/handlers/account.py ask_new_password": "a token of 64 characters at most",
    "services/consent_ui/handlers/account.py show_account": "a word that is looked up",
    "services/auth_api/webhooks/recording.py record_changed_keys": "messages of our own, and rows",
    "services/auth_api/webhooks/sender.py _count": "our own table",
    "services/auth_api/webhooks/sender.py _trim": "what PostgreSQL answers",
    "services/auth_api/token/exchange.py _redeem": "our own record",
    "services/auth_api/token/redeem.py to_command": "our own record",
    "services/consent_ui/handlers/consent_decision.py _answer": "a field for read_target",
    "services/consent_ui/handlers/developer.py list_clients": "a word that is looked up",
    "services/consent_ui/handlers/developer.py show_client": "a word that is looked up",
    "services/consent_ui/handlers/home.py home": "a word that is looked up",
    "services/consent_ui/handlers/keys.py show_key": "a word that is looked up",
    "services/consent_ui/handlers/sign_in.py _form_page": "words that are looked up, among 200 pairs at most",
    "services/key_issuer/changes.py _refusal": "the fields of a model, measured as KeyChanges",
    "services/key_issuer/changes.py _applied": "the fields of a model, measured as KeyChanges",
    "services/key_issuer/changes.py _successor": "a row",
    "services/key_issuer/changes.py work": "our own words for four kinds of changes",
    "services/key_issuer/db/repository.py append_narrowed": "a row",
    "services/key_issuer/handlers/report_leak.py _take_list": "the tokens of a report, measured as such",
    "services/key_issuer/handlers/report_leak.py report_leak": "the text of a model, measured as LeakReport",
    "services/key_issuer/handlers/revocations.py revocations": "a header that is looked up as it is",
    "services/key_issuer/handlers/verify.py verify": "a query for wanted_permissions",
    "shared/partner_keys.py _listed": "what the operator's partner publishes",
    "shared/web/body.py _read_chunks": "bytes that are only joined, as many as may come",
    "shared/web/edge.py traced": "headers for a tracer",
    "shared/web/json_client.py ask": "what the operator's provider answers, 512 KB at most",
    "shared/web/json_client.py basic_authorization": "the operator's own words",
}
"""The same for single functions."""


def test_every_function_that_takes_text_apart_is_measured() -> None:
    """A new parser needs a case that reaches it, or a line that says whose text it reads."""
    with entered() as functions:
        for case in CASES:
            for head in case.heads:
                for piece in FEW:
                    reading(
                        case.read, repeated(head, piece, "", min(case.longest, len(head) + 3 * len(piece)))
                    )
        for heap in HEAPS:
            reading(heap.read, heap.make(3))
    unmeasured = {
        f"{Path(path).relative_to(REPOSITORY)} {name}"
        for path, name, line in strangers_functions()
        if (path, name, line) not in functions
    }
    assert sorted(unmeasured - OWN.keys()) == []
    assert sorted(OWN.keys() - unmeasured) == []


def strangers_functions() -> Iterator[Function]:
    """All that take text apart, outside of ``OWN_MODULES``."""
    for package in ("services", "shared"):
        for path in sorted((REPOSITORY / package).rglob("*.py")):
            if not str(path.relative_to(REPOSITORY)).startswith(tuple(OWN_MODULES)):
                yield from functions_that_read(path)


@contextmanager
def entered() -> Iterator[set[Function]]:
    """The functions that are called meanwhile."""
    seen: set[Function] = set()

    def note(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call":
            code = frame.f_code
            seen.add((code.co_filename, code.co_name, code.co_firstlineno))

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield seen
    finally:
        sys.setprofile(before)
