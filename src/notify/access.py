"""Who may do what: API keys of applications and tokens of recipients. `gatekeeper` checks them.

A key is `ntf_`, 43 characters for 256 random bits, and a checksum of 6, so that a typo or a scanner needs no
database to tell a key from noise. Only its SHA-256 is stored. A token is a JWT for one recipient; its algorithm is
pinned, and `sub`, `exp` and `aud` are required.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
import zlib
from datetime import UTC, datetime
from typing import Any, Literal

import jwt
import msgspec
from psycopg import AsyncConnection

from notify.config import Settings
from notify.errors import Forbidden, Unauthenticated
from notify.postgres.queries import maybe, one

Scope = Literal["schedule", "read", "admin"]
SCOPES: tuple[Scope, ...] = ("schedule", "read", "admin")

_KEY_PREFIX = "ntf_"
_RANDOM_CHARS = 43
_CHECKSUM_CHARS = 6
_SHOWN_CHARS = 12
_ALGORITHM = "HS256"
_AUDIENCE = "notify"


class Principal(msgspec.Struct, frozen=True):
    """Who is calling: an application by its key, or a recipient by a token."""

    name: str
    """Stable: `key:7`, `key:environment`, `recipient:ada`. Owns idempotency keys and counts against limits."""
    scopes: frozenset[str]
    recipient: str | None = None
    """Set for a token: the only recipient whose inbox and stream it opens."""
    expires_at: datetime | None = None
    """From then on a token does not hold. Of a key only the database knows, as clocks of machines differ."""

    def require(self, scope: Scope) -> None:
        """Raise Forbidden unless the scope is granted; `admin` grants all."""
        if scope not in self.scopes and "admin" not in self.scopes:
            raise Forbidden(f"this needs a key with the scope {scope}")


class KeyRow(msgspec.Struct, frozen=True):
    """A live row of notify.api_key."""

    id: int
    scopes: list[Scope]


async def find_api_key(connection: AsyncConnection[Any], hash: bytes) -> KeyRow | None:
    """The key of this hash, if it holds by the database's clock."""
    return await maybe(connection, "find_api_key", KeyRow, hash=hash)


def new_key() -> str:
    """A fresh API key."""
    body = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip("=")
    return f"{_KEY_PREFIX}{body}{_checksum(body)}"


def shown_prefix(key: str) -> str:
    """The part of a key that may be shown and stored to recognise it by."""
    return key[:_SHOWN_CHARS]


def key_hash(key: str) -> bytes:
    """What is stored of a key: SHA-256, 32 bytes."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def is_well_formed(key: str) -> bool:
    """Whether it has a key's form and its checksum fits."""
    body = key.removeprefix(_KEY_PREFIX)
    if body == key or len(body) != _RANDOM_CHARS + _CHECKSUM_CHARS:
        return False
    return body[_RANDOM_CHARS:] == _checksum(body[:_RANDOM_CHARS])


def _checksum(body: str) -> str:
    crc = zlib.crc32(body.encode("utf-8", "surrogatepass"))
    return base64.urlsafe_b64encode(crc.to_bytes(4)).decode().rstrip("=")


def new_token(token_key: str, recipient: str, ttl: float) -> tuple[str, datetime]:
    """A recipient's token and when it ends, `ttl` seconds from now."""
    issued = int(time.time())
    ends = issued + int(ttl)
    claims = {"sub": recipient, "aud": _AUDIENCE, "iat": issued, "exp": ends}
    return jwt.encode(claims, token_key, algorithm=_ALGORITHM), datetime.fromtimestamp(ends, UTC)


def read_token(token_key: str, token: str) -> Principal:
    """The recipient whose token it is. Raises Unauthenticated, saying why, if it does not hold."""
    try:
        claims = jwt.decode(
            token,
            token_key,
            algorithms=[_ALGORITHM],
            audience=_AUDIENCE,
            # When it was issued is not looked at: that is the clock of another machine, which may be ahead.
            options={"require": ["sub", "exp", "aud"], "verify_iat": False},
        )
    except jwt.ExpiredSignatureError as error:
        raise Unauthenticated("the token has expired; get a new one") from error
    except (jwt.InvalidTokenError, ValueError) as error:
        raise Unauthenticated("the token is not valid here") from error
    subject = claims["sub"]
    ends = datetime.fromtimestamp(claims["exp"], UTC)
    return Principal(f"recipient:{subject}", frozenset(), recipient=subject, expires_at=ends)


async def token_key(settings: Settings, connection: AsyncConnection[Any]) -> str:
    """The key that signs tokens: the setting, or the one that all processes share through the database."""
    if settings.token_secret is not None:
        return settings.token_secret
    return await one(connection, "get_token_key", str)


async def get_unsubscribe_key(connection: AsyncConnection[Any]) -> str:
    """The key that signs links to unsubscribe, which all processes share through the database."""
    return await one(connection, "get_unsubscribe_key", str)
