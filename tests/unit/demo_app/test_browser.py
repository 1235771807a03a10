"""What the browser without a screen reads of a page."""

from __future__ import annotations

import pytest

from deploy.demo_app.browser import parse

HTML = """
<meta name="referrer" content="same-origin">
<a href="/sign-up">Sign <b>up</b></a> <a href="/sign-up?continue=1">Create one</a>
<form method="post" action="/decide"><input type="hidden" name="id" value="7"><input name="note">
<input type="checkbox" name="off"><input type="checkbox" name="on" checked>
<button name="decision" value="accept">Accept</button>
<button formaction="/other">Decline</button></form>
"""


def test_fields_and_buttons_are_those_of_the_form() -> None:
    """Hidden, empty and checked fields count; each button keeps its own name, value and target."""
    page = parse("http://site/page", 200, HTML, "no-referrer")
    form, button = page.form("Accept")
    assert form.fields == {"id": "7", "note": "", "on": "on"}
    assert (button.name, button.value, button.action) == ("decision", "accept", None)
    assert page.form("Decline")[1].action == "/other"


def test_a_link_that_carries_the_flow_on_is_preferred() -> None:
    """Of two links to one path the one with a query is taken, as an absolute address."""
    page = parse("http://site/page", 200, HTML, "")
    assert page.link("/sign-up") == "http://site/sign-up?continue=1"


def test_the_page_overrules_the_referrer_policy_of_its_header() -> None:
    """As browsers do, which decides what Origin a form is sent with."""
    assert parse("http://site/", 200, HTML, "no-referrer").referrer_policy == "same-origin"
    assert parse("http://site/", 200, "<p>", "no-referrer").referrer_policy == "no-referrer"


def test_what_is_missing_is_said_with_the_place() -> None:
    """The error names the address, the status and what there is instead."""
    with pytest.raises(
        LookupError, match=r"no button 'Buy' at http://site/ \(404\), which has \['Accept', 'Decline'\]"
    ):
        parse("http://site/", 404, HTML, "").form("Buy")
