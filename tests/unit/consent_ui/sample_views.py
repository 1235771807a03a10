"""A view for every template, with a hostile text wherever a stranger or a store may put one."""

from __future__ import annotations

from typing import Any, Final

from services.consent_ui.error_pages import ErrorView
from services.consent_ui.handlers.apps import DisconnectView, RevokeAllView
from services.consent_ui.handlers.consent_request import DeviceView
from services.consent_ui.handlers.keys import KeyPageView, KeyRevokeView
from services.consent_ui.handlers.sign_in import SignInView
from services.consent_ui.redirect_target import RedirectTarget
from services.consent_ui.views.api import AnswerView, ApiView, FieldView, OperationView, SectionView
from services.consent_ui.views.apps import AppView, Homepage
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
from services.consent_ui.views.keys import AppLine, HomeView, KeyLine
from services.consent_ui.views.messages import MessageView
from services.consent_ui.views.moments import day_of
from services.consent_ui.views.permissions import PermissionGroup, PermissionLine
from services.consent_ui.views.snippets import Snippet
from shared.contracts.clients import ClientFields, ClientView

EVIL: Final = "</title></textarea>\"'><script>alert(1)</script><img src=x onerror=alert(1)>{{7*7}}"
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
_APP: Final = AppView(
    EVIL, EVIL, "E", EVIL, EVIL, Homepage("https://e.example/", EVIL), "self_registered", EVIL, _DAY
)
_CONSENT: Final = ConsentView(
    app=_APP,
    groups=_GROUPS,
    first_time=False,
    has_new=True,
    people=EVIL,
    username=EVIL,
    initial="E",
    target=RedirectTarget("site", EVIL),
    user_code=EVIL,
    filename=EVIL,
    expires=_DAY,
    action=EVIL,
    request_id=EVIL,
    token=EVIL,
    return_to=EVIL,
    switch_target=EVIL,
    switch_token=EVIL,
)
_KEY: Final = KeyLine(
    EVIL, EVIL, "lku_…abcd", EVIL, "active", _LINES, frozenset({"delete_score"}), _DAY, _DAY, _DAY, stale=True
)
_ENDED: Final = KeyLine(
    EVIL, EVIL, "lku_…efgh", None, "revoked", _LINES, frozenset(), _DAY, None, None, stale=False
)
_APP_LINE: Final = AppLine(EVIL, EVIL, "E", EVIL, Homepage("https://e.example/", EVIL), _LINES, _DAY, None, 2)
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
_FIELDS: Final = ClientFields(
    name=EVIL, redirect_uris=(EVIL,), api_key_format=EVIL, homepage=EVIL, description=EVIL
)
_NEW_KEY: Final = NewKeyView(EVIL, EVIL, EVIL, EVIL, EVIL, _LINES, EVIL, EVIL)
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
    "consent.html": (_CONSENT,),
    "developer.html": (ClientListView((ClientLine(EVIL, EVIL, "E", _DAY, _LINES),)), ClientListView(())),
    "device.html": (DeviceView(_ERRORS, EVIL),),
    "disconnect.html": (DisconnectView(_APP_LINE, EVIL),),
    "error.html": (ErrorView(EVIL, EVIL, EVIL, EVIL, "/", EVIL),),
    "file_flow.html": (_CONSENT,),
    "home.html": (HomeView((_APP_LINE,), (_KEY,), (_ENDED,)), HomeView((), (), ())),
    "key.html": (KeyPageView(_KEY, EVIL, _ERRORS, EVIL, EVIL), KeyPageView(_ENDED, EVIL, _ERRORS, EVIL, None)),
    "key_revoke.html": (KeyRevokeView(_KEY, EVIL), KeyRevokeView(_ENDED, EVIL)),
    "message.html": (MessageView(EVIL, (EVIL,), EVIL, "/"),),
    "new_key.html": (_NEW_KEY,),
    "revoke_all.html": (RevokeAllView(1, 2, EVIL), RevokeAllView(2, 1, EVIL)),
    "sign_in.html": (SignInView(EVIL, _ERRORS, EVIL), SignInView(None, FormErrors())),
    "sign_up.html": (SignInView(EVIL, _ERRORS, EVIL),),
    "welcome.html": (None,),
}  # fmt: skip
"""Template → views that show each of its parts."""
