"""What an author may say of a client (interface §3, abuse cases 18, 19, 42, 43, 46, 47)."""

from __future__ import annotations

import time

import pytest

from services.auth_api.clients.validation import check_client_fields, tidied
from shared.contracts.clients import ClientFields

CATALOGUE = ["submit_score", "customise_score"]
GOOD = ClientFields(
    name="Epic Games",
    redirect_uris=("https://epicgames.example.com/callback",),
    requested_permissions=("customise_score",),
)


def faults(**changes: object) -> dict[str, str]:
    """Field → what is wrong with it, for a good registration with these changes."""
    fields = tidied(GOOD.model_copy(update=changes))
    return {
        error.field: error.detail for error in check_client_fields(fields, CATALOGUE, private_targets=False)
    }


def test_the_seeds_client_is_accepted() -> None:
    """The registration of the seed's story has no fault."""
    assert faults() == {}


@pytest.mark.parametrize(
    "name", ["abc", "x" * 80, "Ünï çödé", "数独アプリ", "O'Brien & <Söhne>", "\u0645\u06cc\u200c\u062e\u0648"]
)
def test_names_of_people_and_scripts_are_accepted(name: str) -> None:
    """A name is any visible text of 3 to 80 characters; pages escape it."""
    assert faults(name=name) == {}


@pytest.mark.parametrize(
    "name",
    [
        None,
        "",
        "ab",
        "   a   ",
        "x" * 81,
        "a\u202egro.live",
        "Goo\u200bgle",
        "Goo\u200dgle",
        "line\nbreak",
        "b\x07ll",
        "a\u2066bc",
    ],
)
def test_ac_42_names_that_deceive_are_refused(name: str | None) -> None:
    """Too short, too long, controls, invisible or direction-turning characters: refused, by the field's name."""
    assert list(faults(name=name)) == ["name"]


def test_ac_42_description_and_homepage_are_plain() -> None:
    """A description may have lines but no hidden text; a homepage is http(s) and nothing else."""
    assert faults(description="One.\nTwo.", homepage="http://example.com/a?b=c") == {}
    assert list(faults(description="a\u202eb")) == ["description"]
    assert list(faults(description="x" * 1001)) == ["description"]
    for homepage in (
        "javascript:alert(1)",
        "https://",
        "https://a b",
        "https://u@e.com/",
        "ftp://e.com",
        'https://e.com/"',
    ):
        assert list(faults(homepage=homepage)) == ["homepage"], homepage


@pytest.mark.parametrize(
    "uri",
    [
        "javascript:alert(1)", "JaVaScRiPt:alert(1)", "java\tscript:alert(1)", "\x01javascript:alert(1)", "data:text/html,x",
        "vbscript:x", "blob:https://e.com/x", "file:///etc/passwd", "http://example.com/cb", "//e.com/cb", "app.co:80",
        "https://", "https:///cb", "https://e.com/cb#x", "https://e.com/*", "https://u:p@e.com/cb", "https://e.com/" + "x" * 2001,
        "https://e.com/cb?code=evil", "https://e.com/cb?a=b&state=x", "https://e.com/cb?iss=x", "https://e.com/cb?error=y", "",
    ],
)  # fmt: skip
def test_ac_18_ac_19_redirect_uris_outside_the_allow_list_are_refused(uri: str) -> None:
    """Only https, http on loopback and reverse-DNS schemes, without our own parameters."""
    assert list(faults(redirect_uris=("https://good.example.com/cb", uri))) == ["redirectUris.1"]


def test_redirect_uris_are_at_most_ten_and_none_twice() -> None:
    """Zero to ten, each once; none at all is a client of the file and device flows."""
    uris = tuple(f"https://e.com/{number}" for number in range(11))
    assert faults(redirect_uris=()) == {}
    assert faults(redirect_uris=uris[:10]) == {}
    assert list(faults(redirect_uris=uris)) == ["redirectUris"]
    assert list(faults(redirect_uris=uris[:2] + uris[:1])) == ["redirectUris.2"]


def test_permissions_come_from_the_catalogue() -> None:
    """At least one, each known, none twice."""
    assert list(faults(requested_permissions=())) == ["requestedPermissions"]
    assert list(faults(requested_permissions=("admin",))) == ["requestedPermissions.0"]
    assert list(faults(requested_permissions=("submit_score", "submit_score"))) == ["requestedPermissions.1"]


@pytest.mark.parametrize(
    "uri",
    [
        "http://127.0.0.1:6379", "https://127.0.0.1/", "https://127.1/", "https://2130706433/", "https://0x7f.1/", "https://[::1]/",
        "https://[::ffff:127.0.0.1]/", "https://[64:ff9b::7f00:1]/", "https://[fec0::1]/", "https://[2002:7f00:1::]/",
        "https://100.64.0.1/", "https://169.254.169.254/latest", "https://redis:6379", "https://localhost/", "https://x.internal/",
        "gopher://e.com/", "https://user@e.com/", "https://e.com:0/", "https://e.com:99999/", "https://224.0.0.1/", "e.com",
        "https://192.0.0.192/", "https://[::127.0.0.1]/",
    ],
)  # fmt: skip
def test_ac_47_webhooks_to_inner_addresses_are_refused(uri: str) -> None:
    """What is plainly no public https host is refused already at registration."""
    assert list(faults(webhook_uri=uri)) == ["webhookUri"]


def test_a_webhook_to_a_public_host_is_accepted() -> None:
    """A public name or address, any port."""
    for uri in (
        "https://hooks.example.com/latchkey?x=1",
        "https://hooks.example.com:8443/",
        "https://93.184.215.14/",
    ):
        assert faults(webhook_uri=uri) == {}, uri


def test_the_operator_may_let_webhooks_lead_inside() -> None:
    """With `PRIVATE_TARGETS` to what their own network is, and to nothing else."""
    for uri, expected in (("https://receiver:8443/", []), ("https://169.254.169.254/", ["webhookUri"])):
        fields = GOOD.model_copy(update={"webhook_uri": uri})
        errors = check_client_fields(fields, CATALOGUE, private_targets=True)
        assert [error.field for error in errors] == expected


def test_an_empty_text_is_a_value_like_any_other() -> None:
    """Only a form's input that was left empty is no value, and the page says so itself (interface §3)."""
    fields = ("homepage", "webhook_uri", "api_key_format", "api_key_filename")
    found = [list(faults(**{name: ""})) for name in fields]
    assert found == [["homepage"], ["webhookUri"], ["apiKeyFormat"], ["apiKeyFilename"]]
    assert faults(description="") == {}


@pytest.mark.parametrize(
    "host",
    ["a" * 64 + ".example", ".".join(["a" * 63] * 4) + ".example", "-a.example", "a-.example", "a..example", "a_b.example"],
)  # fmt: skip
def test_hosts_that_no_dns_knows_are_refused(host: str) -> None:
    """Labels of 1 to 63 letters, digits and inner hyphens, 253 characters in all (RFC 1035 §2.3.4)."""
    assert list(faults(homepage=f"https://{host}/")) == ["homepage"]
    assert list(faults(webhook_uri=f"https://{host}/")) == ["webhookUri"]


def test_the_longest_host_is_accepted() -> None:
    """253 characters, with or without the dot of the root."""
    host = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61])
    assert faults(homepage=f"https://{host}/", webhook_uri=f"https://{host}./") == {}


@pytest.mark.parametrize("piece", ["a", "a.", "a-", "-", ".", "1"])
def test_a_host_is_checked_in_one_pass(piece: str) -> None:
    """Twice the letters before one that fits nowhere cost about twice the time: 28 of them once took 16 s."""

    def seconds(length: int) -> float:
        url = f"https://{piece * (length // len(piece))}_"
        fields = GOOD.model_copy(update={"homepage": url, "webhook_uri": url})
        begun = time.process_time()
        for _ in range(50):
            assert check_client_fields(fields, CATALOGUE, private_targets=False)
        return time.process_time() - begun

    assert min(seconds(1800) for _ in range(3)) < 4 * min(seconds(900) for _ in range(3)) + 0.01


def test_every_fault_is_told_at_once() -> None:
    """Nobody has to mend one field to hear of the next."""
    found = faults(
        name="x",
        requested_permissions=(),
        homepage="x",
        webhook_uri="x",
        api_key_filename="a/b",
        api_key_format="x",
    )
    assert list(found) == [
        "name",
        "requestedPermissions",
        "apiKeyFilename",
        "apiKeyFormat",
        "webhookUri",
        "homepage",
    ]
