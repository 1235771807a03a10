"""The author's console: registering, editing, the secret that is shown once, deleting."""

from __future__ import annotations

import html
import re
from typing import Any

import httpx
import pytest

from tests.harness.site import CALLBACK, Client, Person, Site
from tests.integration.consent_ui.visits import form_with, open_consent, open_page, press, title_of

NEW = "/developer/clients/new"
FIELDS: dict[str, Any] = {
    "name": "Epic Games",
    "redirect_uris": f"{CALLBACK}\r\n\r\n  com.example.app:/done ",
    "requested_permissions": ["submit_score", "delete_score"],
    "client_type": "confidential",
    "api_key_filename": "epic.ini",
    "api_key_format": "[epic]\r\nkey = %%API_KEY%%\r\n",
    "homepage": "https://epicgames.example.com/",
    "description": "Scores & more",
}


def value_of(page: httpx.Response, identifier: str) -> str:
    """The value of a field of the page."""
    found = re.search(rf'id="{identifier}" value="([^"]*)"', page.text)
    assert found is not None, identifier
    return html.unescape(found[1])


async def submit(person: Person, **fields: Any) -> httpx.Response:
    """Registers a client through the form."""
    _, hidden = form_with(await open_page(person, NEW), "Register")
    return await person.http.post(NEW, data={"csrf": hidden["csrf"], **fields})


async def test_an_author_registers_a_client(site: Site, author: Person, person: Person) -> None:
    """The answer shows id, secret and links; the secret authenticates, and is never shown again."""
    made = await submit(author, **FIELDS)
    assert (made.status_code, title_of(made)) == (201, "Registered: Epic Games · Latchkey")
    assert made.headers["Cache-Control"] == "no-store"
    client_id, secret = value_of(made, "client-id"), value_of(made, "client-secret")
    assert value_of(made, "consent-link") == f"{site.origin}/oauth/request-auth?clientID={client_id}"
    assert value_of(made, "file-link") == f"{site.origin}/client-file-flow/{client_id}"
    client = Client({"clientID": client_id, "clientSecret": secret})
    assert (await person.give_key(client))["fromAPIClient"] == client_id
    public = (await site.http.get(f"/api/v1/clients/{client_id}")).json()
    assert public["redirectUris"] == [CALLBACK, "com.example.app:/done"]
    assert public["apiKeyFormat"] == "[epic]\nkey = %%API_KEY%%\n"
    assert public["requestedPermissions"] == ["submit_score", "delete_score"]
    page = await open_page(author, f"/developer/clients/{client_id}")
    assert secret not in page.text
    assert "Code exchange" in page.text
    assert "Epic Games" in (await open_page(author, "/developer")).text


async def test_a_public_client_gets_no_secret(author: Person) -> None:
    """It proves itself with PKCE, and the page says so."""
    made = await submit(author, **{**FIELDS, "client_type": "public"})
    assert 'id="client-secret"' not in made.text
    assert "code_verifier" in made.text
    page = await open_page(author, f"/developer/clients/{value_of(made, 'client-id')}")
    assert "Reset secret" not in page.text


async def test_wrong_fields_are_said_where_they_are(author: Person) -> None:
    """A summary that leads to each field, the same words beside it, and everything typed is still there."""
    wrong = {
        **FIELDS,
        "name": "<b>",
        "redirect_uris": "https://ok.example/cb\nhttp://evil.example/cb",
        "requested_permissions": [],
        "api_key_format": "no place for a key",
        "homepage": "javascript:alert(1)",
    }
    refused = await submit(author, **wrong)
    assert (refused.status_code, title_of(refused)) == (400, "Error: Register a client · Latchkey")
    assert 'role="alert" tabindex="-1" autofocus' in refused.text
    for field in ("redirect_uris", "requested_permissions", "api_key_format", "homepage"):
        assert f'<a href="#{field}">' in refused.text, field
        assert f'id="{field}-wrong"' in refused.text, field
    assert "Redirect address 2 may be http only on" in refused.text
    assert "https://ok.example/cb\nhttp://evil.example/cb</textarea>" in refused.text
    assert 'value="&lt;b&gt;"' in refused.text
    assert (await author.http.get("/api/v1/clients")).json() == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ["a name", "another"]),
        ("name", "x" * 5000),
        ("name", "Ep\u202eic"),
        ("redirect_uris", "\n".join(f"https://c.example/{number}" for number in range(11))),
        ("redirect_uris", "java\tscript:alert(1)"),
        ("requested_permissions", ["nothing_we_know"]),
        ("api_key_filename", "../evil"),
        ("webhook_uri", "http://127.0.0.1:6379/"),
        ("description", "a\x1bb"),
    ],
)
async def test_no_field_breaks_the_form(author: Person, field: str, value: object) -> None:
    """400 with a page (AC-18, AC-43, AC-46, AC-47)."""
    refused = await submit(author, **{**FIELDS, field: value})
    assert refused.status_code == 400
    assert refused.headers["Content-Type"].startswith("text/html")


async def test_an_author_edits_a_client(site: Site, author: Person) -> None:
    """Everything but id, secret, permissions and kind; the form begins with what is there."""
    client = await author.create_client(apiKeyFormat="\nkey=%%API_KEY%%", apiKeyFilename="x.txt")
    path = f"/developer/clients/{client.client_id}"
    page = await open_page(author, f"{path}/edit")
    assert "<textarea" in page.text
    assert ">\n\nkey=%%API_KEY%%</textarea>" in page.text
    assert "requested_permissions" not in page.text
    saved = await press(
        author,
        page,
        "Save",
        {"name": "New name", "redirect_uris": "", "requested_permissions": "submit_score"},
    )
    assert (saved.status_code, saved.headers["Location"]) == (303, f"{path}?done=saved")
    page = await open_page(author, saved.headers["Location"])
    assert 'role="status">Saved.' in page.text
    public = (await site.http.get(f"/api/v1/clients/{client.client_id}")).json()
    assert (public["name"], public["redirectUris"]) == ("New name", [])
    assert public["requestedPermissions"] == ["customise_score"]
    refused = await press(author, await open_page(author, f"{path}/edit"), "Save", {"name": "x"})
    assert refused.status_code == 400
    assert '<a href="#name">' in refused.text


async def test_an_author_resets_the_secret(site: Site, author: Person, client: Client) -> None:
    """The old one works as long as was chosen (AC-15)."""

    async def works(secret: str) -> bool:
        auth = (client.client_id, secret)
        form = {"grant_type": "authorization_code", "code": "x"}
        return (await site.http.post("/api/v1/oauth/token", data=form, auth=auth)).status_code == 400

    path = f"/developer/clients/{client.client_id}"
    assert client.secret is not None
    made = await press(author, await open_page(author, path), "Reset secret", {"overlap": "3600"})
    second = value_of(made, "client-secret")
    assert "stops working after one hour" in made.text
    assert [await works(client.secret), await works(second)] == [True, True]
    made = await press(author, await open_page(author, path), "Reset secret", {"overlap": "0"})
    third = value_of(made, "client-secret")
    assert [await works(second), await works(third)] == [False, True]
    wrong = await press(author, await open_page(author, path), "Reset secret", {"overlap": "5"})
    assert wrong.status_code == 400


async def test_an_old_secret_in_use_is_told(site: Site, author: Person, client: Client) -> None:
    """Until when it works, and that a server still has it; gone when a reset ends it at once."""
    path = f"/developer/clients/{client.client_id}"
    await press(author, await open_page(author, path), "Reset secret", {"overlap": "3600"})
    page = await open_page(author, path)
    assert "The secret before the last reset works until" in page.text
    assert "None of the last attempts was made with it." in page.text
    await site.exchange(client, "no code")
    assert "It was last used <time" in (await open_page(author, path)).text
    await press(author, page, "Reset secret", {"overlap": "0"})
    assert "The secret before the last reset" not in (await open_page(author, path)).text


async def test_refusals_can_be_shown_alone(
    site: Site, author: Person, person: Person, client: Client
) -> None:
    """A link filters the attempts and a link shows all of them again."""
    path = f"/developer/clients/{client.client_id}"
    await person.give_key(client)
    await site.exchange(client, "no code")
    every = await open_page(author, path)
    assert "a key was issued" in every.text
    refused = await open_page(author, f"{path}?show=refusals")
    assert 'href="?show=refusals#attempts"' in every.text
    assert 'href="?#attempts"' in refused.text
    assert "invalid_grant" in refused.text
    assert "Mend the cause, then send the person through the link again" in refused.text
    assert "a key was issued" not in refused.text


async def test_attempts_are_shown_apart_by_who_made_them(
    site: Site, author: Person, person: Person, client: Client
) -> None:
    """The client's own, those of people, and those of anybody who names the client: each under its heading."""
    path = f"/developer/clients/{client.client_id}"
    headings = ("By the client itself", "By people who were signed in", "By anybody")
    await site.http.post("/api/v1/oauth/token", data={"grant_type": "x"}, auth=(client.client_id, "wrong"))
    page = (await open_page(author, path)).text
    assert [f"<h3>{heading}" in page for heading in headings] == [False, False, True]
    await person.give_key(client)
    page = (await open_page(author, path)).text
    places = [page.index(f"<h3>{heading}") for heading in headings]
    causes = ("a key was issued", "the person accepted", "client_secret is wrong")
    assert sorted(places) == places
    assert [page.index(cause) > place for cause, place in zip(causes, places, strict=True)] == [True] * 3
    assert page.index(causes[0]) < places[1] < page.index(causes[1]) < places[2]


async def test_a_decision_is_recorded_under_its_request(
    author: Person, person: Person, client: Client
) -> None:
    """The id that the person's browser and the logs know, not one that only the page knows."""
    declined = await press(person, await open_consent(person, client), "Decline")
    attempts = (await author.http.get(f"/api/v1/clients/{client.client_id}/attempts")).json()
    assert (attempts[0]["step"], attempts[0]["requestID"]) == ("consent", declined.headers["X-Request-ID"])


async def test_an_author_deletes_a_client(site: Site, author: Person, person: Person, client: Client) -> None:
    """The question says what breaks; then every key of the client is dead."""
    key = (await person.give_key(client))["access_token"]
    question = await open_page(author, f"/developer/clients/{client.client_id}/delete")
    assert "What breaks:" in question.text
    done = await press(author, question, "Delete for good")
    assert done.headers["Location"] == "/developer?done=deleted"
    assert "not registered a client yet" in (await open_page(author, done.headers["Location"])).text
    assert (await site.verify(key)).status_code == 401
    assert (await author.http.get(f"/developer/clients/{client.client_id}")).status_code == 404


async def test_other_authors_clients_do_not_exist(site: Site, author: Person, client: Client) -> None:
    """Reading, editing, resetting, deleting: 404 exactly as for an unknown id (AC-52)."""
    thief = await site.sign_up()
    own = await thief.create_client(name="Own app")
    unknown = await thief.http.get("/developer/clients/lkc_0000000000000000")
    for suffix in ("", "/edit", "/delete"):
        answer = await thief.http.get(f"/developer/clients/{client.client_id}{suffix}")
        assert answer.status_code == unknown.status_code == 404
        assert title_of(answer) == title_of(unknown)
    for suffix, button in (("", "Reset secret"), ("/edit", "Save"), ("/delete", "Delete for good")):
        page = await open_page(thief, f"/developer/clients/{own.client_id}{suffix}")
        action, fields = form_with(page, button)
        assert (
            await thief.http.post(action, data={**fields, "client_id": client.client_id})
        ).status_code == 403
    assert (await author.http.get(f"/developer/clients/{client.client_id}")).status_code == 200


async def test_the_number_of_clients_is_limited(site: Site) -> None:
    """Said on the form, with what to do."""
    author = await site.sign_up()
    for number in range(20):
        await author.create_client(name=f"App {number}")
    refused = await submit(author, **FIELDS)
    assert refused.status_code == 400
    assert "as many clients as this site allows" in refused.text


async def test_forms_of_the_console_need_our_own_page(author: Person, client: Client) -> None:
    """A foreign origin or a wrong token: 403 (AC-25)."""
    path = f"/developer/clients/{client.client_id}"
    for target in (NEW, f"{path}/edit", f"{path}/reset-secret", f"{path}/delete"):
        fields = {"csrf": "0" * 64, "client_id": client.client_id, "name": "Evil app", "overlap": "0"}
        assert (await author.http.post(target, data=fields)).status_code == 403
        foreign = await author.http.post(target, data=fields, headers={"Origin": "https://evil.example"})
        assert foreign.status_code == 403
    assert len((await author.http.get("/api/v1/clients")).json()) == 1


async def test_a_page_of_the_console_asks_once(site: Site, author: Person) -> None:
    """Whose session it is comes with the answer; nothing is asked beforehand."""
    client = await author.create_client()

    async def asked() -> int:
        found = re.findall(
            r'bus_requests_total\{[^}]*type="session\.read"\} (\d+)', (await site.http.get("/metrics")).text
        )
        return sum(map(int, found))

    before = await asked()
    for path in (
        "",
        f"/clients/{client.client_id}",
        f"/clients/{client.client_id}/edit",
        f"/clients/{client.client_id}/delete",
    ):
        await open_page(author, f"/developer{path}")
    assert await asked() == before
    await open_page(author, NEW)
    assert await asked() == before + 1, "this one needs to know nothing but who it is"


async def test_a_form_of_a_session_that_is_over_changes_nothing(site: Site, author: Person) -> None:
    """It leads to the sign-in page, and back to the console after that."""
    client = await author.create_client()
    page = await open_page(author, f"/developer/clients/{client.client_id}/delete")
    cookie = author.http.cookies["latchkey_session"]
    assert (await author.http.delete("/api/v1/session")).status_code == 204
    author.http.cookies.set("latchkey_session", cookie)
    answer = await press(author, page, "Delete for good")
    assert answer.status_code == 303
    assert answer.headers["Location"].startswith("/login?continue=")
    assert (await site.http.get(f"/api/v1/clients/{client.client_id}")).status_code == 200
