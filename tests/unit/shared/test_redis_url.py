"""Addresses of Redis."""

from __future__ import annotations

import pytest

from shared.redis.url import RedisAddress, parse_redis_url


@pytest.mark.parametrize(
    ("url", "address", "login"),
    [
        ("redis://", RedisAddress(), None),
        ("redis://h:1/2", RedisAddress("h", 1, database=2), None),
        ("redis://:p%40ss@h", RedisAddress("h", password="p@ss"), ("AUTH", "p@ss")),
        ("redis://u:p@[::1]:7/0", RedisAddress("::1", 7, username="u", password="p"), ("AUTH", "u", "p")),
        ("unix:///run/r.sock?db=3", RedisAddress(path="/run/r.sock", database=3), None),
        ("unix://:p@/run/r.sock", RedisAddress(path="/run/r.sock", password="p"), ("AUTH", "p")),
        ("redis+cluster://h:1", RedisAddress("h", 1, cluster=True), None),
    ],
)
def test_a_url_is_taken_apart(url: str, address: RedisAddress, login: tuple[str, ...] | None) -> None:
    """Host, port, database, credentials (percent-decoded), or the path of a socket."""
    assert parse_redis_url(url) == (address,)
    assert address.login() == login


def test_a_cluster_is_some_of_its_nodes_with_one_login() -> None:
    """The others are learned from them."""
    assert parse_redis_url("redis+cluster://u:p@a:1,b:2") == (
        RedisAddress("a", 1, username="u", password="p", cluster=True),
        RedisAddress("b", 2, username="u", password="p", cluster=True),
    )


def test_sentinels_are_asked_with_a_login_of_their_own() -> None:
    """And name a server that gets Redis's."""
    first, second = parse_redis_url(
        "redis+sentinel://u:p@a,b:2/main%2D1/3?sentinel_username=watch&sentinel_password=w"
    )
    assert (first.host, first.port, first.primary) == ("a", 26379, "main-1")
    assert (second.host, second.port, second.primary) == ("b", 2, "main-1")
    assert first.sentinel().login() == ("AUTH", "watch", "w")
    assert first.sentinel().database == 0
    assert first.named("c", 6) == RedisAddress("c", 6, database=3, username="u", password="p")
    (open_to_all,) = parse_redis_url("redis+sentinel://:p@a/main")
    assert open_to_all.sentinel().login() is None
    assert open_to_all.named("c", 6).login() == ("AUTH", "p")


def test_rediss_means_tls_with_a_checked_certificate() -> None:
    """The name of the host is verified."""
    context = parse_redis_url("rediss://h")[0].tls
    assert context is not None
    assert context.check_hostname


@pytest.mark.parametrize(
    "url",
    [
        "",
        "h:6379",
        "http://h",
        "redis+sentinel://h",
        "redis+sentinel://u:secret@h,i/?sentinel_password=x",
        "redis+sentinel://h/main/x",
        "redis://h/x",
        "redis://h:port",
        "unix:///r?db=x",
        "redis://a,b",
        "redis:6379",
        " redis://h",
        "unix+cluster:///r",
        "redis+sentinel:///main",
        "redis://[::1/0",
        "redis://h/0?passwort=secret",
        "redis+sentinel://h/main?sentinel_pasword=secret",
        "unix:///r?database=3",
    ],
)
def test_what_is_no_redis_url_is_refused_without_repeating_it(url: str) -> None:
    """It may hold a password."""
    with pytest.raises(ValueError, match=r"Redis URL|[Pp]ort") as raised:
        parse_redis_url(url)
    assert "secret" not in str(raised.value)


def test_a_password_is_not_shown() -> None:
    """Not in logs, not in traces."""
    assert "secret" not in repr(parse_redis_url("redis://u:secret@h"))
    assert "secret" not in repr(parse_redis_url("redis+sentinel://u:secret@h/m?sentinel_password=secret"))


@pytest.mark.parametrize(
    "url",
    ["redis://user:secret/word@h", "redis+sentinel://user:secret/word@h/n", "redis://user:secret#word@h"],
)
def test_a_password_that_cuts_the_address_short_is_not_repeated(url: str) -> None:
    """What is taken for a port then is its beginning; the message goes into logs."""
    with pytest.raises(ValueError, match="port of a Redis URL") as raised:
        parse_redis_url(url)
    assert "secret" not in str(raised.value)


def test_the_login_of_the_sentinels_is_decoded_like_that_of_redis() -> None:
    """A plus sign stays one."""
    (address,) = parse_redis_url("redis+sentinel://u:a+b%2F@h/n?sentinel_username=s&sentinel_password=c+d%26")
    assert address.login() == ("AUTH", "u", "a+b/")
    assert address.sentinel().login() == ("AUTH", "s", "c+d&")
