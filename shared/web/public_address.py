"""Which of the addresses that users give we may call: public ones, and inner ones where the operator opens them; pure rules.

``PRIVATE_TARGETS=on`` opens what sites call their own network: loopback, private, CGNAT and ULA addresses, names without a
dot and names of inner networks. Nothing else is opened by it: not what an address of IPv6 hides, and never what a cloud
tells its machines about themselves.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from shared.host_names import is_host_name

LONGEST_URL: Final = 2_000

_URL_TEXT: Final = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+", re.ASCII)
_AUTHORITY: Final = re.compile(r"[a-z]+://([^/?#]*)", re.ASCII)
_HOST_AND_PORT: Final = re.compile(
    r"(?P<host>[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?", re.ASCII
)
_NUMERIC_LABEL: Final = re.compile(r"[0-9]+|0[xX].*", re.ASCII)
"""A last label by which a name is a number to the system's look-up: 2130706433, 0x7f.1, 0177.0.0.1."""
_LARGEST_PORT: Final = 65_535
_ILL_FORMED: Final = "must name a well-formed host and port"
_NOT_PUBLIC: Final = "must name a public host"

_INNER_NAMES: Final = (
    "localhost", "localdomain", "local", "internal", "intranet", "private", "lan", "corp", "home", "home.arpa",
)  # fmt: skip
"""Under these nothing public can be registered; networks use them for their own (RFC 6761, RFC 6762, RFC 8375)."""

_INNER: Final = tuple(
    map(
        ip_network,
        ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8", "::1/128", "fc00::/7"),
    )
)  # fmt: skip
"""What ``PRIVATE_TARGETS`` opens."""

_METADATA: Final = tuple(
    map(ip_network, ("100.100.100.200/32", "168.63.129.16/32", "fd00:ec2::/32", "fd20:ce::254/128"))
)
"""Where Alibaba, Azure, AWS and Google tell a machine about itself, outside of what is shut anyway."""

# Python's `is_global` is not asked: that of 3.11 takes NAT64, 6to4, Teredo, site-local and Oracle's metadata for global.
_SHUT: Final = tuple(
    map(
        ip_network,
        (
            "0.0.0.0/8",  # this network; 0.0.0.0 is this very host
            "169.254.0.0/16",  # link-local, with most clouds' metadata
            "192.0.0.0/24",  # IETF protocol assignments, with Oracle's metadata
            "192.0.2.0/24",  # documentation
            "192.88.99.0/24",  # 6to4 relays
            "198.18.0.0/15",  # benchmarks
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, and broadcast
            "2001::/23",  # IETF protocol assignments: Teredo (IPv4 inside), benchmarks, ORCHID
            "2001:db8::/32",  # documentation
            "2002::/16",  # 6to4 (IPv4 inside)
            "3fff::/20",  # documentation
        ),
    )
)
_UNICAST: Final = IPv6Network("2000::/3")
"""All that IANA hands out of IPv6. Outside of it lie the unspecified address, IPv4 inside IPv6 (mapped, compatible, translated,
64:ff9b::), link-local, site-local, multicast, and what is reserved."""
_ISATAP: Final = frozenset({0x0000_5EFE, 0x0200_5EFE})
"""The third quarter of an address of IPv6 whose last is one of IPv4 (RFC 5214 §6.1)."""


def fault_of_web_address(url: str, schemes: tuple[str, ...]) -> str | None:
    """What is wrong with the form of a web address, as a clause that follows its field's name; looked at before any parser is.

    What is good has one reading only: nothing that programs read differently (backslashes, spaces, escapes in the host) is.
    """
    beginnings = tuple(f"{scheme}://" for scheme in schemes)
    if len(url) > LONGEST_URL:
        return f"must be at most {LONGEST_URL} characters long"
    if not url.isascii():
        return "must be in ASCII (a host like müller.example is written xn--mller-kva.example)"
    if not _URL_TEXT.fullmatch(url) or not url.startswith(beginnings):
        return f"must begin with {' or '.join(beginnings)} and hold no spaces, quotes or backslashes"
    if "@" in _authority_of(url):
        return "must not hold a user name or password"
    found = _HOST_AND_PORT.fullmatch(_authority_of(url))
    if found is None or int(found["port"] or 1) not in range(1, _LARGEST_PORT + 1):
        return _ILL_FORMED
    return None if _is_literal(found["host"]) or is_host_name(found["host"]) else _ILL_FORMED


def fault_of_address(url: str, *, private_targets: bool) -> str | None:
    """What forbids calling an address that a user gave, as a clause that follows its field's name; ``None`` where nothing does.

    https, any port, nobody's name or password, and a host that is no inner one as far as its text tells. What a name
    resolves to is for ``is_public`` to say, each time it is called.

    Args:
        url: as given, unchecked.
        private_targets: whether the operator opens inner hosts (``PRIVATE_TARGETS``).
    """
    fault = fault_of_web_address(url, ("https",))
    if fault is not None:
        return fault
    found = _HOST_AND_PORT.fullmatch(_authority_of(url))
    assert found is not None, "its form is good"
    host = found["host"]
    if _is_literal(host):
        return None if is_public(host.strip("[]"), private_targets=private_targets) else _NOT_PUBLIC
    name = host.removesuffix(".").lower()
    if _NUMERIC_LABEL.fullmatch(name.rpartition(".")[2]):
        return "must write an IPv4 address as four decimal numbers without leading zeros"
    is_inner = "." not in name or f".{name}".endswith(tuple(f".{inner}" for inner in _INNER_NAMES))
    return _NOT_PUBLIC if is_inner and not private_targets else None


def is_public(address: str, *, private_targets: bool) -> bool:
    """Whether a socket may be connected to an address of IPv4 or IPv6; what is no address, or has a zone, is not.

    Args:
        address: as a look-up gives it, without brackets.
        private_targets: whether loopback, private, CGNAT and ULA addresses may be, too.
    """
    found = _parsed(address)
    if found is None or any(found in network for network in _METADATA):
        return False
    if any(found in network for network in _INNER):
        return private_targets
    if any(found in network for network in _SHUT):
        return False
    return isinstance(found, IPv4Address) or (
        found in _UNICAST and int(found) >> 32 & 0xFFFF_FFFF not in _ISATAP
    )


def _authority_of(url: str) -> str:
    found = _AUTHORITY.match(url)
    return found[1] if found else ""


def _is_literal(host: str) -> bool:
    """Whether the host of a URL is an address in its one right spelling; IPv6 is in brackets."""
    if host.startswith("["):
        return isinstance(_parsed(host[1:-1]), IPv6Address)
    return isinstance(_parsed(host), IPv4Address)


def _parsed(address: str) -> IPv4Address | IPv6Address | None:
    try:
        return None if "%" in address else ip_address(address)
    except ValueError:
        return None
