"""Names of hosts, as DNS can know them."""

from __future__ import annotations

import pytest

from shared.host_names import LONGEST_HOST, is_host_name

LONGEST = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61])


@pytest.mark.parametrize(
    "host",
    ["a", "a.example", "a.example.", "xn--bcher-kva.example", "127.0.0.1", "a--b", LONGEST, f"{LONGEST}."],
)
def test_what_dns_can_know_is_a_host_name(host: str) -> None:
    """Labels of 1 to 63 letters, digits and inner hyphens; 253 characters in all, without the dot of the root."""
    assert is_host_name(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        ".",
        "a..b",
        ".a",
        "a..",
        "-a",
        "a-",
        "a.-b",
        "a_b",
        "é",
        "a b",
        "a" * 64,
        f"{LONGEST}e",
        "a." * 200,
        "[::1]",
    ],
)
def test_what_dns_cannot_know_is_none(host: str) -> None:
    """However long it is."""
    assert len(LONGEST) == LONGEST_HOST
    assert not is_host_name(host)
