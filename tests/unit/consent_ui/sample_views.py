"""A view for every template, with a hostile text wherever a stranger or a store may put one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import orjson

from services.consent_ui.handlers.consent_request import DeviceView
from services.consent_ui.handlers.keys import KeyPageView
from services.consent_ui.handlers.sign_in import SignInView
from services.consent_ui.redirect_target import RedirectTarget
from services.consent_ui.views.api import AnswerView, ApiView, FieldView, OperationView, SectionView
from services.consent_ui.views.attempts import AttemptLine, OldSecret
from services.consent_ui.views.clients import (
    ClientDeleteView,
    ClientFormView,
    ClientLine,
    ClientListView,
    ClientPageView,
    ClientSecretView,
)
from services.consent_ui.views.consent import ConsentView
from services.consent_ui.views.form_errors import FormError, FormErrors
from services.consent_ui.views.key_file import NewKeyView
from services.consent_ui.views.messages import MessageView
from services.consent_ui.views.moments import day_of
from services.consent_ui.views.permissions import PermissionGroup, PermissionLine
from services.consent_ui.views.snippets import Snippet
from shared.contracts.access import Access, ConnectedApp
from shared.contracts.authorization import ConsentRequest
from shared.contracts.clients import ClientFields, ClientView
from shared.contracts.keys import KeyView
from shared.contracts.sessions import SessionUser

EVIL: Final = "</title></textarea>\"'><script>alert(1)</script><img src=x onerror=alert(1)>{{7*7}}"
NAME: Final = f"{EVIL}\u202eexe\u200b"
"""What a stranger may have named: it is shown without what turns or hides."""
_DAY: Final = day_of(1_795_456_269_000)
_ERRORS: Final = FormErrors((FormError("name", EVIL), FormError("", EVIL)))
_LINES: Final = (
    PermissionLine("submit_score", EVIL, EVIL, "change", is_new=True),
    PermissionLine("delete_score", EVIL, EVIL, "delete"),
)
_GROUPS: Final = (
    PermissionGroup("change", "Add and change", _LINES[:1]),
    PermissionGroup("delete", "Delete for good", _LINES[1:]),
)
_CLIENT: Final = ClientView(
    client_id=EVIL,
    name=EVIL,
    author=1,
    author_name=EVIL,
    redirect_uris=(EVIL,),
    requested_permissions=("submit_score",),
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
        client=_CLIENT.model_copy(update={"name": NAME, "author_name": NAME, "description": NAME}),
        permissions=("submit_score", "delete_score"),
        user=SessionUser(user_id=1, username=EVIL),
        redirect_uri=EVIL,
        first_time=False,
        new_permissions=("submit_score",),
        expires_on=1_795_456_269_000,
    ),
    groups=_GROUPS,
    people=EVIL,
    target=RedirectTarget("site", EVIL),
    action=EVIL,
    return_to=EVIL,
    switch_target=EVIL,
    switch_token=EVIL,
)
_FROM_DEVICE: Final = replace(_CONSENT, consent=_CONSENT.consent.model_copy(update={"user_code": EVIL}))
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
_ATTEMPT: Final = AttemptLine(_DAY, EVIL, ok=False, error=EVIL, cause=EVIL, advice=EVIL, request_id=EVIL)
_SNIPPETS: Final = (Snippet("curl", EVIL, EVIL), Snippet("go", EVIL, EVIL))
_FIELD: Final = FieldView(EVIL, EVIL, required=True, meaning=EVIL)
_OPERATION: Final = OperationView(
    EVIL, EVIL, EVIL, EVIL, EVIL, EVIL, (_FIELD,), (_FIELD,), (AnswerView("200", EVIL, (_FIELD,)), AnswerView("400", EVIL, ()))
)  # fmt: skip

VIEWS: Final[dict[str, tuple[Any, ...]]] = {
    "api.html": (ApiView(EVIL, (SectionView(EVIL, "section", (_OPERATION,)),)),),
    "client.html": (
        ClientPageView(_CLIENT, EVIL, _DAY, _LINES, EVIL, EVIL, _SNIPPETS, EVIL, (_ATTEMPT,), old_secret=OldSecret(_DAY, _DAY)),
        ClientPageView(_CLIENT.model_copy(update={"public": True}), EVIL, _DAY, (), None, EVIL, (), EVIL, None),
        ClientPageView(_CLIENT, EVIL, _DAY, (), None, EVIL, (), EVIL, (), refusals_only=True, old_secret=OldSecret(_DAY, None)),
    ),
    "client_delete.html": (ClientDeleteView(EVIL, EVIL, EVIL),),
    "client_edit.html": (ClientFormView(_FIELDS, _LINES, EVIL, _ERRORS, EVIL),),
    "client_new.html": (ClientFormView(_FIELDS, _LINES, EVIL, _ERRORS), ClientFormView(ClientFields(), _LINES, EVIL)),
    "client_secret.html": (
        ClientSecretView(_CLIENT, EVIL, EVIL, is_new=True, overlap=EVIL, consent_link=EVIL, file_link=EVIL, snippets=_SNIPPETS),
        ClientSecretView(_CLIENT, EVIL, None, is_new=False, overlap=EVIL, consent_link=None, file_link=EVIL, snippets=_SNIPPETS),
    ),
    "consent.html": (_CONSENT, _FROM_DEVICE),
    "developer.html": (ClientListView((ClientLine(EVIL, EVIL, "E", _DAY, _LINES),)), ClientListView(())),
    "device.html": (DeviceView(_ERRORS, EVIL),),
    "disconnect.html": (_APP,),
    "file_flow.html": (_CONSENT,),
    "home.html": (Access(apps=(_APP,), keys=(_KEY, _ENDED)), Access()),
    "key.html": (KeyPageView(_KEY, NAME, _ERRORS, EVIL), KeyPageView(_ENDED, None, _ERRORS, EVIL)),
    "key_revoke.html": (KeyPageView(_KEY, NAME), KeyPageView(_ENDED, None)),
    "message.html": (MessageView(EVIL, (EVIL,), EVIL, "/"), MessageView(EVIL, (EVIL, EVIL), EVIL, "/", "warn", EVIL)),
    "new_key.html": (NewKeyView(EVIL, _KEY, NAME, EVIL, EVIL, EVIL), NewKeyView(EVIL, _KEY, None, EVIL)),
    "revoke_all.html": (Access(apps=(_APP,), keys=(_KEY, _ENDED, _KEY)), Access()),
    "sign_in.html": (SignInView(EVIL, _ERRORS, EVIL), SignInView(None, FormErrors())),
    "sign_up.html": (SignInView(EVIL, _ERRORS, EVIL),),
    "welcome.html": (None,),
}  # fmt: skip
"""Template → views that show each of its parts."""
