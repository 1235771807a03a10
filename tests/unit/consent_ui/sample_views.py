"""A view for every template, with a hostile text wherever a stranger or a store may put one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import orjson

from services.consent_ui.error_pages import MessageView
from services.consent_ui.form_errors import FormError, FormErrors
from services.consent_ui.handlers.account import AccountView, PasswordResetView
from services.consent_ui.handlers.consent_request import ConsentView, DeviceView
from services.consent_ui.handlers.developer import ClientFormView, ClientPageView, ClientSecretView
from services.consent_ui.handlers.keys import KeyPageView, NewKeyView
from services.consent_ui.handlers.public import ApiView
from services.consent_ui.handlers.sign_in import SignInView
from services.consent_ui.handlers.webhooks import SigningKey, WebhooksView
from shared.contracts.access import Access, ConnectedApp, DisabledWebhook
from shared.contracts.authorization import ConsentRequest
from shared.contracts.clients import OVERLAP_USED, Attempt, ClientFields, ClientList, ClientView
from shared.contracts.keys import KeyView
from shared.contracts.sessions import SessionUser, SessionView
from shared.contracts.webhooks import WebhookDelivery, WebhookEndpoint, Webhooks
from shared.permissions import Permission

EVIL: Final = "</title></textarea>\"'><script>alert(1)</script><img src=x onerror=alert(1)>{{7*7}}"
NAME: Final = f"{EVIL}\u202eexe\u200b"
"""What a stranger may have named: it is shown without what turns or hides."""
_ERRORS: Final = FormErrors((FormError("name", EVIL), FormError("", EVIL)))
_LINES: Final = (
    Permission("submit_score", EVIL, EVIL, "change"),
    Permission("delete_score", EVIL, EVIL, "delete"),
)
_CLIENT: Final = ClientView(
    client_id=EVIL,
    name=NAME,
    author=1,
    author_name=EVIL,
    redirect_uris=(EVIL,),
    requested_permissions=("submit_score", EVIL),
    old_secret_until=2**42,
    api_key_format=EVIL,
    api_key_filename=EVIL,
    webhook_uri=EVIL,
    homepage=EVIL,
    description=EVIL,
    public=False,
    created_on=0,
)
_CONSENT: Final = ConsentView(
    consent=ConsentRequest(
        request_id=EVIL,
        client=_CLIENT.model_copy(update={"author_name": NAME, "description": NAME}),
        permissions=("submit_score", "delete_score", EVIL),
        user=SessionUser(user_id=1, username=EVIL),
        redirect_uri=EVIL,
        first_time=False,
        new_permissions=("submit_score",),
        people=2,
        expires_on=1_795_456_269_000,
    ),
    action=EVIL,
    user_code=None,
    return_to=EVIL,
    switch_target=EVIL,
    switch_token=EVIL,
)
_FROM_DEVICE: Final = replace(_CONSENT, user_code=EVIL)
_APP: Final = ConnectedApp(
    client_id=EVIL,
    name=NAME,
    author_name=NAME,
    homepage="https://e.example/",
    permissions=("submit_score", "delete_score"),
    first_granted_on=1,
    last_used_on=None,
    keys=2,
)


def _key(**fields: Any) -> KeyView:
    """A key as auth_api tells of it."""
    known = {
        "key_id": EVIL,
        "identifier": NAME,
        "permissions": ("submit_score", "delete_score"),
        "created_on": 1,
        "delivered": True,
        "used_permissions": ("delete_score",),
    }
    return KeyView.from_wire(orjson.dumps(known | fields))


_KEY: Final = _key(client_id=EVIL, last_used_on=1, expires_on=1, status="active")
_ENDED: Final = _key(client_id=None, last_used_on=None, expires_on=None, status="revoked")
_FIELDS: Final = ClientFields(
    name=EVIL, redirect_uris=(EVIL,), api_key_format=EVIL, homepage=EVIL, description=EVIL
)
_ATTEMPT: Final = Attempt(on=1, step=EVIL, result="refused", error=EVIL, cause=EVIL, request_id=EVIL)
_SCHEMA: Final = {
    "properties": {EVIL: {"type": EVIL, "description": EVIL}, "b": {"enum": [EVIL]}},
    "required": [EVIL],
}
_BODY: Final = {"content": {EVIL: {"schema": {"$ref": f"#/components/schemas/{EVIL.rpartition('/')[2]}"}}}}
_OPERATION: Final = {
    "operationId": EVIL,
    "tags": ["section"],
    "summary": EVIL,
    "security": [{"key": []}],
    "parameters": [{"name": EVIL, "in": EVIL, "required": True, "description": EVIL}],
    "requestBody": _BODY,
    "responses": {"200": {"description": EVIL, **_BODY}, "400": {"description": EVIL}},
}
_API: Final = {
    "info": {"version": EVIL},
    "paths": {EVIL: {EVIL: _OPERATION}},
    "components": {"schemas": {EVIL.rpartition("/")[2]: _SCHEMA}},
}

_SESSION: Final = SessionView(
    session_id=EVIL, created_on=1, last_seen_on=1, peer=NAME, user_agent=NAME, current=False
)
_HERE: Final = _SESSION.model_copy(update={"current": True, "peer": None, "user_agent": None})

_DELIVERY: Final = WebhookDelivery(
    webhook_id=EVIL, number=1, type=EVIL, key_id=EVIL, status="failed", tries=10, happened_on=1, due_on=None,
    last_tried_on=1, last_status=503, last_failure=EVIL, ended_on=1,
)  # fmt: skip
_WAITING: Final = _DELIVERY.model_copy(
    update={"status": "waiting", "tries": 0, "due_on": 2**42, "last_status": None, "last_failure": None}
)
_ENDPOINT: Final = WebhookEndpoint(address=EVIL, failing_since=1, waiting=1)
_WEBHOOKS: Final = Webhooks(
    outcome="done", client_name=NAME, endpoint=_ENDPOINT, deliveries=(_WAITING, _DELIVERY), more=True
)
_DISABLED: Final = _WEBHOOKS.model_copy(
    update={"endpoint": WebhookEndpoint(address=EVIL, disabled_on=1, disabled_why="gone"), "deliveries": ()}
)
_SIGNING: Final = (
    SigningKey(2, EVIL, None, EVIL),
    SigningKey(2, EVIL, None, None),
    SigningKey(1, EVIL, 2**42, EVIL),
)
_WITH_TROUBLE: Final = _CLIENT.model_copy(
    update={"webhook_disabled_on": 1, "webhook_disabled_why": "failing"}
)
_FAILING: Final = _CLIENT.model_copy(update={"webhook_failing_since": 1})

VIEWS: Final[dict[str, tuple[Any, ...]]] = {
    "account.html": (AccountView((_HERE, _SESSION), _ERRORS, ((EVIL, EVIL),)), AccountView((_HERE,))),
    "api.html": (ApiView(_API),),
    "client.html": (
        ClientPageView(_CLIENT, (_ATTEMPT, _ATTEMPT.model_copy(update={"cause": OVERLAP_USED}))),
        ClientPageView(_CLIENT.model_copy(update={"public": True}), None),
        ClientPageView(_CLIENT, (), refusals_only=True),
        ClientPageView(_WITH_TROUBLE, ()),
        ClientPageView(_FAILING.model_copy(update={"webhook_uri": None}), ()),
    ),
    "client_delete.html": (_CLIENT,),
    "client_edit.html": (ClientFormView(_FIELDS, _LINES, _ERRORS, EVIL),),
    "client_new.html": (ClientFormView(_FIELDS, _LINES, _ERRORS), ClientFormView(ClientFields(), _LINES)),
    "client_secret.html": (
        ClientSecretView(_CLIENT, EVIL),
        ClientSecretView(_CLIENT.model_copy(update={"redirect_uris": ()}), None, overlap=3600),
    ),
    "client_webhooks.html": (
        WebhooksView(EVIL, _WEBHOOKS, _SIGNING, secrets_shown=True, older=1, first_page=False),
        WebhooksView(EVIL, _DISABLED, _SIGNING[:1], secrets_shown=False, older=None, first_page=False),
        WebhooksView(EVIL, Webhooks(), _SIGNING[:1], secrets_shown=False, older=None, first_page=True),
    ),
    "consent.html": (_CONSENT, _FROM_DEVICE),
    "developer.html": (ClientList(clients=(_CLIENT, _WITH_TROUBLE, _FAILING)), ClientList()),
    "device.html": (DeviceView(_ERRORS, EVIL),),
    "disconnect.html": (_APP,),
    "file_flow.html": (_CONSENT,),
    "home.html": (
        Access(apps=(_APP,), keys=(_KEY, _ENDED), disabled_webhooks=(DisabledWebhook(client_id=EVIL, name=NAME),)),
        Access(),
    ),
    "key.html": (KeyPageView(_KEY, NAME, _ERRORS, EVIL), KeyPageView(_ENDED, None, _ERRORS, EVIL)),
    "key_revoke.html": (KeyPageView(_KEY, NAME), KeyPageView(_ENDED, None)),
    "message.html": (MessageView(EVIL, (EVIL,), EVIL, "/"), MessageView(EVIL, (EVIL, EVIL), EVIL, "/", "warn", EVIL)),
    "new_key.html": (NewKeyView(EVIL, _KEY, NAME, EVIL, EVIL, EVIL), NewKeyView(EVIL, _KEY, None, EVIL)),
    "reset_password.html": (PasswordResetView(EVIL, EVIL, _ERRORS), PasswordResetView(None, EVIL)),
    "revoke_all.html": (Access(apps=(_APP,), keys=(_KEY, _ENDED, _KEY)), Access()),
    "sign_in.html": (SignInView(EVIL, _ERRORS, EVIL, EVIL), SignInView(None, FormErrors())),
    "sign_up.html": (SignInView(EVIL, _ERRORS, EVIL, EVIL),),
    "welcome.html": (None,),
}  # fmt: skip
"""Template → views that show each of its parts."""
