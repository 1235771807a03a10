"""The author's console: how a webhook address fares, what was sent there, and the keys that sign it."""

from __future__ import annotations

import html
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Final

import httpx
import pytest
from standardwebhooks import Webhook

from tests.harness.site import Client, Person, Site
from tests.harness.stack import Stack, running_stack
from tests.harness.stores import Servers
from tests.harness.tls import Authority, make_authority
from tests.harness.webhooks import Receiver, answering, receiving
from tests.integration.consent_ui.visits import form_with, open_page, open_until, press, title_of

ANSWERED: Final = "what nobody is to see"
"""The body of what a receiver answers."""
NOWHERE: Final = "https://127.0.0.1:1/hook"
AGAIN: Final = "Send again"
TEST: Final = "Send a test event"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Of the receivers' certificates."""
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
async def stack(servers: Servers, authority: Authority) -> AsyncIterator[Stack]:
    """Services that may call loopback and believe the receivers."""
    async with AsyncExitStack() as entered:
        changed = entered.enter_context(pytest.MonkeyPatch.context())
        changed.setenv("SSL_CERT_FILE", str(authority.certificate))
        yield await entered.enter_async_context(running_stack(servers, {"PRIVATE_TARGETS": "on"}))


@pytest.fixture
async def receiver(authority: Authority) -> AsyncIterator[Receiver]:
    """The author's own server."""
    async with receiving(authority) as receiver:
        yield receiver


@pytest.fixture
async def client(author: Person, receiver: Receiver) -> Client:
    """A client whose server hears of its keys."""
    return await author.create_client(webhookUri=f"{receiver.url}/hook")


def path_of(client: Client) -> str:
    """The page of its webhooks."""
    return f"/developer/clients/{client.client_id}/webhooks"


def secrets_on(page: httpx.Response) -> list[str]:
    """The secrets that a page shows."""
    return [html.unescape(found) for found in re.findall(r'value="(whsec_[^"]+)"', page.text)]


async def keys_of(author: Person, client: Client) -> list[dict[str, object]]:
    """What the REST interface says of them."""
    answer = await author.http.get(f"/api/v1/clients/{client.client_id}/webhook-keys")
    keys: list[dict[str, object]] = answer.json()["keys"]
    return keys


async def test_an_author_sends_a_test_and_sees_what_became_of_it(
    author: Person, client: Client, receiver: Receiver
) -> None:
    """The library accepts it with the secret that the page shows; its status is on the page, its answer's body nowhere."""
    receiver.answer = answering(200)
    page = await open_page(author, path_of(client))
    assert title_of(page) == "Webhooks of Epic Games · Latchkey"
    assert f"<code>{receiver.url}/hook</code>" in page.text
    assert '<span class="tag good">on</span>' in page.text
    assert "Nothing was sent yet." in page.text
    sent = await press(author, page, TEST)
    assert (sent.status_code, sent.headers["Location"]) == (303, f"{path_of(client)}?done=tested")
    (heard,) = await receiver.wait_for(1)
    assert heard.event["type"] == "webhook.test"
    (secret,) = secrets_on(await open_page(author, f"{path_of(client)}?show=secrets"))
    Webhook(secret).verify(heard.body, dict(heard.headers))
    page = await open_until(author, sent.headers["Location"], ">delivered<")
    assert 'role="status">The test event is on its way.' in page.text
    assert "1 try<" in page.text
    assert "<td>200</td>" in page.text
    assert heard.webhook_id in page.text
    assert ANSWERED not in page.text


async def test_what_ends_a_key_is_listed_and_can_be_sent_again(
    author: Person, person: Person, client: Client, receiver: Receiver
) -> None:
    """With its key; sent again it has the same id and the same body."""
    key = await person.give_key(client)
    await person.http.delete(f"/api/v1/keys/{key['keyID']}")
    (first,) = await receiver.wait_for(1)
    page = await open_until(author, path_of(client), ">delivered<")
    assert "key.revoked<br>" in page.text
    assert f"<code>{key['keyID']}</code>" in page.text
    resent = await press(author, page, AGAIN)
    assert resent.headers["Location"] == f"{path_of(client)}?done=resent"
    _, second = await receiver.wait_for(2)
    assert (second.webhook_id, second.body) == (first.webhook_id, first.body)


async def test_a_failing_address_is_said_wherever_its_author_looks(
    author: Person, client: Client, receiver: Receiver
) -> None:
    """Since when, the status of the last try and when the next one is; nothing of the answer's body."""
    receiver.answer = answering(503)
    await press(author, await open_page(author, path_of(client)), TEST)
    page = await open_until(author, path_of(client), "<td>it answered 503</td>")
    assert '<span class="tag warn">failing</span> since <time' in page.text
    assert '<span class="tag warn">waiting</span><br><span class="soft">1 try, next <time' in page.text
    assert "Every try since then has failed" in page.text
    assert ANSWERED not in page.text
    assert "failing" in (await open_page(author, path_of(client).removesuffix("/webhooks"))).text
    assert "Its webhooks fail since" in (await open_page(author, "/developer")).text


async def test_a_disabled_address_is_noticed_and_turned_on_again(
    author: Person, client: Client, receiver: Receiver
) -> None:
    """After a 410: on the start page, in the list, on both pages of the client; one button mends it."""
    receiver.answer = answering(410)
    await press(author, await open_page(author, path_of(client)), TEST)
    page = await open_until(author, path_of(client), "It answered 410 Gone.")
    assert '<span class="tag stop">disabled</span> since' in page.text
    assert TEST not in page.text
    assert AGAIN not in page.text
    for other, words in (
        ("/", "The webhooks of your client <strong><bdi>Epic Games</bdi></strong> are disabled."),
        ("/developer", "Its webhooks are disabled since"),
        (path_of(client).removesuffix("/webhooks"), "It answered 410 Gone."),
    ):
        assert words in (await open_page(author, other)).text, other
    receiver.answer = answering(204)
    mended = await press(author, page, "Turn it on again")
    assert mended.headers["Location"] == f"{path_of(client)}?done=enabled"
    page = await open_page(author, mended.headers["Location"])
    assert '<span class="tag good">on</span>' in page.text
    assert "are disabled" not in (await open_page(author, "/")).text
    await press(author, page, TEST)
    await receiver.wait_for(2)


async def test_without_an_address_the_keys_are_there_all_the_same(author: Person) -> None:
    """To put them into a server before it hears anything; nothing can be sent."""
    client = await author.create_client()
    page = await open_page(author, path_of(client))
    assert "No address is set, so nothing is sent." in page.text
    assert "Version 1" in page.text
    assert TEST not in page.text
    _, fields = form_with(page, "Rotate the keys")
    refused = await author.http.post(f"{path_of(client)}/test", data=fields)
    assert refused.status_code == 409
    fields["webhook_id"] = "msg_00000000"
    assert (await author.http.post(f"{path_of(client)}/resend", data=fields)).status_code == 409


async def test_secrets_are_shown_when_asked_for(author: Person, client: Client) -> None:
    """Those of the REST interface; the public keys are there anyway."""
    (key,) = await keys_of(author, client)
    hidden = await open_page(author, path_of(client))
    assert "whsec_" not in hidden.text
    assert html.escape(str(key["publicKey"])).replace("+", "+") in html.unescape(hidden.text)
    shown = await open_page(author, f"{path_of(client)}?show=secrets")
    assert secrets_on(shown) == [key["secret"]]
    assert shown.headers["Cache-Control"] == "no-store"


async def test_an_author_rotates_the_keys(author: Person, client: Client, receiver: Receiver) -> None:
    """Both sign during the overlap, as the page says; the same form once more makes no others."""
    page = await open_page(author, path_of(client))
    (old,) = await keys_of(author, client)
    for _ in range(2):
        rotated = await press(author, page, "Rotate the keys", {"overlap": "3600"})
        assert rotated.headers["Location"] == f"{path_of(client)}?done=rotated"
    keys = await keys_of(author, client)
    assert [key["version"] for key in keys] == [2, 1]
    page = await open_page(author, f"{path_of(client)}?show=secrets")
    assert secrets_on(page) == [keys[0]["secret"], old["secret"]]
    assert "It signs until <time" in page.text
    await press(author, page, TEST)
    (heard,) = await receiver.wait_for(1)
    for secret in secrets_on(page):
        Webhook(secret).verify(heard.body, dict(heard.headers))
    assert (await press(author, page, "Rotate the keys", {"overlap": "5"})).status_code == 400
    await press(author, page, "Rotate the keys", {"overlap": "0"})
    assert [key["version"] for key in await keys_of(author, client)] == [3]


async def test_deliveries_are_turned_page_by_page(stack: Stack, author: Person, client: Client) -> None:
    """Fifty on a page, the newest first, and back to those."""
    await stack.sql(
        "INSERT INTO auth.webhook_deliveries (webhook_id, client_id, type, body, happened_on, queued_on, status, ended_on)"
        " SELECT 'msg_' || lpad(n::text, 8, '0'), $1, 'webhook.test', '', n, n, 'delivered', n FROM generate_series(1, 51) n",
        client.client_id,
    )
    page = await open_page(author, path_of(client))
    assert page.text.count("msg_000000") == 100, "once to read, once in the form"
    assert "msg_00000001" not in page.text
    (older,) = re.findall(r'href="([^"]+)">Older<', page.text)
    last = await open_page(author, html.unescape(older).partition("#")[0])
    assert "msg_00000001" in last.text
    assert "msg_00000002" not in last.text
    assert ">Newest<" in last.text
    for wrong in ("x", "-1", "9" * 30, "1&before=2"):
        await open_page(author, f"{path_of(client)}?before={wrong}", 404 if "&" not in wrong else 200)


async def test_tests_are_limited(author: Person) -> None:
    """429, and when to come back; another client of the same author has no tests of its own."""
    client, other = [await author.create_client(webhookUri=NOWHERE) for _ in range(2)]
    page = await open_page(author, path_of(client))
    answers = [await press(author, page, TEST) for _ in range(22)]
    assert {answer.status_code for answer in answers[:20]} == {303}
    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["Retry-After"]) >= 1
    assert (await press(author, await open_page(author, path_of(other)), TEST)).status_code == 429


async def test_webhooks_of_other_authors_do_not_exist(
    site: Site, author: Person, client: Client, receiver: Receiver
) -> None:
    """404 as for an unknown id; a form of one's own page is good for one's own client alone (AC-52)."""
    thief = await site.sign_up()
    own = await thief.create_client(webhookUri=NOWHERE)
    unknown = await open_page(thief, "/developer/clients/lkc_0000000000000000/webhooks", 404)
    assert title_of(await open_page(thief, path_of(client), 404)) == title_of(unknown)
    page = await open_page(thief, path_of(own))
    for button, action in ((TEST, "test"), ("Rotate the keys", "rotate"), (TEST, "enable"), (TEST, "resend")):
        _, fields = form_with(page, button)
        fields["webhook_id"] = "msg_00000000"
        there = await thief.http.post(f"{path_of(client)}/{action}", data=fields)
        assert there.status_code == 404, action
        theirs = await thief.http.post(
            f"{path_of(client)}/{action}", data={**fields, "client_id": client.client_id}
        )
        assert theirs.status_code == 403, action
    assert [key["version"] for key in await keys_of(author, client)] == [1]
    assert receiver.heard == []


async def test_forms_of_the_page_need_our_own_page(author: Person, client: Client) -> None:
    """A foreign origin or a wrong token: 403 (AC-25)."""
    for action in ("test", "resend", "enable", "rotate"):
        target = f"{path_of(client)}/{action}"
        fields = {
            "csrf": "0" * 64,
            "client_id": client.client_id,
            "version": "1",
            "overlap": "0",
            "webhook_id": "msg_00000000",
        }
        assert (await author.http.post(target, data=fields)).status_code == 403
        foreign = await author.http.post(target, data=fields, headers={"Origin": "https://evil.example"})
        assert foreign.status_code == 403
    assert [key["version"] for key in await keys_of(author, client)] == [1]


async def test_a_delivery_that_is_none_is_404(author: Person, client: Client) -> None:
    """Unknown, another client's, or no id at all."""
    _, fields = form_with(await open_page(author, path_of(client)), TEST)
    for webhook_id in ("msg_00000000", "", "a\0b" * 8, "ü" * 20, "x" * 5000):
        refused = await author.http.post(
            f"{path_of(client)}/resend", data={**fields, "webhook_id": webhook_id}
        )
        assert refused.status_code in (400, 404), webhook_id
