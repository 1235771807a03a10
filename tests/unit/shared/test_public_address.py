"""Which addresses that users give may be called (interface §5, abuse case 47)."""

from __future__ import annotations

import socket
from typing import Final

import pytest

from shared.web.public_address import fault_of_address, fault_of_web_address, is_public

INNER: Final = [
    # What PRIVATE_TARGETS opens.
    "https://127.0.0.1/",
    "https://127.255.255.254:8443/",
    "https://10.0.0.1/",
    "https://172.16.0.1/",
    "https://172.31.255.255/",
    "https://192.168.1.1/",
    "https://100.64.0.1/",
    "https://100.127.255.255/",
    "https://[::1]/",
    "https://[0:0:0:0:0:0:0:1]/",
    "https://[fc00::1]/",
    "https://[fdff::1]/",
    "https://redis:6379",
    "https://localhost/",
    "https://LOCALHOST./",
    "https://a.localhost/",
    "https://x.internal/",
    "https://x.internal./",
    "https://hook.default.svc.cluster.local/",
    "https://printer.home.arpa/",
    "https://nas.lan/",
]
SHUT: Final = [
    # IPv4 that leads nowhere outside, and metadata of clouds
    "https://0.0.0.0/",
    "https://0.1.2.3/",
    "https://169.254.169.254/latest/meta-data/",
    "https://192.0.0.192/",
    "https://192.0.0.8/",
    "https://192.0.2.1/",
    "https://192.88.99.1/",
    "https://198.18.0.1/",
    "https://198.19.255.255/",
    "https://198.51.100.7/",
    "https://203.0.113.9/",
    "https://224.0.0.1/",
    "https://239.255.255.250/",
    "https://240.0.0.1/",
    "https://255.255.255.255/",
    "https://100.100.100.200/",
    "https://168.63.129.16/",
    "https://[fd00:ec2::254]/",
    "https://[fd20:ce::254]/",
    # odd spellings of IPv4: short, decimal, octal, hexadecimal, mixed, with dots behind them
    "https://127.1/",
    "https://127.0.1/",
    "https://0/",
    "https://2130706433/",
    "https://017700000001/",
    "https://0177.0.0.1/",
    "https://0x7f000001/",
    "https://0x7f.0.0.1/",
    "https://0x7f.1/",
    "https://127.0.0.0x1/",
    "https://127.0.0.1./",
    "https://127.0.0.1../",
    "https://127.0.0.01/",
    "https://256.256.256.256/",
    "https://1.2.3/",
    "https://a.127/",
    # IPv4 inside IPv6
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://[0:0:0:0:0:ffff:10.0.0.1]/",
    "https://[::ffff:93.184.215.14]/",
    "https://[::127.0.0.1]/",
    "https://[::7f00:1]/",
    "https://[::ffff:0:127.0.0.1]/",
    "https://[64:ff9b::7f00:1]/",
    "https://[64:ff9b::93.184.215.14]/",
    "https://[64:ff9b:1::10.0.0.1]/",
    "https://[2002:7f00:1::]/",
    "https://[2002:5db8:d70e::1]/",
    "https://[2001:0:53aa:64c:0:0:80ff:fffe]/",
    "https://[2a00:1450::5efe:10.0.0.1]/",
    "https://[2a00:1450::200:5efe:7f00:1]/",
    # IPv6 that leads nowhere outside
    "https://[::]/",
    "https://[fe80::1]/",
    "https://[fec0::1]/",
    "https://[ff02::1]/",
    "https://[100::1]/",
    "https://[2001:2::1]/",
    "https://[2001:10::1]/",
    "https://[2001:20::1]/",
    "https://[2001:db8::1]/",
    "https://[3fff::1]/",
    "https://[5f00::1]/",
    "https://[4000::1]/",
    # zones, futures, an IPv4 address in brackets
    "https://[fe80::1%eth0]/",
    "https://[fe80::1%25eth0]/",
    "https://[2a00:1450::1%25eth0]/",
    "https://[v1.fe80::a]/",
    "https://[127.0.0.1]/",
    "https://[::1/",
    "https://::1/",
    "https://[]/",
    # what programs read differently
    "https://user@example.com/",
    "https://user:password@example.com/",
    "https://example.com@127.0.0.1/",
    "https://@127.0.0.1/",
    "https://example.com:443@10.0.0.1/",
    "https://example.com\\@127.0.0.1/",
    "https://127.0.0.1\\.example.com/",
    "https:\\\\127.0.0.1/",
    "https://example.com\t.evil/",
    "https://exam\nple.com/",
    " https://example.com/",
    "https://example.com /",
    "https://127%2e0%2e0%2e1/",
    "https://%31%32%37.0.0.1/",
    "https://example.com%2f@127.0.0.1/",
    "https://example.com%00.evil/",
    "https://example.com\0.evil/",
    "https://１２７.0.0.1/",  # noqa: RUF001 - digits of full width
    "https://①②⑦.⓪.⓪.①/",
    "https://127。0。0。1/",
    "https://ⓛocalhost/",
    "https://müller.example/",
    "https://example.com\N{COMBINING ENCLOSING CIRCLE}/",
    "https:///etc/passwd",
    "https:/example.com/",
    "https:example.com",
    "https://?x",
    "https://#x",
    "//example.com/",
    # other schemes, ports that are none, names that DNS cannot know
    "http://example.com/",
    "HTTP://example.com/",
    "gopher://example.com:70/",
    "file:///etc/passwd",
    "ftp://example.com/",
    "unix:/var/run/docker.sock",
    "javascript:alert(1)",
    "https://example.com:0/",
    "https://example.com:65536/",
    "https://example.com:99999999999/",
    "https://example.com:/",
    "https://example.com:-1/",
    "https://example.com:0x50/",
    "https://example.com:80:443/",
    "https://.example.com/",
    "https://example..com/",
    "https://example.com../",
    "https://-a.example/",
    "https://a_b.example/",
    "https://a*.example/",
    "https://" + "a" * 64 + ".example/",
    "https://" + ".".join(["a" * 63] * 4) + ".example/",
    "https://example.com/" + "a" * 2_000,
    "https://",
    "",
]
PUBLIC: Final = [
    "https://hooks.example.com/latchkey?x=1&y=%20#there",
    "https://hooks.example.com",
    "https://hooks.example.com?x",
    "https://hooks.example.com:1/",
    "https://hooks.example.com:65535/",
    "https://hooks.example.com./",
    "https://Hooks.Example.COM/",
    "https://xn--mller-kva.example/",
    "https://3com.example/",
    "https://1e100.net/",
    "https://0x7f.example.com/",
    "https://mylocal.example/",
    "https://notlocalhost.example/",
    "https://internal.example.com/",
    "https://93.184.215.14/",
    "https://1.1.1.1:8443/",
    "https://9.255.255.255/",
    "https://11.0.0.0/",
    "https://172.15.255.255/",
    "https://172.32.0.1/",
    "https://100.63.255.255/",
    "https://100.128.0.1/",
    "https://223.255.255.255/",
    "https://192.0.1.1/",
    "https://[2606:4700:4700::1111]:8443/x",
    "https://[2A00:1450:4001:801::200e]/",
    "https://hooks.example.com/a:b@c/[d]",
]


@pytest.mark.parametrize("url", INNER + SHUT)
def test_ac_47_what_is_not_public_is_refused(url: str) -> None:
    """Each for a reason that its author can read."""
    fault = fault_of_address(url, private_targets=False)
    assert fault is not None
    assert fault.startswith("must ")


@pytest.mark.parametrize("url", PUBLIC)
@pytest.mark.parametrize("private_targets", [False, True])
def test_public_addresses_are_accepted(url: str, private_targets: bool) -> None:
    """Names and addresses, any port."""
    assert fault_of_address(url, private_targets=private_targets) is None


@pytest.mark.parametrize("url", INNER)
def test_the_operator_may_open_inner_hosts(url: str) -> None:
    """`PRIVATE_TARGETS=on`: loopback, private, CGNAT and ULA addresses, dotless names and names of inner networks."""
    assert fault_of_address(url, private_targets=True) is None


@pytest.mark.parametrize("url", SHUT)
def test_ac_47_nothing_else_is_opened(url: str) -> None:
    """Link-local, metadata, IPv4 inside IPv6 and odd spellings stay shut."""
    assert fault_of_address(url, private_targets=True) is not None


@pytest.mark.parametrize("url", [url for url in INNER + SHUT + PUBLIC if url.isascii()])
def test_ac_47_a_spelling_that_the_system_reads_as_an_address_is_never_a_name(url: str) -> None:
    """`inet_aton` takes 2130706433, 0x7f.1 and 0177.0.0.1: no host that is let through as a name is one of those."""
    host = url.removeprefix("https://").partition("/")[0].partition(":")[0]
    if fault_of_address(url, private_targets=False) is None and not is_public(host, private_targets=False):
        with pytest.raises(OSError, match="illegal IP address"):
            socket.inet_aton(host.removesuffix("."))


@pytest.mark.parametrize(
    "address",
    ["", "example.com", "127.1", "2130706433", "1.2.3.4.", "fe80::1%eth0", "2a00:1450::1%eth0", "[2a00:1450::1]", "1.2.3.4\0"],
)  # fmt: skip
def test_what_is_no_address_is_not_public(address: str) -> None:
    """A look-up gives addresses without zone and brackets; anything else is not connected to."""
    assert not is_public(address, private_targets=True)


@pytest.mark.parametrize(
    ("network", "inside"),
    [
        (0x0000_0000_0000_0000_0000_FFFF_0000_0000, "::ffff:0:0/96"),
        (0x0064_FF9B_0000_0000_0000_0000_0000_0000, "64:ff9b::/96"),
        (0x0000_0000_0000_0000_FFFF_0000_0000_0000, "::ffff:0:0:0/96"),
        (0, "::/96"),
    ],
)
@pytest.mark.parametrize("last", [0x7F00_0001, 0x0A00_0001, 0xA9FE_A9FE, 0x5DB8_D70E, 0xFFFF_FFFF])
def test_ac_47_no_address_of_ipv4_hides_in_one_of_ipv6(network: int, inside: str, last: int) -> None:
    """Not even a public one, and not for an operator who opens inner hosts."""
    address = socket.inet_ntop(socket.AF_INET6, (network | last).to_bytes(16, "big"))
    assert not is_public(address, private_targets=True), inside


def test_the_form_of_links_is_the_same() -> None:
    """A homepage may be http and lead anywhere; what has no single reading is refused there too."""
    links = ("https", "http")
    assert fault_of_web_address("http://localhost:8080/", links) is None
    assert fault_of_web_address("http://10.0.0.1/", links) is None
    for url in (
        "http://u@e.com/",
        "http://e.com\\@x/",
        "http://[fe80::1%25eth0]/",
        "http://e%2ecom/",
        "javascript:x",
    ):
        assert fault_of_web_address(url, links) is not None, url


def test_a_host_outside_ascii_is_told_how_to_be_written() -> None:
    """Nothing is converted: what an author sees is what is called."""
    assert "xn--" in (fault_of_address("https://müller.example/", private_targets=False) or "")
