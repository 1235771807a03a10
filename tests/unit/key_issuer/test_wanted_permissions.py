"""Which permissions a check asks for, out of a query that a proxy may have mixed with anything."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.key_issuer.handlers.verify import wanted_permissions


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("", set()),
        ("permission=a", {"a"}),
        ("permission=a&permission=b&permission=a", {"a", "b"}),
        ("permission=customise%5Fscore", {"customise_score"}),
        ("permission=a&path=/x?permission=b", {"a"}),
        ("path=/orig&permission=b", {"b"}),
        ("%70ermission=a", {"a"}),
        ("permission", {""}),
        ("permission=", {""}),
        ("permission=a+b", {"a b"}),
        ("permission=%ff", {"�"}),
        ("permission=%zz", {"%zz"}),
        ("other=1&Permission=x&permissions=y", set()),
        ("x" * 500 + "&permission=a", {"a"}),
    ],
)
def test_every_permission_parameter_counts(query: str, wanted: set[str]) -> None:
    """Names that are no permission are asked for too, and then nobody has them."""
    assert wanted_permissions(query) == wanted


@given(st.text())
def test_any_query_is_read_without_an_error(query: str) -> None:
    """A protected request's own query may be anything."""
    assert isinstance(wanted_permissions(query), frozenset)
