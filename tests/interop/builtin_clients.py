"""The twelve programs that the seed's system knows from the start: as its operator registers them, as they read their files.

Ids, file names and members are theirs; the words around them are ours.
"""

from __future__ import annotations

import configparser
import json
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

SITE: Final = "SITE"
"""Stands in the templates for the site's address, which the operator writes into them."""

Read = Callable[[str], str]
"""Finds the key in the content of a file, as the program itself does."""


@dataclass(frozen=True, slots=True)
class BuiltInClient:
    """A game hook or a score tool: all of them use the Client File Flow and have no redirect address."""

    client_id: str
    name: str
    filename: str | None
    template: str | None
    read: Read

    def template_for(self, site: str) -> str | None:
        """The template as the operator of a site writes it."""
        return None if self.template is None else self.template.replace(SITE, site)


def _bare(content: str) -> str:
    """The person pastes the key into a field of the program."""
    return content


def _json(*way: str | int) -> Read:
    def read(content: str) -> str:
        found: Any = json.loads(content)
        for step in way:
            found = found[step]
        return str(found)

    return read


def _toml(table: str, name: str) -> Read:
    return lambda content: str(tomllib.loads(content)[table][name])


def _ini(section: str, name: str) -> Read:
    def read(content: str) -> str:
        parser = configparser.RawConfigParser()
        parser.read_string(content)
        return parser[section][name]

    return read


def _lines(section: str, name: str) -> Read:
    """Line by line, as programs read a ``.cfg`` that no library of theirs knows."""

    def read(content: str) -> str:
        where = ""
        for line in map(str.strip, content.splitlines()):
            if line.startswith("["):
                where = line.strip("[]")
            elif where == section and not line.startswith("#") and line.partition("=")[0].strip() == name:
                return line.partition("=")[2].strip()
        raise LookupError(f"no {name} in [{section}]")

    return read


_CHUNITACHI: Final = f"""\
[general]
; Prints what goes wrong; leave it on until it works.
showDebug = true

; Whose plays are sent, where several people share the machine;
; 0 stands for everybody.
extID = 0

; Which release is played. One of these:
; game = amazon
; game = crystal
; game = paradise

game = PUT_YOUR_GAME_HERE

failOverLamp = false

[kamaitachi]
; Asked at the start: is the site there?
apiStatus = {SITE}/api/v1/status

apiEndpoint = {SITE}/ir/direct-manual/import

; Yours alone. It can be taken back at
; {SITE}/users/me -> Integrations
apikey = %%TACHI_KEY%%"""

_MIKADO: Final = f"""\
[general]
# 'false' turns the hook off
enable = true
export_class = true
# In milliseconds
timeout = 3000

[cards]
# For example: whitelist = ['E000000000', 'E000000001']
whitelist = []

[tachi]
base_url = '{SITE}'
status = '/api/v1/status'
import = '/ir/direct-manual/import'
pbs = '/api/v1/users/{{}}/games/sdvx/pbs/all'
# Keep it to yourself
api_key = '%%TACHI_KEY%%'
"""

_SAEKAWA: Final = f"""\
[general]
export_class = true
fail_over_lamp = false

# In milliseconds.
timeout = 3000
auto_update = true
failed_import_dir = "failed_saekawa_imports"

[cards]
# A key for each card, and one for all others:
#    default = "a-key"
#    "00001111222233334444" = "another-key"

default = "%%TACHI_KEY%%"

[tachi]
base_url = "{SITE}\""""

_INOHARA: Final = f"""\
[Options]

# Whether anything is sent
Enable = true

# In seconds
Timeout = 5

BaseUrl = {SITE}
ApiRoute = /api/v1
Import = /ir/direct-manual/import

[Keys]

* = %%TACHI_KEY%%

# For more than one player:
#
# NameInTheGame = TheirKey
# 00081111222233334444 = AnotherKey"""


def _tabbed(members: dict[str, object]) -> str:
    return json.dumps(members, indent="\t")


TWELVE: Final = (
    BuiltInClient(
        "CXFervidex",
        "Fervidex",
        "kamaitachi.fervidex.json",
        _tabbed({"url": f"{SITE}/ir/fervidex", "token": "%%TACHI_KEY%%"}),
        _json("token"),
    ),
    BuiltInClient(
        "CXBarbatos",
        "Barbatos",
        "barbatos.json",
        _tabbed({"api_key": "%%TACHI_KEY%%"}),
        _json("api_key"),
    ),
    BuiltInClient(
        "CXKsHook",
        "Konaste Hook",
        "kamaitachi.kshook.json",
        _tabbed({"url": f"{SITE}/ir/kshook", "token": "%%TACHI_KEY%%", "games": ["sv6c"]}),
        _json("token"),
    ),
    BuiltInClient(
        "CXChunitachi",
        "ChunItachi",
        "ChunItachi.ini",
        _CHUNITACHI,
        _ini("kamaitachi", "apikey"),
    ),
    BuiltInClient(
        "CXSilentHook",
        "SilentHook",
        "silent-config.json",
        _tabbed({"key": "%%TACHI_KEY%%", "url": f"{SITE}/ir/direct-manual/import"}),
        _json("key"),
    ),
    BuiltInClient("CXMikado", "Mikado", "mikado.toml", _MIKADO, _toml("tachi", "api_key")),
    BuiltInClient("CXSaekawa", "Saekawa", "saekawa.toml", _SAEKAWA, _toml("cards", "default")),
    BuiltInClient("CXInohara", "Inohara", "inohara.cfg", _INOHARA, _lines("Keys", "*")),
    BuiltInClient("CXBeatorajaIR", "Beatoraja IR", None, None, _bare),
    BuiltInClient("CXUSCIR", "USC IR", None, None, _bare),
    BuiltInClient(
        "CXLR2Hook",
        "LR2 Hook",
        "BokutachiAuth.json",
        _tabbed({"url": f"{SITE}/ir/lr2hook/import", "apiKey": "%%TACHI_KEY%%"}),
        _json("apiKey"),
    ),
    BuiltInClient(
        "CXITGHook",
        "ITG Hook",
        "Tachi.json",
        json.dumps([{"url": f"{SITE}/ir/direct-manual/import", "token": "%%TACHI_KEY%%"}]),
        _json(0, "token"),
    ),
)
