"""requests-oauthlib: ``OAuth2Session``."""

# ruff: noqa: D103 - a case is called what it plays

from __future__ import annotations

import os
from typing import Any

import requests
from oauthlib.oauth2 import DeviceClient, OAuth2Error
from requests.auth import HTTPBasicAuth
from requests_oauthlib import OAuth2Session

from tests.interop.clients.python.talk import Setting, ask_person, play


def session(setting: Setting, client_id: str | None = None, **options: Any) -> OAuth2Session:
    """A session; of the confidential client unless another is named."""
    return OAuth2Session(
        client_id or setting.client_id, scope=[setting.scope], redirect_uri=setting.redirect_uri, **options
    )


def fetch(setting: Setting, oauth: OAuth2Session, callback: str, **options: Any) -> dict[str, Any]:
    """Swaps the code of a callback for a key."""
    token = oauth.fetch_token(setting.endpoint("token"), authorization_response=callback, **options)
    return {"token": token["access_token"], "scope": " ".join(token["scope"])}


def linked(setting: Setting, oauth: OAuth2Session, **options: Any) -> dict[str, Any]:
    """The code flow to its end."""
    url, _ = oauth.authorization_url(setting.authorize)
    return fetch(setting, oauth, ask_person(open=url), **options)


def code_basic(setting: Setting) -> dict[str, Any]:
    return linked(setting, session(setting), client_secret=setting.client_secret)


def code_post(setting: Setting) -> dict[str, Any]:
    return linked(setting, session(setting), client_secret=setting.client_secret, include_client_id=True)


def public_pkce(setting: Setting) -> dict[str, Any]:
    return linked(setting, session(setting, setting.public_client_id, pkce="S256"), include_client_id=True)


def public_pkce_basic(setting: Setting) -> dict[str, Any]:
    """What it sends unless told otherwise: HTTP Basic with the client's id and an empty password."""
    return linked(setting, session(setting, setting.public_client_id, pkce="S256"))


def wrong_secret(setting: Setting) -> dict[str, Any]:
    try:
        return linked(setting, session(setting), client_secret="wrong")
    except OAuth2Error as error:
        return {"error": error.error}


def replay(setting: Setting) -> dict[str, Any]:
    oauth = session(setting)
    url, _ = oauth.authorization_url(setting.authorize)
    callback = ask_person(open=url)
    result = fetch(setting, oauth, callback, client_secret=setting.client_secret)
    try:
        fetch(setting, oauth, callback, client_secret=setting.client_secret)
    except OAuth2Error as error:
        return {**result, "error": error.error}
    return result


def decline(setting: Setting) -> dict[str, Any]:
    oauth = session(setting)
    url, _ = oauth.authorization_url(setting.authorize)
    try:
        fetch(setting, oauth, ask_person(decline=url), client_secret=setting.client_secret)
    except OAuth2Error as error:
        return {"error": error.error}
    return {}


def revoke(setting: Setting) -> dict[str, Any]:
    oauth = session(setting)
    result = linked(setting, oauth, client_secret=setting.client_secret)
    url, headers, body = oauth._client.prepare_token_revocation_request(  # type: ignore[attr-defined]
        setting.endpoint("revoke"), result["token"]
    )
    answer = oauth.post(
        url, data=body, headers=headers, auth=HTTPBasicAuth(setting.client_id, setting.client_secret)
    )
    return {**result, "status": answer.status_code}


def introspect(setting: Setting) -> dict[str, Any]:
    oauth = session(setting)
    result = linked(setting, oauth, client_secret=setting.client_secret)
    answer = oauth.post(
        setting.endpoint("introspect"),
        data={"token": result["token"]},
        auth=HTTPBasicAuth(setting.client_id, setting.client_secret),
    ).json()
    return {**result, "active": answer["active"], "client_id": answer["client_id"]}


def device(setting: Setting) -> dict[str, Any]:
    oauth = OAuth2Session(client=DeviceClient(setting.client_id))
    asked = {"client_id": setting.client_id, "scope": setting.scope}
    started = requests.post(setting.endpoint("device_authorization"), data=asked, timeout=10).json()
    ask_person(device=started)
    token = oauth.fetch_token(
        setting.endpoint("token"), device_code=started["device_code"], client_secret=setting.client_secret
    )
    return {"token": token["access_token"], "scope": " ".join(token["scope"])}


if __name__ == "__main__":
    os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"  # the tests speak plain HTTP on the loopback interface
    cases = (
        code_basic,
        code_post,
        public_pkce,
        public_pkce_basic,
        wrong_secret,
        replay,
        decline,
        revoke,
        introspect,
        device,
    )
    play({case.__name__: case for case in cases})
