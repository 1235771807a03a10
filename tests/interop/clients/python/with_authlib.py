"""Authlib: ``OAuth2Session`` over requests. It leaves reading a refusal to its user."""

# ruff: noqa: D103 - a case is called what it plays

from __future__ import annotations

import os
from typing import Any

from authlib.common.security import generate_token
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.requests_client import OAuth2Session

from tests.interop.clients.python.talk import Setting, ask_person, play

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"


def session(setting: Setting, method: str = "client_secret_basic", **options: Any) -> Any:
    """A session of the confidential client."""
    secret = options.pop("secret", setting.client_secret)
    return OAuth2Session(
        setting.client_id,
        secret,
        token_endpoint_auth_method=method,
        scope=setting.scope,
        redirect_uri=setting.redirect_uri,
        **options,
    )


def linked(setting: Setting, oauth: Any) -> dict[str, Any]:
    """The code flow to its end."""
    url, state = oauth.create_authorization_url(setting.authorize)
    callback = ask_person(open=url)
    token: dict[str, Any] = oauth.fetch_token(
        setting.endpoint("token"), authorization_response=callback, state=state
    )
    return {"token": token["access_token"], "scope": token["scope"]}


def code_basic(setting: Setting) -> dict[str, Any]:
    return linked(setting, session(setting))


def code_post(setting: Setting) -> dict[str, Any]:
    return linked(setting, session(setting, "client_secret_post"))


def public_pkce(setting: Setting) -> dict[str, Any]:
    oauth = OAuth2Session(
        setting.public_client_id,
        token_endpoint_auth_method="none",
        scope=setting.scope,
        redirect_uri=setting.redirect_uri,
        code_challenge_method="S256",
    )
    verifier = generate_token(48)
    url, state = oauth.create_authorization_url(setting.authorize, code_verifier=verifier)
    token = oauth.fetch_token(
        setting.endpoint("token"),
        authorization_response=ask_person(open=url),
        state=state,
        code_verifier=verifier,
    )
    return {"token": token["access_token"], "scope": token["scope"]}


def wrong_secret(setting: Setting) -> dict[str, Any]:
    try:
        return linked(setting, session(setting, secret="wrong"))
    except OAuthError as error:
        return {"error": error.error}


def replay(setting: Setting) -> dict[str, Any]:
    oauth = session(setting)
    url, state = oauth.create_authorization_url(setting.authorize)
    callback = ask_person(open=url)
    token = oauth.fetch_token(setting.endpoint("token"), authorization_response=callback, state=state)
    result = {"token": token["access_token"], "scope": token["scope"]}
    try:
        oauth.fetch_token(setting.endpoint("token"), authorization_response=callback, state=state)
    except OAuthError as error:
        return {**result, "error": error.error}
    return result


def revoke(setting: Setting) -> dict[str, Any]:
    oauth = session(setting)
    result = linked(setting, oauth)
    answer = oauth.revoke_token(setting.endpoint("revoke"), token=result["token"])
    return {**result, "status": answer.status_code}


def introspect(setting: Setting) -> dict[str, Any]:
    oauth = session(setting)
    result = linked(setting, oauth)
    answer = oauth.introspect_token(setting.endpoint("introspect"), token=result["token"]).json()
    return {**result, "active": answer["active"], "client_id": answer["client_id"]}


def par(setting: Setting) -> dict[str, Any]:
    oauth = session(setting)
    state = generate_token()
    pushed = oauth.post(
        setting.endpoint("par"),
        withhold_token=True,
        auth=oauth.client_auth("client_secret_basic"),
        data={
            "response_type": "code",
            "client_id": setting.client_id,
            "redirect_uri": setting.redirect_uri,
            "scope": setting.scope,
            "state": state,
        },
    )
    pushed.raise_for_status()
    callback = ask_person(
        open=f"{setting.authorize}?client_id={setting.client_id}&request_uri={pushed.json()['request_uri']}"
    )
    token = oauth.fetch_token(setting.endpoint("token"), authorization_response=callback, state=state)
    return {"token": token["access_token"], "scope": token["scope"]}


def device(setting: Setting) -> dict[str, Any]:
    oauth = session(setting)
    started = oauth.post(
        setting.endpoint("device_authorization"),
        withhold_token=True,
        data={"client_id": setting.client_id, "scope": setting.scope},
    ).json()
    ask_person(device=started)
    token = oauth.fetch_token(
        setting.endpoint("token"), grant_type=DEVICE_GRANT, device_code=started["device_code"]
    )
    return {"token": token["access_token"], "scope": token["scope"]}


if __name__ == "__main__":
    os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"  # the tests speak plain HTTP on the loopback interface
    cases = (
        code_basic,
        code_post,
        public_pkce,
        wrong_secret,
        replay,
        revoke,
        introspect,
        par,
        device,
    )
    play({case.__name__: case for case in cases})
