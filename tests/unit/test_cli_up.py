"""How `up` configures itself and shares requests out."""

from __future__ import annotations

import re

import pytest
from aiohttp import web

from deploy.all_in_one import service_for
from deploy.cli.init import DEPLOY
from deploy.cli.up import _environment
from services.key_issuer.routes import add_routes

EMBEDDED = {"LATCHKEY_DATABASE_URL": "postgresql://embedded", "LATCHKEY_SECRET": "embedded"}


def test_the_address_is_the_one_given() -> None:
    """`LATCHKEY_PUBLIC_URL` defaults to http://HOST:PORT, an IPv6 host in brackets."""
    assert _environment({}, {}, "127.0.0.1", 8080)["LATCHKEY_PUBLIC_URL"] == "http://127.0.0.1:8080"
    assert _environment({}, {}, "::1", 1)["LATCHKEY_PUBLIC_URL"] == "http://[::1]:1"
    given = {"LATCHKEY_PUBLIC_URL": "https://keys.example.com"}
    assert _environment(given, {}, "0.0.0.0", 8080)["LATCHKEY_PUBLIC_URL"] == "https://keys.example.com"  # noqa: S104


def test_the_data_directory_decides_over_stores_and_secrets() -> None:
    """An `export $(latchkey env)` of another data directory cannot mix two of them; all else is the person's."""
    given = {
        "LATCHKEY_DATABASE_URL": "postgresql://elsewhere",
        "LATCHKEY_AUTH_API_DATABASE_URL": "postgresql://elsewhere",
        "LATCHKEY_SECRET_FILE": "/run/secret",
        "LATCHKEY_SITE_NAME": "Mine",
    }
    environment = _environment(given, EMBEDDED, "127.0.0.1", 8080)
    assert "elsewhere" not in str(environment)
    assert "LATCHKEY_SECRET_FILE" not in environment
    assert environment["LATCHKEY_SITE_NAME"] == "Mine"
    assert environment["LATCHKEY_SECRET"] == "embedded"


@pytest.mark.parametrize(
    ("path", "service"),
    [
        ("/api/v1/verify", "key_issuer"),
        ("/api/v1/status", "key_issuer"),
        ("/api/v1/users/me", "key_issuer"),
        ("/api/v1/users", "auth_api"),
        ("/api/v1/oauth/introspect", "key_issuer"),
        ("/api/v1/keys/report-leak", "key_issuer"),
        ("/api/v1/revocations", "key_issuer"),
        ("/api/v1/verify/", "auth_api"),
        ("/api/v1/keys", "auth_api"),
        ("/api/v1/oauth/token", "auth_api"),
        ("/api", "auth_api"),
        ("/.well-known/oauth-authorization-server", "auth_api"),
        ("/apis", "consent_ui"),
        ("/", "consent_ui"),
        ("/oauth/request-auth", "consent_ui"),
        ("/oauth/authorize", "consent_ui"),
        ("/livez", "operations"),
        ("/readyz", "operations"),
        ("/metrics", "operations"),
    ],
)
def test_paths_go_to_their_service(path: str, service: str) -> None:
    """As the reverse proxy routes them."""
    assert service_for(path) == service


def test_every_proxy_sends_the_paths_of_key_issuer_there() -> None:
    """One process, Caddy and the ingress know the same ones: those of its routes."""
    application = web.Application()
    add_routes(application)
    paths = {resource.canonical for resource in application.router.resources()}
    assert {service_for(path) for path in paths} == {"key_issuer"}
    (caddy,) = re.findall(r"@key_issuer path (.+)", (DEPLOY / "Caddyfile").read_text(encoding="utf-8"))
    assert set(caddy.split()) == paths
    ingress = (DEPLOY / "helm/latchkey/templates/ingress.yaml").read_text(encoding="utf-8")
    (listed,) = re.findall(r"range list (.+) }}\n.*key-issuer", ingress)
    assert {path.strip('"') for path in listed.split()} == paths
