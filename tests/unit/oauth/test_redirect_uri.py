"""Redirect URIs: byte-exact comparison (RFC 9700 §2.1), the loopback port (RFC 8252 §7.3), and what may be registered."""

from __future__ import annotations

import pytest

from services.auth_api.oauth.redirect_uri import explain_mismatch, fault_of_redirect_uri, match_redirect_uri

REGISTERED = "https://client.example/cb"

FOREIGN = [
    "https://client.example/cb/",
    "https://client.example/CB",
    "https://CLIENT.example/cb",
    "http://client.example/cb",
    "https://client.example:443/cb",
    "https://client.example./cb",
    "https://client.example/cb?",
    "https://client.example/cb?x=1",
    "https://client.example/cb#",
    "https://client.example/cb#x",
    "https://client.example/cb%23x",
    "https://client.example/cb;evil=1",
    "https://client.example/cb/..",
    "https://client.example/cb/../evil",
    "https://client.example/cb/%2e%2e/evil",
    "https://client.example/cb/..;/evil",
    "https://client.example/%63b",
    "https://client.example/cb%00",
    "https://client.example/cb%0d%0aX:1",
    "https://client.example/cb ",
    "\thttps://client.example/cb",
    "https://client.example@evil.com/cb",
    "https://a@client.example/cb",
    "https://client.example%40evil.com/cb",
    "https://a@b@client.example/cb",
    "https://client.example\\@evil.com/cb",
    "https://client.example.evil.com/cb",
    "https://evil.com/?u=https://client.example/cb",
    "https://evil.com#@client.example/cb",
    "//client.example/cb",
    "https:client.example/cb",
    "javascript:alert(1)//https://client.example/cb",
    "data:text/html,x",
    "https://cIient.example/cb",
    "https://xn--client-9ua.example/cb",
    "https://client.example/c",
    "",
    "*",
    "https://*.example/cb",
]
"""The vectors of abuse case 16, and more of the kind."""

ALLOWED = [
    "https://client.example/cb",
    "https://client.example",
    "https://client.example:8443/cb;p=1?a=%2F&b=1+2&c=%7e&e=",
    "https://[2001:db8::1]/cb",
    "http://127.0.0.1/cb",
    "http://127.0.0.1:8000/cb",
    "http://[::1]:8000/cb",
    "http://localhost:3000/",
    "com.example.app:/oauth2redirect",
    "com.example.app://callback",
    "https://client.example/cb?codes=1&mystate=2",
]
"""Web, native and desktop clients find a form that is allowed."""

FORBIDDEN = [
    ("", "empty"),
    ("javascript:alert(1)", "https"),
    ("JaVaScRiPt:alert(1)", "https"),
    ("java\tscript:alert(1)", "characters"),
    ("\x01javascript:alert(1)", "characters"),
    ("data:text/html,x", "https"),
    ("vbscript:x", "https"),
    ("blob:https://client.example/1", "https"),
    ("file:///etc/passwd", "https"),
    ("http://client.example/cb", "http only on"),
    ("http://127.0.0.1.evil.com/cb", "http only on"),
    ("http://127.0.0.2/cb", "http only on"),
    ("//x", "absolute"),
    ("/cb", "absolute"),
    ("app.co:80", "https"),
    ("myapp:/cb", "https"),
    ("https://", "host"),
    ("https:///cb", "host"),
    ("https:client.example/cb", "//"),
    ("https:/client.example/cb", "//"),
    ("https://client.example/cb#", "fragment"),
    ("https://client.example/cb#x", "fragment"),
    ("https://*.client.example/cb", "*"),
    ("https://client.example/*", "*"),
    ("https://user@client.example/cb", "user name"),
    ("https://user:pw@client.example/cb", "user name"),
    ("com.example.app://user@host/cb", "user name"),
    ("https://good.com\\@evil.com/", "characters"),
    ("https://client.example/c b", "characters"),
    ("https://client.example/é", "characters"),
    ("https://client.example/\r\nX: 1", "characters"),
    ("https://client.example/%zz", "%"),
    ("https://client.example/%4", "%"),
    ("https://client.example:0/cb", "port"),
    ("https://client.example:65536/cb", "port"),
    ("https://client..example/cb", "well-formed"),
    ("https://-client.example/cb", "well-formed"),
    ("https://" + "a" * 64 + ".example/cb", "well-formed"),
    ("https://" + "a." * 124 + "example/cb", "well-formed"),
    ("https://client.example/a/../b", "path segment"),
    ("https://client.example/a/%2E%2e/b", "path segment"),
    ("https://client.example/" + "a" * 2000, "longer"),
]
"""A URI, and what its refusal names (abuse case 18)."""

RESERVED = [
    "code=evil",
    "state=x",
    "iss=x",
    "context=1",
    "error=y",
    "error_description=z",
    "error_uri=u",
    "a=1&code=evil",
    "CODE=evil",
    "c%6Fde=evil",
    "a=1;code=evil",
    "code",
]
"""Queries that bring a parameter of ours with them (abuse case 19)."""


@pytest.mark.spec("RFC 9700", "2.1", "Redirect URIs are compared byte for byte")
@pytest.mark.parametrize("requested", FOREIGN)
def test_ac_16_anything_but_the_registered_bytes_is_refused(requested: str) -> None:
    """A redirect URI that differs in a single byte is none of the client's."""
    assert match_redirect_uri([REGISTERED], requested) is None
    assert explain_mismatch([REGISTERED], requested).startswith("redirect_uri")


@pytest.mark.spec("RFC 6749", "3.1.2.3", "One of several registered redirect URIs is accepted")
def test_each_registered_uri_is_accepted() -> None:
    """A client with several redirect URIs may use any of them."""
    uris = [REGISTERED, "https://client.example/other?a=%2F&b=1+2"]
    assert [match_redirect_uri(uris, uri) for uri in uris] == uris


@pytest.mark.spec("RFC 8252", "7.3", "Any port is accepted on the loopback address")
@pytest.mark.parametrize(
    ("registered", "requested"),
    [
        ("http://127.0.0.1/cb", "http://127.0.0.1:51004/cb"),
        ("http://127.0.0.1:1/cb", "http://127.0.0.1/cb"),
        ("http://127.0.0.1:8000/cb?x=%2f", "http://127.0.0.1:65535/cb?x=%2f"),
        ("http://[::1]/cb", "http://[::1]:1024/cb"),
        ("http://127.0.0.1", "http://127.0.0.1:9000"),
    ],
)
def test_ac_24_a_loopback_address_may_use_any_port(registered: str, requested: str) -> None:
    """A native app listens on whichever port is free."""
    assert match_redirect_uri([registered], requested) == requested


@pytest.mark.spec("RFC 8252", "7.3", "Nothing but the port may differ on the loopback address")
@pytest.mark.parametrize(
    "requested",
    [
        "http://[::1]:8000/cb",
        "http://localhost:8000/cb",
        "http://127.0.0.2:8000/cb",
        "http://a@127.0.0.1:8000/cb",
        "http://127.0.0.1:8000/cb/",
        "http://127.0.0.1:8000/CB",
        "http://127.0.0.1:8000/cb?x",
        "http://127.0.0.1:8000/cb#x",
        "http://127.0.0.1.evil.com/cb",
        "http://127.0.0.1:8000@evil.com/cb",
        "http://127.0.0.1:evil.com/cb",
        "http://127.0.0.1:0/cb",
        "http://127.0.0.1:65536/cb",
        "http://127.0.0.1:٨٠/cb",
        "http://127.0.0.1:80\n/cb",
        "https://127.0.0.1:8000/cb",
        "http://127.1:8000/cb",
        "http://2130706433:8000/cb",
    ],
)
def test_ac_24_nothing_else_of_a_loopback_address_may_differ(requested: str) -> None:
    """Host, path, query and scheme stay byte-exact."""
    assert match_redirect_uri(["http://127.0.0.1/cb"], requested) is None


@pytest.mark.spec("RFC 8252", "8.3", "localhost is a name: its port stays as registered")
def test_localhost_keeps_its_registered_port() -> None:
    """Only the addresses are sure to be this machine."""
    assert match_redirect_uri(["http://localhost:3000/cb"], "http://localhost:3001/cb") is None
    assert match_redirect_uri(["http://localhost:3000/cb"], "http://localhost:3000/cb") is not None


@pytest.mark.spec("RFC 8252", "7", "https, loopback http and private-use schemes may be registered")
@pytest.mark.parametrize(
    "uri",
    ALLOWED,
)
def test_what_may_be_registered(uri: str) -> None:
    """Web, native and desktop clients find a form that is allowed."""
    assert fault_of_redirect_uri(uri) is None


@pytest.mark.spec("RFC 6749", "3.1.2", "A redirect URI is absolute and has no fragment")
@pytest.mark.spec("RFC 8252", "7.1", "Everything outside the allow-list of schemes is refused")
@pytest.mark.parametrize(
    ("uri", "named"),
    FORBIDDEN,
)
def test_ac_18_what_must_not_be_registered(uri: str, named: str) -> None:
    """The refusal names the rule that is broken."""
    fault = fault_of_redirect_uri(uri)
    assert fault is not None
    assert named in fault


@pytest.mark.spec("RFC 9207", "2", "A registered URI cannot bring parameters of the response with it")
@pytest.mark.parametrize(
    "query",
    RESERVED,
)
def test_ac_19_reserved_parameters_cannot_be_registered(query: str) -> None:
    """What we append must be the only one of its name."""
    fault = fault_of_redirect_uri(f"https://client.example/cb?{query}")
    assert fault is not None
    assert "query parameter" in fault


def test_a_mismatch_is_explained_to_the_author() -> None:
    """The activity log names the difference."""
    explained = {
        "https://client.example/cb/": "trailing slash",
        "https://client.example/CB": "upper and lower case",
        "http://client.example/cb": "http instead of https",
        "https://client.example/cb?x=1": "its query",
        "https://client.example/%63b": "percent-encoding",
        "https://client.example:8443/cb": "the port",
    }
    explained["https://client.example/cb" + "%" * 16_000] = "longer than 2000 characters"
    for requested, difference in explained.items():
        assert difference in explain_mismatch([REGISTERED], requested)
