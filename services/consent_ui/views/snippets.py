"""How a client exchanges a code for its key, in the languages that integrators write, with its own id in place.

Nothing but each language's standard library; the secret is read from the environment, so that none is pasted into code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from shared.contracts.clients import ClientView


@dataclass(frozen=True, slots=True)
class Snippet:
    """One language's lines; ``name`` is also the id of its field."""

    name: str
    language: str
    text: str

    @property
    def rows(self) -> int:
        """How many lines there are to show."""
        return self.text.count("\n") + 1


_CURL: Final = """\
curl {url} \\
  -d grant_type=authorization_code -d code=CODE \\
  -d client_id={client_id} \\
  -d {proof}={value}"""

_PYTHON: Final = """\
import json, os, urllib.parse, urllib.request

form = {{
    "grant_type": "authorization_code", "code": code,
    "client_id": "{client_id}", "{proof}": {value},
}}
body = urllib.parse.urlencode(form).encode()
with urllib.request.urlopen("{url}", body) as answer:
    key = json.load(answer)["access_token"]"""

_JAVASCRIPT: Final = """\
const form = new URLSearchParams({{
  grant_type: "authorization_code", code,
  client_id: "{client_id}", {proof}: {value},
}});
const answer = await fetch("{url}", {{ method: "POST", body: form }});
if (!answer.ok) throw new Error(await answer.text());
const key = (await answer.json()).access_token;"""

_GO: Final = """\
answer, err := http.PostForm("{url}", url.Values{{
	"grant_type": {{"authorization_code"}}, "code": {{code}},
	"client_id": {{"{client_id}"}}, "{proof}": {{{value}}},
}})
if err != nil {{
	return err
}}
defer answer.Body.Close()
if answer.StatusCode != http.StatusOK {{
	return errors.New(answer.Status)
}}
var given struct {{
	Key string `json:"access_token"`
}}
err = json.NewDecoder(answer.Body).Decode(&given)"""

_PHP: Final = """\
$form = http_build_query([
    'grant_type' => 'authorization_code', 'code' => $code,
    'client_id' => '{client_id}', '{proof}' => {value},
]);
$options = ['method' => 'POST', 'content' => $form,
    'header' => 'Content-Type: application/x-www-form-urlencoded'];
$answer = file_get_contents('{url}', false,
    stream_context_create(['http' => $options]));
$key = json_decode($answer)->access_token;"""

# Name, language, lines, and how the language spells the secret from the environment and the PKCE verifier.
_LANGUAGES: Final = (
    ("curl", "curl", _CURL, '"$CLIENT_SECRET"', '"$VERIFIER"'),
    ("python", "Python", _PYTHON, 'os.environ["CLIENT_SECRET"]', "verifier"),
    ("javascript", "JavaScript", _JAVASCRIPT, "process.env.CLIENT_SECRET", "verifier"),
    ("go", "Go", _GO, 'os.Getenv("CLIENT_SECRET")', "verifier"),
    ("php", "PHP", _PHP, "getenv('CLIENT_SECRET')", "$verifier"),
)


def exchange_snippets(client: ClientView, token_url: str) -> tuple[Snippet, ...]:
    """The exchange in each language; a public client proves itself with its verifier (RFC 7636 §4.5)."""
    proof = "code_verifier" if client.public else "client_secret"
    return tuple(
        Snippet(
            name,
            language,
            lines.format(
                url=token_url,
                client_id=client.client_id,
                proof=proof,
                value=verifier if client.public else secret,
            ),
        )
        for name, language, lines, secret, verifier in _LANGUAGES
    )
