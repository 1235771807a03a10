"""The configuration: all wrong values at once, secrets masked, files as twins."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from shared.environment import ConfigurationError
from shared.settings import load_settings
from tests.harness.leak_partner import Partner, published

SECRET = "s" * 32


def test_defaults_need_nothing() -> None:
    """An empty environment is a valid configuration for what needs no store."""
    settings = load_settings({})
    assert (settings.code_ttl_seconds, settings.sign_up, settings.key_prefix) == (60, "open", "lk")


def test_every_wrong_value_is_reported_together() -> None:
    """Name, expected form and given value of each; a secret only by its length."""
    with pytest.raises(ConfigurationError) as wrong:
        load_settings(
            {
                "LATCHKEY_PUBLIC_URL": "https://a.example/path",
                "LATCHKEY_SECRET": "hunter2",
                "LATCHKEY_CODE_TTL_SECONDS": "601",
                "LATCHKEY_SIGN_UP": "maybe",
            },
            need=frozenset({"redis_url"}),
        )
    text = str(wrong.value)
    for name in ("PUBLIC_URL", "SECRET", "CODE_TTL_SECONDS", "SIGN_UP", "REDIS_URL"):
        assert f"LATCHKEY_{name}" in text
    assert "hunter2" not in text
    assert "7 bytes" in text


@pytest.mark.parametrize("text", ["١٢", "1_0", " 12", "+12", "0", "1e2", "12.0"])
def test_numbers_are_plain_ascii_digits(text: str) -> None:
    """What ``int()`` forgives is refused."""
    with pytest.raises(ConfigurationError):
        load_settings({"LATCHKEY_CODE_TTL_SECONDS": text})


@pytest.mark.parametrize(
    "url",
    [
        "keys.example.com",
        "ftp://a.example",
        "https://a.example/x",
        "https://u@a.example",
        "https://",
        "https://a?b",
        "https://a..example",
        "https://" + "a" * 64 + ".example",
        "https://" + "a." * 124 + "example",
    ],
)
def test_a_public_url_is_an_origin(url: str) -> None:
    """Path, query, user and other schemes are refused: links and the issuer are built from it."""
    with pytest.raises(ConfigurationError):
        load_settings({"LATCHKEY_PUBLIC_URL": url})


@pytest.mark.parametrize(
    ("url", "origin", "secure"),
    [
        ("https://a.example/", "https://a.example", True),
        ("https://a.example:443", "https://a.example", True),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080", False),
        ("http://[::1]:8080", "http://[::1]:8080", False),
    ],
)
def test_the_origin_is_written_as_browsers_write_it(url: str, origin: str, *, secure: bool) -> None:
    """Default ports are left out, the trailing slash is gone."""
    settings = load_settings({"LATCHKEY_PUBLIC_URL": url})
    assert (settings.origin, settings.secure) == (origin, secure)
    assert settings.origin is settings.origin, "computed once"


@pytest.mark.parametrize(
    "url",
    [
        "redis:6379",
        "redis://cache:port/0",
        "redis://cache:99999/0",
        "redis://cache/main",
        "redis://[::1/0",
        "redis+sentinel://watch:26379",
        "redis+sentinel://watch/main?sentinel_pasword=hunter2",
    ],
)
def test_a_redis_url_that_none_can_follow_is_told_at_the_start(url: str) -> None:
    """With what is wrong in it, and without repeating it."""
    with pytest.raises(
        ConfigurationError, match=r"LATCHKEY_REDIS_URL: expected redis://.*\(.*\); given"
    ) as wrong:
        load_settings({"LATCHKEY_REDIS_URL": url})
    assert "hunter2" not in str(wrong.value)


@pytest.mark.parametrize(
    "url",
    [
        "mysql://database/keys",
        "postgresql://database:port/keys",
        "postgresql://database:99999/keys",
        "postgresql://database:0/keys",
        "postgresql://[::1/keys",
        "postgresql://keys:hunter2/x@database/keys",
        "postgresql://keys:hunter2#x@database/keys",
        "postgresql://keys:hunter2@x@database/keys",
    ],
)
def test_a_database_url_that_none_can_follow_is_told_at_the_start(url: str) -> None:
    """Without repeating it."""
    with pytest.raises(ConfigurationError, match=r"LATCHKEY_DATABASE_URL: expected postgresql://") as wrong:
        load_settings({"LATCHKEY_DATABASE_URL": url})
    assert "hunter2" not in str(wrong.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql:///keys?host=/run/postgresql",
        "postgres://%2Frun%2Fpostgresql/keys",
        "postgresql://keys:p%40ss@[::1]:5432/keys?sslmode=require",
        "postgresql://keys:a:b@first:5432,second/keys?target_session_attrs=read-write",
    ],
)
def test_a_database_url_may_have_any_form_of_libpq(url: str) -> None:
    """Sockets, several hosts, parameters."""
    assert load_settings({"LATCHKEY_DATABASE_URL": url}).auth_api_database_url == url


@pytest.mark.parametrize(
    "url",
    [
        "egress:3128",
        "https://egress:3128",
        "socks5://egress:1080",
        "http://egress",
        "http://egress:0",
        "http://egress:99999",
        "http://egress:3128/path",
        "http://egress:3128?x",
        "http://egress:3128#hunter2",
        "http://u:hunter2/x@egress:3128",
        "http://u:hunter2@x@egress:3128",
        "http://u@egress:3128",
        "http://:hunter2@egress:3128",
        "http://e_gress:3128",
        "http://[::1:3128",
        "http://[hunter2]:3128",
        "http://[::g]:3128",
        "http://egress:3128\n",
        "http://egréss:3128",
    ],
)
def test_a_proxy_that_none_can_go_through_is_told_at_the_start(url: str) -> None:
    """Without repeating it: it may hold a password."""
    with pytest.raises(ConfigurationError, match="LATCHKEY_OUTGOING_PROXY: expected a proxy") as wrong:
        load_settings({"LATCHKEY_OUTGOING_PROXY": url})
    assert "hunter2" not in str(wrong.value)


@pytest.mark.parametrize(
    "url",
    ["http://egress:3128", "http://127.0.0.1:1/", "http://[::1]:65535", "http://u:p%40ss@egress.example:3128", "http://u:@egress:1"],
)  # fmt: skip
def test_a_proxy_may_want_a_password(url: str, tmp_path: Path) -> None:
    """Then it may come from a file, as every secret may."""
    assert load_settings({"LATCHKEY_OUTGOING_PROXY": url}).outgoing_proxy == url
    (tmp_path / "proxy").write_text(url + "\n")
    assert load_settings({"LATCHKEY_OUTGOING_PROXY_FILE": str(tmp_path / "proxy")}).outgoing_proxy == url


def test_inner_targets_are_shut_unless_they_are_opened() -> None:
    """On or off, and nothing that could be taken for either."""
    assert load_settings({}).private_targets is False
    assert load_settings({"LATCHKEY_PRIVATE_TARGETS": "ON"}).private_targets is True
    for text in ("1", "true", "yes", "10.0.0.0/8"):
        with pytest.raises(ConfigurationError, match="LATCHKEY_PRIVATE_TARGETS"):
            load_settings({"LATCHKEY_PRIVATE_TARGETS": text})


def test_a_secret_may_come_from_a_file(tmp_path: Path) -> None:
    """``…_FILE`` is read and stripped; giving both is an error; an unreadable one is named."""
    file = tmp_path / "secret"
    file.write_text(SECRET + "\n")
    assert load_settings({"LATCHKEY_SECRET_FILE": str(file)}).secret == SECRET.encode()
    with pytest.raises(ConfigurationError):
        load_settings({"LATCHKEY_SECRET_FILE": str(file), "LATCHKEY_SECRET": SECRET})
    with pytest.raises(ConfigurationError, match="LATCHKEY_SECRET_FILE"):
        load_settings({"LATCHKEY_SECRET_FILE": str(tmp_path / "absent")}, need=frozenset({"secrets"}))


def test_secrets_and_peppers_rotate() -> None:
    """The newest secret is used, older ones known; the pepper that is named first is the current one."""
    settings = load_settings(
        {"LATCHKEY_SECRET": f"{'n' * 32},{'o' * 32}", "LATCHKEY_KEY_PEPPER": f"1:{'p' * 32},2:{'q' * 32}"}
    )
    assert settings.secret == b"n" * 32
    assert settings.key_peppers == {1: b"p" * 32, 2: b"q" * 32}


def test_one_database_serves_both_services_unless_each_has_its_own() -> None:
    """``DATABASE_URL`` is the fallback of the two."""
    settings = load_settings(
        {"LATCHKEY_DATABASE_URL": "postgresql://a/x", "LATCHKEY_KEY_ISSUER_DATABASE_URL": "postgresql://b/x"}
    )
    assert settings.auth_api_database_url == "postgresql://a/x"
    assert settings.key_issuer_database_url == "postgresql://b/x"


@pytest.mark.parametrize(
    "text",
    [
        "http://api.example/keys",
        "https://",
        "https://a@api.example/",
        "nowhere.json",
        "{broken}",
        "{without_keys}",
        "{other_curve}",
    ],
)
def test_keys_of_a_leak_partner_are_there_or_nothing_starts(tmp_path: Path, text: str) -> None:
    """A file that exists and holds one at least, or an https address."""
    (tmp_path / "broken").write_bytes(b"{")
    (tmp_path / "without").write_bytes(b'{"public_keys": [{"key_identifier": "a", "key": "b"}, 5]}')
    key = generate_private_key(SECP384R1()).public_key()
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    listed = {"public_keys": [{"key_identifier": "a", "key": pem}]}
    (tmp_path / "other").write_text(json.dumps(listed), encoding="utf-8")
    files = {name: tmp_path / name.partition("_")[0] for name in ("broken", "without_keys", "other_curve")}

    with pytest.raises(ConfigurationError, match="LATCHKEY_LEAK_PARTNER_KEYS: expected a file with public"):
        load_settings({"LATCHKEY_LEAK_PARTNER_KEYS": text.format_map(files)})


def test_keys_of_a_leak_partner_are_a_file_or_an_address(tmp_path: Path) -> None:
    """One setting for both."""
    file = tmp_path / "keys.json"
    file.write_bytes(published(Partner()))
    for text, expected in ((str(file), file), ("https://api.example/keys", "https://api.example/keys")):
        assert load_settings({"LATCHKEY_LEAK_PARTNER_KEYS": text}).leak_partner_keys == expected
