"""A browser without a screen: keeps cookies, follows redirects, presses buttons, sends the headers browsers send."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Final, Self
from urllib.parse import urldefrag, urljoin, urlsplit

from aiohttp import ClientSession, ClientTimeout, CookieJar
from yarl import URL

REDIRECTS: Final = frozenset({301, 302, 303, 307})
MOST_REDIRECTS: Final = 12


@dataclass(slots=True)
class Button:
    """What a person presses."""

    text: str = ""
    name: str = ""
    value: str = ""
    action: str | None = None


@dataclass(slots=True)
class Form:
    """A form of a page; ``fields`` are its values as the page gives them."""

    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)
    buttons: list[Button] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Page:
    """Where the browser is. ``html`` is empty where a redirect left for an address it was told not to open."""

    url: str
    status: int
    html: str
    referrer_policy: str
    forms: tuple[Form, ...]
    links: tuple[tuple[str, str], ...]
    """Visible text and address of each."""

    def form(self, button: str) -> tuple[Form, Button]:
        """The form with that button.

        Raises:
            LookupError: the page has none; the message says where we are instead.
        """
        for form in self.forms:
            for candidate in form.buttons:
                if candidate.text == button:
                    return form, candidate
        buttons = [candidate.text for form in self.forms for candidate in form.buttons]
        raise LookupError(f"no button {button!r} at {self.url} ({self.status}), which has {buttons}")

    def button_beside(self, field: str) -> str:
        """The text of the button of the form that asks for that field.

        Raises:
            LookupError: the page has none.
        """
        for form in self.forms:
            if field in form.fields and form.buttons:
                return form.buttons[0].text
        raise LookupError(f"no form asks for {field} at {self.url} ({self.status})")

    def link(self, path: str) -> str:
        """The address of a link that leads to that path; one that carries the flow on (a query) before others.

        Raises:
            LookupError: the page has none.
        """
        found = [address for _, address in self.links if urlsplit(address).path == path]
        if found:
            return max(found, key=lambda address: bool(urlsplit(address).query))
        raise LookupError(f"no link to {path} at {self.url} ({self.status})")


class Browser:
    """One person's browser. Use as an async context manager."""

    def __init__(self, trustworthy: Sequence[str] = ()) -> None:
        """``trustworthy``: origins on http to which secure cookies go too, as browsers do on this computer."""
        self._trustworthy = [URL(origin) for origin in trustworthy]

    async def __aenter__(self) -> Self:
        """Starts with no cookies."""
        jar = CookieJar(unsafe=True, treat_as_secure_origin=self._trustworthy)
        self._http = ClientSession(cookie_jar=jar, timeout=ClientTimeout(total=15))
        return self

    async def __aexit__(self, *_: object) -> None:
        """Forgets everything."""
        await self._http.close()

    async def open(self, url: str, *, stop_at: str | None = None) -> Page:
        """Goes to an address as if typed; a redirect to ``stop_at…`` is not opened but returned."""
        return await self._go("GET", url, None, {"Sec-Fetch-Site": "none"}, stop_at)

    async def follow(self, page: Page, url: str, *, stop_at: str | None = None) -> Page:
        """Clicks a link of a page."""
        return await self._go("GET", url, None, {"Sec-Fetch-Site": _site(page.url, url)}, stop_at)

    async def press(
        self, page: Page, button: str, values: Mapping[str, str] | None = None, *, stop_at: str | None = None
    ) -> Page:
        """Fills in a form and presses its button."""
        form, pressed = page.form(button)
        fields = form.fields | dict(values or {})
        if pressed.name:
            fields[pressed.name] = pressed.value
        target = urljoin(page.url, pressed.action if pressed.action is not None else form.action)
        headers = {"Sec-Fetch-Site": _site(page.url, target)}
        if form.method == "get":
            return await self._go("GET", str(URL(target).with_query(fields)), None, headers, stop_at)
        # Fetch §3.2: a page that sends no referrer sends no origin either.
        headers["Origin"] = "null" if page.referrer_policy == "no-referrer" else _origin(page.url)
        return await self._go("POST", target, fields, headers, stop_at)

    async def call(self, method: str, url: str) -> int:
        """A request by a script of the site itself, with its cookies; the status."""
        headers = {"Origin": _origin(url), "Sec-Fetch-Site": "same-origin"}
        async with self._http.request(method, url, headers=headers, allow_redirects=False) as answer:
            return answer.status

    async def _go(
        self,
        method: str,
        url: str,
        fields: Mapping[str, str] | None,
        headers: dict[str, str],
        stop_at: str | None,
    ) -> Page:
        for _ in range(MOST_REDIRECTS):
            target = URL(urldefrag(url).url, encoded=True)
            async with self._http.request(
                method, target, data=fields, headers=headers, allow_redirects=False
            ) as answer:
                location = answer.headers.get("Location")
                if answer.status not in REDIRECTS or location is None:
                    html = await answer.text()
                    policy = answer.headers.getall("Referrer-Policy", [""])[-1]
                    return parse(url, answer.status, html, policy)
                status = answer.status
            url = urljoin(url, location)
            if stop_at is not None and url.startswith(stop_at):
                return parse(url, status, "", "")
            method, fields = "GET", None
            headers.pop("Origin", None)
        raise LookupError(f"more than {MOST_REDIRECTS} redirects, the last to {urlsplit(url).path}")


def parse(url: str, status: int, html: str, referrer_policy: str) -> Page:
    """The parts of a page that a person acts on."""
    reader = _Reader(url)
    reader.feed(html)
    reader.close()
    policy = reader.referrer_policy or referrer_policy
    return Page(url, status, html, policy, tuple(reader.forms), tuple(reader.links))


class _Reader(HTMLParser):
    """Collects forms, buttons and links with their text."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url
        self.forms: list[Form] = []
        self.links: list[tuple[str, str]] = []
        self.referrer_policy = ""
        self._button: Button | None = None
        self._address = ""
        self._text: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(Form(given.get("action", self._url), given.get("method", "get").lower()))
        elif tag == "input" and self.forms:
            self._input(given)
        elif tag == "button" and self.forms:
            self._button = Button("", given.get("name", ""), given.get("value", ""), given.get("formaction"))
            self._text = []
        elif tag == "a" and "href" in given:
            self._address = urljoin(self._url, given["href"])
            self._text = []
        elif tag == "meta" and given.get("name") == "referrer":
            self.referrer_policy = given.get("content", "")

    def _input(self, given: Mapping[str, str]) -> None:
        kind = given.get("type", "text")
        if kind == "submit":
            self.forms[-1].buttons.append(
                Button(given.get("value", ""), given.get("name", ""), given.get("value", ""))
            )
        elif given.get("name") and (kind not in ("checkbox", "radio") or "checked" in given):
            self.forms[-1].fields[given["name"]] = given.get("value", "on" if kind == "checkbox" else "")

    def handle_data(self, data: str) -> None:
        if self._text is not None:
            self._text.append(data)

    def handle_endtag(self, tag: str) -> None:
        if self._text is None or tag not in ("button", "a"):
            return
        text = " ".join("".join(self._text).split())
        if tag == "button" and self._button is not None:
            self._button.text = text
            self.forms[-1].buttons.append(self._button)
            self._button = None
        elif tag == "a":
            self.links.append((text, self._address))
        self._text = None


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _site(source: str, target: str) -> str:
    if _origin(source) == _origin(target):
        return "same-origin"
    same_host = urlsplit(source).hostname == urlsplit(target).hostname
    return "same-site" if same_host and urlsplit(source).scheme == urlsplit(target).scheme else "cross-site"
