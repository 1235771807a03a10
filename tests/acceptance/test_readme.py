"""What the README shows works as it is pasted, with curl alone."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tests.acceptance.documents import blocks, paste, section
from tests.harness.processes import REPOSITORY


def test_the_flow_in_curl_works_as_the_readme_shows_it(latchkey: str, tmp_path: Path) -> None:
    """A program registered, a code, a key, the key in use, the key taken back."""
    shown = section((REPOSITORY / "README.md").read_text(encoding="utf-8"), "The flow in curl")
    commands = [block.replace("http://127.0.0.1:8080", latchkey) for block in blocks(shown)]
    _, registered, accepted, swapped, used, taken_back = paste(commands, tmp_path)

    client = json.loads((tmp_path / "client.json").read_text(encoding="utf-8"))
    assert json.loads(registered)["username"] == "alice"
    assert client["redirectUri"] == "https://epicgames.example.com/tachi-auth-callback"
    assert client["requestedPermissions"] == ["customise_score"]

    came_back = urlsplit(accepted.splitlines()[-1])
    query = parse_qs(came_back.query)
    assert f"{came_back.scheme}://{came_back.netloc}{came_back.path}" == client["redirectUri"]
    assert query["state"] == ["xyz"]
    assert query["iss"] == [latchkey]

    token = json.loads((tmp_path / "token.json").read_text(encoding="utf-8"))
    assert swapped == ""
    assert token["permissions"] == {"customise_score": True}

    status, _, verified = used.partition("HTTP/1.1 ")
    assert json.loads(status)["success"] is True
    assert verified.startswith("200 ")
    assert "X-Latchkey-Username: bob" in verified

    assert "HTTP/1.1 401 " in taken_back


def test_a_second_use_of_a_code_ends_the_key_it_gave(latchkey: str, tmp_path: Path) -> None:
    """The README's exchange, sent twice: refused, and the first answer's key is dead."""
    shown = section((REPOSITORY / "README.md").read_text(encoding="utf-8"), "The flow in curl")
    commands = [
        block.replace("http://127.0.0.1:8080", latchkey).replace("alice", "carol").replace("bob", "dave")
        for block in blocks(shown)[:4]
    ]
    again = commands[3].replace("key=$(read_field access_token < token.json)", "cat token.json")
    check = 'curl -sS -o answer -w "%{http_code}" -H "Authorization: Bearer $key" "$site/api/v1/verify"'
    *_, replayed, checked = paste([*commands, again, check], tmp_path)
    assert json.loads(replayed)["error"] == "invalid_grant"
    assert checked == "401"
