"""What an OpenID provider signs: the signature first, then every claim that OpenID Connect lists.

Pure but for the arithmetic of signatures, which is a library's (joserfc). Times are Unix seconds.
"""

from __future__ import annotations

import base64
import binascii
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

LEEWAY_SECONDS: Final = 60
LONGEST_TOKEN: Final = 64 * 1024
LOGOUT_EVENT: Final = "http://schemas.openid.net/event/backchannel-logout"
LOGOUT_LIFE_SECONDS: Final = 600
"""How old a logout token may be that says no end of its own."""
_DOTS: Final = 2
_SUBJECT: Final = re.compile("[\x20-\x7e]{1,255}")
"""OpenID Connect Core §2."""
_KEY_TYPES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "RSA"),
    **dict.fromkeys(("ES256", "ES384", "ES512"), "EC"),
    "EdDSA": "OKP",
}
"""The algorithms that are believed, and the type of their keys: never ``none``, and none with a shared secret."""
_CURVES: Final = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}

Claims = dict[str, Any]
Jwk = Mapping[str, Any]


class TokenError(Exception):
    """The token is not to be believed; the message says why, for the log."""


class UnknownKeyError(TokenError):
    """It is signed with a key that is not among those known: the provider may have a new one."""


def warm_up() -> None:
    """Reads the library, a tenth of a second and more: at the start of a process with a provider, not at its first token."""
    import joserfc.jwk
    import joserfc.jws  # noqa: F401


def verify_signature(token: str, keys: Sequence[Jwk]) -> Claims:
    """The claims of a compact JWS that one of the provider's keys has signed.

    Raises:
        UnknownKeyError: its key is not known, or none fits where it names none.
        TokenError: it is malformed, of a refused algorithm, ambiguous, or the signature is wrong.
    """
    from joserfc import jwk, jws
    from joserfc.errors import JoseError, SecurityWarning

    algorithm, key_id = _header(token)
    fitting = [key for key in keys if _fits(key, algorithm, key_id)]
    if not fitting:
        raise UnknownKeyError(f"no key fits the algorithm {algorithm} and the key id {key_id!r}")
    if len(fitting) > 1:
        raise TokenError("more than one key fits")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", SecurityWarning
            )  # `EdDSA` has a newer name, which providers do not say
            key = jwk.import_key(dict(fitting[0]))
            signed = jws.deserialize_compact(token, key, algorithms=[algorithm])
        claims = orjson.loads(signed.payload)
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise TokenError(f"the signature is wrong ({type(error).__name__})") from None
    if not isinstance(claims, dict):
        raise TokenError("its payload is no object")
    return claims


def check_id_token(claims: Claims, *, issuer: str, client_id: str, nonce: str, now: int) -> str:
    """The ``sub`` of an ID token that is for us, of this sign-in, and of now (OpenID Connect Core §3.1.3.7).

    Raises:
        TokenError: naming the claim.
    """
    _check_common(claims, issuer=issuer, client_id=client_id, now=now)
    if not _is_time(claims.get("exp")) or claims["exp"] <= now - LEEWAY_SECONDS:
        raise TokenError("exp is missing or past")
    if claims.get("nonce") != nonce:
        raise TokenError("nonce is not that of this sign-in")
    subject = claims.get("sub")
    if not isinstance(subject, str) or _SUBJECT.fullmatch(subject) is None:
        raise TokenError("sub is missing, or no text of at most 255 ASCII characters")
    return subject


def check_logout_token(
    claims: Claims, *, issuer: str, client_id: str, now: int
) -> tuple[str, str | None, str | None]:
    """The ``jti``, ``sub`` and ``sid`` of a logout token (OpenID Connect Back-Channel Logout §2.6).

    Raises:
        TokenError: naming the claim.
    """
    _check_common(claims, issuer=issuer, client_id=client_id, now=now)
    expires_on = claims.get("exp", claims["iat"] + LOGOUT_LIFE_SECONDS)
    if not _is_time(expires_on) or expires_on <= now - LEEWAY_SECONDS:
        raise TokenError("exp is past")
    events = claims.get("events")
    if not isinstance(events, dict) or not isinstance(events.get(LOGOUT_EVENT), dict):
        raise TokenError("events does not hold a logout")
    if "nonce" in claims:
        raise TokenError("nonce must not be there: an ID token is no logout")
    token_id, subject, session = (claims.get(name) for name in ("jti", "sub", "sid"))
    if not isinstance(token_id, str) or not token_id:
        raise TokenError("jti is missing")
    if not all(value is None or isinstance(value, str) for value in (subject, session)):
        raise TokenError("sub or sid is no text")
    if subject is None and session is None:
        raise TokenError("neither sub nor sid is there")
    return token_id, subject, session


def _check_common(claims: Claims, *, issuer: str, client_id: str, now: int) -> None:
    if claims.get("iss") != issuer:
        raise TokenError("iss is another issuer")
    audience = claims.get("aud")
    audiences = [audience] if isinstance(audience, str) else audience
    if not isinstance(audiences, list) or client_id not in audiences:
        raise TokenError("aud does not name this client")
    party = claims.get("azp")
    if (party is not None or len(audiences) > 1) and party != client_id:
        raise TokenError("azp is another client")
    if not _is_time(claims.get("iat")) or claims["iat"] > now + LEEWAY_SECONDS:
        raise TokenError("iat is missing or ahead of time")
    begins = claims.get("nbf")
    if begins is not None and (not _is_time(begins) or begins > now + LEEWAY_SECONDS):
        raise TokenError("nbf is ahead of time")


def can_verify(key: Jwk) -> bool:
    """Whether any algorithm that is believed could have been used with this key."""
    return any(_fits(key, algorithm, None) for algorithm in _KEY_TYPES)


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _header(token: str) -> tuple[str, str | None]:
    """The algorithm and the key id that the token names; of the algorithms only those that are believed."""
    if len(token) > LONGEST_TOKEN or token.count(".") != _DOTS:
        raise TokenError("it is no compact JWS")
    encoded = token.partition(".")[0]
    try:
        header = orjson.loads(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
    except (binascii.Error, ValueError):
        raise TokenError("its header cannot be read") from None
    if not isinstance(header, dict):
        raise TokenError("its header is no object")
    algorithm, key_id = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in _KEY_TYPES:
        raise TokenError(f"the algorithm {str(algorithm)[:20]!r} is not believed")
    if "crit" in header:
        raise TokenError("it holds extensions that must be understood")
    return algorithm, key_id if isinstance(key_id, str) else None


def _fits(key: Jwk, algorithm: str, key_id: str | None) -> bool:
    """Whether this key may have signed it; ``kid`` alone decides where it is given, among keys of the right kind."""
    if key.get("kty") != _KEY_TYPES[algorithm] or key.get("use", "sig") != "sig":
        return False
    if key.get("alg", algorithm) != algorithm or "verify" not in key.get("key_ops", ["verify"]):
        return False
    if algorithm in _CURVES and key.get("crv") != _CURVES[algorithm]:
        return False
    return key_id is None or key.get("kid") == key_id
