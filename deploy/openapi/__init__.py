"""``python -m deploy.openapi`` writes the description of the REST interface that auth_api and the pages serve.

It is made here, where both services may be imported, and committed, so that neither needs the other at run time; a test
holds the committed document to the models.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from deploy.openapi import auth_api, key_issuer
from deploy.openapi.document import document
from shared.version import VERSION

TARGET: Final = Path(__file__).resolve().parents[2] / "shared" / "openapi.json"


def describe() -> dict[str, Any]:
    """The OpenAPI document of the two services that speak REST."""
    return document(
        {**auth_api.SECTIONS, **key_issuer.SECTIONS},
        title="Latchkey",
        version=VERSION,
        description="API keys by consent: register a client, swap a one-time code for a key, check keys.",
    )


def rendered() -> str:
    """The document as it is committed."""
    return json.dumps(describe(), indent=1, ensure_ascii=False) + "\n"
