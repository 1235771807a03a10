"""Apps and keys: what the start page shows, and taking back, pausing, narrowing and replacing through forms."""

from __future__ import annotations

import csv
import html
import io
import re
from typing import Any

import httpx
import pytest

from tests.harness.site import Client, Person, Site
from tests.harness.stack import running_stack
from tests.harness.stores import Servers
from tests.integration.consent_ui.visits import form_with, open_page, open_until, press, title_of

PERMISSIONS = ["customise_score", "delete_score"]


@pytest.fixture
async def key(person: Person, client: Client) -> dict[str, Any]:
    """A key that the person gave to the seed's client, and that is known to have arrived."""
    given = await person.give_key(client)
    await open_until(person, "/", f"/keys/{given['keyID']}")
    return given


async def open_key(person: Person, key: dict[str, Any]) -> Any:
    """The key's page."""
    return await open_page(person, f"/keys/{key['keyID']}")


async def test_the_start_page_shows_what_has_access(
    site: Site, author: Person, person: Person, client: Client, key: dict[str, Any]
) -> None:
    """Apps by name and author, keys by a mask, permissions in words, when last used; never the key."""
    await site.verify(key["access_token"])
    await person.create_key("My script", ["submit_score"])
    page = await open_page(person, "/")
    assert title_of(page) == "Apps and keys · Latchkey"
    assert page.headers["Cache-Control"] == "no-store"
    text = re.sub(r"<[^>]+>|\s+", " ", page.text)
    for said in (
        "Epic Games",
        author.username,
        "1 key",
        "Edit your scores",
        "My script",
        "never used",
    ):
        assert said in text, said
    assert f"lku_…{key['keyID'][:4]}" in text
    assert key["access_token"] not in page.text
    assert key["access_token"][-49:-40] not in page.text


async def test_keys_are_downloaded_for_a_spreadsheet(
    site: Site, author: Person, person: Person, client: Client, key: dict[str, Any]
) -> None:
    """One line a key, without the key; a name that looks like a formula is none any more."""
    evil = await author.create_client(name='=HYPERLINK("https://evil.example";"é")', redirectUris=[])
    formula = await person.create_key('@SUM(A1)", x', ["submit_score"])
    owned = (await person.http.post("/api/v1/keys", json={"clientID": evil.client_id})).json()
    await site.verify(key["access_token"])
    await person.http.delete(f"/api/v1/keys/{key['keyID']}")
    assert '<a class="link" href="/keys.csv">' in (await open_until(person, "/", owned["keyID"])).text
    answer = await open_page(person, "/keys.csv")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="keys.csv"'
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"
    for given in (key["access_token"], formula["token"], owned["token"]):
        assert given[-49:-40] not in answer.text
    rows = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert not [cell for row in rows for cell in row.values() if cell.startswith(("=", "+", "-", "@"))]
    by_id = {row["Key ID"]: row for row in rows}
    assert by_id[owned["keyID"]]["App"] == '\'=HYPERLINK("https://evil.example";"é")'
    assert by_id[formula["keyID"]]["Name"].startswith("'@SUM(A1)")
    revoked = by_id[key["keyID"]]
    assert (revoked["Name"], revoked["App"], revoked["Status"]) == ("Epic Games", "Epic Games", "revoked")
    assert revoked["Key"] == f"lku_…{key['keyID'][:4]}"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", revoked["Made"])
    stranger = await site.visitor()
    assert (await stranger.http.get("/keys.csv")).headers["Location"].startswith("/login?continue=")


async def test_a_person_revokes_a_key(site: Site, person: Person, key: dict[str, Any]) -> None:
    """The question says what breaks and changes nothing; the answer is dead at once."""
    home = await open_page(person, "/")
    assert f"/keys/{key['keyID']}/revoke" in home.text
    question = await open_page(person, f"/keys/{key['keyID']}/revoke")
    assert "What breaks:" in question.text
    assert "cannot be undone" in question.text
    assert (await site.verify(key["access_token"])).status_code == 200
    done = await press(person, question, "Revoke")
    assert (done.status_code, done.headers["Location"]) == (303, "/?done=revoked")
    assert (await site.verify(key["access_token"])).status_code == 401
    home = await open_page(person, done.headers["Location"])
    assert 'role="status">The key is revoked.' in home.text
    assert "You have no keys." in home.text
    assert "Ended in the last 30 days (1)" in home.text
    assert (await press(person, question, "Revoke")).status_code == 303
    assert "This key has ended." in (await open_key(person, key)).text


async def test_a_person_disconnects_an_app(
    site: Site, person: Person, client: Client, key: dict[str, Any]
) -> None:
    """Every key of the app is dead, and its line is gone."""
    second = await person.give_key(client)
    question = await open_until(person, f"/apps/{client.client_id}/disconnect", "All 2 of its keys")
    done = await press(person, question, "Disconnect")
    assert done.headers["Location"] == "/?done=disconnected"
    for token in (key["access_token"], second["access_token"]):
        assert (await site.verify(token)).status_code == 401
    assert "No app has access to your account." in (await open_page(person, "/")).text
    assert (await person.http.get(f"/apps/{client.client_id}/disconnect")).status_code == 404


async def test_a_person_revokes_everything(
    site: Site, author: Person, person: Person, key: dict[str, Any]
) -> None:
    """The question says how much breaks and changes nothing; then every key is refused, and nobody else's."""
    given, own = key["access_token"], await person.create_key("My script", ["submit_score"])
    other = await author.create_key("of the author", ["submit_score"])
    await open_until(person, "/", f"/keys/{own['keyID']}")
    question = await open_page(person, "/revoke-all")
    text = re.sub(r"<[^>]+>|\s+", " ", question.text)
    assert "1 connected app stops doing anything in your name, and 2 keys are refused" in text
    assert (await site.verify(given)).status_code == 200
    done = await press(person, question, "Revoke everything")
    assert done.headers["Location"] == "/?done=all-revoked"
    page = await open_page(person, done.headers["Location"])
    assert "Everything is revoked." in page.text
    assert "No app has access to your account." in page.text
    assert "/revoke-all" not in page.text
    assert (await site.verify(given)).status_code == 401
    assert (await site.verify(own["token"])).status_code == 401
    assert (await site.verify(other["token"])).status_code == 200


async def test_a_key_is_paused_and_resumed(site: Site, person: Person, key: dict[str, Any]) -> None:
    """Refused while it is paused, and then not."""
    paused = await press(person, await open_key(person, key), "Pause")
    page = await open_page(person, paused.headers["Location"])
    assert "The key is paused." in page.text
    assert (await site.verify(key["access_token"])).status_code == 401
    resumed = await press(person, page, "Resume")
    assert "The key works again." in (await open_page(person, resumed.headers["Location"])).text
    assert (await site.verify(key["access_token"])).status_code == 200


async def test_a_key_is_narrowed(site: Site, person: Person, key: dict[str, Any]) -> None:
    """What is unticked is gone for good; unticking all is told to revoke instead."""
    await site.verify(key["access_token"], "customise_score")
    page = await open_key(person, key)
    assert page.text.count('name="permissions"') == 2
    action, fields = form_with(page, "Keep only the ticked ones")
    fields.pop("permissions")
    nothing = await person.http.post(action, data=fields)
    assert nothing.status_code == 400
    assert '<a href="#permissions">Keep at least one permission' in nothing.text
    done = await person.http.post(action, data={**fields, "permissions": "customise_score"})
    assert done.status_code == 303
    assert (await site.verify(key["access_token"], "delete_score")).status_code == 403
    assert (await site.verify(key["access_token"], "customise_score")).status_code == 200
    wider = await person.http.post(
        action, data={**fields, "permissions": ["customise_score", "delete_score"]}
    )
    assert wider.status_code == 400
    assert 'role="alert"' in wider.text


async def test_a_key_is_renamed(person: Person, key: dict[str, Any]) -> None:
    """Any visible name; nothing else."""
    page = await open_key(person, key)
    done = await press(person, page, "Rename", {"identifier": "  My <laptop>  "})
    assert "Key My &lt;laptop&gt;" in title_of(await open_page(person, done.headers["Location"]))
    for name in ("", "   ", "x" * 81, "a\u202eb", "a\nb"):
        refused = await press(person, page, "Rename", {"identifier": name})
        assert refused.status_code == 400, name
        assert title_of(refused).startswith("Error: ")


async def test_a_key_ends_sooner(person: Person, key: dict[str, Any]) -> None:
    """The last day moves closer, never away; what is no day is said beside the field."""
    page = await open_key(person, key)
    done = await press(person, page, "Set the last day", {"expires_on": "2099-01-31"})
    page = await open_page(person, done.headers["Location"])
    assert "2099-01-31 23:59 UTC" in page.text
    assert 'max="2099-01-31"' in page.text
    for day in ("2099-02-01", "2001-01-01", "31.1.2099", "", "9" * 40):
        refused = await press(person, page, "Set the last day", {"expires_on": day})
        assert refused.status_code == 400, day
        assert 'href="#expires_on"' in refused.text
    assert (await press(person, page, "Set the last day", {"expires_on": "2098-01-31"})).status_code == 303


async def test_a_key_is_replaced(site: Site, person: Person, key: dict[str, Any]) -> None:
    """The new key is shown once, in the answer; the old one ends when the person chose."""
    done = await press(person, await open_key(person, key), "Replace the key", {"overlap": "3600"})
    assert (done.status_code, title_of(done)) == (200, "Your new key · Latchkey")
    fresh = shown_key(done)
    assert (await site.verify(fresh, *PERMISSIONS)).status_code == 200
    assert (await site.verify(key["access_token"])).status_code == 200
    again = await press(
        person, await open_page(person, f"/keys/{fresh[11:27]}"), "Replace the key", {"overlap": "0"}
    )
    assert again.status_code == 200
    assert (await site.verify(fresh)).status_code == 401
    assert (await press(person, await open_key(person, key), "Pause", {})).status_code == 303
    wrong = await press(person, await open_key(person, key), "Replace the key", {"overlap": "1e9"})
    assert wrong.status_code == 400


async def test_whoever_has_all_the_keys_they_may_replaces_one_without_an_overlap(servers: Servers) -> None:
    """KEYS_PER_USER keys of their own: the page says what to do, and the key stays."""
    async with running_stack(servers, {"KEYS_PER_USER": "1"}) as stack:
        person = await stack.site.sign_up()
        made = await person.create_key("Mine", ["submit_score"])
        page = await open_page(person, f"/keys/{made['keyID']}")
        refused = await press(person, page, "Replace the key", {"overlap": "3600"})
        assert refused.status_code == 409
        assert "Let the old one end at once" in refused.text
        assert (await stack.site.verify(made["token"])).status_code == 200
        assert (await press(person, page, "Replace the key", {"overlap": "0"})).status_code == 200


def shown_key(answer: httpx.Response) -> str:
    """The key in a page that shows a new one."""
    found = re.search(r"<textarea[^>]*>\n([^<]*)</textarea>", answer.text)
    assert found is not None, title_of(answer)
    return html.unescape(found[1])


@pytest.mark.parametrize("overlap", ["0", "3600"])
async def test_a_replacement_whose_answer_was_lost_is_shown_again(
    site: Site, person: Person, key: dict[str, Any], overlap: str
) -> None:
    """The same form sent once more: the same new key, and it works; no other one was made."""
    page = await open_key(person, key)
    lost = await press(person, page, "Replace the key", {"overlap": overlap})

    again = await press(person, page, "Replace the key", {"overlap": overlap})

    assert (again.status_code, title_of(again)) == (200, "Your new key · Latchkey")
    assert shown_key(again) == shown_key(lost)
    assert (await site.verify(shown_key(again), *PERMISSIONS)).status_code == 200
    assert (await site.verify(key["access_token"])).status_code == (401 if overlap == "0" else 200)
    listed = (await person.http.get("/api/v1/keys")).json()
    live = {each["keyID"] for each in listed if each["status"] == "active"}
    assert live == {shown_key(again)[11:27]} | (set() if overlap == "0" else {key["keyID"]})


async def test_a_key_may_be_replaced_again_once_its_replacement_has_ended(
    site: Site, person: Person, key: dict[str, Any]
) -> None:
    """The first new key was revoked within the overlap: the form makes another, which works."""
    page = await open_key(person, key)
    first = shown_key(await press(person, page, "Replace the key", {"overlap": "3600"}))
    await person.http.delete(f"/api/v1/keys/{first[11:27]}")

    second = shown_key(await press(person, page, "Replace the key", {"overlap": "3600"}))

    assert second != first
    assert (await site.verify(second)).status_code == 200
    assert (await site.verify(first)).status_code == 401


async def test_other_peoples_keys_do_not_exist(
    site: Site, person: Person, client: Client, key: dict[str, Any]
) -> None:
    """Looking, asking and doing: 404, and nothing changes (AC-53)."""
    thief = await site.sign_up()
    own = await thief.give_key(client)
    for path in (
        f"/keys/{key['keyID']}",
        f"/keys/{key['keyID']}/revoke",
        "/keys/x",
        "/keys/%00",
        "/apps/nobody/disconnect",
    ):
        assert (await thief.http.get(path)).status_code == 404, path
    for button, page in (
        ("Pause", await open_key(thief, own)),
        ("Revoke", await open_page(thief, f"/keys/{own['keyID']}/revoke")),
    ):
        action, fields = form_with(page, button)
        forged = {**fields, "key_id": key["keyID"]}
        assert (await thief.http.post(action, data=forged)).status_code == 403
    assert (await site.verify(key["access_token"])).status_code == 200


async def test_forms_of_keys_and_apps_need_our_own_page(
    site: Site, person: Person, client: Client, key: dict[str, Any]
) -> None:
    """A foreign origin or a wrong token: 403, for every change (AC-25)."""
    identifier = key["keyID"]
    names = ("revoke", "pause", "resume", "narrow", "rename", "expire", "rotate")
    paths = [f"/keys/{identifier}/{name}" for name in names]
    paths += [f"/apps/{client.client_id}/disconnect", "/revoke-all"]
    fields = {"key_id": identifier, "client_id": client.client_id, "csrf": "0" * 64}
    for path in paths:
        assert (await person.http.post(path, data=fields)).status_code == 403, path
        foreign = await person.http.post(path, data=fields, headers={"Origin": "https://evil.example"})
        assert foreign.status_code == 403
    assert (await site.verify(key["access_token"])).status_code == 200
