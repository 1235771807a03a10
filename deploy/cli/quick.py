"""Which tests `latchkey test --quick` takes: by the paths of what has changed."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

ALWAYS: Final = ("tests/unit", "tests/architecture")
BROWSER_STORY: Final = "tests/browser/test_connecting.py::test_the_whole_story[script]"
MOST_FILES: Final = 8
"""How many files of integration tests are run at most, so that the answer is there within a minute."""
MAIN_BRANCHES: Final = ("main", "origin/main")

TESTS_OF: Final[dict[str, str]] = {
    "services/auth_api/": "oauth/exchange oauth/consent auth_api/sessions",
    "services/auth_api/accounts/": "auth_api/accounts auth_api/sessions auth_api/operator_commands",
    "services/auth_api/accounts/identities": "auth_api/identities auth_api/login_handoff",
    "services/auth_api/accounts/passwords": "auth_api/sessions auth_api/fair_sign_in",
    "services/auth_api/accounts/password_": "auth_api/account auth_api/password_resets",
    "services/auth_api/audit": "auth_api/audit audit_of_everything",
    "services/auth_api/activity_log": "oauth/attempts",
    "services/auth_api/authorize/": "oauth/authorization_endpoint oauth/consent oauth/changed_meanwhile",
    "services/auth_api/authorize/client_file_flow": "consent_ui/file_flow auth_api/keys",
    "services/auth_api/authorize/pushed_requests": "oauth/pushed_requests",
    "services/auth_api/authorize/pending_requests": "oauth/kept_requests oauth/consent",
    "services/auth_api/clients/": "auth_api/clients auth_api/client_secrets auth_api/client_cache auth_api/console",
    "services/auth_api/clients/authentication": "oauth/abuse_clients",
    "services/auth_api/clients/field_checker": "auth_api/clients auth_api/key_file_templates",
    "services/auth_api/clients/dynamic_registration": "oauth/registration",
    "services/auth_api/codes/": "auth_api/codes oauth/abuse_redeeming oauth/device",
    "services/auth_api/db/": "auth_api/queries releases",
    "services/auth_api/device_flow/": "oauth/device oauth/device_codes_at_rest",
    "services/auth_api/grants/": "auth_api/apps",
    "services/auth_api/handlers/": "oauth/exchange oauth/wrong_input auth_api/clients auth_api/keys auth_api/sessions",
    "services/auth_api/keys/": "auth_api/keys",
    "services/auth_api/oauth/": "oauth/exchange oauth/abuse_token_requests oauth/authorization_endpoint",
    "services/auth_api/oauth/client_registration": "oauth/registration",
    "services/auth_api/oauth/device": "oauth/device",
    "services/auth_api/own_login/": "auth_api/login_handoff auth_api/openid_connect auth_api/linking",
    "shared/web/json_client": "auth_api/provider_connections",
    "services/auth_api/own_login/endings": "auth_api/external_endings",
    "services/auth_api/own_login/oidc_logout": "auth_api/openid_logout",
    "services/auth_api/rate_limit": "auth_api/throttle what_is_kept",
    "services/auth_api/revocation": "auth_api/apps auth_api/accounts",
    "services/auth_api/sessions/": "auth_api/sessions auth_api/session_cap",
    "services/auth_api/token/": "oauth/exchange oauth/abuse_redeeming oauth/abuse_token_requests",
    "services/auth_api/token/idempotency": "oauth/idempotency",
    "services/auth_api/webhooks/": "auth_api/webhooks auth_api/webhook_sending auth_api/webhook_sharing",
    "services/auth_api/webhooks/sender": "auth_api/webhook_keeping",
    "services/auth_api/webhooks/recording": "auth_api/webhook_abuse",
    "services/auth_api/webhooks/keys": "auth_api/webhook_keys",
    "services/auth_api/webhooks/endpoints": "auth_api/webhook_addresses auth_api/clients",
    "services/auth_api/webhooks/console": "auth_api/webhook_sending consent_ui/console_webhooks",
    "services/consent_ui/": "consent_ui/edges consent_ui/consent_page consent_ui/home_and_keys",
    "services/consent_ui/authorization_query": "what_redis_holds consent_ui/consent_page",
    "services/consent_ui/handlers/account": "consent_ui/account_page",
    "services/consent_ui/handlers/client_endings": "consent_ui/console",
    "services/consent_ui/handlers/consent_": "consent_ui/consent_page consent_ui/deciding consent_ui/file_flow",
    "services/consent_ui/handlers/developer": "consent_ui/console consent_ui/snippets",
    "services/consent_ui/handlers/sign_in": "consent_ui/signing_in consent_ui/strangers",
    "services/consent_ui/handlers/webhooks": "consent_ui/console_webhooks",
    "services/consent_ui/templates/client_webhooks": "consent_ui/console_webhooks",
    "services/consent_ui/session": "consent_ui/signing_in consent_ui/strangers",
    "services/consent_ui/templates/sign_in": "consent_ui/signing_in consent_ui/own_login",
    "services/consent_ui/templates/client": "consent_ui/console consent_ui/snippets",
    "services/consent_ui/templates/sign": "consent_ui/signing_in",
    "services/key_issuer/": "key_issuer/service key_issuer/verify",
    "services/key_issuer/changes": "key_issuer/changes key_issuer/rotation key_issuer/key_events",
    "services/key_issuer/client_authentication": "key_issuer/introspect",
    "services/key_issuer/db/": "key_issuer/queries releases",
    "services/key_issuer/expiry": "key_issuer/expiries key_issuer/expiries_kept",
    "services/key_issuer/handlers/": "key_issuer/verify key_issuer/introspect key_issuer/status key_issuer/users_me",
    "services/key_issuer/issu": "key_issuer/issuance key_issuer/abandoned",
    "services/key_issuer/key_reader": "key_issuer/verify key_issuer/fill_races",
    "services/key_issuer/last_use": "key_issuer/last_use",
    "services/key_issuer/handlers/report_leak": "key_issuer/leak_reports key_issuer/status",
    "services/key_issuer/leak_partner": "key_issuer/leak_reports",
    "services/key_issuer/listener": "key_issuer/revocation_stream key_issuer/listeners",
    "services/key_issuer/listing": "key_issuer/listing",
    "services/key_issuer/operators": "key_issuer/listing",
    "services/key_issuer/records": "key_issuer/public_reasons key_issuer/issuance",
    "services/key_issuer/revocation": (
        "key_issuer/revocation key_issuer/unheard_revocations key_issuer/key_events"
        " key_issuer/revocation_stream key_issuer/revocation_stream_faults"
    ),
    "services/key_issuer/rules": "key_issuer/issuance",
    "services/key_issuer/verification": "key_issuer/verify key_issuer/fill_races",
    "shared/": "oauth/exchange consent_ui/consent_page key_issuer/verify",
    "shared/bus/": "bus/commands bus/failing_commands bus/events bus/recovery",
    "shared/bus/outbox": "bus/outbox",
    "shared/bus/status": "bus/operators",
    "shared/bus/dead_letters": "bus/operators bus/failing_commands",
    "shared/bus/stream_tail": "bus/stream_tail",
    "shared/contracts/messages": "bus/commands bus/events bus/outbox",
    "shared/partner_keys": "key_issuer/leak_reports",
    "shared/database": "database",
    "shared/migrations": "releases",
    "shared/purge": "purge",
    "shared/redis/full": "full_redis",
    "shared/redis/": "bus/commands bus/stream_tail bus/broken_logins",
    "shared/web/fetch_errors": "guarded_fetcher",
    "shared/web/guarded_": "guarded_fetcher guarded_fetcher_bounds guarded_fetcher_proxy",
    "shared/web/name_lookups": "guarded_fetcher",
    "shared/web/public_address": "guarded_fetcher auth_api/clients",
    "shared/web/user_header": "auth_api/user_header",
    "shared/web/": "oauth/wrong_input edges_of_all gone_clients",
    "deploy/all_in_one": "all_in_one",
    "deploy/backup/": "",
    "deploy/cli/": "",
    "deploy/doctor/": "doctor",
    "deploy/doctor/openid_provider": "doctor_provider",
    "deploy/doctor/outgoing": "doctor_outgoing",
    "deploy/doctor/standbys": "doctor_standbys",
    "deploy/embedded/": "ports",
    "deploy/entrypoint": "executable",
    "deploy/redis/": "who_may_say_what room_in_redis",
    "latchkey": "executable",
    "tests/harness/forks": "forks",
    "tests/harness/warm": "forks",
}
"""A path, or how it begins → the files of tests/integration that concern it. Of several the longest counts.

What takes longer than a glance (processes that are killed, stores that are away, browsers, containers) is left to
`latchkey test`.
"""


class UnknownChangesError(Exception):
    """There is no git, so nobody knows what has changed."""


def changed_paths(repository: Path) -> list[str]:
    """What differs from where this branch left main, or on main from the last commit; new files too, those in git's ignore not.

    Raises:
        UnknownChangesError: this is no git checkout.
    """
    base = next(
        filter(None, (_git(repository, "merge-base", "HEAD", branch) for branch in MAIN_BRANCHES)), ""
    )
    changed = _git(repository, "diff", "--name-only", base.strip() or "HEAD")
    new = _git(repository, "ls-files", "--others", "--exclude-standard")
    if changed is None or new is None:
        raise UnknownChangesError
    return sorted({*changed.splitlines(), *new.splitlines()})


def integration_tests_of(paths: Iterable[str], repository: Path) -> list[str]:
    """The files of integration tests that changed paths concern, each once: first those that have changed themselves."""
    paths = list(paths)
    own = [path for path in paths if path.startswith("tests/integration/") and "/test_" in path]
    concerned = [file for path in paths for file in _tests_of(path)]
    return [file for file in dict.fromkeys((*own, *concerned)) if (repository / file).is_file()]


def _tests_of(path: str) -> Iterator[str]:
    beginning = max((each for each in TESTS_OF if path.startswith(each)), key=len, default=None)
    for name in TESTS_OF[beginning].split() if beginning else ():
        folder, _, stem = name.rpartition("/")
        yield "/".join(filter(None, ("tests/integration", folder, f"test_{stem}.py")))


def _git(repository: Path, *arguments: str) -> str | None:
    """What git prints; ``None`` where it fails, or is not there."""
    try:
        ended = subprocess.run(
            ["git", *arguments],  # noqa: S607 - the one that the person works with
            cwd=repository,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return None
    return None if ended.returncode else ended.stdout
