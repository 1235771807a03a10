"""Passwords that everybody knows (ASVS 5.0 6.2.4)."""

from __future__ import annotations

import subprocess
import sys

import pytest

from services.auth_api.accounts.common_passwords import is_common
from services.auth_api.accounts.service import COMMON, IS_THE_NAME, password_problem
from tests.harness.processes import REPOSITORY

FULL_WIDTH = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}
"""As some input methods write what is typed."""


@pytest.mark.parametrize(
    "password",
    [
        "password",
        "12345678",
        "qwertyuiop",
        "iloveyou1",
        "PassWord1",
        "PASSWORD".translate(FULL_WIDTH),
        "1qaz2wsx",
        "trustno1",
    ],
)
def test_what_everybody_chooses_is_common(password: str) -> None:
    """Whatever its case and width."""
    assert is_common(password)
    assert password_problem("Somebody", password) == COMMON


@pytest.mark.parametrize(
    "password", ["correct horse battery", "password for the cellar", "12345678901234567x", "Straße-7"]
)
def test_what_nobody_else_chooses_is_not(password: str) -> None:
    """Also where a common one is a part of it."""
    assert not is_common(password)
    assert password_problem("Somebody", password) is None


@pytest.mark.parametrize("name", ["Long-Enough_1", "long-enough_1"])
def test_the_username_is_no_password(name: str) -> None:
    """It is what a guesser knows; the words name the rule."""
    assert password_problem(name, "LONG-ENOUGH_1") == IS_THE_NAME
    assert password_problem(name, "LONG-ENOUGH_12") is None


@pytest.mark.parametrize("password", ["short", "x" * 257, ""])
def test_the_length_is_said_first(password: str) -> None:
    """Nothing is looked up for what is no password by its length."""
    assert "8 to 256 characters" in (password_problem("Somebody", password) or "")


def test_the_list_is_read_when_the_first_password_is_chosen() -> None:
    """A process in which nobody chooses one does not keep it, and the library's estimator is never loaded."""
    code = (
        "import sys; import services.auth_api.app; from services.auth_api.accounts import common_passwords as c;"
        "assert c._common_passwords.cache_info().currsize == 0;"
        "assert c.is_common('password'); print(*(name for name in sys.modules if name.startswith('zxcvbn')))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert shown.stdout.split() == []
