"""Every template with hostile texts in all places: nothing but text comes out."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import services.consent_ui.pages
from services.consent_ui.assets import load_assets
from services.consent_ui.filters import make_filters
from services.consent_ui.pages import CsrfTokens, Pages, Visitor
from shared.clock import SystemClock
from shared.contracts.sessions import SessionUser
from shared.permissions import load_permissions
from shared.settings import Settings
from tests.unit.consent_ui.sample_views import EVIL, VIEWS

TEMPLATES = Path(services.consent_ui.pages.__file__).with_name("templates")
PARTIAL = {"base.html", "parts.html", "client_form.html", "client_links.html", "snippets.html"}
# No img, iframe, object, svg, style or base is ever needed.
FOREIGN_TAGS = frozenset(
    {"img", "svg", "iframe", "object", "embed", "style", "base", "template", "video", "math"}
)
VOID = frozenset({"meta", "link", "input", "br"})


class _Tags(HTMLParser):
    """Collects what a browser would make of a page, and checks that every tag is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"<{tag}> has an attribute twice: {names}"
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


CASES = [(template, view) for template, views in VIEWS.items() for view in views]


def pages_of(settings: Settings) -> Pages:
    """The templates as they are shipped."""
    filters = make_filters(settings, load_permissions(), SystemClock())
    return Pages(settings, load_assets(), CsrfTokens(settings.secrets), filters)


def rendered(pages: Pages, template: str, view: Any, **shown: Any) -> str:
    """The HTML of a page."""
    return pages.respond(template, view, **shown).text or ""


@pytest.fixture(scope="module")
def pages() -> Pages:
    """On a site whose name is hostile too."""
    return pages_of(Settings(public_url="https://keys.example", secrets=(b"s" * 32,), site_name=EVIL[:60]))


def test_every_template_is_looked_at() -> None:
    """A new page comes with its sample here."""
    assert {path.name for path in TEMPLATES.iterdir()} - PARTIAL == set(VIEWS)


@pytest.mark.parametrize(("template", "view"), CASES)
@pytest.mark.parametrize("signed_in", [False, True])
def test_strangers_texts_stay_text(pages: Pages, template: str, view: Any, *, signed_in: bool) -> None:
    """No tag, attribute or address comes out of a name; no inline script or style; every tag is closed (AC-42)."""
    visitor = Visitor("digest", SessionUser(user_id=1, username=EVIL)) if signed_in else None
    html = rendered(pages, template, view, visitor=visitor, notice=EVIL)
    page = _Tags()
    page.feed(html)
    page.close()
    assert page.open == []
    assert "&gt;49" not in html
    assert not {"\u202e", "\u200b"} & set(html), "a name was not made readable"
    for tag, attributes in page.tags:
        assert tag not in FOREIGN_TAGS
        assert not {name for name in attributes if name.startswith("on") or name in ("style", "srcdoc")}
        for name in ("href", "src", "action", "formaction"):
            value = attributes.get(name) or ""
            assert not value.startswith(("javascript:", "//", "http:")), value
    scripts = [attributes for tag, attributes in page.tags if tag == "script"]
    assert len(scripts) <= 2, "the common one, and that of the client form"
    assert all((script["src"] or "").startswith("/static/latchkey.") for script in scripts)
    assert page.tags[0] == ("html", {"lang": "en", "dir": "ltr"})
    assert len([tag for tag, _ in page.tags if tag == "h1"]) == 1


@pytest.mark.parametrize(("template", "view"), CASES)
def test_controls_have_names(pages: Pages, template: str, view: Any) -> None:
    """Every field has a label, ids are unique, and what is referred to is there."""
    page = _Tags()
    page.feed(rendered(pages, template, view))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    labels = {attributes.get("for") for tag, attributes in page.tags if tag == "label"}
    for tag, attributes in page.tags:
        kind = attributes.get("type")
        if tag in ("input", "textarea", "select") and kind not in ("hidden", "checkbox", "radio"):
            assert attributes.get("id") in labels, attributes
        for name in ("aria-describedby", "aria-labelledby"):
            for reference in (attributes.get(name) or "").split():
                assert reference in ids, f"{template}: {reference}"


def test_what_is_asked_for_beyond_the_last_time_is_marked(pages: Pages) -> None:
    """The one permission that the person has not allowed before, and not the others."""
    page = rendered(pages, "consent.html", VIEWS["consent.html"][0])
    listed = page.partition('<ul class="powers change">')[2].partition("<h2>What it can never do")[0]
    assert listed.count('<span class="tag warn">new</span>') == 1
    first = listed.partition("<li>")[2].partition("</li>")[0]
    assert '<span class="tag warn">new</span>' in first


def test_closed_sign_up_offers_no_form() -> None:
    """The page says so instead, and no page links to it."""
    settings = Settings(public_url="https://keys.example", secrets=(b"s" * 32,), sign_up="closed")
    pages = pages_of(settings)
    page = rendered(pages, "sign_up.html", VIEWS["sign_up.html"][0])
    assert "does not take new accounts" in page
    assert "/api/v1/users" not in page
    assert "/sign-up" not in rendered(pages, "welcome.html", None)
