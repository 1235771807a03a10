"""The client registry as the pages see it: views, and the commands of the author's console."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from shared.contracts.field_errors import FieldError
from shared.contracts.messages import Command, Message
from shared.contracts.sessions import PersonalCommand, PersonalReply
from shared.documents import ANSWERED, PUBLIC_NAMES, Milliseconds

OVERLAP_USED: Final = "authenticated with the secret before the last reset"
"""The cause of an attempt that will fail once the overlap ends; the console looks for it."""

DisabledWhy = Literal["gone", "failing"]
"""Why nothing is sent to a webhook address any more: it answered 410, or every try failed for five days."""

OverlapSeconds = Annotated[int, Field(ge=0, le=604_800)]
"""How long an old secret or key works beside its replacement: at most a week."""


class ClientTexts(Message):
    """What an author may say of a client, one text each; not yet checked (the rules live in auth_api)."""

    model_config = PUBLIC_NAMES

    name: str | None = None
    api_key_format: str | None = None
    api_key_filename: str | None = None
    webhook_uri: str | None = None
    homepage: str | None = None
    description: str | None = None


class ClientFields(ClientTexts):
    """A whole registration as an author writes it; not yet checked either."""

    redirect_uris: tuple[str, ...] = ()
    """The first is the default (RFC 6749 §3.1.2.3)."""
    requested_permissions: tuple[str, ...] = ()
    public: bool = False
    """Has no secret and must use PKCE (RFC 6749 §2.1, RFC 7636)."""


class ClientView(ClientFields):
    """A registered client, without its secret."""

    client_id: str
    name: str
    author: int
    author_name: str
    created_on: int
    by_operator: bool = False
    """Registered by the site's operator, who vouches for it."""
    self_registered: bool = False
    """Registered by a program (RFC 7591); neither an author nor the operator vouches for it."""
    old_secret_until: int | None = None
    """Until when the secret before the last reset works, where one was let work on."""
    webhook_failing_since: int | None = None
    """Since when every try to reach the webhook address has failed; this and what follows as its author alone sees it."""
    webhook_disabled_on: int | None = None
    """Since when nothing is sent to that address."""
    webhook_disabled_why: DisabledWhy | None = None

    @property
    def redirect_uri(self) -> str | None:
        """The default redirect URI, where there is one."""
        return self.redirect_uris[0] if self.redirect_uris else None


class ClientAnswer(PersonalReply):
    """The outcome of a console command.

    ``done``: it happened, ``client`` is the new state (also of a deleted one). ``not_found``: unknown, or of another
    author. ``invalid``: see ``errors``. ``limit``: the author has too many.
    """

    outcome: Literal["done", "not_found", "invalid", "limit"] = "not_found"
    client: ClientView | None = None
    errors: tuple[FieldError, ...] = ()


class CreateClient(PersonalCommand[ClientAnswer]):
    """Register a client. ``secret_digest`` is ``None`` for a public one; the page mints the secret."""

    type: ClassVar[str] = "client.create"

    fields: ClientFields
    secret_digest: str | None


class ReadOwnClient(PersonalCommand[ClientAnswer]):
    """One client, to its author."""

    type: ClassVar[str] = "client.read"
    passes_if_full: ClassVar[bool] = True

    client_id: str


class UpdateClient(PersonalCommand[ClientAnswer]):
    """Replace everything of a client that may change (not id, secret, author, permissions, ``public``)."""

    type: ClassVar[str] = "client.update"

    client_id: str
    fields: ClientFields


class ResetClientSecret(PersonalCommand[ClientAnswer]):
    """Give a client a new secret (its digest); the old one works ``overlap_seconds`` longer."""

    type: ClassVar[str] = "client.reset-secret"
    always_passes: ClassVar[bool] = True

    client_id: str
    secret_digest: str
    overlap_seconds: OverlapSeconds = 0


class DeleteClient(PersonalCommand[ClientAnswer]):
    """Delete a client; every key, code and pending request of it is dead when this is answered."""

    type: ClassVar[str] = "client.delete"
    always_passes: ClassVar[bool] = True

    client_id: str


class ClientName(Message):
    """What an app is called; no ``name`` where there is none with this id."""

    name: str | None = None


class ReadClientName(Command[ClientName]):
    """Ask what an app is called, which anybody may know, before anybody is signed in."""

    type: ClassVar[str] = "client.name"
    queue: ClassVar[str] = "auth_api:consent_ui"

    client_id: str


class ClientList(PersonalReply):
    """The author's clients, newest first."""

    clients: tuple[ClientView, ...] = ()


class ListOwnClients(PersonalCommand[ClientList]):
    """The clients that the signed-in person registered."""

    type: ClassVar[str] = "client.list"


class ClientAuthenticated(Message):
    """Whether the credentials were right. Nothing more: unknown and wrong look the same."""

    authenticated: bool
    retry_after: int | None = None
    """Seconds to wait where this client and peer together have failed too often; then nothing was checked."""


class AuthenticateClient(Command[ClientAuthenticated]):
    """key_issuer asks: is this the digest of that client's secret? A client on its own keys, RFC 7662 §2.1."""

    type: ClassVar[str] = "client.authenticate"
    queue: ClassVar[str] = "auth_api"

    client_id: str
    secret_digest: str
    peer: str
    """Who presented it, as ``peer_digest``: failures count against client and peer together."""


AttemptBy = Literal["client", "person", "nobody"]
"""Who had proven to be who they are: the client (a public one by a code of its own), else the signed-in person."""


class Attempt(Message):
    """One authorize or token attempt of a client, redacted, with its exact cause."""

    model_config = ANSWERED

    on: Milliseconds
    step: str
    result: Literal["ok", "refused"]
    error: str | None
    cause: str
    """The exact failing component, for the author alone; no secret in it."""
    request_id: str
    by: AttemptBy = "nobody"


class AttemptList(PersonalReply):
    """The last attempts, at most 100 by each of ``AttemptBy`` in its order, newest first."""

    outcome: Literal["done", "not_found"] = "not_found"
    attempts: tuple[Attempt, ...] = ()


class ListAttempts(PersonalCommand[AttemptList]):
    """The attempts of one client, to its author."""

    type: ClassVar[str] = "client.attempts"

    client_id: str
