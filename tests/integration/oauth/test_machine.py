"""Consent, code and key under any order of steps: a model says what must be true after each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from services.auth_api.oauth.pkce import challenge_of
from shared.contracts.authorization import ConsentRequest
from tests.harness.site import Client, Person
from tests.integration.oauth.conftest import Provider
from tests.integration.oauth.consenting import accept, decide, shown

VERIFIER: Final = "v" * 43
STEPS: Final = (
    "ask", "accept", "accept again", "decline", "redeem", "redeem", "replay", "steal",
    "wrong verifier", "retry", "disconnect", "revoke",
)  # fmt: skip


@dataclass
class Model:
    """What the steps so far must have led to."""

    consent: ConsentRequest | None = None
    codes: list[str] = field(default_factory=list)
    """Good codes, the newest last."""
    spent: dict[str, str] = field(default_factory=dict)
    """Code → the key that it gave."""
    dead: set[str] = field(default_factory=set)
    """Keys that must be refused."""
    mismatches: dict[str, int] = field(default_factory=dict)


@pytest.mark.spec(
    "RFC 6749", "4.1.2", "In any order of steps a code gives at most one key, and a replay ends it"
)
@settings(
    max_examples=12,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=st.lists(st.sampled_from(STEPS), min_size=6, max_size=18))
async def test_any_order_of_steps_keeps_the_promises(
    provider: Provider, author: Person, steps: list[str]
) -> None:
    """A code gives at most one key; what was replayed, revoked or taken back is dead; nothing else is."""
    machine = Machine(provider, author, await author.create_client(), await author.create_client())
    for step in ["ask", "accept", *steps]:
        await machine.do(step)
    await machine.check()


class Machine:
    """One person, one client and a thief's client; the steps that any of them may take."""

    def __init__(self, provider: Provider, person: Person, client: Client, thief: Client) -> None:
        """Nothing was asked for yet."""
        self.provider, self.person, self.client, self.thief = provider, person, client, thief
        self.model = Model()

    async def do(self, step: str) -> None:
        """Takes a step where it is possible, and checks its answer against the model."""
        await {
            "ask": self.ask,
            "accept": self.accept,
            "accept again": self.accept,
            "decline": self.decline,
            "redeem": self.redeem,
            "replay": self.replay,
            "steal": self.steal,
            "wrong verifier": self.mismatch,
            "retry": self.retry,
            "disconnect": self.disconnect,
            "revoke": self.revoke,
        }[step]()

    async def ask(self) -> None:
        """The consent page is opened."""
        self.model.consent = await shown(
            self.provider,
            self.person,
            "authorize",
            ("response_type", "code"),
            ("client_id", self.client.client_id),
            ("code_challenge", challenge_of(VERIFIER)),
            ("code_challenge_method", "S256"),
        )
        self._of_page: list[str] = []

    async def accept(self) -> None:
        """Accept is pressed, maybe once more; the newest code of a page replaces the one before."""
        consent = self.model.consent
        if consent is None or any(code in self.model.spent for code in self._of_page):
            return
        arrival = await accept(self.provider, self.person, consent)
        self.model.codes = [code for code in self.model.codes if code not in self._of_page]
        self.model.codes.append(arrival.code)
        self._of_page.append(arrival.code)

    async def decline(self) -> None:
        """Decline is pressed; on a page that was accepted that changes nothing."""
        consent = self.model.consent
        if consent is None:
            return
        decided = await decide(self.provider, self.person, consent, decision="decline")
        assert decided.outcome == ("already_decided" if self._of_page else "redirect")
        if not self._of_page:
            self.model.consent = None

    async def redeem(self) -> None:
        """The client redeems its newest good code."""
        if not self.model.codes:
            return
        code = self.model.codes.pop()
        answer = await self.provider.site.exchange(self.client, code, code_verifier=VERIFIER)
        if self.model.mismatches.get(code, 0) >= 5:
            assert answer.status_code == 400
            return
        assert answer.status_code == 200, answer.text
        self.model.spent[code] = answer.json()["access_token"]

    async def replay(self) -> None:
        """A spent code is presented once more, correctly."""
        for code, key in list(self.model.spent.items())[-1:]:
            answer = await self.provider.site.exchange(self.client, code, code_verifier=VERIFIER)
            assert answer.json()["error"] == "invalid_grant"
            self.model.dead.add(key)

    async def steal(self) -> None:
        """Another client presents whatever code there is, correctly authenticated as itself."""
        for code in [*self.model.codes, *self.model.spent][-2:]:
            answer = await self.provider.site.exchange(self.thief, code, code_verifier=VERIFIER)
            assert answer.json()["error"] == "invalid_grant"

    async def mismatch(self) -> None:
        """The right client sends a wrong verifier: five times are forgiven."""
        for code in [*self.model.codes, *self.model.spent][-1:]:
            answer = await self.provider.site.exchange(self.client, code, code_verifier="w" * 43)
            assert answer.json()["error"] == "invalid_grant"
            self.model.mismatches[code] = self.model.mismatches.get(code, 0) + 1

    async def retry(self) -> None:
        """A code is redeemed with an Idempotency-Key, and once more with the same."""
        if not self.model.codes or self.model.mismatches.get(self.model.codes[-1], 0) >= 5:
            return
        code = self.model.codes.pop()
        form = {"grant_type": "authorization_code", "code": code, "code_verifier": VERIFIER}
        answers = [
            await self.provider.site.http.post(
                "/api/v1/oauth/token",
                data=form,
                auth=self.client.basic,
                headers={"Idempotency-Key": f"retry-of-{len(self.model.spent)}"},
            )
            for _ in range(2)
        ]
        assert [answer.status_code for answer in answers] == [200, 200]
        assert answers[0].content == answers[1].content
        self.model.spent[code] = answers[0].json()["access_token"]

    async def disconnect(self) -> None:
        """The person takes everything back: keys, codes and the open page."""
        answer = await self.person.http.delete(f"/api/v1/apps/{self.client.client_id}")
        assert answer.status_code == 204
        self.model.dead |= set(self.model.spent.values())
        for code in self.model.codes:
            refused = await self.provider.site.exchange(self.client, code, code_verifier=VERIFIER)
            assert refused.json()["error"] == "invalid_grant"
        self.model.codes.clear()
        if self.model.consent is not None:
            decided = await decide(self.provider, self.person, self.model.consent, code_digest="0" * 64)
            assert decided.outcome in ("refused", "already_decided")
        self.model.consent = None

    async def revoke(self) -> None:
        """The client gives its newest key back."""
        for key in list(self.model.spent.values())[-1:]:
            answer = await self.provider.site.http.post(
                "/api/v1/oauth/revoke", data={"token": key}, auth=self.client.basic
            )
            assert answer.status_code == 200
            self.model.dead.add(key)

    async def check(self) -> None:
        """Each key is as the model says, and there is no other."""
        for key in self.model.spent.values():
            verified = await self.provider.issuer.verify(key)
            assert verified.status_code == (401 if key in self.model.dead else 200)
        rows = await self.provider.sql(
            "SELECT key_id, status FROM keys.api_keys WHERE client_id = $1", self.client.client_id
        )
        expected = {
            key.split("_")[2]: "revoked" if key in self.model.dead else "active"
            for key in self.model.spent.values()
        }
        assert {row["key_id"]: row["status"] for row in rows} == expected
        stolen = await self.provider.sql(
            "SELECT 1 FROM keys.api_keys WHERE client_id = $1", self.thief.client_id
        )
        assert stolen == []
